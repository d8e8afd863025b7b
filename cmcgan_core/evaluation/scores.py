"""From what a pass over a split found to figures; `docs/evaluation.md` says what each of them is."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from cmcgan_core.data.dataset import PairDataset
from cmcgan_core.evaluation import metrics
from cmcgan_core.evaluation.collect import EvaluationPass
from cmcgan_core.evaluation.outputs import JudgeOutputs


@dataclass(frozen=True)
class Accuracy:
    """Share of items whose judged class is right, mean over the latents.

    Attributes:
        micro: over all items.
        balanced: mean over the classes.
        micro_interval, balanced_interval: 95 %, see `metrics.bootstrap_interval`.
    """

    micro: float
    balanced: float
    micro_interval: tuple[float, float] | None
    balanced_interval: tuple[float, float] | None


@dataclass(frozen=True)
class Judgement:
    """What one judge says.

    Attributes:
        real: accuracy on real pictures ("v") and sounds ("a") by split: the ceiling of the rows of Table 1.
        table1: accuracy on generated samples by direction ("S2I", "I2S"), number of hops ("1", "2") and split.
        recovered: accuracy on pictures ("v") and sounds ("a") that were recovered from what the model had made of them
            in the other modality, one latent each, by split: RF_Image and RF_Sound of CMCGAN's Figure 3.
    """

    real: dict[str, dict[str, Accuracy]]
    table1: dict[str, dict[str, dict[str, Accuracy]]]
    recovered: dict[str, dict[str, Accuracy]]


@dataclass(frozen=True)
class Quality:
    """How good samples of one kind are, mean over the latents; None where there is no such figure.

    Attributes:
        l1: mean absolute difference to the truth, on [-1, 1].
        ssim: structural similarity of pictures to the truth.
        log_spectral_distance: of sounds to the truth, decibels.
        frechet_distance, kernel_distance: by judge, to the real samples of the split, on the judge's codes.
        high_frequency: energy of the upper frequencies, as a ratio to that of the real samples.
        diversity: over the latents of one source, as a ratio to that of the real samples of one class.
        precision_at_1, mean_average_precision: of finding the right class by the main judge's codes.
        confusion: counts over all latents, row the true class, column what the main judge sees.
    """

    l1: float | None
    ssim: float | None
    log_spectral_distance: float | None
    frechet_distance: dict[str, float]
    kernel_distance: dict[str, float]
    high_frequency: float | None
    diversity: float | None
    precision_at_1: float | None
    mean_average_precision: float | None
    confusion: list[list[int]]


@dataclass(frozen=True)
class Pose:
    """Within-class correlation of the height that is seen in pictures with that of the note that sounds.

    Attributes:
        real: in the real pictures: the ceiling.
        generated: by number of hops, in the generated pictures whose class the main judge sees rightly.
        other_sound: the same of pictures that were generated from another recording's sound of the class: the control.
        share: by number of hops, share of the pictures that count.
    """

    real: float | None
    generated: dict[str, float | None]
    other_sound: dict[str, float | None]
    share: dict[str, float]


class Scores:
    """What was found in a split, with what it takes to make figures of it.

    Args:
        judged: the pass over the split.
        found: what it found.
        seed: of the bootstrap's draws and of the control of the poses.
    """

    def __init__(self, judged: EvaluationPass, found: JudgeOutputs, seed: int) -> None:
        dataset, items = judged.dataset, judged.items
        self.judged, self.found, self.seed = judged, found, seed
        self.judges = list(judged.panel.single)
        self.label, self.classes = dataset.labels[items], len(dataset.classes)
        self.recording = recordings(dataset)[items]

    def accuracy(self, judge: str, sample: str) -> Accuracy:
        """Of what a judge sees in samples."""
        return accuracy(self.found["class", judge, sample], self.label, self.recording, self.classes, self.seed)

    def table2(self, classifier: str) -> dict[str, Accuracy]:
        """The rows of pairs by a classifier, "real" or "retrained"; none where there is no such classifier."""
        rows = [name[2] for name in self.found if name[:2] == ("class", classifier)]
        return {row: self.accuracy(classifier, row) for row in rows}

    def codes(self, sample: str) -> dict[str, Tensor]:
        """What the judges make of samples, by judge: (K, N, D)."""
        return {judge: self.found["code", judge, sample] for judge in self.judges}

    def mean(self, what: str, sample: str) -> float | None:
        """Over pairs and latents; None where it was not looked for."""
        values = self.found.get((what, sample))
        return None if values is None else float(values.double().mean())

    def quality(self, sample: str, codes: Mapping[str, Tensor]) -> Quality:
        """Of samples against the real ones of their modality.

        Args:
            sample: such as "a2v 1"; "v" and "a" are the real ones themselves.
            codes: those of the samples by judge (K, N, D); for real ones those of other real ones.
        """
        modality, main = sample.partition(" ")[0][-1], self.judges[0]
        real = {judge: seen[0] for judge, seen in self.codes(modality).items()}
        found = [
            metrics.retrieval(one, real[main], self.label, self.recording) for one in self.found["code", main, sample]
        ]
        within = self.judged.diversity_within_classes(modality)
        return Quality(
            l1=self.mean("l1", sample),
            ssim=self.mean("ssim", sample),
            log_spectral_distance=self.mean("decibels", sample),
            frechet_distance=_distances(metrics.frechet_distance, codes, real),
            kernel_distance=_distances(metrics.kernel_distance, codes, real),
            high_frequency=_ratio(self.mean("energy", sample), self.mean("energy", modality)),
            diversity=_ratio(within if sample == modality else self.mean("diversity", sample), within),
            precision_at_1=_mean([one[0] for one in found if one]),
            mean_average_precision=_mean([one[1] for one in found if one]),
            confusion=self._confusion(main, sample).tolist(),
        )

    def pose(self, height: Tensor) -> Pose:
        """Of the heights (N,) of the notes that sound, and those that are seen."""
        partner = _partners(self.label, self.recording, self.seed)
        generated, other_sound, share = {}, {}, {}
        samples = [sample for kind, *_, sample in self.found if kind == "height" and sample.startswith("a2v ")]
        for hops in sorted(sample[-1] for sample in samples):
            seen, right = self._heights(f"a2v {hops}"), self._right(f"a2v {hops}")
            generated[hops] = self._correlation(seen, height, right)
            known = partner >= 0
            other_sound[hops] = self._correlation(seen[:, partner], height, right[:, partner] & known)
            share[hops] = float(right.double().mean())
        everything = torch.ones(1, len(height), dtype=torch.bool)
        return Pose(self._correlation(self._heights("v"), height, everything), generated, other_sound, share)

    def _correlation(self, seen: Tensor, height: Tensor, counts: Tensor) -> float | None:
        """Mean over the latents of the within-class correlation of seen (K, N) and true (N,) heights that count."""
        of_each = [
            metrics.within_class_correlation(one[chosen], height[chosen], self.label[chosen])
            for one, chosen in zip(seen, counts, strict=True)
        ]
        return _mean([r for r in of_each if r is not None])

    def _heights(self, sample: str) -> Tensor:
        """Heights (K, N) that the pose judge sees, taking each picture for one of its pair's class."""
        seen = self.found["height", sample]
        return seen.gather(2, self.label[None, :, None].expand(len(seen), -1, 1))[..., 0]

    def _right(self, sample: str) -> Tensor:
        return self.found["class", self.judges[0], sample] == self.label

    def _confusion(self, judge: str, sample: str) -> Tensor:
        seen = self.found["class", judge, sample]
        return metrics.confusion_matrix(seen.flatten(), self.label.repeat(len(seen)), self.classes)


def recordings(dataset: PairDataset) -> Tensor:
    """Number of the recording of each pair of a split (N,)."""
    number = {name: i for i, name in enumerate(dict.fromkeys(pair.recording for pair in dataset.pairs))}
    return torch.tensor([number[pair.recording] for pair in dataset.pairs])


def accuracy(seen: Tensor, label: Tensor, recording: Tensor, classes: int, seed: int) -> Accuracy:
    """Of what is seen in items (K, N) whose class (N,) and number of recording (N,) are known."""
    right = (seen == label).double().mean(dim=0)
    return Accuracy(
        micro=float(right.mean()),
        balanced=sum(metrics.balanced_accuracy(one, label, classes) for one in seen) / len(seen),
        micro_interval=metrics.bootstrap_interval(right, recording, seed=seed),
        balanced_interval=metrics.bootstrap_interval(right, recording, label, seed=seed),
    )


def judgement(judge: str, scores: Mapping[str, Scores]) -> Judgement:
    """The rows of Table 1 by one judge, from the scores by split."""
    judged = next(iter(scores.values())).judged
    return Judgement(
        real={m: {split: of.accuracy(judge, m) for split, of in scores.items()} for m in ("v", "a")},
        table1={
            table: {
                str(hops): {split: of.accuracy(judge, f"{direction} {hops}") for split, of in scores.items()}
                for hops in judged.network.possible_hops
            }
            for direction, table in judged.directions.items()
        },
        recovered={
            m: {split: of.accuracy(judge, f"{m} recovered") for split, of in scores.items()}
            for m in judged.network.recovers
        },
    )


def qualities(direction: str, held_out: Scores, train: Scores | None) -> dict[str, Quality]:
    """Of the samples of one direction by number of hops; as "real" what real ones reach, and those of training."""
    samples = {str(hops): f"{direction} {hops}" for hops in held_out.judged.network.possible_hops}
    rows = {name: held_out.quality(sample, held_out.codes(sample)) for name, sample in samples.items()}
    modality = direction[-1]
    return {**rows, "real": held_out.quality(modality, train.codes(modality) if train else {})}


def _partners(label: Tensor, recording: Tensor, seed: int) -> Tensor:
    """For each pair another one of its class, of another recording, drawn evenly; -1 where there is none."""
    possible = (label[:, None] == label) & (recording[:, None] != recording)
    none = ~possible.any(dim=1)
    possible[:, 0] |= none  # anything, so that there is something to draw
    drawn = torch.multinomial(possible.float(), 1, generator=torch.Generator().manual_seed(seed))[:, 0]
    return drawn.masked_fill(none, -1)


def _distances(
    distance: Callable[[Tensor, Tensor], float], codes: Mapping[str, Tensor], real: Mapping[str, Tensor]
) -> dict[str, float]:
    """By judge, mean over the latents of the distance of codes (K, N, D) to those of real samples (N, D)."""
    return {judge: sum(distance(one, real[judge]) for one in of) / len(of) for judge, of in codes.items()}


def _mean(values: list[float]) -> float | None:
    return sum(values) / len(values) if values else None


def _ratio(value: float | None, real: float | None) -> float | None:
    return value / real if value is not None and real else None
