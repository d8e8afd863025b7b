"""Export a prepared dataset: parallel over files, resumable, and the same bytes for the same dataset.

Each file of the export is written atomically, so a file that is there is complete. `.cmcgan.json` says which export an
unfinished folder belongs to; `cmcgan.json` is written last.
"""

import json
import os
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from types import ModuleType
from typing import Any, Literal, NamedTuple, get_args

from cmcgan_core.data.export import parquet, webdataset
from cmcgan_core.data.export.pairs import ShardTask
from cmcgan_core.data.exported import DESCRIPTION, EXPORT_FORMAT, ExportedDataset, ExportedShard, read_exported
from cmcgan_core.data.index import explain_read_errors, read_about, read_index
from cmcgan_core.errors import ConfigError, DataError
from cmcgan_core.features.settings import FeatureSettings
from cmcgan_core.progress import OnProgress, Progress, silent
from cmcgan_core.utils.files import LOCK_NAME, RUN_AGAIN, claimed, explain_write_errors, remove_stale, write_text
from cmcgan_core.utils.schema import build
from cmcgan_core.utils.workers import run_in_processes

__all__ = ["LAYOUTS", "ExportLayout", "ExportPlan", "ExportReport", "export_dataset", "plan_export"]

#: The layouts of exports.
ExportLayout = Literal["webdataset", "hf"]
#: The modules that write the layouts.
LAYOUTS: dict[ExportLayout, ModuleType] = {"webdataset": webdataset, "hf": parquet}
#: The number of pairs in a file: about 60 MB.
PAIRS_PER_FILE = 2048
#: The name of the file that an unfinished export has in place of `DESCRIPTION`.
UNFINISHED = f".{DESCRIPTION}"
#: Starting a process takes about as long as exporting this many pairs.
PAIRS_WORTH_A_PROCESS = 1000


class _PlannedShard(NamedTuple):
    """A file of an export."""

    file: str  #: its path in the folder of the export
    task: ShardTask  #: its pairs


@dataclass(frozen=True)
class ExportPlan:
    """What `export_dataset` would write.

    Attributes:
        root: the folder of the prepared dataset.
        to: the layout.
        identity: a hash of everything that determines the files.
        shards: the files, and their pairs.
        about: the content of the `dataset.toml` of the dataset.
    """

    root: Path
    to: ExportLayout
    identity: str
    shards: tuple[_PlannedShard, ...]
    about: dict[str, Any]

    @property
    def pairs(self) -> int:
        """The number of pairs."""
        return sum(shard.task.pairs for shard in self.shards)

    def counts(self) -> dict[str, tuple[int, int]]:
        """Return the numbers of pairs and of files by split."""
        counts: dict[str, tuple[int, int]] = {}
        for _, task in self.shards:
            pairs, files = counts.get(task.split, (0, 0))
            counts[task.split] = pairs + task.pairs, files + 1
        return counts

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON document of `cmcgan export-data --dry-run`."""
        splits = {split: {"pairs": pairs, "files": files} for split, (pairs, files) in self.counts().items()}
        return {"data": str(self.root), "to": self.to, "pairs": self.pairs, "splits": splits}


@dataclass(frozen=True)
class ExportReport:
    """The export that `export_dataset` wrote.

    Attributes:
        out: the folder.
        exported: its description.
        already_complete: whether the same export existed already, so that nothing was done.
    """

    out: Path
    exported: ExportedDataset
    already_complete: bool = False

    @property
    def shards(self) -> list[ExportedShard]:
        """The files of all splits."""
        return [shard for shards in self.exported.splits.values() for shard in shards]

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON document of `cmcgan export-data`."""
        splits = {
            split: {"pairs": sum(s.pairs for s in shards), "files": len(shards), "bytes": sum(s.bytes for s in shards)}
            for split, shards in self.exported.splits.items()
        }
        return {
            "out": str(self.out),
            "to": self.exported.to,
            "pairs": sum(shard.pairs for shard in self.shards),
            "splits": splits,
            "already_complete": self.already_complete,
        }


def plan_export(root: Path, to: ExportLayout, *, pairs_per_file: int = PAIRS_PER_FILE) -> ExportPlan:
    """Return what `export_dataset` would write with the same arguments.

    Raises:
        ConfigError: there is no such layout, a number is not possible, or a package is missing.
        DataError: see `open_dataset`; or pairs have no split, or two splits get the same name in this layout.
    """
    if to not in LAYOUTS:
        raise ConfigError(f"there is no layout {to!r}; choose {' or '.join(get_args(ExportLayout))}")
    if pairs_per_file < 1:
        raise ConfigError(f"{pairs_per_file} pairs in a file are not possible; give at least 1")
    LAYOUTS[to].require_packages()
    with explain_read_errors(root, "dataset.toml"):
        about = read_about(root)
        build(FeatureSettings, about["features"], "[features]")
    with explain_read_errors(root, "index.csv"):
        splits = read_index(root).names("split")
    if "" in splits.names:
        raise DataError(f"{root} has pairs without a split; enter one in its index.csv")
    identity = _identify(root, to, pairs_per_file)
    shards = []
    for number, split in enumerate(splits.names):
        total = int((splits.numbers == number).sum())
        files = -(-total // pairs_per_file)
        for shard, first in enumerate(range(0, total, pairs_per_file)):
            task = ShardTask(root, identity, split, first, min(pairs_per_file, total - first))
            shards.append(_PlannedShard(LAYOUTS[to].shard_name(split, shard, files), task))
    if len({shard.file for shard in shards}) < len(shards):
        raise DataError(
            f"two splits of {root} have the same name in this layout: {', '.join(splits.names)}; rename one"
        )
    return ExportPlan(root, to, identity, tuple(shards), about)


def export_dataset(
    root: Path,
    out: Path,
    to: ExportLayout,
    *,
    pairs_per_file: int = PAIRS_PER_FILE,
    workers: int | None = None,
    on_progress: OnProgress = silent,
) -> ExportReport:
    """Export a prepared dataset. The finished files of an interrupted export are reused.

    Args:
        root: the folder of the prepared dataset.
        out: the folder of the export.
        to: the layout.
        pairs_per_file: the number of pairs in a file.
        workers: the number of processes; None for one process per core, or fewer if there is little work.
        on_progress: called after each file.

    Raises:
        ConfigError: see `plan_export`.
        DataError: the dataset is damaged, `out` contains other files, cannot be written or is written by another
            process, or a worker process died.
    """
    plan = plan_export(root, to, pairs_per_file=pairs_per_file)
    if exported := _find_complete(out, plan):
        (out / UNFINISHED).unlink(missing_ok=True)  # a process was killed just before it did this
        return ExportReport(out, exported, already_complete=True)
    with claimed(out, DataError, RUN_AGAIN), explain_write_errors(out, DataError, RUN_AGAIN):
        write_text(out / UNFINISHED, json.dumps({"identity": plan.identity}) + "\n")
        _write_shards(out, plan, workers, on_progress)
        exported = _describe(out, plan)
        LAYOUTS[to].finish(out, exported)
        write_text(out / DESCRIPTION, exported.to_json())
        (out / UNFINISHED).unlink()
    (out / LOCK_NAME).unlink(missing_ok=True)
    return ExportReport(out, exported)


def _identify(root: Path, to: str, pairs_per_file: int) -> str:
    """Return a hash of everything that determines the files of an export."""
    digest = blake2b(json.dumps([EXPORT_FORMAT, to, pairs_per_file]).encode(), digest_size=16)
    for name in ("dataset.toml", "index.csv"):
        with (root / name).open("rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()


def _find_complete(out: Path, plan: ExportPlan) -> ExportedDataset | None:
    """Return the description of the same export, if it is complete; None if it is missing or unfinished.

    Raises:
        DataError: the folder is a file, or contains another export or other files.
    """
    with explain_write_errors(out, DataError, RUN_AGAIN):
        if out.exists() and not out.is_dir():
            raise DataError(f"{out} is a file; choose another OUT")
        foreign = sorted(path.name for path in out.glob("*") if path.name != LOCK_NAME)
    exported = read_exported(out)
    if exported is None and (not foreign or (out / UNFINISHED).exists()):
        if (out / UNFINISHED).exists() and _unfinished_identity(out) != plan.identity:
            raise DataError(
                f"{out} contains an unfinished export of other data or settings; delete it, or choose another OUT"
            )
        return None
    if exported is None:
        raise DataError(f"{out} contains other files ({foreign[0]}); choose another OUT")
    if exported.identity != plan.identity:
        raise DataError(
            f"{out} contains an export of other data or with other settings; delete it, or choose another OUT"
        )
    return exported


def _unfinished_identity(out: Path) -> str | None:
    """Return the identity of an unfinished export; None if its file is damaged."""
    try:
        identity: str | None = json.loads((out / UNFINISHED).read_bytes())["identity"]
    except (OSError, ValueError, LookupError, TypeError):
        return None
    return identity


def _write_shards(out: Path, plan: ExportPlan, workers: int | None, on_progress: OnProgress) -> None:
    """Write the missing files."""
    for folder in {(out / shard.file).parent for shard in plan.shards} | {out}:
        remove_stale(folder)
    waiting = [shard for shard in plan.shards if not (out / shard.file).exists()]
    tasks = [(out / shard.file, shard.task) for shard in waiting]
    left = sum(shard.task.pairs for shard in waiting)
    done = plan.pairs - left
    on_progress(Progress("exporting", done, plan.pairs, "pairs"))
    useful = workers or min(os.cpu_count() or 1, 1 + left // PAIRS_WORTH_A_PROCESS)
    for position, _ in run_in_processes(LAYOUTS[plan.to].write_shard, tasks, useful):
        done += waiting[position].task.pairs
        on_progress(Progress("exporting", done, plan.pairs, "pairs"))


def _describe(out: Path, plan: ExportPlan) -> ExportedDataset:
    """Return the description of the export, whose files are there."""
    splits: dict[str, list[ExportedShard]] = {}
    for shard in plan.shards:
        size = (out / shard.file).stat().st_size
        splits.setdefault(shard.task.split, []).append(ExportedShard(shard.file, shard.task.pairs, size))
    return ExportedDataset(
        format=EXPORT_FORMAT,
        to=plan.to,
        identity=plan.identity,
        name=plan.about["name"],
        content=plan.about.get("content", ""),
        classes=tuple(plan.about["classes"]),
        splits={split: tuple(shards) for split, shards in splits.items()},
        features=build(FeatureSettings, plan.about["features"], "[features]"),
    )
