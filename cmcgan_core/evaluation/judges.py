"""Judges: classifiers that say of generated samples what they show; two architectures, trained on real pairs only."""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from cmcgan_core.checkpoint import Trained, load_checkpoint, read_about
from cmcgan_core.config import NetworkConfig
from cmcgan_core.evaluation.pose import PoseJudge, train_pose_judge
from cmcgan_core.inference.completion import Completion
from cmcgan_core.inference.translate import to_network
from cmcgan_core.nn.fusion import FusionNetwork
from cmcgan_core.nn.layers import full_precision
from cmcgan_core.progress import OnProgress, silent
from cmcgan_core.training.classifiers import train_classifier
from cmcgan_core.utils.files import exclusive_lock

#: Name of the preset of the second judge: that of the first, and this.
SECOND = "-resnet"
#: Seed of the second judge, so that it shares neither initial weights nor the order of pairs with the first.
SECOND_SEED = 1


class Judge:
    """A classifier, asked.

    Args:
        trained: of one modality, or of both.
    """

    def __init__(self, trained: Trained) -> None:
        assert isinstance(trained.network, FusionNetwork)
        self.trained, self.network = trained, trained.network

    def predict(self, **maps: Tensor) -> tuple[Tensor, Tensor]:
        """Codes (N, D) and classes (N,) that it sees in `audio` and `visual` (N, C, H, W) of any size in [-1, 1]."""
        codes = self.network.features(**{name: to_network(self.trained, given) for name, given in maps.items()})
        codes = full_precision(codes)
        return codes, self.network.head(codes).argmax(dim=1)


@dataclass(frozen=True)
class JudgePanel:
    """Everybody who judges.

    Attributes:
        single: judges by name of their preset, then by modality, "v" or "a"; the first name is that of the main judge.
        fusion: classifiers of pairs: "real", trained on real pairs, and, where the run has one, "retrained" on pairs
            that it completed too.
        network: sizes of the maps that they are given.
        pose: judge of poses, for a demonstration set.
    """

    single: Mapping[str, Mapping[str, Judge]]
    fusion: Mapping[str, Judge]
    network: NetworkConfig
    pose: PoseJudge | None = None


def load_judges(
    generating: Trained, data: Path, *, thorough: bool, device: str, on_progress: OnProgress = silent
) -> JudgePanel:
    """Train the judges that a dataset lacks, and load them.

    Args:
        generating: the run to be judged; its configuration names the preset of the judges.
        data: prepared dataset.
        thorough: with the second judge and the judge of poses.
        device: see `choose_device`.
        on_progress: told after every step.
    """
    preset = generating.about.config.judge
    on = next(generating.network.parameters()).device

    def judge(name: str, modalities: str, seed: int) -> Judge:
        path = train_classifier(data, modalities, name, seed=seed, device=device, on_progress=on_progress)
        return Judge(load_checkpoint(path, on))

    with one_trainer(data, on_progress):
        single = {preset: {m: judge(preset, m, 0) for m in ("v", "a")}}
        fusion = {"real": judge(preset, "av", 0)}
        if (retrained := _retrained(generating, on)) is not None:
            fusion["retrained"] = retrained
        network = single[preset]["v"].trained.about.config.network
        if not thorough:
            return JudgePanel(single, fusion, network)
        single[preset + SECOND] = {m: judge(preset + SECOND, m, SECOND_SEED) for m in ("v", "a")}
        return JudgePanel(single, fusion, network, train_pose_judge(data, network, device=on, on_progress=on_progress))


@contextmanager
def one_trainer(data: Path, on_progress: OnProgress) -> Iterator[None]:
    """Let no other process train judges of this dataset meanwhile.

    Where no lock can be had, as in a folder that cannot be written to, nobody waits: judges that are there can be used.
    """
    with ExitStack() as held:
        with suppress(OSError):
            held.enter_context(exclusive_lock(data / "judges" / ".lock", on_progress))
        yield


def _retrained(generating: Trained, device: torch.device) -> Judge | None:
    """The classifier beside a run, if it was retrained on what this very checkpoint generates."""
    kept = generating.path.parent / "classifier.safetensors"
    if not kept.is_file() or read_about(kept).completed_by != Completion(generating).fingerprint:
        return None
    return Judge(load_checkpoint(kept, device))
