"""The runs in a folder: what each one is, how far its training is, and its figures; and how to delete one."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from enum import StrEnum
from pathlib import Path
from typing import Any

from cmcgan_core.config import Config
from cmcgan_core.errors import CmcganError, ConfigError, TrainingError
from cmcgan_core.modality import Direction
from cmcgan_core.run_folder import RunFolder, find_named, read_about, resume_config
from cmcgan_core.training.folder import foreign_files
from cmcgan_core.training.log import CLOCKS, read_log, training_seconds
from cmcgan_core.utils.files import RUN_AGAIN, claimed, explain_write_errors, is_claimed, remove_folder
from cmcgan_core.utils.schema import parse_json
from cmcgan_core.utils.toml import read_toml

#: The split whose figures are shown.
SPLIT = "test"


class State(StrEnum):
    """What a run is doing."""

    FINISHED = "finished"
    STOPPED = "stopped"
    TRAINING = "training"
    DAMAGED = "damaged"


@dataclass(frozen=True)
class RunSummary:
    """A run, without its weights.

    Attributes:
        path: its folder.
        state: what it is doing.
        preset: preset that its configuration started from.
        seed: seed of its training.
        data: folder of the dataset that it is trained on.
        step: number of finished steps: of its last checkpoint; of its log while it is training.
        steps: number of planned steps; None before the first checkpoint.
        best: lowest validation loss; None before the first validation.
        figures: figures of its newest evaluation on the test split, see `headline`; empty if there is none.
        size: bytes on disk.
        changed: time of the last change, in seconds since 1970.
        fault: why it is damaged; "" if it is not.
    """

    path: Path
    state: State
    preset: str = ""
    seed: int = 0
    data: str = ""
    step: int = 0
    steps: int | None = None
    best: float | None = None
    figures: dict[str, float] = field(default_factory=dict)
    size: int = 0
    changed: float = 0.0
    fault: str = ""


@dataclass(frozen=True)
class Trend:
    """A figure of the log of a run.

    Attributes:
        first, last: its first and its last value.
        lowest: its lowest value.
        step: the step of the lowest value.
    """

    first: float
    lowest: float
    step: int
    last: float


@dataclass(frozen=True)
class RunDetails:
    """A run with its settings and the summary of its log.

    Attributes:
        summary: the run.
        config: its configuration.
        info: `run.toml`: dataset, device and versions.
        history: each figure of its log, by name.
        seconds: duration of the training, see `log.training_seconds`.
    """

    summary: RunSummary
    config: Config
    info: dict[str, Any]
    history: dict[str, Trend]
    seconds: float | None

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON document."""
        rest = {name: value for name, value in asdict(self).items() if name != "summary"}
        return {**asdict(self.summary), **rest}


def list_runs(folder: Path) -> list[RunSummary]:
    """Describe the runs directly below a folder, or the run that the folder is; the newest first.

    Raises:
        ConfigError: there is no such folder.
    """
    if not folder.is_dir():
        raise ConfigError(f"there are no runs in {folder}; train a model with: cmcgan train DATA")
    paths = [folder] if is_run(folder) else [path for path in folder.iterdir() if is_run(path)]
    evaluations = _EvaluationReader()
    return sorted((_summarise(path, evaluations) for path in paths), key=lambda run: run.changed, reverse=True)


def find_run_folder(name: Path) -> Path:
    """Return the folder of a run.

    Args:
        name: the folder, or its name in `runs/`.

    Raises:
        ConfigError: it is not a run.
    """
    path = find_named(name)
    if not is_run(path):
        raise ConfigError(f"{name} is not a run (no config.toml and run.toml); list the runs with: cmcgan runs")
    return path


def is_run(path: Path) -> bool:
    """Return whether a folder holds a run."""
    return RunFolder(path).config.is_file() and RunFolder(path).info.is_file()


def describe_run(path: Path) -> RunDetails:
    """Describe a run in detail.

    Raises:
        CmcganError: a file of the run is damaged.
    """
    folder = RunFolder(path)
    records = read_log(folder.log)
    return RunDetails(
        summary=_summarise(path, _EvaluationReader()),
        config=resume_config(path)[0],
        info=read_toml(folder.info),
        history=_trends(records),
        seconds=training_seconds(records),
    )


def deletable_size(path: Path) -> int:
    """Return the bytes that deleting a run frees.

    Raises:
        ConfigError: it is a link, or holds files that do not belong to a run.
    """
    if path.is_symlink():
        raise ConfigError(f"{path} is a link to {path.resolve()}; name that folder")
    if foreign := foreign_files(path):
        more = f" and {len(foreign) - 1} more" if len(foreign) > 1 else ""
        raise ConfigError(
            f"{path} also holds files that do not belong to the run ({foreign[0].relative_to(path)}{more}); move them "
            "to another folder, then run the same command again"
        )
    return _size(path)


def delete_run(path: Path) -> int:
    """Delete the folder of a run, and return the bytes that were freed.

    Raises:
        ConfigError: as `deletable_size`.
        TrainingError: the run is being trained, or the folder cannot be deleted.
    """
    with claimed(path, TrainingError, RUN_AGAIN), explain_write_errors(path, TrainingError, RUN_AGAIN):
        size = deletable_size(path)
        remove_folder(path)
    return size


def headline(evaluation: Mapping[str, Any]) -> dict[str, float]:
    """Return the figures that stand for an evaluation, from its JSON document.

    S2I and I2S are the accuracies by the main judge on the network's own output (Table 1); "accuracy" is that of a
    classifier; "mAP" is the mean average precision of retrieval, averaged over the directions that there are.
    """
    split, hops = evaluation["split"], str(evaluation["hops"])
    table1 = evaluation["table1"]
    figures = {
        direction.table_name: table1[direction][hops][split]["micro"] for direction in Direction if direction in table1
    }
    if classification := evaluation["classification"]:
        figures["accuracy"] = classification["accuracy"][split]["micro"]
    if retrieval := evaluation["retrieval"]:
        precisions = [ranking["mean_average_precision"] for ranking in retrieval["ranking"].values()]
        figures["mAP"] = sum(precisions) / len(precisions)
    return figures


class _EvaluationReader:
    """Reads the evaluations that are kept with datasets; those of each dataset once."""

    def __init__(self) -> None:
        self._read: dict[Path, list[tuple[float, dict[str, Any]]]] = {}

    def figures(self, data: Path, checkpoint: Path) -> dict[str, float]:
        """Return the figures of the newest evaluation on the test split that is newer than the checkpoint."""
        if data not in self._read:
            self._read[data] = sorted(self._documents(data), key=lambda dated: dated[0], reverse=True)
        for time, document in self._read[data]:
            try:
                same = Path(document["checkpoint"]).resolve() == checkpoint.resolve()
                if same and document["split"] == SPLIT and time >= checkpoint.stat().st_mtime:
                    return headline(document)
            except (KeyError, TypeError):  # another version wrote it
                continue
        return {}

    @staticmethod
    def _documents(data: Path) -> list[tuple[float, dict[str, Any]]]:
        """Read the evaluations that are kept with a dataset, with the time when each was written."""
        documents = []
        for file in (data / "evaluations").glob("*.json"):
            try:
                documents.append((file.stat().st_mtime, parse_json(file.read_bytes())))
            except (OSError, ValueError):
                continue
        return documents


def _summarise(path: Path, evaluations: _EvaluationReader) -> RunSummary:
    """Describe a run; a damaged one with its fault."""
    folder = RunFolder(path)
    changed = max(file.stat().st_mtime for file in (folder.config, folder.log, folder.last) if file.exists())
    summary = RunSummary(path, State.DAMAGED, size=_size(path), changed=changed)
    try:
        return _complete(summary, folder, evaluations)
    except CmcganError as error:
        return replace(summary, fault=str(error))


def _complete(summary: RunSummary, folder: RunFolder, evaluations: _EvaluationReader) -> RunSummary:
    """Fill in what the files of a run say.

    Raises:
        CmcganError: a file is damaged.
    """
    config, data = resume_config(folder.path)
    about = read_about(folder.last) if folder.last.exists() else None
    training = is_claimed(folder.path)
    # A stopped run resumes at its last checkpoint; the steps that were logged after it are lost.
    logged = [record["step"] for record in read_log(folder.log)] if training else []
    return replace(
        summary,
        state=State.TRAINING if training else State.FINISHED if about and about.finished else State.STOPPED,
        preset=config.preset,
        seed=config.seed,
        data=str(data),
        step=max([about.step if about else 0, *logged]),
        steps=about.steps if about else config.train.steps or None,
        best=about.best if about else None,
        figures=evaluations.figures(data, folder.last) if about else {},
    )


def _trends(records: list[dict[str, Any]]) -> dict[str, Trend]:
    """Summarise each figure of a log."""
    figures: dict[str, dict[int, float]] = {}
    for record in records:
        for name in record.keys() - CLOCKS:
            figures.setdefault(name, {})[record["step"]] = record[name]
    trends = {}
    for name in sorted(figures):
        values = figures[name]
        lowest = min(values, key=values.__getitem__)
        steps = list(values)
        trends[name] = Trend(values[steps[0]], values[lowest], lowest, values[steps[-1]])
    return trends


def _size(path: Path) -> int:
    """Return the bytes of all files below a folder."""
    size = 0
    for file in path.rglob("*"):
        with suppress(FileNotFoundError):  # a run that is being trained writes and removes temporary files
            size += 0 if file.is_dir() else file.lstat().st_size
    return size
