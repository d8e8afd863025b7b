"""Recordings to prepared pairs: parallel over recordings, resumable, the same for the same seed.

Each recording becomes a part below `<out>/.parts`; when all are there they are copied into shards, then the index is
written, and `dataset.toml` last: its presence means that the dataset is complete.
"""

import itertools
import math
import shutil
from collections import Counter
from dataclasses import asdict, dataclass, replace
from hashlib import blake2b
from os import cpu_count
from pathlib import Path
from typing import Any

from cmcgan_core.data.dataset import FORMAT, explain_read_errors, read_about
from cmcgan_core.data.prepare import shards as prepared
from cmcgan_core.data.prepare.parts import NEXT_STEP, part_name, read_log, write_parts
from cmcgan_core.data.prepare.recording import Recording, Skipped, Source, SourceOptions, require_distinct
from cmcgan_core.data.prepare.shards import check
from cmcgan_core.data.prepare.sources import SOURCES, find_source, require_folder
from cmcgan_core.data.prepare.splits import SPLITS, assign_splits
from cmcgan_core.errors import DataError, MediaError
from cmcgan_core.media.files import media_kind, sound_seconds
from cmcgan_core.progress import OnProgress, Progress, silent
from cmcgan_core.utils.files import explain_write_errors, write_text
from cmcgan_core.utils.toml import dump_toml
from cmcgan_core.utils.workers import run_in_processes

__all__ = ["Plan", "PrepareReport", "check", "plan", "prepare"]

#: Starting a process takes as long as making about this many pairs.
PAIRS_WORTH_A_PROCESS = 300
#: Seconds; what is meant to be longer is most likely a slip.
LONGEST_HOP = 3600

Ratio = tuple[float, float, float]
Counts = dict[str, dict[str, int]]


@dataclass(frozen=True)
class Plan:
    """What `prepare` would make.

    Attributes:
        source: name of the layout.
        recordings: all that would be read, each with its split.
        skipped: files that would give no pairs, as far as their names tell.
        pairs: by split and class, an upper bound from what file names and headers tell.
        size: bytes of the dataset; while it is made it takes twice as much.
        content: hash that identifies the dataset, as in its `dataset.toml`.
    """

    source: str
    recordings: tuple[Recording, ...]
    skipped: tuple[Skipped, ...]
    pairs: Counts
    size: int
    content: str


@dataclass(frozen=True)
class PrepareReport:
    """What `prepare` made.

    Attributes:
        out: folder of the dataset.
        source: name of the layout.
        recordings: how many were read.
        counts: pairs by split and class.
        dropped_silent: chunks left out as silent.
        skipped: files that gave no pairs, and why.
        already_complete: nothing was done, as the same dataset was there.
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
        """Pairs in all splits."""
        return sum(sum(classes.values()) for classes in self.counts.values())


def plan(
    root: Path,
    source: Source | str | None,
    options: SourceOptions,
    *,
    split: Ratio = (0.7, 0.1, 0.2),
    silence: float | None = -60.0,
) -> Plan:
    """What `prepare` with the same arguments would make; reads names and headers only.

    Raises:
        DataError: as `prepare`.
    """
    layout, name, recordings, skipped = _survey(root, source, options, split)
    counts: Counts = {}
    for recording in recordings:
        classes = counts.setdefault(recording.split or "", {})
        classes[recording.label] = classes.get(recording.label, 0) + _expected_pairs(recording, options)
    settings = options.settings
    pair = 3 * settings.picture_size**2 + 2 * settings.bins * settings.frames
    pairs = sum(sum(classes.values()) for classes in counts.values())
    parts = [part_name(layout, recording, options, silence) for recording in recordings]
    return Plan(name, tuple(recordings), tuple(skipped), _ordered(counts), pair * pairs, _content(recordings, parts))


def prepare(
    root: Path,
    out: Path,
    source: Source | str | None,
    options: SourceOptions,
    *,
    split: Ratio = (0.7, 0.1, 0.2),
    silence: float | None = -60.0,
    workers: int | None = None,
    overwrite: bool = False,
    on_progress: OnProgress = silent,
) -> PrepareReport:
    """Cut recordings into pairs and write them as a dataset; what an interrupted run finished is used again.

    Args:
        root: folder of the source; a source that makes its own data ignores it.
        out: folder of the dataset.
        source: a layout, its name, or None to find out by looking.
        options: how the source is read.
        split: shares of train, validation and test where the source fixes no split.
        silence: chunks below this level, in dBFS, are left out; None keeps all.
        workers: processes; by default one a core, fewer for little work.
        overwrite: replace a dataset that was made otherwise.
        on_progress: told of each recording and each shard.

    Raises:
        DataError: the folder has no known layout, nothing can be made of it, `out` holds something else, or cannot be
            written; or a worker process died.
    """
    if silence is not None and math.isnan(silence):
        raise DataError("a silence of nan dBFS is not possible: give a level, or keep silent chunks")
    layout, name, recordings, skipped = _survey(root, source, options, split)
    names = [part_name(layout, recording, options, silence) for recording in recordings]
    parts = [out / ".parts" / name for name in names]
    about = {
        "format": FORMAT,
        "name": out.resolve().name,
        "source": name,
        "root": root.resolve().name,
        "seed": options.seed,
        "hop": options.hop,
        "split": list(split),
        "silence": silence,
        "content": _content(recordings, names),
    }
    if (out / "dataset.toml").exists() and not overwrite:
        return _already_complete(out, about, asdict(options.settings))
    _claim(out, overwrite)
    _make_parts(layout, list(zip(recordings, parts, strict=True)), options, silence, workers, on_progress)
    with explain_write_errors(out, DataError, NEXT_STEP):
        return _assemble(out, about, recordings, parts, skipped, options, on_progress)


def _survey(
    root: Path, source: Source | str | None, options: SourceOptions, split: Ratio
) -> tuple[Source, str, list[Recording], list[Skipped]]:
    """The layout, its name, its recordings with their splits, and the files that belong to none."""
    _require_possible(options, split)
    if source is None:
        source = find_source(root) if options.labels is None else "videos"
    if isinstance(source, str):
        require_folder(root)
        layout, name = SOURCES.get(source), source
    else:
        layout, name = source, type(source).__name__
    recordings, skipped = layout.recordings(root, options)
    require_distinct(sorted({recording.label for recording in recordings}))
    if not recordings:
        raise DataError(f"{root} gives no recordings as {name}{_reasons(skipped)}")
    splits = assign_splits(recordings, split, options.seed)
    return layout, name, [replace(r, split=s) for r, s in zip(recordings, splits, strict=True)], skipped


def _require_possible(options: SourceOptions, split: Ratio) -> None:
    if not 0.001 <= options.hop <= LONGEST_HOP:
        raise DataError(f"a hop of {options.hop} s is not possible: from 0.001 s to {LONGEST_HOP} s")
    if not all(0 <= share < math.inf for share in split) or not split[0]:
        raise DataError(f"a split of {split} is not possible: no share below 0, and some of everything for training")
    if not -(2**63) <= options.seed < 2**63:
        raise DataError(f"a seed of {options.seed} is not possible: dataset.toml holds integers of 64 bits")


def _reasons(skipped: list[Skipped]) -> str:
    more = f", and {len(skipped) - 3} more" if len(skipped) > 3 else ""
    return ": " + "; ".join(f"{file}: {reason}" for file, reason in skipped[:3]) + more if skipped else ""


def _expected_pairs(recording: Recording, options: SourceOptions) -> int:
    if recording.pairs is not None:
        return recording.pairs
    try:
        seconds = sound_seconds(next(path for path in recording.files if media_kind(path) in ("sound", "video")))
    except (MediaError, StopIteration):
        return 0
    return max(0, int((seconds - options.settings.seconds) / options.hop + 1 + 1e-6))


def _content(recordings: list[Recording], parts: list[str]) -> str:
    """A hash of everything that decides what is in the dataset: the names of its parts, and their splits."""
    lines = [f"{part} {recording.split}\n" for recording, part in zip(recordings, parts, strict=True)]
    return blake2b("".join(lines).encode(), digest_size=16).hexdigest()


def _already_complete(out: Path, about: dict[str, Any], settings: dict[str, Any]) -> PrepareReport:
    """The report of a dataset that is there and was made with the same settings from the same files."""
    with explain_read_errors(out, "dataset.toml"):
        there = read_about(out)
    wanted = {key: value for key, value in about.items() if key != "name"}
    changed = [key for key, value in wanted.items() if there.get(key) != value]
    changed += {"recordings", "counts", "dropped_silent"} - there.keys()
    if changed or there["features"] != settings:
        named = [f"{key} {there.get(key)}" for key in changed if key != "content"]
        how = f"otherwise ({', '.join(named)})" if named else "from other files, or with other features"
        raise DataError(
            f"{out} holds a dataset that was made {how}; replace it with --overwrite, or choose another --out"
        )
    shutil.rmtree(out / ".parts", ignore_errors=True)
    return PrepareReport(
        out,
        about["source"],
        there["recordings"],
        there["counts"],
        there["dropped_silent"],
        tuple(prepared.read_skipped(out)),
        already_complete=True,
    )


def _claim(out: Path, overwrite: bool) -> None:
    """Make sure that the folder is ours to write to, and rid it of a dataset that is to be replaced."""
    with explain_write_errors(out, DataError, NEXT_STEP):
        if out.exists() and not out.is_dir():
            raise DataError(f"{out} is a file; choose another --out")
        ours = (out / ".parts").is_dir() or (overwrite and (out / "dataset.toml").exists())
        if not ours and (foreign := sorted(out.glob("*"))):
            raise DataError(f"{out} holds other files ({foreign[0].name}); choose another --out")
        (out / ".parts").mkdir(parents=True, exist_ok=True)
        for name in ("dataset.toml", "index.csv", "skipped.csv"):
            (out / name).unlink(missing_ok=True)
        # The judges were trained on pairs that may now be in the test split.
        for folder in ("shards", "judges"):
            if (out / folder).exists():
                shutil.rmtree(out / folder)
        for leftover in (*out.glob(".*.tmp"), *(out / ".parts").glob(".*.tmp")):
            leftover.unlink()


def _make_parts(
    source: Source,
    jobs: list[tuple[Recording, Path]],
    options: SourceOptions,
    silence: float | None,
    workers: int | None,
    on_progress: OnProgress,
) -> None:
    """Make the parts that are not there yet, recordings of one file in one go."""
    waiting = [job for job in jobs if not job[1].exists()]
    by_file = itertools.groupby(waiting, key=lambda job: job[0].files[0] if job[0].files else job[0].id)
    tasks = [(source, list(group), options, silence) for _, group in by_file]
    done, pairs = len(jobs) - len(waiting), 0
    on_progress(Progress("preparing", done, len(jobs), "recordings"))
    for task, made in run_in_processes(write_parts, tasks, workers or _useful_workers(waiting, options)):
        done, pairs = done + len(tasks[task][1]), pairs + made
        on_progress(Progress("preparing", done, len(jobs), "recordings", {"pairs": pairs}))


def _useful_workers(jobs: list[tuple[Recording, Path]], options: SourceOptions) -> int:
    """As many processes as there are cores, but fewer for little work: a process takes seconds to start."""
    cores, pairs = cpu_count() or 1, 0
    for recording, _ in jobs:
        pairs += _expected_pairs(recording, options)
        unknown = recording.pairs is None and not recording.files
        if unknown or pairs > PAIRS_WORTH_A_PROCESS * cores:
            return cores
    return 1 + pairs // PAIRS_WORTH_A_PROCESS


def _assemble(
    out: Path,
    about: dict[str, Any],
    recordings: list[Recording],
    parts: list[Path],
    skipped: list[Skipped],
    options: SourceOptions,
    on_progress: OnProgress,
) -> PrepareReport:
    """Turn parts into the dataset; `dataset.toml` comes last."""
    logs = [read_log(part) for part in parts]
    # A picture that several recordings share is reported by each.
    skipped = list(dict.fromkeys(itertools.chain(skipped, *(log.skipped for log in logs))))
    dropped = sum(log.silent for log in logs)
    pairs = sum(len(log.rows) for log in logs)
    if not pairs:
        silent_chunks = f"{dropped} silent chunks; " if dropped else ""
        raise DataError(f"no pairs could be made: {silent_chunks}{len(skipped)} files skipped{_reasons(skipped)}")
    for done in prepared.write_shards(out, parts):
        on_progress(Progress("assembling", done, pairs, "pairs"))
    index = prepared.write_index(out, recordings, parts)
    prepared.write_skipped(out, skipped)
    counts: Counts = {}
    for (split, label), count in Counter((row.split, row.label) for row in index).items():
        counts.setdefault(split, {})[label] = count
    counts = _ordered(counts)
    report = PrepareReport(out, about["source"], len(recordings), counts, dropped, tuple(skipped))
    table = {
        **about,
        "shard_size": prepared.SHARD_SIZE,
        "pairs": pairs,
        "recordings": len(recordings),
        "dropped_silent": dropped,
        "skipped": len(skipped),
        "classes": sorted({row.label for row in index}),
        "counts": counts,
        "features": asdict(options.settings),
    }
    write_text(out / "dataset.toml", dump_toml(table))
    shutil.rmtree(out / ".parts", ignore_errors=True)
    return report


def _ordered(counts: Counts) -> Counts:
    return {split: dict(sorted(counts[split].items())) for split in SPLITS if split in counts}
