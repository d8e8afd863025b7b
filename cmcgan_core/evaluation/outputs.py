"""What judges and metrics return for the pairs of a split: tensors by sample.

Shapes: N pairs; K latents (1 for samples that need none); D values of a code.
"""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TypeVar

import torch
from torch import Tensor

from cmcgan_core.modality import Direction, Modality

Key = TypeVar("Key", bound=Hashable)


@dataclass(frozen=True)
class Real:
    """The real samples of a modality."""

    modality: Modality


@dataclass(frozen=True)
class Generated:
    """Samples that were generated in a direction, by a number of subnetworks in a row."""

    direction: Direction
    hops: int

    @property
    def modality(self) -> Modality:
        """The modality of the samples."""
        return self.direction.target


@dataclass(frozen=True)
class Recovered:
    """Samples of a modality that were made from the same modality, by a number of subnetworks in a row.

    One subnetwork makes R_Image and R_Sound of CMCGAN's Figure 1; two, by way of the other modality, make RF_Image and
    RF_Sound.
    """

    modality: Modality
    hops: int


@dataclass(frozen=True)
class Copied:
    """The control of a direction: stored training samples of the class that the main judge predicts for the input."""

    direction: Direction

    @property
    def modality(self) -> Modality:
        """The modality of the samples."""
        return self.direction.target


Sample = Real | Generated | Recovered | Copied


class Control(StrEnum):
    """What replaces the generated modality in a control of Table 2."""

    CONSTANT = "constant"
    OTHER_CLASS = "other class"
    NOISE = "noise"


@dataclass(frozen=True)
class PairCase:
    """A row of pairs in Table 2.

    Attributes:
        direction: the direction that generates one modality of the pair; None for real pairs.
        control: what replaces the generated modality; None for nothing.
    """

    direction: Direction | None = None
    control: Control | None = None

    @property
    def name(self) -> str:
        """The name of the row: "V-A", "GV-A", "GA-V", or one of the last two and the control, as "GV-A noise"."""
        case = self.direction.completed if self.direction else "V-A"
        return f"{case} {self.control}" if self.control else case


class PairClassifier(StrEnum):
    """A classifier of pairs: trained on real pairs, or on pairs that the run completed too; of codes, or of inputs."""

    REAL = "real"
    RETRAINED = "retrained"
    CONCATENATED = "concatenated"
    CONCATENATED_RETRAINED = "concatenated, retrained"


@dataclass
class JudgeOutputs:
    """What judges and metrics return for N pairs.

    Attributes:
        predicted: class indices (K, N), by judge (name of its preset) and sample.
        codes: codes (K, M, D) of the pairs at `PairInfo.coded`, by judge and sample.
        pairs: class indices (K, N), by classifier and case.
        heights: heights (K, N, classes) that the pose judge reads, one for each class that a picture may show, by
            sample.
        measures: values (K or 1, N) of each `MapMetric`, by its name and sample.
        nearest: distances (K, N) to the nearest training sample, see `memorisation.TrainingMaps`, by sample.
    """

    predicted: dict[tuple[str, Sample], Tensor] = field(default_factory=dict)
    codes: dict[tuple[str, Sample], Tensor] = field(default_factory=dict)
    pairs: dict[tuple[PairClassifier, PairCase], Tensor] = field(default_factory=dict)
    heights: dict[Sample, Tensor] = field(default_factory=dict)
    measures: dict[tuple[str, Sample], Tensor] = field(default_factory=dict)
    nearest: dict[Sample, Tensor] = field(default_factory=dict)


class OutputCollector:
    """Collects the outputs of batches in tensors for all pairs, which are allocated at the first batch.

    The tensors of each batch are not kept: small tensors between the large ones that a batch needs for a moment would
    fragment the memory, and the process would hold many times as much as the outputs need.

    Args:
        pairs: N.
        coded: positions of the pairs whose codes are kept, in ascending order.

    Attributes:
        outputs: the outputs of all pairs.
    """

    def __init__(self, pairs: int, coded: Sequence[int]) -> None:
        self.outputs = JudgeOutputs()
        self._pairs, self._coded = pairs, torch.tensor(coded, dtype=torch.long)
        self._done = 0

    def add(self, batch: JudgeOutputs, size: int) -> None:
        """Add the outputs of the next `size` pairs."""
        chosen = (self._coded >= self._done) & (self._coded < self._done + size)
        kept, first = self._coded[chosen] - self._done, int((self._coded < self._done).sum())
        codes = {key: of_batch[:, kept] for key, of_batch in batch.codes.items()}
        _store(self.outputs.codes, codes, first, len(self._coded))
        _store(self.outputs.predicted, batch.predicted, self._done, self._pairs)
        _store(self.outputs.pairs, batch.pairs, self._done, self._pairs)
        _store(self.outputs.heights, batch.heights, self._done, self._pairs)
        _store(self.outputs.measures, batch.measures, self._done, self._pairs)
        _store(self.outputs.nearest, batch.nearest, self._done, self._pairs)
        self._done += size


def _store(whole: dict[Key, Tensor], parts: Mapping[Key, Tensor], first: int, total: int) -> None:
    """Copy parts (K, B, ...) into tensors (K, `total`, ...), which are allocated if they are missing."""
    for key, part in parts.items():
        if key not in whole:
            whole[key] = part.new_empty(len(part), total, *part.shape[2:])
        whole[key][:, first : first + part.shape[1]] = part


@dataclass(frozen=True)
class PairInfo:
    """What is known about N pairs. No network reads it.

    Attributes:
        label: class indices (N,).
        recording: number of each pair's recording (N,).
        classes: number of classes.
        height: height (N,) of the note that sounds, see `data.synthetic.heights.note_heights`; None for other datasets.
        class_measures: mean of each `MapMetric` over sets of real samples of one class, by its name and modality.
        coded: positions (M,) of the pairs whose codes are kept; None for all.
    """

    label: Tensor
    recording: Tensor
    classes: int
    height: Tensor | None = None
    class_measures: Mapping[tuple[str, Modality], float] = field(default_factory=dict)
    coded: Tensor | None = None
