"""Judges: classifiers of two architectures, trained on real pairs only, that classify generated samples."""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from cmcgan_core.checkpoint import Trained, load_checkpoint
from cmcgan_core.config import NetworkConfig
from cmcgan_core.data.dataset import PreparedDataset
from cmcgan_core.evaluation.outputs import PairClassifier
from cmcgan_core.evaluation.pose import POSE_JUDGES, PoseJudge, train_pose_judge
from cmcgan_core.inference.completion import Completion
from cmcgan_core.inference.translate import to_network
from cmcgan_core.modality import Modality
from cmcgan_core.nn.fusion import FusionNetwork
from cmcgan_core.progress import OnProgress, silent
from cmcgan_core.run_folder import RunFolder, read_about
from cmcgan_core.training.classifiers import Fusion, judge_folder, train_concatenation, train_judge
from cmcgan_core.utils.files import exclusive_lock

#: Suffix of the preset of the second judge, after the preset of the first.
SECOND = "-resnet"
#: Seed of the first judge.
FIRST_SEED = 0
#: Seed of the second judge, so that it shares neither initial weights nor the order of pairs with the first.
SECOND_SEED = 1


class Judge:
    """A classifier used as a judge of sounds, of pictures, and of pairs.

    Args:
        trained: the classifier.
    """

    def __init__(self, trained: Trained) -> None:
        assert isinstance(trained.network, FusionNetwork)
        self.trained, self.network = trained, trained.network

    def predict(self, maps: Mapping[Modality, Tensor]) -> tuple[Tensor, Tensor]:
        """Return codes (N, D) and class indices (N,) of maps (N, C, H, W) of any size in [-1, 1], by modality."""
        codes = self.network.features({modality: to_network(self.trained, part) for modality, part in maps.items()})
        return codes, self.network.classify_codes(codes, maps).argmax(dim=1)


@dataclass(frozen=True)
class JudgePanel:
    """The judges of one evaluation.

    Attributes:
        judges: the judges that were trained on real pairs, by preset; the first is the main judge.
        pairs: the classifiers of pairs that there are.
        network: sizes of the maps that the judges read.
        pose: the judge of poses, for the demonstration set; None for none.
    """

    judges: Mapping[str, Judge]
    pairs: Mapping[PairClassifier, Trained]
    network: NetworkConfig
    pose: PoseJudge | None = None

    @property
    def seeds(self) -> dict[str, int]:
        """Seed of the training of each judge, by preset."""
        return {preset: judge.trained.about.config.seed for preset, judge in self.judges.items()}


def load_judges(
    generating: Trained,
    dataset: PreparedDataset,
    *,
    thorough: bool,
    concatenate: bool = False,
    device: str,
    on_progress: OnProgress = silent,
) -> JudgePanel:
    """Train the judges that a dataset lacks, and load all of them.

    Args:
        generating: the run to be judged; its configuration names the preset of the judges.
        dataset: the dataset whose folder keeps the judges.
        thorough: whether to use the second judge and the judge of poses too.
        concatenate: whether to use the classifiers of concatenated inputs too; that of the run is kept in its folder.
        device: see `choose_device`.
        on_progress: called after every step.

    Raises:
        Interrupted: a stop was requested; the next call resumes.
    """
    preset = generating.about.config.judge

    def load(name: str, seed: int, fusion: Fusion = "codes") -> Trained:
        path = train_judge(
            dataset, tuple(Modality), name, fusion=fusion, seed=seed, device=device, on_progress=on_progress
        )
        return load_checkpoint(path, generating.device)

    with one_trainer(dataset.root, on_progress):
        main, pose = load(preset, FIRST_SEED), None
        judges, network = {preset: Judge(main)}, main.about.config.network
        pairs = {PairClassifier.REAL: main, **_retrained(generating)}
        if thorough:
            judges[preset + SECOND] = Judge(load(preset + SECOND, SECOND_SEED))
            pose = train_pose_judge(dataset, network, device=generating.device, on_progress=on_progress)
        if concatenate:
            pairs[PairClassifier.CONCATENATED] = load(preset, FIRST_SEED, "inputs")
            retrained = train_concatenation(dataset, generating, device=device, on_progress=on_progress)
            pairs[PairClassifier.CONCATENATED_RETRAINED] = load_checkpoint(retrained, generating.device)
        return JudgePanel(judges, pairs, network, pose)


def judge_files(dataset: PreparedDataset, preset: str) -> list[Path]:
    """Return the existing files of the judges of a preset, sorted."""
    both = tuple(Modality)
    folders = [
        judge_folder(dataset, both, preset, FIRST_SEED),
        judge_folder(dataset, both, preset + SECOND, SECOND_SEED),
        judge_folder(dataset, both, preset, FIRST_SEED, "inputs"),
    ]
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


def _retrained(generating: Trained) -> dict[PairClassifier, Trained]:
    """Load the classifier in the run's folder, if it was trained on samples of exactly this checkpoint."""
    file = RunFolder(generating.path.parent).classifier
    if not file.is_file() or read_about(file).completed_by != Completion(generating).fingerprint:
        return {}
    return {PairClassifier.RETRAINED: load_checkpoint(file, generating.device)}
