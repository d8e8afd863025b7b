"""The result of an evaluation, and its JSON form."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, is_dataclass
from typing import Any

from cmcgan_core.evaluation.classification import Classification
from cmcgan_core.evaluation.outputs import PairClassifier
from cmcgan_core.evaluation.paper import paper_tables
from cmcgan_core.evaluation.pose_scores import PoseScore
from cmcgan_core.evaluation.retrieval import CrossModalRetrieval
from cmcgan_core.evaluation.sample_metrics import Quality
from cmcgan_core.evaluation.scores import Accuracy, ClassScores, JudgeScores
from cmcgan_core.modality import Direction, Modality


@dataclass(frozen=True)
class Seeds:
    """Seeds of everything that an evaluation draws.

    Attributes:
        latents: seed of each latent.
        controls: seed of the controls of Tables 1 and 2 and of the poses.
        bootstrap: seed of the bootstrap.
        judges: seed of the training of each judge, by preset.
    """

    latents: tuple[int, ...]
    controls: int
    bootstrap: int
    judges: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Evaluation:
    """The scores of one network on one split. Scores that do not apply to the network are empty or None.

    Attributes:
        checkpoint, data, split: what was evaluated: a checkpoint on a split of a dataset.
        seeds: seeds of everything that was drawn.
        classes: names of the classes, in the order of the confusion matrices.
        pairs, recordings: number of pairs and of recordings, by split.
        hops: number of subnetworks in a row that the network's own output takes, which Table 2 uses; 0 if it does not
            translate.
        judge: preset of the main judge; "" if the network does not translate.
        real, table1, recovered, copied: scores by the main judge, see `JudgeScores`.
        other_judges: scores by the other judges, by preset.
        quality: figures of samples by name of the metric, see `METRICS`; by direction, then by kind, see
            `labels.KINDS`. Metrics that read the outputs of a judge are by the main judge. The distances of real
            samples are those between training split and evaluated split.
        confusion: counts of the main judge's classes over all latents, by direction and kind; the row is the true
            class.
        by_class: scores of the network's own output, by direction and class.
        table2: accuracy of the classifiers V, A, V-A, GV-A, GA-V and of the controls.
        other_table2: the rows of pairs by the other classifiers of pairs that there are: the run's own, which was
            trained on generated samples too, and those of concatenated inputs.
        poses: whether the poses of the network's own output follow the notes, by class, see `pose_scores.score_poses`;
            empty if the pairs have no score.
        retrieval: cross-modal retrieval by the network's embeddings; None also if no class has two recordings.
        classification: accuracy of the network itself as a classifier.
    """

    checkpoint: str
    data: str
    split: str
    seeds: Seeds
    classes: tuple[str, ...]
    pairs: dict[str, int]
    recordings: dict[str, int]
    hops: int = 0
    judge: str = ""
    real: dict[Modality, dict[str, Accuracy]] = field(default_factory=dict)
    table1: dict[Direction, dict[str, dict[str, Accuracy]]] = field(default_factory=dict)
    recovered: dict[Modality, dict[str, dict[str, Accuracy]]] = field(default_factory=dict)
    copied: dict[Direction, dict[str, Accuracy]] = field(default_factory=dict)
    other_judges: dict[str, JudgeScores] = field(default_factory=dict)
    quality: dict[Direction, dict[str, Quality]] = field(default_factory=dict)
    confusion: dict[Direction, dict[str, list[list[int]]]] = field(default_factory=dict)
    by_class: dict[Direction, dict[str, ClassScores]] = field(default_factory=dict)
    table2: dict[str, Accuracy] = field(default_factory=dict)
    other_table2: dict[PairClassifier, dict[str, Accuracy]] = field(default_factory=dict)
    poses: dict[str, PoseScore] = field(default_factory=dict)
    retrieval: CrossModalRetrieval | None = None
    classification: Classification | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON document, with the published figures."""
        document: dict[str, Any] = to_plain(self)
        return {**document, "paper": asdict(paper_tables())}


def to_plain(value: Any) -> Any:
    """Return nested dataclasses and mappings as plain values for JSON. Directions as keys become the papers' names."""
    if is_dataclass(value) and not isinstance(value, type):
        return {item.name: to_plain(getattr(value, item.name)) for item in fields(value)}
    if isinstance(value, Mapping):
        return {key.table_name if isinstance(key, Direction) else str(key): to_plain(v) for key, v in value.items()}
    if isinstance(value, list | tuple):
        return [to_plain(item) for item in value]
    return value
