"""Several runs next to each other: the figures of each recipe, and the cost of its training."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from cmcgan_core.data.dataset import PreparedDataset
from cmcgan_core.errors import CheckpointError
from cmcgan_core.evaluation.evaluate import evaluate
from cmcgan_core.evaluation.paper import paper_tables, share_of_schedule
from cmcgan_core.evaluation.pooling import Figure, PooledEvaluation, pool_evaluations, pool_figures
from cmcgan_core.evaluation.results import Evaluation, to_plain
from cmcgan_core.progress import OnProgress, Progress, silent
from cmcgan_core.run_folder import About, RunFolder, find_checkpoint, read_about
from cmcgan_core.training.log import read_log, training_seconds
from cmcgan_core.utils.schema import flatten
from cmcgan_core.utils.toml import read_toml


@dataclass(frozen=True)
class Entry:
    """A run that was evaluated.

    Attributes:
        name: name of its folder, or its path as the user gave it if two folders share a name.
        path: its checkpoint.
        about: metadata of the checkpoint.
        evaluation: its scores.
        log: records of its `metrics.jsonl` up to the checkpoint's step; none if the file is missing.
        seconds: duration of its training, see `log.training_seconds`; None if it is not known.
        cpu_seconds: CPU time of its training, of all threads; None if it is not known.
        device: the device that it was trained on, from its `run.toml`; "" if that is missing.
    """

    name: str
    path: Path
    about: About
    evaluation: Evaluation
    log: list[dict[str, float]]
    seconds: float | None
    cpu_seconds: float | None
    device: str


@dataclass(frozen=True)
class Group:
    """Runs of one recipe: they share everything except the seed. Often it is a single run.

    Attributes:
        name: name of the recipe; by default the names of its runs.
        entries: the runs.
        figures: pooled over the runs.
        steps: number of training steps of each run.
        seconds: duration of a training.
        cpu_seconds: CPU time of a training.
    """

    name: str
    entries: list[Entry]
    figures: PooledEvaluation
    steps: int
    seconds: Figure | None
    cpu_seconds: Figure | None

    @property
    def hops(self) -> str:
        """Number of subnetworks in a row that the runs' own output takes, as a kind of samples."""
        return str(self.entries[0].evaluation.hops)


@dataclass(frozen=True)
class Comparison:
    """Runs on one split of one dataset, in the order in which the user named them.

    Attributes:
        entries: the runs.
        groups: the recipes.
    """

    entries: list[Entry]
    groups: list[Group]

    @property
    def split(self) -> str:
        """Name of the evaluated split."""
        return self.entries[0].evaluation.split

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON document, with the published figures."""
        runs = [
            {
                "name": entry.name,
                "preset": entry.about.config.preset,
                "seed": entry.about.config.seed,
                "steps": entry.about.step,
                "share_of_schedule": share_of_schedule(entry.about),
                "seconds": entry.seconds,
                "cpu_seconds": entry.cpu_seconds,
                "device": entry.device,
                "evaluation": to_plain(entry.evaluation),
            }
            for entry in self.entries
        ]
        groups = [
            {
                "name": group.name,
                "runs": [entry.name for entry in group.entries],
                "hops": group.hops,
                "steps": group.steps,
                "seconds": to_plain(group.seconds),
                "cpu_seconds": to_plain(group.cpu_seconds),
                "figures": to_plain(group.figures),
            }
            for group in self.groups
        ]
        return {"runs": runs, "groups": groups, "paper": asdict(paper_tables())}


def compare(
    runs: Sequence[Path],
    dataset: PreparedDataset,
    *,
    split: str = "test",
    latents: int = 4,
    seed: int = 0,
    concatenate: bool = False,
    device: str = "auto",
    on_progress: OnProgress = silent,
) -> Comparison:
    """Evaluate runs on one split with the same latents. Earlier evaluations are used, see `evaluate`.

    Args:
        runs: checkpoints or run folders.
        dataset: the dataset to evaluate on.
        split: name of the split.
        latents: number of samples of each pair.
        seed: seed of the latents, the controls and the bootstrap.
        concatenate: see `evaluate`.
        device: see `choose_device`.
        on_progress: called in every stage.

    Raises:
        CheckpointError: a run is named twice; also as `evaluate`.
        DataError, Interrupted: as `evaluate`.
    """
    paths = [find_checkpoint(run) for run in runs]
    if repeated := [path for path in paths if paths.count(path) > 1]:
        raise CheckpointError(f"{repeated[0]} is named twice; name each run once")
    entries = []
    for name, path in zip(_names(paths), paths, strict=True):
        evaluation = evaluate(
            path,
            dataset,
            split=split,
            latents=latents,
            seed=seed,
            concatenate=concatenate,
            device=device,
            on_progress=on_progress,
        )
        entries.append(make_entry(name, path, evaluation))
        on_progress(Progress("evaluating", len(entries), len(paths), "runs"))
    return Comparison(entries, group_entries(entries))


def group_entries(entries: Sequence[Entry]) -> list[Group]:
    """Group the runs of each recipe. A second run with the same seed starts a separate group."""
    groups: list[list[Entry]] = []
    for entry in entries:
        fitting = (
            group
            for group in groups
            if _recipe(group[0].about) == _recipe(entry.about)
            and entry.about.config.seed not in [other.about.config.seed for other in group]
        )
        if (group := next(fitting, None)) is not None:
            group.append(entry)
        else:
            groups.append([entry])
    return [make_group(members) for members in groups]


def make_group(entries: list[Entry], name: str = "") -> Group:
    """Pool the runs of one recipe."""
    return Group(
        name=name or ", ".join(entry.name for entry in entries),
        entries=entries,
        figures=pool_evaluations([entry.evaluation for entry in entries]),
        steps=entries[0].about.step,
        seconds=pool_figures([entry.seconds for entry in entries]),
        cpu_seconds=pool_figures([entry.cpu_seconds for entry in entries]),
    )


def make_entry(name: str, path: Path, evaluation: Evaluation) -> Entry:
    """Collect what the checkpoint and the folder of a run say about it."""
    about, folder = read_about(path), RunFolder(path.parent)
    log = [record for record in read_log(folder.log) if record["step"] <= about.step]
    info = read_toml(folder.info) if folder.info.is_file() else {}
    return Entry(
        name=name,
        path=path,
        about=about,
        evaluation=evaluation,
        log=log,
        seconds=training_seconds(log),
        cpu_seconds=training_seconds(log, "cpu_seconds"),
        device=str(info.get("device", "")),
    )


def differing(configurations: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """Return the settings in which configurations differ: by dotted name, the value by name of the configuration."""
    flat = {name: flatten(configuration) for name, configuration in configurations.items()}
    settings = dict.fromkeys(setting for values in flat.values() for setting in values)
    rows = {setting: {name: values.get(setting) for name, values in flat.items()} for setting in settings}
    return {setting: row for setting, row in rows.items() if len({repr(value) for value in row.values()}) > 1}


def _names(paths: Sequence[Path]) -> list[str]:
    """Return short names that tell checkpoints apart."""
    folders = [path.resolve().parent.name for path in paths]
    return [folder if folders.count(folder) == 1 else str(path) for folder, path in zip(folders, paths, strict=True)]


def _recipe(about: About) -> str:
    """Return everything that two runs must share to be pooled, as text."""
    same = replace(about, config=replace(about.config, seed=0), best=None, completed_by="", temperatures={})
    return json.dumps(asdict(same), sort_keys=True)
