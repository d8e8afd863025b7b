"""The folder of a run: its files, and what can be said of them without torch.

The command line checks with this module what a user names, before it imports torch.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from safetensors import SafetensorError, safe_open

from cmcgan_core.config import Config
from cmcgan_core.errors import CheckpointError, ConfigError
from cmcgan_core.features.settings import FeatureSettings
from cmcgan_core.utils.names import require_classes
from cmcgan_core.utils.schema import MOST, Count, Range, build, parse_json
from cmcgan_core.utils.toml import read_toml

#: The model that ships with cmcgan: a run folder inside the package, with the files that using the run needs.
BOX = Path(__file__).parent / "box"
#: Version of the format that this code reads and writes.
FORMAT = 2
#: What to do with a checkpoint that cannot be used, for messages.
NEXT_STEP = "restore it from a backup, or train again with: cmcgan train DATA"

#: A number that divides logits. Outside of this range, probabilities would not be numbers.
Temperature = Annotated[float, Range(minimum=1e-6, maximum=1e6)]


@dataclass(frozen=True)
class RunFolder:
    """The files of a run.

    Attributes:
        path: the folder.
    """

    path: Path

    @property
    def config(self) -> Path:
        """The resolved configuration."""
        return self.path / "config.toml"

    @property
    def info(self) -> Path:
        """The dataset, the device and the versions of packages."""
        return self.path / "run.toml"

    @property
    def log(self) -> Path:
        """The log: losses and validation losses over the steps."""
        return self.path / "metrics.jsonl"

    @property
    def last(self) -> Path:
        """The last checkpoint, for using the run and for resuming it."""
        return self.path / "last.safetensors"

    @property
    def best(self) -> Path:
        """The checkpoint with the lowest validation loss, for using the run."""
        return self.path / "best.safetensors"

    @property
    def classifier(self) -> Path:
        """The multimodal classifier of a run that generates."""
        return self.path / "classifier.safetensors"

    @property
    def card(self) -> Path:
        """The model card of a saved model, see `inference.pretrained`."""
        return self.path / "README.md"


@dataclass(frozen=True)
class About:
    """The metadata of a checkpoint.

    Attributes:
        config: configuration of the run.
        classes: names of the classes, by index.
        settings: feature settings of the pairs that it was trained on.
        step: number of finished training steps.
        steps: number of planned training steps.
        data: name of the dataset that it was trained on.
        content: hash of that dataset's content, from its `dataset.toml`; "" if it has none.
        best: lowest validation loss so far, or None.
        completed_by: hash of the checkpoint that completed pairs when a classifier was trained; "" for none.
        temperatures: temperatures that calibrate the logits of a classifier, fitted on held-out pairs, by case
            (`modality.REAL_PAIR` or a `Direction.completed`).
    """

    config: Config
    classes: tuple[str, ...]
    settings: FeatureSettings
    step: Annotated[int, Range(minimum=0, maximum=MOST)]
    steps: Count
    data: str
    content: str
    best: float | None = None
    completed_by: str = ""
    temperatures: dict[str, Temperature] = field(default_factory=dict)

    @property
    def finished(self) -> bool:
        """Whether all planned steps are done."""
        return self.step >= self.steps


def named_run(name: str | Path) -> Path:
    """Return a user's name of a run as a path for `find_checkpoint`.

    The name "box" means the model that ships with cmcgan, "./box" a folder. As paths they are equal, so the path of the
    folder is absolute.
    """
    path = Path(name)
    return path.absolute() if path == Path("box") and str(name) != "box" else path


def find_named(path: Path) -> Path:
    """Return the path, or the folder of that name in `runs/` if only that exists."""
    named = Path("runs") / path
    return named if named.is_dir() and not path.exists() else path


def find_checkpoint(path: Path) -> Path:
    """Return the checkpoint file that a path means.

    Args:
        path: a checkpoint file, a run folder, the name of a folder below `runs/`, or "box" for the model that ships
            with cmcgan, even if there is a folder with that name, see `named_run`.

    Raises:
        CheckpointError: the checkpoint does not exist.
    """
    if path == Path("box"):
        path = BOX
    path = find_named(path)
    file = RunFolder(path).last if path.is_dir() else path
    if not file.is_file():
        fault = f"has no {file.name}" if path.is_dir() else "does not exist"
        raise CheckpointError(f"{path} {fault}; train a model with: cmcgan train DATA --out {path}")
    return file


def newest_runs() -> list[Path]:
    """Return the last checkpoints of the runs in `runs/`, the newest first.

    Runs are the folders directly below `runs/`. The run of a demonstration is never one of them: it is in a folder two
    levels below `--out`.
    """
    return sorted(Path("runs").glob("*/last.safetensors"), key=lambda file: file.stat().st_mtime, reverse=True)


def read_about(path: Path) -> About:
    """Read the metadata of a checkpoint, without its weights.

    Raises:
        CheckpointError: the file is missing, damaged, not a checkpoint of cmcgan, or of another version.
    """
    if not path.is_file():
        raise CheckpointError(f"{path} does not exist; train a model with: cmcgan train DATA")
    try:
        with safe_open(path, framework="numpy") as file:
            document = parse_json((file.metadata() or {}).get("cmcgan", ""))
        version = document.pop("version", "unknown")
        if document.pop("format", None) != FORMAT:
            raise CheckpointError(
                f"{path} was written by cmcgan {version} in a format that this version cannot read; train again with: "
                "cmcgan train DATA"
            )
        about = build(About, document, str(path))
        if not about.classes:
            raise ValueError("it has no classes")
        require_classes(about.classes)
    except (SafetensorError, OSError, ValueError, ConfigError) as error:
        raise CheckpointError(
            f"{path} is not a cmcgan checkpoint, or is damaged ({in_one_line(error)}); {NEXT_STEP}"
        ) from error
    return about


def in_one_line(error: Exception) -> str:
    """Return the message of an error without line breaks."""
    return " ".join(str(error).split())


def resume_config(out: Path) -> tuple[Config, Path]:
    """Read the configuration and the path of the dataset of a run folder.

    Raises:
        ConfigError: it is not a run folder, or `config.toml` or `run.toml` is damaged.
    """
    folder = RunFolder(out)
    if not folder.config.is_file():
        raise ConfigError(f"{out} is not a run (no config.toml); start one with: cmcgan train DATA --out {out}")
    config = build(Config, read_toml(folder.config), str(folder.config))
    data = read_toml(folder.info).get("data")
    if not isinstance(data, str) or not data:
        raise ConfigError(
            f"{folder.info} names no dataset, so it is damaged; start again with: cmcgan train DATA --out {out} "
            "--overwrite"
        )
    return config, Path(data)
