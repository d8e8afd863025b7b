"""Write a prepared dataset from its parts, and verify one. `docs/data.md` describes the format."""

import csv
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cmcgan_core.data.index import READ_ERRORS, Pair, Pairs, explain_read_errors, map_array, read_about, read_index
from cmcgan_core.data.prepare.parts import PartBatch, checksum, read_part, read_part_log
from cmcgan_core.data.prepare.recording import Recording, Skipped
from cmcgan_core.features.settings import FeatureSettings
from cmcgan_core.utils.files import atomic_write
from cmcgan_core.utils.names import to_text
from cmcgan_core.utils.schema import build

#: The number of pairs in a shard.
SHARD_SIZE = 1024


def write_index(out: Path, recordings: Iterable[Recording], parts: Iterable[Path]) -> list[Pair]:
    """Write `index.csv` with a row for each pair, recording after recording, and return its rows.

    Ids and files are written as text, see `utils.names.to_text`, so that every reader gets valid UTF-8.
    """
    rows = []
    for recording, part in zip(recordings, parts, strict=True):
        for start, sound_file, picture_file, digest in read_part_log(part).rows:
            rows.append(
                Pair(
                    id=f"{to_text(recording.id)}_{start:07.3f}",
                    split=recording.split or "",
                    label=recording.label,
                    recording=to_text(recording.id),
                    player=to_text(recording.player),
                    start=round(start, 3),
                    sound_file=to_text(sound_file),
                    picture_file=to_text(picture_file),
                    checksum=digest,
                )
            )
    _write_csv(out / "index.csv", Pair._fields, rows)
    return rows


def write_skipped(out: Path, skipped: Iterable[Skipped]) -> None:
    """Write `skipped.csv`: the files that gave no pairs, and why."""
    _write_csv(out / "skipped.csv", Skipped._fields, skipped)


def read_skipped(out: Path) -> list[Skipped]:
    """Read `skipped.csv`: the files that gave no pairs, and why.

    Raises:
        DataError: the file is missing or damaged.
    """
    with explain_read_errors(out, "skipped.csv"), (out / "skipped.csv").open(encoding="utf-8", newline="") as file:
        return [Skipped(name, reason) for name, reason in csv.reader(file)][1:]


def write_shards(out: Path, parts: Iterable[Path]) -> Iterator[int]:
    """Copy the arrays of all parts, in order, into shards; after each shard, yield the number of pairs written."""
    waiting: list[PartBatch] = []
    pairs, shard = 0, 0
    for batch in (batch for part in parts for batch in read_part(part)):
        waiting.append(batch)
        pairs += len(batch.pictures)
        if pairs >= SHARD_SIZE:
            pictures, spectrograms = _concatenate(waiting)
            _write_shard(out, shard, PartBatch(pictures[:SHARD_SIZE], spectrograms[:SHARD_SIZE]))
            waiting = [PartBatch(pictures[SHARD_SIZE:], spectrograms[SHARD_SIZE:])]
            pairs -= SHARD_SIZE
            shard += 1
            yield shard * SHARD_SIZE
    if pairs:
        rest = _concatenate(waiting)
        _write_shard(out, shard, rest)
        yield shard * SHARD_SIZE + len(rest.pictures)


def check(out: Path) -> list[str]:
    """Verify a prepared dataset, including the checksum of each pair.

    Returns:
        A line for each fault: a missing or damaged file, or pairs that differ from their checksums.

    Raises:
        DataError: the folder is not a prepared dataset, or the dataset has another format version.
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
class _ArrayFormat:
    """The format of one kind of shard file.

    Attributes:
        suffix: the part of the file name after the shard's number.
        shape: the shape of one item.
        dtype: the NumPy type of the values.
    """

    suffix: str
    shape: tuple[int, ...]
    dtype: type


def count_pairs(index: Iterable[Pair]) -> dict[str, dict[str, int]]:
    """Return the number of pairs by split, then by class."""
    counts: dict[str, dict[str, int]] = {}
    for (split, label), count in Counter((pair.split, pair.label) for pair in index).items():
        counts.setdefault(split, {})[label] = count
    return counts


def _check_counts(about: dict[str, Any], index: Pairs) -> list[str]:
    """Compare the numbers of pairs in `dataset.toml` and `index.csv`; return the faults."""
    faults = []
    if len(index) != about["pairs"]:
        faults.append(f"damaged: index.csv has {len(index)} pairs, dataset.toml says {about['pairs']}")
    elif count_pairs(index) != about.get("counts"):
        faults.append("damaged: the counts of index.csv and dataset.toml differ")
    return faults


def _check_shard(out: Path, shard: int, rows: Pairs, settings: FeatureSettings) -> list[str]:
    """Verify the two files of a shard against its rows of the index; return the faults."""
    side = settings.picture_size
    formats = (
        _ArrayFormat("pictures", (side, side, 3), np.uint8),
        _ArrayFormat("spectrograms", (settings.bins, settings.frames), np.float16),
    )
    faults: list[str] = []
    pictures, spectrograms = (
        _check_array(out, f"shards/{shard:05d}.{layout.suffix}.npy", len(rows), layout, faults) for layout in formats
    )
    if pictures is None or spectrograms is None:
        return faults
    wrong = [row.id for i, row in enumerate(rows) if checksum(pictures[i], spectrograms[i]) != row.checksum]
    if wrong:
        names = ", ".join(wrong[:3]) + (", ..." if len(wrong) > 3 else "")
        faults.append(
            f"damaged: shards/{shard:05d}: {len(wrong)} of {len(rows)} pairs differ from their checksum ({names})"
        )
    if bad := [row.id for i, row in enumerate(rows) if np.isnan(spectrograms[i]).any()]:
        faults.append(f"damaged: shards/{shard:05d}: {len(bad)} pairs have values that are not numbers ({bad[0]})")
    return faults


def _check_array(out: Path, name: str, rows: int, layout: _ArrayFormat, faults: list[str]) -> NDArray[Any] | None:
    """Return the array of a shard file; if it is missing or damaged, append that to `faults` and return None."""
    try:
        array = map_array(out / name)
    except FileNotFoundError:
        faults.append(f"missing: {name}")
        return None
    except (OSError, ValueError, EOFError) as error:
        faults.append(f"damaged: {name} ({error})")
        return None
    shape = (rows, *layout.shape)
    if array.shape != shape or array.dtype != layout.dtype:
        faults.append(f"damaged: {name} contains {array.dtype} {array.shape}, not {layout.dtype.__name__} {shape}")
        return None
    return array


def _write_csv(path: Path, columns: Iterable[str], rows: Iterable[Iterable[object]]) -> None:
    """Write a CSV file (UTF-8, LF) atomically."""
    with atomic_write(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(rows)


def _concatenate(batches: list[PartBatch]) -> PartBatch:
    """Return all pairs of some batches as one batch."""
    return PartBatch(np.concatenate([b.pictures for b in batches]), np.concatenate([b.spectrograms for b in batches]))


def _write_shard(out: Path, shard: int, batch: PartBatch) -> None:
    """Write the two files of a shard. The fields of a batch are named like the files' suffixes."""
    for suffix, array in batch._asdict().items():
        with atomic_write(out / "shards" / f"{shard:05d}.{suffix}.npy") as temporary, temporary.open("wb") as file:
            np.save(file, array)
