"""The description and the index of a prepared dataset, `dataset.toml` and `index.csv`, read without torch."""

import csv
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tokenize import TokenError
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from cmcgan_core.errors import ConfigError, DataError
from cmcgan_core.utils.files import error_reason
from cmcgan_core.utils.names import require_classes, require_names
from cmcgan_core.utils.toml import read_toml

#: The version of the format that this code reads and writes.
FORMAT = 2
#: The folder in a dataset that holds what an interrupted `prepare` has finished.
PARTS = ".parts"
#: The keys of dataset.toml that every reader needs, with their types.
REQUIRED_KEYS = {"name": str, "pairs": int, "shard_size": int, "classes": list, "features": dict}
#: The keys of dataset.toml that a dataset may lack, with their types.
OPTIONAL_KEYS = {"content": str, "source": str, "recordings": int, "dropped_silent": int, "counts": dict}
#: The latest start of a pair in its recording, seconds: more than thirty years.
LATEST_START = 1e9
#: The errors that reading a missing or damaged file of a prepared dataset can raise.
READ_ERRORS = (ConfigError, EOFError, OSError, ValueError, csv.Error)


class Pair(NamedTuple):
    """A row of the index. The fields are the columns of index.csv, in their order."""

    id: str  #: recording and start; unique in the dataset
    split: str  #: "train", "validation", "test", or a further split of the source
    label: str  #: class name
    recording: str  #: id of the recording, unique in the dataset
    player: str  #: "" if the source does not name players
    start: float  #: seconds from the start of the recording
    sound_file: str  #: relative to the folder of the source
    picture_file: str  #: relative to the folder of the source
    checksum: str  #: see `data.prepare.parts.checksum`


def read_about(root: Path) -> dict[str, Any]:
    """Read the `dataset.toml` of a prepared dataset.

    Raises:
        DataError: the file is missing, or has another format version.
        ConfigError: the file is not TOML.
        ValueError: the file lacks keys that every reader needs.
    """
    file = root / "dataset.toml"
    if not file.is_file():
        # A folder that exists holds recordings, except if `prepare` was interrupted.
        command = f"{root}" if root.is_dir() and not (root / PARTS).exists() else f"SOURCE --out {root}"
        raise DataError(f"{root} is not a prepared dataset (no dataset.toml); make one with: cmcgan prepare {command}")
    about = read_toml(file)
    if about.get("format") != FORMAT:
        raise DataError(f"{file} has format {about.get('format')}, this cmcgan reads {FORMAT}; prepare it again")
    if lacking := [key for key, kind in REQUIRED_KEYS.items() if not isinstance(about.get(key), kind)]:
        raise ValueError(f"it lacks {', '.join(lacking)}")
    if wrong := [key for key, kind in OPTIONAL_KEYS.items() if key in about and not isinstance(about[key], kind)]:
        raise ValueError(f"{wrong[0]} is of a wrong type")
    if about["shard_size"] < 1:
        raise ValueError(f"its shard_size is {about['shard_size']}")
    if not all(isinstance(name, str) for name in about["classes"]):
        raise ValueError("its classes are not texts")
    require_classes(about["classes"])
    return about


def read_index(root: Path) -> list[Pair]:
    """Read the `index.csv` of a prepared dataset.

    Raises:
        OSError: the file cannot be read.
        csv.Error, ValueError: the file has other columns, has a line that is incomplete, is not UTF-8 text, or names a
            class or a split that cannot be the name of a folder.
    """
    start = Pair._fields.index("start")
    with (root / "index.csv").open(encoding="utf-8", newline="") as lines:
        rows = csv.reader(lines, strict=True)
        if tuple(next(rows, ())) != Pair._fields:
            raise ValueError("its first line does not name its columns")
        index = []
        for line in rows:
            row: list[Any] = line
            if len(row) != len(Pair._fields):
                raise ValueError(f"line {rows.line_num} has {len(row)} columns, not {len(Pair._fields)}")
            row[start] = float(row[start])
            if not 0 <= row[start] <= LATEST_START:
                raise ValueError(f"line {rows.line_num} starts at {row[start]} s")
            index.append(Pair._make(row))
    require_names(sorted({pair.label for pair in index}), "class")
    require_names(sorted({pair.split for pair in index if pair.split}), "split")
    return index


def map_array(file: Path) -> NDArray[Any]:
    """Memory-map an array in NumPy's format; nothing is unpickled.

    Raises:
        OSError: the file cannot be read.
        ValueError: it is not such a file.
    """
    try:
        array: NDArray[Any] = np.lib.format.open_memmap(file, mode="r")
    except (ArithmeticError, LookupError, MemoryError, RecursionError, SyntaxError, TokenError, TypeError) as error:
        raise ValueError("its header is damaged") from error
    return array


@contextmanager
def explain_read_errors(root: Path, name: str) -> Iterator[None]:
    """Turn the errors of a missing or damaged file into a `DataError` that names the file and the next command."""
    try:
        yield
    except READ_ERRORS as error:
        raise DataError(
            f"{root / name} cannot be read ({error_reason(error)}); see: cmcgan prepare --check {root}"
        ) from error
