"""The description and the index of a prepared dataset, `dataset.toml` and `index.csv`, read without torch."""

import csv
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tokenize import TokenError
from typing import Any, NamedTuple, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cmcgan_core.errors import ConfigError, DataError
from cmcgan_core.utils.batches import in_batches
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
#: The number of rows of the index that are read together: few enough for the cache of the processor.
ROWS_READ = 256


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


class NamesColumn(NamedTuple):
    """A column of an index whose values repeat: each different value once, and its number for each row."""

    names: tuple[str, ...]  #: the values, in the order in which they first occur in the file
    numbers: NDArray[np.int32]  #: (N,) positions in `names`


class _TextsColumn(NamedTuple):
    """A column of an index whose values differ: all values in one string of bytes."""

    content: bytearray  #: UTF-8
    ends: NDArray[np.int64]  #: (N + 1,) where each value ends, after a zero

    def text(self, row: int) -> str:
        """Return the value of a row."""
        return self.content[self.ends[row] : self.ends[row + 1]].decode()


class _Columns(NamedTuple):
    """The columns of an index. The fields are those of `Pair`."""

    id: _TextsColumn
    split: NamesColumn
    label: NamesColumn
    recording: NamesColumn
    player: NamesColumn
    start: NDArray[np.float64]
    sound_file: _TextsColumn
    picture_file: _TextsColumn
    checksum: _TextsColumn


class Pairs(Sequence[Pair]):
    """Rows of an index, as a sequence of `Pair`.

    The rows are kept in columns, and a `Pair` is made when it is asked for: a million objects would take a gigabyte.

    Args:
        columns: the columns of the whole index.
        rows: positions (N,) in the whole index.
    """

    def __init__(self, columns: _Columns, rows: NDArray[np.int64]) -> None:
        self._columns, self._rows = columns, rows

    def __len__(self) -> int:
        return len(self._rows)

    @overload
    def __getitem__(self, item: int) -> Pair: ...
    @overload
    def __getitem__(self, item: slice) -> "Pairs": ...
    def __getitem__(self, item: int | slice) -> "Pair | Pairs":
        if isinstance(item, slice):
            return self.take(self._rows[item])
        return self._pair(int(self._rows[item]))

    def __iter__(self) -> Iterator[Pair]:
        return map(self._pair, self._rows.tolist())

    def take(self, rows: NDArray[np.int64]) -> "Pairs":
        """Return the pairs at positions (N,) in the whole index."""
        return Pairs(self._columns, rows)

    def names(self, column: str) -> NamesColumn:
        """Return the column "split", "label", "recording" or "player". `names` are those of the whole index."""
        whole: NamesColumn = getattr(self._columns, column)
        return NamesColumn(whole.names, whole.numbers[self._rows])

    @property
    def starts(self) -> NDArray[np.float64]:
        """The start of each pair in its recording (N,), seconds."""
        return self._columns.start[self._rows]

    def _pair(self, row: int) -> Pair:
        """Return the pair at a position in the whole index."""
        columns = self._columns
        return Pair(
            columns.id.text(row),
            columns.split.names[columns.split.numbers[row]],
            columns.label.names[columns.label.numbers[row]],
            columns.recording.names[columns.recording.numbers[row]],
            columns.player.names[columns.player.numbers[row]],
            float(columns.start[row]),
            columns.sound_file.text(row),
            columns.picture_file.text(row),
            columns.checksum.text(row),
        )


class _NamesBuilder:
    """Collects a column whose values repeat."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}
        self._blocks = [np.zeros(0, np.int32)]

    def add(self, values: Sequence[str]) -> None:
        """Append the values of some rows."""
        numbers = self._numbers
        self._blocks.append(np.array([numbers.setdefault(value, len(numbers)) for value in values], np.int32))

    def column(self) -> NamesColumn:
        """Return the column."""
        return NamesColumn(tuple(self._numbers), np.concatenate(self._blocks))


class _TextsBuilder:
    """Collects a column whose values differ."""

    def __init__(self) -> None:
        self._content = bytearray()
        self._sizes = [np.zeros(1, np.int64)]

    def add(self, values: Sequence[str]) -> None:
        """Append the values of some rows."""
        content = "".join(values)
        # Encoding each value takes longer; a value of ASCII has as many bytes as characters.
        lengths = map(len, values) if content.isascii() else (len(value.encode()) for value in values)
        self._content += content.encode()
        self._sizes.append(np.fromiter(lengths, np.int64, len(values)))

    def column(self) -> _TextsColumn:
        """Return the column."""
        return _TextsColumn(self._content, np.concatenate(self._sizes).cumsum())


class _StartsBuilder:
    """Collects the column of starts."""

    def __init__(self) -> None:
        self._blocks = [np.zeros(0)]

    def add(self, values: Sequence[float]) -> None:
        """Append the values of some rows."""
        self._blocks.append(np.array(values))

    def column(self) -> NDArray[np.float64]:
        """Return the column."""
        return np.concatenate(self._blocks)


def number_in_order(values: ArrayLike) -> NDArray[np.int64]:
    """Number values (N,) by their first occurrence: the first value gets 0, the next different one 1, and so on."""
    _, first, inverse = np.unique(values, return_index=True, return_inverse=True)
    numbers = np.empty(len(first), np.int64)
    numbers[first.argsort()] = np.arange(len(first))
    return numbers[inverse]


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


def read_index(root: Path) -> Pairs:
    """Read the `index.csv` of a prepared dataset.

    Raises:
        OSError: the file cannot be read.
        csv.Error, ValueError: the file has other columns, has a line that is incomplete, is not UTF-8 text, or names a
            class or a split that cannot be the name of a folder.
    """
    repeated = ("split", "label", "recording", "player")
    kinds = {**dict.fromkeys(repeated, _NamesBuilder), "start": _StartsBuilder}
    builders: list[Any] = [kinds.get(field, _TextsBuilder)() for field in Pair._fields]
    with (root / "index.csv").open(encoding="utf-8", newline="") as lines:
        for rows in in_batches(_read_rows(lines), ROWS_READ):
            for builder, values in zip(builders, zip(*rows, strict=True), strict=True):
                builder.add(values)
    columns = _Columns(*(builder.column() for builder in builders))
    require_names(sorted(columns.label.names), "class")
    require_names(sorted(filter(None, columns.split.names)), "split")
    return Pairs(columns, np.arange(len(columns.start)))


def _read_rows(lines: Iterable[str]) -> Iterator[list[Any]]:
    """Yield the rows of an index after the first: texts, and the start as a number.

    Raises:
        csv.Error, ValueError: the file has other columns, a line is incomplete, or a start is out of range.
    """
    width, start = len(Pair._fields), Pair._fields.index("start")
    rows = csv.reader(lines, strict=True)
    if tuple(next(rows, ())) != Pair._fields:
        raise ValueError("its first line does not name its columns")
    for line in rows:
        row: list[Any] = line
        if len(row) != width:
            raise ValueError(f"line {rows.line_num} has {len(row)} columns, not {width}")
        row[start] = float(row[start])
        if not 0 <= row[start] <= LATEST_START:
            raise ValueError(f"line {rows.line_num} starts at {row[start]} s")
        yield row


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
