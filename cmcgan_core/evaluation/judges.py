"""Judges: classifiers of two architectures, trained on real pairs only, that classify generated samples."""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from cmcgan_core.checkpoint import RunFolder, Trained, load_checkpoint, read_about
from cmcgan_core.config import NetworkConfig
from cmcgan_core.data.dataset import PreparedDataset
from cmcgan_core.evaluation.pose import POSE_JUDGES, PoseJudge, train_pose_judge
from cmcgan_core.inference.completion import Completion
from cmcgan_core.inference.translate import to_network
from cmcgan_core.modality import Modality
from cmcgan_core.nn.fusion import FusionNetwork
from cmcgan_core.progress import OnProgress, silent
from cmcgan_core.training.classifiers import judge_folder, train_judge
from cmcgan_core.utils.files import exclusive_lock

#: Suffix of the preset of the second judge, after the preset of the first.
SECOND = "-resnet"
#: Seed of the first judge.
FIRST_SEED = 0
#: Seed of the second judge, so that it shares neither initial weights nor the order of pairs with the first.
SECOND_SEED = 1


class Judge:
    """A classifier used as a judge.

    Args:
        trained: classifier of one modality, or of both.
    """

    def __init__(self, trained: Trained) -> None:
        assert isinstance(trained.network, FusionNetwork)
        self.trained, self.network = trained, trained.network

    def predict(self, maps: Mapping[Modality, Tensor]) -> tuple[Tensor, Tensor]:
        """Return codes (N, D) and class indices (N,) of maps (N, C, H, W) of any size in [-1, 1]."""
        codes = self.network.features({modality: to_network(self.trained, part) for modality, part in maps.items()})
        return codes, self.network.head(codes).argmax(dim=1)


@dataclass(frozen=True)
class JudgePanel:
    """The judges of one evaluation.

    Attributes:
        single: judges of one modality, by preset and modality; the first preset is that of the main judge.
        pairs: the classifier of pairs that was trained on real pairs.
        retrained: the run's own classifier of pairs, trained on pairs that the run completed too; None for none.
        network: sizes of the maps that the judges read.
        pose: the judge of poses, for the demonstration set; None for none.
    """

    single: Mapping[str, Mapping[Modality, Judge]]
    pairs: Judge
    retrained: Judge | None
    network: NetworkConfig
    pose: PoseJudge | None = None

    @property
    def seeds(self) -> dict[str, int]:
        """Seed of the training of each single judge, by preset."""
        return {preset: judges[Modality.VISUAL].trained.about.config.seed for preset, judges in self.single.items()}


def load_judges(
    generating: Trained,
    dataset: PreparedDataset,
    *,
    thorough: bool,
    device: str,
    on_progress: OnProgress = silent,
) -> JudgePanel:
    """Train the judges that a dataset lacks, and load all of them.

    Args:
        generating: the run to be judged; its configuration names the preset of the judges.
        dataset: the dataset whose folder keeps the judges.
        thorough: whether to use the second judge and the judge of poses too.
        device: see `choose_device`.
        on_progress: called after every step.

    Raises:
        Interrupted: a stop was requested; the next call resumes.
    """
    preset = generating.about.config.judge

    def load(name: str, modalities: tuple[Modality, ...], seed: int) -> Judge:
        path = train_judge(dataset, modalities, name, seed=seed, device=device, on_progress=on_progress)
        return Judge(load_checkpoint(path, generating.device))

    def load_both(name: str, seed: int) -> dict[Modality, Judge]:
        return {modality: load(name, (modality,), seed) for modality in Modality}

    with one_trainer(dataset.root, on_progress):
        single = {preset: load_both(preset, FIRST_SEED)}
        pairs, retrained = load(preset, tuple(Modality), FIRST_SEED), _retrained(generating)
        network, pose = pairs.trained.about.config.network, None
        if thorough:
            single[preset + SECOND] = load_both(preset + SECOND, SECOND_SEED)
            pose = train_pose_judge(dataset, network, device=generating.device, on_progress=on_progress)
        return JudgePanel(single, pairs, retrained, network, pose)


def judge_files(dataset: PreparedDataset, preset: str) -> list[Path]:
    """Return the existing files of the judges of a preset, sorted."""
    singles = [(modality,) for modality in Modality]
    folders = [judge_folder(dataset, modalities, preset, FIRST_SEED) for modalities in (*singles, tuple(Modality))]
    folders += [judge_folder(dataset, modalities, preset + SECOND, SECOND_SEED) for modalities in singles]
    files = [file for folder in folders for file in folder.glob("*.safetensors")]
    return sorted([*files, *dataset.root.glob(POSE_JUDGES)])


@contextmanager
def one_trainer(root: Path, on_progress: OnProgress) -> Iterator[None]:
    """Keep other processes from training judges of the dataset in this folder at the same time.

    If the folder cannot be locked, for example because it is read-only, no process waits: existing judges can be used.
    """
    with ExitStack() as locks:
        with suppress(OSError):
            locks.enter_context(exclusive_lock(root / "judges" / ".lock", on_progress))
        yield


def _retrained(generating: Trained) -> Judge | None:
    """Load the classifier in the run's folder, if it was trained on samples of exactly this checkpoint."""
    file = RunFolder(generating.path.parent).classifier
    if not file.is_file() or read_about(file).completed_by != Completion(generating).fingerprint:
        return None
    return Judge(load_checkpoint(file, generating.device))
