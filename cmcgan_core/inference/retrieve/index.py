"""The index: the embeddings of files, kept in a cache folder, so that a file is embedded only once.

There is one SQLite database for each checkpoint. SQLite writes each transaction completely or not at all, so a process
that is killed loses only what it has not saved, and several processes can use an index at the same time.

The table `files` says which content each path had when it was last seen, and the size and the time by which a change
is recognised. The table `embeddings` has the embeddings of each content. So a file that is moved or copied is not
embedded again.
"""

import os
import sqlite3
import zlib
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from cmcgan_core.errors import DataError
from cmcgan_core.inference.retrieve.embedding import Embeddings
from cmcgan_core.modality import Modality
from cmcgan_core.utils.batches import in_batches
from cmcgan_core.utils.files import error_reason

#: Environment variable with the folder of the indexes.
VARIABLE = "CMCGAN_INDEX"
#: Version of the tables and of how files are embedded. It is part of the file name, so another version is not read.
FORMAT = 1
#: Seconds to wait for another process that writes the index.
PATIENCE_SECONDS = 60.0
#: Values that are looked up by one query. SQLite allows 32,766.
PER_QUERY = 1000
#: Embeddings that are read at once.
BLOCK = 16_384
#: Types in which numbers are stored. In 16 bits, a cosine similarity is wrong by less than 0.001.
STARTS, VECTORS = np.dtype("<f4"), np.dtype("<f2")

#: The stored names of the modalities.
_LETTERS = {modality: modality.letter.encode() for modality in Modality}
_MODALITIES = {letter: modality for modality, letter in _LETTERS.items()}

#: Large pages hold several large embeddings each.
TABLES = """
PRAGMA page_size = 32768;
CREATE TABLE IF NOT EXISTS files (path BLOB PRIMARY KEY, size INTEGER, modified INTEGER, content BLOB) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS embeddings (
    content BLOB, modality BLOB, count INTEGER, starts BLOB, vectors BLOB, checksum INTEGER
);
CREATE UNIQUE INDEX IF NOT EXISTS by_content ON embeddings (content, modality);
"""


class IndexDamagedError(DataError):
    """An index file is damaged; it can be deleted and built again.

    Attributes:
        path: the file.
    """

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(f"{path}: the index is damaged ({reason})")
        self.path = path


class FileState(NamedTuple):
    """What a file was when it was last seen. `size` and `modified` tell whether it has changed since."""

    size: int  #: bytes
    modified: int  #: nanoseconds
    content: bytes  #: hash of kind and content


class Block(NamedTuple):
    """The embeddings of several contents. A content with sound and pictures has two entries."""

    contents: list[bytes]  #: of each entry
    modalities: list[Modality]  #: of each entry
    counts: list[int]  #: number of embeddings of each entry
    embeddings: Embeddings  #: of all entries


def default_folder() -> Path:
    """Return the folder of the indexes: that of `VARIABLE`, else `cmcgan/index` in the user's cache folder."""
    if named := os.environ.get(VARIABLE):
        return Path(named)
    cache = os.environ.get("XDG_CACHE_HOME")
    return (Path(cache) if cache else Path.home() / ".cache") / "cmcgan" / "index"


class Index:
    """The embeddings by one checkpoint.

    Attributes:
        path: the database; the index may be in memory instead.
        note: why the index is in memory, and so will be lost; "" if it is saved.
    """

    def __init__(self, path: Path, connection: sqlite3.Connection, note: str = "") -> None:
        self.path, self.note = path, note
        self._connection = connection

    def states(self, paths: Iterable[Path]) -> dict[Path, FileState]:
        """Return the last states of those files whose embeddings are known."""
        states: dict[Path, FileState] = {}
        for batch in in_batches(paths, PER_QUERY):
            keys = {_key(path): path for path in batch}
            found = self._connection.execute(
                f"SELECT path, size, modified, content FROM files WHERE path IN ({_marks(keys)})"
                " AND EXISTS (SELECT 1 FROM embeddings WHERE embeddings.content = files.content)",
                list(keys),
            )
            states |= {keys[key]: FileState(*state) for key, *state in found}
        return states

    def has(self, content: bytes) -> bool:
        """Return whether the embeddings of a content are known."""
        rows = self._connection.execute("SELECT 1 FROM embeddings WHERE content = ?", (content,))
        return rows.fetchone() is not None

    def save(self, files: Mapping[Path, FileState], embeddings: Mapping[bytes, Mapping[Modality, Embeddings]]) -> None:
        """Save states of files, and the embeddings of new contents, in one transaction."""
        with self._connection:
            self._connection.executemany(
                "INSERT OR REPLACE INTO embeddings VALUES (?, ?, ?, ?, ?, ?)",
                [row for content, found in embeddings.items() for row in _rows(content, found)],
            )
            self._connection.executemany(
                "INSERT OR REPLACE INTO files VALUES (?, ?, ?, ?)",
                [(_key(path), *state) for path, state in files.items()],
            )

    def remove_missing(self, folders: Iterable[Path], files: Iterable[Path]) -> None:
        """Remove the files below folders that have gone, and contents that no file has any more.

        Args:
            folders: the folders.
            files: files that are known to exist, so they need not be checked.
        """
        kept = {_key(path) for path in files}
        with self._connection:
            for folder in folders:
                first = _key(folder).rstrip(b"/") + b"/"
                # All paths that begin with `first` are smaller than this: "0" follows "/".
                end = first[:-1] + b"0"
                stored = self._connection.execute("SELECT path FROM files WHERE path > ? AND path < ?", (first, end))
                gone = [
                    (path,)
                    for (path,) in stored.fetchall()
                    if path not in kept and not Path(os.fsdecode(path)).exists()
                ]
                self._connection.executemany("DELETE FROM files WHERE path = ?", gone)
            if self._connection.total_changes:
                self._connection.execute("DELETE FROM embeddings WHERE content NOT IN (SELECT content FROM files)")

    def blocks(self, contents: Collection[bytes]) -> Iterator[Block]:
        """Yield the embeddings of contents, about `BLOCK` at a time.

        Raises:
            IndexDamagedError: their checksum is wrong.
        """
        rows: list[tuple[bytes, bytes, int, bytes, bytes]] = []
        size = 0
        for content, *stored, checksum in self._stored_rows(contents):
            letter, count, starts, vectors = stored
            if _checksum(letter, starts, vectors) != checksum:
                raise IndexDamagedError(self.path, "a checksum is wrong")
            rows.append((content, letter, count, starts, vectors))
            size += count
            if size >= BLOCK:
                yield _make_block(rows)
                rows, size = [], 0
        if rows:
            yield _make_block(rows)

    def _stored_rows(self, contents: Collection[bytes]) -> Iterator[tuple[Any, ...]]:
        """Yield the rows of contents that have embeddings."""
        columns = "SELECT content, modality, count, starts, vectors, checksum FROM embeddings WHERE count > 0"
        (total,) = self._connection.execute("SELECT count(*) FROM embeddings").fetchone()
        if 2 * len(contents) > total:  # To read the whole table in its order is twice as fast.
            yield from (row for row in self._connection.execute(columns) if row[0] in contents)
            return
        for batch in in_batches(contents, PER_QUERY):
            yield from self._connection.execute(f"{columns} AND content IN ({_marks(batch)})", batch)


@contextmanager
def open_index(folder: Path, fingerprint: str) -> Iterator[Index]:
    """Open the index of a checkpoint, and close it at the end of the block.

    If the folder cannot be written, the index is in memory; it begins with what the folder already has.

    Args:
        folder: folder of the indexes; it is created if it is missing.
        fingerprint: hash of the checkpoint.

    Raises:
        IndexDamagedError: the block, or opening, finds that the file is damaged.
        DataError: the index cannot be written, for example because the disk is full.
    """
    path = folder / f"{fingerprint[:32]}.v{FORMAT}.sqlite"
    with _explained(path):
        index = _open_or_copy(path)
        with closing(index._connection):
            yield index


def delete_index(path: Path) -> None:
    """Delete a damaged index.

    Raises:
        DataError: it cannot be deleted.
    """
    try:
        path.unlink(missing_ok=True)
        path.with_name(path.name + "-journal").unlink(missing_ok=True)
    except OSError as error:
        raise DataError(
            f"{path} cannot be deleted ({error_reason(error, path)}); name another folder with --index"
        ) from error


def _open_or_copy(path: Path) -> Index:
    """Return the index in a file, or in memory if the file cannot be written."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return Index(path, _connect(path))
    except (OSError, sqlite3.OperationalError) as error:
        if _tells_of_damage(error):
            raise
        connection = sqlite3.connect(":memory:")
        with suppress(sqlite3.OperationalError), closing(_connect_to_read(path)) as saved:
            saved.backup(connection)
        connection.executescript(TABLES)
        reason = error_reason(error, path)
        return Index(path, connection, f"{path} cannot be written ({reason}), so new embeddings are not kept")


def _connect(path: Path) -> sqlite3.Connection:
    """Return a connection to a database that can be written; create its tables if they are missing.

    Raises:
        sqlite3.OperationalError: the file cannot be written.
    """
    connection = sqlite3.connect(path, timeout=PATIENCE_SECONDS)
    try:
        connection.executescript(TABLES)
        # Only writing tells whether the file and its folder can be written, where SQLite puts its journal.
        connection.execute(f"PRAGMA user_version = {FORMAT}")
    except BaseException:
        connection.close()
        raise
    return connection


def _connect_to_read(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro&immutable=1", uri=True)


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    """Turn errors of SQLite in the block into errors that name the index."""
    try:
        yield
    except sqlite3.DatabaseError as error:
        if _tells_of_damage(error):
            raise IndexDamagedError(path, str(error)) from error
        raise DataError(f"{path}: the index cannot be used ({error}); name another folder with --index") from error


def _tells_of_damage(error: Exception) -> bool:
    """Return whether an error is due to the content of the file. A logic error means that its tables are wrong."""
    # The primary code is in the lowest byte.
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    return code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_ERROR)


def _key(path: Path) -> bytes:
    """Return the absolute path as bytes, because names of files need not be valid text."""
    return os.fsencode(os.path.abspath(path))  # noqa: PTH100 - Path.absolute keeps ".."


def _rows(content: bytes, found: Mapping[Modality, Embeddings]) -> Iterator[Sequence[object]]:
    """Yield the rows of a content; a content without embeddings, as of silence, has one with count 0."""
    if not found:
        yield content, b"", 0, b"", b"", 0
    for modality, (starts, vectors) in found.items():
        letter, *stored = _LETTERS[modality], starts.astype(STARTS).tobytes(), vectors.astype(VECTORS).tobytes()
        yield content, letter, len(starts), *stored, _checksum(letter, *stored)


def _make_block(rows: Sequence[tuple[bytes, bytes, int, bytes, bytes]]) -> Block:
    """Join rows of content, letter of the modality, count, starts and vectors."""
    contents, letters, counts, starts, vectors = map(list, zip(*rows, strict=True))
    joined = np.frombuffer(b"".join(vectors), VECTORS).reshape(sum(counts), -1).astype(np.float32)
    modalities = [_MODALITIES[letter] for letter in letters]
    return Block(contents, modalities, counts, Embeddings(np.frombuffer(b"".join(starts), STARTS), joined))


def _marks(values: Collection[object]) -> str:
    """Return the question marks of a query for values."""
    return ",".join("?" * len(values))


def _checksum(*parts: bytes) -> int:
    return zlib.crc32(b"".join(parts))
