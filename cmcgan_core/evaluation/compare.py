"""Runs side by side: the figures of each, those of several seeds of one recipe pooled, and what each training cost."""

import json
import statistics
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, is_dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

from cmcgan_core.checkpoint import About, find_checkpoint, read_about
from cmcgan_core.errors import CheckpointError
from cmcgan_core.evaluation.evaluate import Evaluation, evaluate_once
from cmcgan_core.evaluation.paper import paper_tables
from cmcgan_core.evaluation.scores import Accuracy
from cmcgan_core.progress import OnProgress, Progress, silent
from cmcgan_core.training.log import read_log

#: Fields of an evaluation whose figures are pooled.
POOLED = ("real", "table1", "recovered", "other_judges", "quality", "table2", "retrained", "pose")


@dataclass(frozen=True)
class Figure:
    """A figure of one run, or of several that differ in their seeds alone.

    Attributes:
        value: of the run; the mean of several.
        deviation: sample standard deviation (n - 1) over several runs; None for one.
        interval: 95 %, over the recordings; of several runs, which were judged on the same recordings, the means of the
            ends of theirs. None where there is none.
    """

    value: float
    deviation: float | None = None
    interval: tuple[float, float] | None = None

    def text(self, spec: str, gap: str = " ") -> str:
        """With its deviation over the seeds and its interval, as far as it has them: 0.512 (0.010) [.45 .57].

        Args:
            spec: of the value, as ".3f".
            gap: between the ends of the interval.
        """
        parts = [format(self.value, spec)]
        if self.deviation is not None:
            parts.append(f"({format(self.deviation, '.2g' if spec.endswith('g') else spec)})")
        if self.interval is not None:
            low, high = (f"{end:.2f}".removeprefix("0") for end in self.interval)
            parts.append(f"[{low}{gap}{high}]")
        return " ".join(parts)


@dataclass(frozen=True)
class Entry:
    """A run that was evaluated.

    Attributes:
        name: that of its folder, or the path as it was given where two folders share a name.
        path: its checkpoint.
        about: what the checkpoint says of itself.
        evaluation: what was found.
        log: records of its `metrics.jsonl` up to the checkpoint's step; none where there is no such file.
        seconds: of its training by the clock, see `training_seconds`; None where they are not known.
        cpu_seconds: of its training, of all threads; None where they are not known.
        device: that it was trained on, as its `run.toml` says; "" where there is none.
    """

    name: str
    path: Path
    about: About
    evaluation: Evaluation
    log: list[dict[str, Any]]
    seconds: float | None
    cpu_seconds: float | None
    device: str


@dataclass(frozen=True)
class Group:
    """Runs that share everything but the seed; often one.

    Attributes:
        entries: the runs, of different seeds.
        figures: by the names of `POOLED`, in the shape that they have in an `Evaluation`, with `Figure`s for numbers.
        steps: of each run.
        seconds: of training, by the clock.
        cpu_seconds: of training.
        name: of the recipe; by default the names of its runs.
    """

    entries: list[Entry]
    figures: dict[str, Any]
    steps: int
    seconds: Figure | None
    cpu_seconds: Figure | None
    name: str


@dataclass(frozen=True)
class Comparison:
    """Runs on one split of one dataset, in the order in which they were named."""

    entries: list[Entry]
    groups: list[Group]

    def to_dict(self) -> dict[str, Any]:
        """As plain values, the papers' figures beside them."""
        runs = [
            {
                "name": entry.name,
                "preset": entry.about.config.preset,
                "seed": entry.about.config.seed,
                "steps": entry.about.step,
                "seconds": entry.seconds,
                "cpu_seconds": entry.cpu_seconds,
                "device": entry.device,
                "evaluation": asdict(entry.evaluation),
            }
            for entry in self.entries
        ]
        groups = [
            {
                "name": group.name,
                "runs": [entry.name for entry in group.entries],
                "steps": group.steps,
                "seconds": _plain(group.seconds),
                "cpu_seconds": _plain(group.cpu_seconds),
                "figures": _plain(group.figures),
            }
            for group in self.groups
        ]
        return {"runs": runs, "groups": groups, "paper": paper_tables()}


def compare(
    runs: Sequence[Path | None],
    data: Path,
    *,
    split: str = "test",
    latents: int = 4,
    seed: int = 0,
    device: str = "auto",
    on_progress: OnProgress = silent,
) -> Comparison:
    """Evaluate runs on one split, with the same latents; those that were evaluated so before are not judged again.

    Args:
        runs: checkpoints or run folders; None is the newest run.
        data: prepared dataset.
        split: to judge.
        latents: samples that are made of each pair.
        seed: of the latents, the stand-ins and the bootstrap.
        device: see `choose_device`.
        on_progress: told of every stage.

    Raises:
        CheckpointError: two of the runs are one; else see `evaluate`.
    """
    paths = [find_checkpoint(run) for run in runs]
    if repeated := [path for path in paths if paths.count(path) > 1]:
        raise CheckpointError(f"{repeated[0]} is named twice; name each run once")
    entries = []
    for name, path in zip(_names(paths), paths, strict=True):
        evaluation = evaluate_once(
            path, data, split=split, latents=latents, seed=seed, device=device, on_progress=on_progress
        )
        entries.append(make_entry(name, path, evaluation))
        on_progress(Progress("evaluating", len(entries), len(paths), "runs"))
    return Comparison(entries, grouped(entries))


def grouped(entries: Sequence[Entry]) -> list[Group]:
    """Runs that share everything but the seed, together; of two with one seed the second begins a group of its own."""
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


def pool(found: Sequence[Any]) -> Any:
    """What several runs' evaluations have at the same place, with a `Figure` for every number.

    Tables keep the rows that all of them have. What is no figure, such as a confusion matrix, becomes None, and so does
    a figure that one of them lacks. What is the same in all, such as what a judge says of real samples, is no sample of
    anything: it has no deviation.
    """
    first = found[0]
    if any(one is None for one in found):
        return None
    if all(one == first for one in found):
        found = [first]
    if isinstance(first, Accuracy):
        return {
            part: _figure([getattr(one, part) for one in found], [getattr(one, f"{part}_interval") for one in found])
            for part in ("micro", "balanced")
        }
    if is_dataclass(first):
        return {field.name: pool([getattr(one, field.name) for one in found]) for field in fields(first)}
    if isinstance(first, Mapping):
        return {key: pool([one[key] for one in found]) for key in first if all(key in one for one in found)}
    return _figure(found) if isinstance(first, float) else None


def training_seconds(log: Sequence[Mapping[str, Any]], clock: str = "seconds") -> float | None:
    """Time that a run's log accounts for, over all the times that it was gone on with; None without such a log.

    A clock of the log starts anew whenever a run is gone on with, which shows as seconds that become fewer.

    Args:
        log: of the run.
        clock: "seconds", by the clock, or "cpu_seconds".
    """
    if not log or clock not in log[0]:
        return None
    seconds = [float(record[clock]) for record in log]
    ends = [before for before, after in pairwise(seconds) if after < before]
    return sum(ends) + seconds[-1]


def differing(configurations: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """Settings that are not the same in all configurations: by dotted name, the value by the configuration's name."""
    flat = {name: flattened(configuration) for name, configuration in configurations.items()}
    settings = dict.fromkeys(setting for values in flat.values() for setting in values)
    rows = {setting: {name: values.get(setting) for name, values in flat.items()} for setting in settings}
    return {setting: row for setting, row in rows.items() if len({repr(value) for value in row.values()}) > 1}


def flattened(table: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested tables as one, by dotted names."""
    flat: dict[str, Any] = {}
    for key, value in table.items():
        flat |= flattened(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {f"{prefix}{key}": value}
    return flat


def make_entry(name: str, path: Path, evaluation: Evaluation) -> Entry:
    """A run with what its checkpoint and its folder say of it."""
    about, run = read_about(path), path.parent / "run.toml"
    log = [record for record in read_log(path.parent / "metrics.jsonl") if record["step"] <= about.step]
    device = tomllib.loads(run.read_text(encoding="utf-8")).get("device", "") if run.is_file() else ""
    clocks = training_seconds(log), training_seconds(log, "cpu_seconds")
    return Entry(name, path, about, evaluation, log, *clocks, str(device))


def _names(paths: Sequence[Path]) -> list[str]:
    """Short names that tell checkpoints apart."""
    folders = [path.resolve().parent.name for path in paths]
    return [folder if folders.count(folder) == 1 else str(path) for folder, path in zip(folders, paths, strict=True)]


def _recipe(about: About) -> str:
    """All that two runs must share to be pooled."""
    same = replace(about, config=replace(about.config, seed=0), best=None, completed_by="", temperatures={})
    return json.dumps(asdict(same), sort_keys=True)


def make_group(entries: list[Entry], name: str = "") -> Group:
    """Runs of one recipe, pooled."""
    return Group(
        entries=entries,
        figures={name: pool([getattr(entry.evaluation, name) for entry in entries]) for name in POOLED},
        steps=entries[0].about.step,
        seconds=pool([entry.seconds for entry in entries]),
        cpu_seconds=pool([entry.cpu_seconds for entry in entries]),
        name=name or ", ".join(entry.name for entry in entries),
    )


def _figure(values: Sequence[float], intervals: Sequence[tuple[float, float] | None] = ()) -> Figure:
    known = [interval for interval in intervals if interval is not None]
    ends = [statistics.fmean(of_runs) for of_runs in zip(*known, strict=True)]
    deviation = statistics.stdev(values) if len(values) > 1 else None
    return Figure(statistics.fmean(values), deviation, (ends[0], ends[1]) if known else None)


def _plain(found: Any) -> Any:
    """Nested figures as plain values; what is None is left out."""
    if isinstance(found, Mapping):
        return {key: _plain(value) for key, value in found.items() if value is not None}
    return asdict(found) if isinstance(found, Figure) else found
