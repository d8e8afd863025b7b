"""Turn recordings into a prepared dataset: parallel over recordings, resumable, and reproducible by the seed.

Each recording becomes a part in `<out>/.parts`. When all parts are written, they are copied into shards. Then the index
is written, and `dataset.toml` last: if it exists, the dataset is complete.
"""

import itertools
import math
import os
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from hashlib import blake2b
from pathlib import Path
from typing import Any, NamedTuple

from cmcgan_core.data.index import FORMAT, PARTS, explain_read_errors, read_about
from cmcgan_core.data.prepare import shards
from cmcgan_core.data.prepare.parts import part_name, read_part_log, write_parts
from cmcgan_core.data.prepare.recording import Recording, Skipped, Source, SourceOptions, require_distinct
from cmcgan_core.data.prepare.shards import check
from cmcgan_core.data.prepare.sources import SOURCES, find_source, require_folder
from cmcgan_core.data.prepare.splits import SPLITS, assign_splits
from cmcgan_core.data.prepare.webdataset import WebDataset, exported_shards
from cmcgan_core.errors import DataError, MediaError
from cmcgan_core.features.settings import FeatureSettings
from cmcgan_core.media.files import SILENT_DBFS, announced_seconds, media_kind
from cmcgan_core.progress import OnProgress, Progress, silent
from cmcgan_core.utils.cluster import Cluster
from cmcgan_core.utils.files import (
    LOCK_NAME,
    RUN_AGAIN,
    claimed,
    exists,
    explain_write_errors,
    remove_stale,
    write_text,
)
from cmcgan_core.utils.names import require_names, to_text
from cmcgan_core.utils.schema import build
from cmcgan_core.utils.toml import dump_toml
from cmcgan_core.utils.workers import run_in_processes

__all__ = ["PreparePlan", "PrepareReport", "check", "plan", "prepare"]

#: Starting a process takes about as long as preparing this many pairs.
PAIRS_WORTH_A_PROCESS = 300
#: The shortest and the longest hop in seconds; a hop outside this range is most likely a mistake.
SHORTEST_HOP = 0.001
LONGEST_HOP = 3600

#: Shares of train, validation and test.
Ratio = tuple[float, float, float]
#: Numbers of pairs by split, then by class.
Counts = dict[str, dict[str, int]]


@dataclass(frozen=True)
class PreparePlan:
    """The dataset that `prepare` would write.

    Attributes:
        source: the name of the layout.
        recordings: the recordings that would be read, each with its split.
        skipped: files that would give no pairs, judged by their names only.
        counts: an upper bound of the number of pairs by split and class, from file names and headers.
        size_bytes: the size of the dataset. While it is written it takes twice as much.
        content: the hash that identifies the dataset, as in its `dataset.toml`.
    """

    source: str
    recordings: tuple[Recording, ...]
    skipped: tuple[Skipped, ...]
    counts: Counts
    size_bytes: int
    content: str

    @property
    def pairs(self) -> int:
        """An upper bound of the number of pairs in all splits."""
        return _total(self.counts)

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON document of `cmcgan prepare --dry-run`."""
        return {
            "source": self.source,
            "recordings": len(self.recordings),
            "pairs": self.pairs,
            "bytes": self.size_bytes,
            "counts": self.counts,
            "skipped": _skipped_to_dicts(self.skipped),
        }


@dataclass(frozen=True)
class PrepareReport:
    """The dataset that `prepare` wrote.

    Attributes:
        out: the folder of the dataset.
        source: the name of the layout.
        recordings: the number of recordings that were read.
        counts: the number of pairs by split and class.
        dropped_silent: the number of chunks left out because they are silent.
        skipped: the files that gave no pairs, and why.
        already_complete: whether the same dataset existed already, so that nothing was done.
    """

    out: Path
    source: str
    recordings: int
    counts: Counts
    dropped_silent: int
    skipped: tuple[Skipped, ...]
    already_complete: bool = False

    @property
    def pairs(self) -> int:
        """The number of pairs in all splits."""
        return _total(self.counts)

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON document of `cmcgan prepare`."""
        return {
            "out": str(self.out),
            "source": self.source,
            "recordings": self.recordings,
            "pairs": self.pairs,
            "counts": self.counts,
            "dropped_silent": self.dropped_silent,
            "already_complete": self.already_complete,
            "skipped": _skipped_to_dicts(self.skipped),
        }


class _ScannedSource(NamedTuple):
    """A source and its recordings."""

    layout: Source
    name: str  #: of the layout
    recordings: list[Recording]  #: each with its split
    skipped: list[Skipped]  #: files that are not part of a recording
    exported: str  #: the content hash of the dataset that this is an export of; "" if it is none

    def content(self, parts: list[str], skipped: Sequence[Skipped]) -> str:
        """Return the hash that identifies the dataset.

        Args:
            parts: the names of the parts.
            skipped: the files that gave no pairs. An export from which nothing is missing has the same pairs as the
                dataset that was exported, so it has the hash of that one.
        """
        return self.exported if self.exported and not skipped else _hash_content(self.recordings, parts)

    def part_names(self, options: SourceOptions, silence: float | None) -> list[str]:
        """Return the name of the part of each recording."""
        return [part_name(self.layout, recording, options, silence) for recording in self.recordings]


def plan(
    root: Path,
    source: Source | str | None,
    options: SourceOptions,
    *,
    split: Ratio = (0.7, 0.1, 0.2),
    silence: float | None = SILENT_DBFS,
) -> PreparePlan:
    """Return what `prepare` would write with the same arguments. Only file names and headers are read.

    Raises:
        DataError: for the same reasons as `prepare`.
    """
    scanned = _scan_source(root, source, options, split)
    counts: Counts = {}
    for recording in scanned.recordings:
        classes = counts.setdefault(recording.split or "", {})
        classes[recording.label] = classes.get(recording.label, 0) + _estimate_pairs(recording, options)
    settings = options.settings
    bytes_per_pair = 3 * settings.picture_size**2 + 2 * settings.bins * settings.frames
    return PreparePlan(
        source=scanned.name,
        recordings=tuple(scanned.recordings),
        skipped=tuple(scanned.skipped),
        counts=_sort_counts(counts),
        size_bytes=bytes_per_pair * _total(counts),
        content=scanned.content(scanned.part_names(options, silence), scanned.skipped),
    )


def prepare(
    root: Path,
    out: Path,
    source: Source | str | None,
    options: SourceOptions,
    *,
    split: Ratio = (0.7, 0.1, 0.2),
    silence: float | None = SILENT_DBFS,
    workers: int | None = None,
    cluster: Cluster | None = None,
    overwrite: bool = False,
    on_progress: OnProgress = silent,
) -> PrepareReport:
    """Cut recordings into pairs and write them as a dataset. The finished parts of an interrupted run are reused.

    Args:
        root: the folder of the source. A source that renders its own data ignores it.
        out: the folder of the dataset.
        source: a layout or the name of a layout; None to detect the layout.
        options: how the source is read.
        split: the shares of train, validation and test, for recordings whose split the source does not fix.
        silence: chunks below this level, in dBFS, are left out; None keeps all.
        workers: the number of processes; None for one process per core, or fewer if there is little work.
        cluster: prepares the recordings instead of processes of this machine, see `utils.cluster.connect`.
        overwrite: replace an existing dataset that has other settings or was made from other files.
        on_progress: called after each recording and each shard.

    Raises:
        DataError: an option is not possible, the layout is not known, the source gives no pairs, `out` contains other
            files, cannot be written or is written by another process, or a worker process died.
        ConfigError: a worker of the cluster cannot do the work.
    """
    if silence is not None and math.isnan(silence):
        raise DataError(
            "a silence of nan dBFS is not possible: give a level (--silence), or keep silent chunks (--keep-silence)"
        )
    on_progress(Progress("finding recordings", 0, None, "recordings"))
    scanned = _scan_source(root, source, options, split)
    on_progress(Progress("finding recordings", len(scanned.recordings), len(scanned.recordings), "recordings"))
    names = scanned.part_names(options, silence)
    parts = [out / PARTS / name for name in names]
    about = {
        "format": FORMAT,
        "name": to_text(Path(os.path.realpath(out)).name),
        "source": scanned.name,
        "root": to_text(Path(os.path.realpath(root)).name),
        "seed": options.seed,
        "hop": options.hop,
        "split": list(split),
        "silence": silence,
    }
    if (out / "dataset.toml").exists() and not overwrite:
        return _report_complete(out, about, scanned, names, options.settings)
    _require_ours(out, overwrite)
    with claimed(out, DataError, RUN_AGAIN):
        _clear_output(out)
        jobs = list(zip(scanned.recordings, parts, strict=True))
        _make_parts(scanned.layout, jobs, options, silence, workers, cluster, on_progress)
        with explain_write_errors(out, DataError, RUN_AGAIN):
            return _assemble(out, about, scanned, parts, options, on_progress)


def _scan_source(root: Path, source: Source | str | None, options: SourceOptions, split: Ratio) -> _ScannedSource:
    """Find the layout and its recordings, and assign the recordings to splits.

    Raises:
        DataError: an option is not possible, the layout is not known, there are no recordings, or a class or a split
            cannot be the name of a folder.
    """
    _check_options(options, split)
    if source is None:
        source = find_source(root) if options.labels is None else "videos"
    if isinstance(source, str):
        require_folder(root)
        layout, name = SOURCES.get(source), source
    else:
        layout, name = source, type(source).__name__
    recordings, skipped = layout.recordings(root, options)
    # Classes are names, not paths: models, pages and databases have them too, and take only text.
    recordings = [replace(recording, label=to_text(recording.label)) for recording in recordings]
    _require_safe_names(root, recordings)
    require_distinct(sorted({recording.label for recording in recordings}))
    if not recordings:
        raise DataError(f"{root} gives no recordings as {name}{_first_reasons(skipped)}")
    splits = assign_splits(recordings, split, options.seed)
    recordings = [replace(recording, split=chosen) for recording, chosen in zip(recordings, splits, strict=True)]
    exported = exported_shards(root) if isinstance(layout, WebDataset) and root.is_dir() else None
    return _ScannedSource(layout, name, recordings, skipped, exported.content if exported else "")


def _require_safe_names(root: Path, recordings: list[Recording]) -> None:
    """Raise a `DataError` if a class or a split has a name that cannot be that of a folder."""
    try:
        require_names(sorted({recording.label for recording in recordings}), "class")
        require_names(sorted({recording.split for recording in recordings if recording.split is not None}), "split")
    except ValueError as error:
        raise DataError(f"{root}: {error}; rename it") from error


def _check_options(options: SourceOptions, split: Ratio) -> None:
    """Raise a `DataError` if an option is not possible."""
    if not SHORTEST_HOP <= options.hop <= LONGEST_HOP:
        raise DataError(
            f"a hop of {options.hop} s is not possible: give a hop from {SHORTEST_HOP} s to {LONGEST_HOP} s"
        )
    if not all(0 <= share < math.inf for share in split) or not split[0]:
        raise DataError(f"a split of {split} is not possible: give shares of at least 0, and more than 0 for train")
    if not -(2**63) <= options.seed < 2**63:
        raise DataError(f"a seed of {options.seed} is not possible: give an integer of 64 bits")


def _first_reasons(skipped: list[Skipped]) -> str:
    """Return ": " and the first three skipped files with their reasons; "" if nothing is skipped."""
    more = f", and {len(skipped) - 3} more" if len(skipped) > 3 else ""
    return ": " + "; ".join(f"{file}: {reason}" for file, reason in skipped[:3]) + more if skipped else ""


def _estimate_pairs(recording: Recording, options: SourceOptions) -> int:
    """Return an estimate of a recording's number of pairs, from its header; 0 if that cannot be read."""
    if recording.pairs is not None:
        return recording.pairs
    try:
        seconds = announced_seconds(next(path for path in recording.files if media_kind(path) in ("sound", "video")))
    except (MediaError, StopIteration):
        return 0
    return max(0, int((seconds - options.settings.seconds) / options.hop + 1 + 1e-6))


def _hash_content(recordings: list[Recording], parts: list[str]) -> str:
    """Return a hash of everything that determines a dataset's content: the names of its parts, and their splits."""
    lines = [f"{part} {recording.split}\n" for recording, part in zip(recordings, parts, strict=True)]
    return blake2b("".join(lines).encode(), digest_size=16).hexdigest()


def _report_complete(
    out: Path, about: dict[str, Any], scanned: _ScannedSource, parts: list[str], settings: FeatureSettings
) -> PrepareReport:
    """Return the report of an existing dataset.

    Args:
        out: the folder of the dataset.
        about: the content that its `dataset.toml` should have, except its hash.
        scanned: its source.
        parts: the names of its parts.
        settings: the feature settings that it should have.

    Raises:
        DataError: the dataset has other settings, or was made from other files.
    """
    with explain_read_errors(out, "dataset.toml"):
        existing = read_about(out)
        existing_settings = build(FeatureSettings, existing["features"], "[features]")
    skipped = shards.read_skipped(out)
    about = {**about, "content": scanned.content(parts, skipped)}
    expected = {key: value for key, value in about.items() if key != "name"}
    changed = [key for key, value in expected.items() if existing.get(key) != value]
    changed += {"recordings", "counts", "dropped_silent"} - existing.keys()
    if changed or existing_settings != settings:
        differences = [f"{key} {existing.get(key)}" for key in changed if key != "content"]
        how = f"with other settings ({', '.join(differences)})" if differences else "from other files or other features"
        raise DataError(
            f"{out} contains a dataset that was made {how}; replace it with --overwrite, or choose another --out"
        )
    shutil.rmtree(out / PARTS, ignore_errors=True)
    return PrepareReport(
        out=out,
        source=about["source"],
        recordings=existing["recordings"],
        counts=existing["counts"],
        dropped_silent=existing["dropped_silent"],
        skipped=tuple(skipped),
        already_complete=True,
    )


def _require_ours(out: Path, overwrite: bool) -> None:
    """Check that an output folder is missing, empty, or written by `prepare`.

    Raises:
        DataError: it is a file, or contains files that `prepare` did not write.
    """
    with explain_write_errors(out, DataError, RUN_AGAIN):
        if out.exists() and not out.is_dir():
            raise DataError(f"{out} is a file; choose another --out")
        ours = (out / PARTS).is_dir() or (overwrite and (out / "dataset.toml").exists())
        foreign = sorted(path.name for path in out.glob("*") if path.name != LOCK_NAME)
        if not ours and foreign:
            raise DataError(f"{out} contains other files ({foreign[0]}); choose another --out")


def _clear_output(out: Path) -> None:
    """Delete an old dataset and unfinished files from the output folder. Finished parts are kept.

    Raises:
        DataError: the folder cannot be written.
    """
    with explain_write_errors(out, DataError, RUN_AGAIN):
        (out / PARTS).mkdir(parents=True, exist_ok=True)
        for name in ("dataset.toml", "index.csv", "skipped.csv"):
            (out / name).unlink(missing_ok=True)
        # The judges were trained on pairs that may be in the new test split; evaluations are of the old pairs.
        for folder in ("shards", "judges", "evaluations"):
            if (out / folder).exists():
                shutil.rmtree(out / folder)
        remove_stale(out)
        remove_stale(out / PARTS)


def _make_parts(
    source: Source,
    jobs: list[tuple[Recording, Path]],
    options: SourceOptions,
    silence: float | None,
    workers: int | None,
    cluster: Cluster | None,
    on_progress: OnProgress,
) -> None:
    """Write the missing parts. The recordings of one file are one task, so that the file is decoded once."""
    # Listed, not asked one by one: a network file system may remember for a minute that a file was missing.
    finished = set(jobs[0][1].parent.iterdir())
    waiting = [job for job in jobs if job[1] not in finished]
    by_file = itertools.groupby(waiting, key=lambda job: job[0].files[0] if job[0].files else job[0].id)
    tasks = [(source, list(group), options, silence) for _, group in by_file]
    done, pairs = len(jobs) - len(waiting), 0
    on_progress(Progress("preparing", done, len(jobs), "recordings"))
    if cluster is None:
        results = run_in_processes(write_parts, tasks, workers or _count_useful_workers(waiting, options))
    else:
        results = cluster.run(write_parts, tasks, [_needed_paths(group) for _, group, _, _ in tasks])
    for task, count in results:
        done, pairs = done + len(tasks[task][1]), pairs + count
        on_progress(Progress("preparing", done, len(jobs), "recordings", {"pairs": pairs}))


def _needed_paths(jobs: list[tuple[Recording, Path]]) -> list[Path]:
    """Return the files that are read to write some parts, and the folder of the parts."""
    files = dict.fromkeys(path for recording, _ in jobs for path in recording.files if exists(path))
    return [jobs[0][1].parent, *files]


def _count_useful_workers(jobs: list[tuple[Recording, Path]], options: SourceOptions) -> int:
    """Return the number of cores, or fewer processes for little work, because a process takes seconds to start."""
    cores, pairs = os.cpu_count() or 1, 0
    for recording, _ in jobs:
        pairs += _estimate_pairs(recording, options)
        unknown = recording.pairs is None and not recording.files
        if unknown or pairs > PAIRS_WORTH_A_PROCESS * cores:
            return cores
    return 1 + pairs // PAIRS_WORTH_A_PROCESS


def _assemble(
    out: Path,
    about: dict[str, Any],
    scanned: _ScannedSource,
    parts: list[Path],
    options: SourceOptions,
    on_progress: OnProgress,
) -> PrepareReport:
    """Write the dataset from its parts, `dataset.toml` last, and delete the parts.

    Raises:
        DataError: the parts contain no pairs.
    """
    logs = [read_part_log(part) for part in parts]
    # Several recordings that share a picture all report it.
    unique = dict.fromkeys(itertools.chain(scanned.skipped, *(log.skipped for log in logs)))
    skipped = [Skipped(to_text(file), to_text(reason)) for file, reason in unique]
    dropped = sum(log.silent for log in logs)
    pairs = sum(len(log.rows) for log in logs)
    if not pairs:
        silent_chunks = f"{dropped} silent chunks; " if dropped else ""
        raise DataError(f"no pairs could be made: {silent_chunks}{len(skipped)} files skipped{_first_reasons(skipped)}")
    for done in shards.write_shards(out, parts):
        on_progress(Progress("assembling", done, pairs, "pairs"))
    index = shards.write_index(out, scanned.recordings, parts)
    shards.write_skipped(out, skipped)
    counts = _sort_counts(shards.count_pairs(index))
    report = PrepareReport(out, about["source"], len(scanned.recordings), counts, dropped, tuple(skipped))
    table = {
        **about,
        "content": scanned.content([part.name for part in parts], skipped),
        "shard_size": shards.SHARD_SIZE,
        "pairs": pairs,
        "recordings": len(scanned.recordings),
        "dropped_silent": dropped,
        "skipped": len(skipped),
        "classes": sorted({row.label for row in index}),
        "counts": counts,
        "features": asdict(options.settings),
    }
    write_text(out / "dataset.toml", dump_toml(table))
    shutil.rmtree(out / PARTS, ignore_errors=True)
    return report


def _sort_counts(counts: Counts) -> Counts:
    """Return the counts with splits in their usual order, further splits last, and classes in alphabetical order."""
    order = [*(split for split in SPLITS if split in counts), *sorted(set(counts) - set(SPLITS))]
    return {split: dict(sorted(counts[split].items())) for split in order}


def _total(counts: Counts) -> int:
    """Return the sum of the counts of all splits and classes."""
    return sum(sum(classes.values()) for classes in counts.values())


def _skipped_to_dicts(skipped: tuple[Skipped, ...]) -> list[dict[str, str]]:
    """Return skipped files for JSON."""
    return [{"file": file, "reason": reason} for file, reason in skipped]
