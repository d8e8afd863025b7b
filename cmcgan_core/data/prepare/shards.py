"""The prepared dataset on disk, written from parts and verified; `docs/data.md` describes the format."""

import csv
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cmcgan_core.data.dataset import READ_ERRORS, Pair, explain_read_errors, read_about, read_index
from cmcgan_core.data.prepare.parts import PartBatch, checksum, read_log, read_part
from cmcgan_core.data.prepare.recording import Recording, Skipped
from cmcgan_core.features.settings import FeatureSettings
from cmcgan_core.utils.files import atomic_write
from cmcgan_core.utils.schema import build

#: Pairs in a shard.
SHARD_SIZE = 1024


def write_index(out: Path, recordings: Iterable[Recording], parts: Iterable[Path]) -> list[Pair]:
    """Write `index.csv`, a row for each pair, recording after recording; returns its rows."""
    rows = []
    for recording, part in zip(recordings, parts, strict=True):
        for start, sound_file, picture_file, digits in read_log(part).rows:
            name = f"{recording.id}_{start:07.3f}"
            rows.append(
                Pair(
                    name,
                    recording.split or "",
                    recording.label,
                    recording.id,
                    recording.player,
                    round(start, 3),
                    sound_file,
                    picture_file,
                    digits,
                )
            )
    _write_csv(out / "index.csv", Pair._fields, rows)
    return rows


def write_skipped(out: Path, skipped: Iterable[Skipped]) -> None:
    """Write `skipped.csv`: the files that gave no pairs, and why."""
    _write_csv(out / "skipped.csv", Skipped._fields, skipped)


def read_skipped(out: Path) -> list[Skipped]:
    """The files that gave no pairs, and why."""
    with explain_read_errors(out, "skipped.csv"), (out / "skipped.csv").open(encoding="utf-8", newline="") as file:
        return [Skipped(name, reason) for name, reason in csv.reader(file)][1:]


def write_shards(out: Path, parts: Iterable[Path]) -> Iterator[int]:
    """Copy the arrays of all parts, one after the other, into shards; yields the number of pairs after each shard."""
    waiting: list[PartBatch] = []
    shard = 0
    for batch in (batch for part in parts for batch in read_part(part)):
        waiting.append(batch)
        if sum(len(b.pictures) for b in waiting) >= SHARD_SIZE:
            pictures, spectrograms = _joined(waiting)
            _write_shard(out, shard, PartBatch(pictures[:SHARD_SIZE], spectrograms[:SHARD_SIZE]))
            waiting = [PartBatch(pictures[SHARD_SIZE:], spectrograms[SHARD_SIZE:])]
            shard += 1
            yield shard * SHARD_SIZE
    if waiting and len((rest := _joined(waiting)).pictures):
        _write_shard(out, shard, rest)
        yield shard * SHARD_SIZE + len(rest.pictures)


def check(out: Path) -> list[str]:
    """What is wrong with a prepared dataset, a line each: files missing or damaged, pairs unlike their checksums.

    Raises:
        DataError: it is no prepared dataset, or one of another version.
    """
    try:
        about = read_about(out)
        settings = build(FeatureSettings, about["features"], "[features]")
    except READ_ERRORS as error:
        return [f"damaged: dataset.toml ({error}); make it again with --overwrite"]
    try:
        index = read_index(out)
    except FileNotFoundError:
        return ["missing: index.csv"]
    except READ_ERRORS as error:
        return [f"damaged: index.csv ({error})"]
    faults = _check_counts(about, index)
    size = int(about["shard_size"])
    for shard, first in enumerate(range(0, len(index), size)):
        faults += _check_shard(out, shard, index[first : first + size], settings)
    return faults


@dataclass(frozen=True)
class _Kind:
    suffix: str
    shape: tuple[int, ...]
    dtype: type


def _check_counts(about: dict[str, Any], index: list[Pair]) -> list[str]:
    counts: dict[str, dict[str, int]] = {}
    for (split, label), count in Counter((pair.split, pair.label) for pair in index).items():
        counts.setdefault(split, {})[label] = count
    faults = []
    if len(index) != about["pairs"]:
        faults.append(f"damaged: index.csv has {len(index)} pairs, dataset.toml says {about['pairs']}")
    elif counts != about.get("counts"):
        faults.append("damaged: the counts of index.csv and dataset.toml differ")
    return faults


def _check_shard(out: Path, shard: int, rows: list[Pair], settings: FeatureSettings) -> list[str]:
    side = settings.picture_size
    kinds = (
        _Kind("pictures", (side, side, 3), np.uint8),
        _Kind("spectrograms", (settings.bins, settings.frames), np.float16),
    )
    faults: list[str] = []
    arrays = [_check_array(out, f"shards/{shard:05d}.{kind.suffix}.npy", len(rows), kind, faults) for kind in kinds]
    pictures, spectrograms = arrays
    if pictures is None or spectrograms is None:
        return faults
    wrong = [row.id for i, row in enumerate(rows) if checksum(pictures[i], spectrograms[i]) != row.checksum]
    if wrong:
        names = ", ".join(wrong[:3]) + (", ..." if len(wrong) > 3 else "")
        faults.append(
            f"damaged: shards/{shard:05d}: {len(wrong)} of {len(rows)} pairs differ from their checksum ({names})"
        )
    return faults


def _check_array(out: Path, name: str, rows: int, kind: _Kind, faults: list[str]) -> NDArray[Any] | None:
    """The array of a shard file, or None where it is missing or damaged, which is added to the faults."""
    try:
        array: NDArray[Any] = np.load(out / name, mmap_mode="r", allow_pickle=False)
    except FileNotFoundError:
        faults.append(f"missing: {name}")
        return None
    except (OSError, ValueError, EOFError) as error:
        faults.append(f"damaged: {name} ({error})")
        return None
    if array.shape != (rows, *kind.shape) or array.dtype != kind.dtype:
        faults.append(
            f"damaged: {name} holds {array.dtype} {array.shape}, not {kind.dtype.__name__} {(rows, *kind.shape)}"
        )
        return None
    return array


def _write_csv(path: Path, columns: Iterable[str], rows: Iterable[Iterable[object]]) -> None:
    with atomic_write(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(rows)


def _joined(batches: list[PartBatch]) -> PartBatch:
    return PartBatch(np.concatenate([b.pictures for b in batches]), np.concatenate([b.spectrograms for b in batches]))


def _write_shard(out: Path, shard: int, arrays: PartBatch) -> None:
    for suffix, array in arrays._asdict().items():
        with atomic_write(out / "shards" / f"{shard:05d}.{suffix}.npy") as temporary, temporary.open("wb") as file:
            np.save(file, array)
