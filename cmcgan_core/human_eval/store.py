"""Raters, assignments and answers in SQLite.

Answers are added, never changed or overwritten. An answer carries a revision number: how many answers its question had
before (0 for a first answer). The primary key is (rater, position, revision), so the database itself refuses an answer
that arrives twice because of a double click, a reload or a second tab. WAL with `synchronous=FULL` puts an answer on
disk before `add_answer` returns. Answers that arrive while another one is written share one commit.

What a question costs does not depend on the number of answers: each item keeps its number of ratings, and the items
themselves never change, so they are kept in memory.
"""

import hashlib
import random
import secrets
import sqlite3
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import closing
from dataclasses import asdict, dataclass, fields
from itertools import pairwise
from pathlib import Path
from typing import Any, Self, TypeVar

from cmcgan_core.errors import DataError
from cmcgan_core.human_eval.integrity import check_database
from cmcgan_core.human_eval.study import RatingStudy, StudyPlan
from cmcgan_core.utils.files import atomic_write, explain_write_errors

T = TypeVar("T")

#: For this time after an item is assigned, it counts as rated even without an answer, seconds. After that we assume
#: that the rater has left.
ABANDONED_AFTER = 1800.0

SCHEMA = """
CREATE TABLE items (
    id INTEGER PRIMARY KEY, role TEXT NOT NULL, modality TEXT NOT NULL, pair TEXT NOT NULL, label TEXT NOT NULL,
    model TEXT NOT NULL, rival TEXT NOT NULL, source TEXT NOT NULL, shown TEXT NOT NULL, other TEXT NOT NULL,
    ratings INTEGER NOT NULL DEFAULT 0
);
CREATE TABLE raters (
    id TEXT PRIMARY KEY, token_hash TEXT NOT NULL UNIQUE, language TEXT NOT NULL, consented REAL NOT NULL, started REAL
);
CREATE TABLE assignments (
    rater TEXT NOT NULL REFERENCES raters, position INTEGER NOT NULL, item INTEGER NOT NULL REFERENCES items,
    swapped INTEGER NOT NULL, assigned REAL NOT NULL, answered INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (rater, position), UNIQUE (rater, item)
) WITHOUT ROWID;
CREATE INDEX open_assignments ON assignments (assigned, item) WHERE NOT answered;
CREATE TABLE answers (
    rater TEXT NOT NULL, position INTEGER NOT NULL, revision INTEGER NOT NULL, value INTEGER NOT NULL, seconds REAL,
    replays INTEGER NOT NULL, answered REAL NOT NULL, PRIMARY KEY (rater, position, revision),
    FOREIGN KEY (rater, position) REFERENCES assignments
) WITHOUT ROWID;
CREATE VIEW latest AS SELECT * FROM answers AS a WHERE revision =
    (SELECT max(revision) FROM answers AS b WHERE b.rater = a.rater AND b.position = a.position);
CREATE TABLE secrets (name TEXT PRIMARY KEY, value TEXT NOT NULL);
"""


@dataclass(frozen=True)
class StudyItem:
    """A source and one or two candidates to judge.

    Attributes:
        role: "rated", "check", or "example KIND" with a kind of `Design.examples`.
        modality: modality of the candidates, "picture" or "sound". The source has the other modality.
        pair: name of the real pair that the source comes from.
        label: class of that pair.
        model: name of the model that made the candidate.
        rival: name of the model that made the second candidate, "" without one.
        source: file name of the source. All files are in `RatingStudy.media`.
        shown: file name of the candidate.
        other: file name of the second candidate, "" without one.
    """

    role: str
    modality: str
    pair: str
    label: str
    model: str
    rival: str
    source: str
    shown: str
    other: str = ""


@dataclass(frozen=True)
class Rater:
    """A rater. Nothing personal is stored.

    Attributes:
        id: random number that stands for the rater in exports. It does not reveal the personal link.
        language: language of the pages.
        started: whether the rater has finished the training page.
    """

    id: str
    language: str
    started: bool


@dataclass(frozen=True)
class RatingTask:
    """An item assigned to one rater.

    Attributes:
        position: position in the rater's order, from 0.
        total: number of items that the rater gets.
        item: the item to rate.
        swapped: whether the rival is shown first.
        revision: number of answers that the rater has given at this position.
        value: the latest of those answers, or None.
    """

    position: int
    total: int
    item: StudyItem
    swapped: bool
    revision: int
    value: int | None


@dataclass(frozen=True)
class Answer:
    """A rater's latest answer to an item; a row of an export.

    Attributes:
        rater: the rater's random number.
        position: position in the rater's order, from 0.
        role, modality, pair, label, model, rival: see `StudyItem`.
        value: the answer, one of `Design.values`. A preference does not depend on which candidate was shown first.
        seconds: time from showing the page to answering, or None if unknown.
        replays: number of times that the rater played a sound again.
        revisions: number of answers at this position: 1, or more if the rater corrected the answer.
        answered: time of the answer, seconds since 1970 (UTC).
    """

    rater: str
    position: int
    role: str
    modality: str
    pair: str
    label: str
    model: str
    rival: str
    value: int
    seconds: float | None
    replays: int
    revisions: int
    answered: float


class Store:
    """The database of a study. Any thread may call its methods. Use it as a context manager, or close it.

    Args:
        study: the study folder.

    Attributes:
        total: number of items that each rater gets, attention checks included.

    Raises:
        DataError: the database is damaged, is not the database of a study, or cannot be written.
    """

    def __init__(self, study: RatingStudy) -> None:
        self.plan = study.plan
        self.values = study.design.values
        self._path = study.database
        #: Work that waits for the next commit, with the future of its result.
        self._waiting: deque[tuple[Callable[[], Any], Future[Any]]] = deque()
        self._writing = threading.Lock()
        self._reading = threading.Lock()
        try:
            self._writer = _connect(self._path)
            check_database(self._writer, study, SCHEMA)
            self._reader = _connect(self._path)
            self._items = {row["id"]: _to_item(row) for row in self._rows("SELECT * FROM items ORDER BY id")}
        except (sqlite3.Error, ValueError) as error:
            raise DataError(
                f"{study.database} cannot be used ({error}); make sure that it is writable and on a local disk, or "
                "restore the study from a backup"
            ) from error
        self._checks = min(self.plan.checks_per_rater, self._count_items("check"))
        self.total: int = min(self.plan.per_rater, self._count_items("rated")) + self._checks

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Move all answers from the write-ahead log into the database file, and close it."""
        with self._writing, self._reading:
            self._reader.close()
            self._writer.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            self._writer.close()

    def back_up(self, file: Path) -> None:
        """Write a copy of the database that holds every answer so far. A server may be running meanwhile.

        Args:
            file: the copy. An existing file is replaced when the copy is complete.

        Raises:
            DataError: the file is the database itself, or cannot be written.
        """
        if file.exists() and file.samefile(self._path):
            raise DataError(f"{file} is the study's own database; choose another --out")
        with explain_write_errors(file, DataError, "choose another --out"), atomic_write(file) as temporary:
            try:
                with closing(_connect(self._path)) as source, closing(sqlite3.connect(temporary)) as copy:
                    source.backup(copy)
                    copy.execute("PRAGMA journal_mode=DELETE")  # one file, without a write-ahead log
            except sqlite3.Error as error:
                raise DataError(f"{file} cannot be written ({error}); choose another --out") from error

    def secret(self, name: str) -> str:
        """Return the study's random secret of this name. It is stored, so it survives a restart of the server."""

        def add() -> str:
            self._write("INSERT OR IGNORE INTO secrets VALUES (?, ?)", name, secrets.token_hex(32))
            return str(self._write("SELECT value FROM secrets WHERE name = ?", name).fetchone()["value"])

        return self._commit(add)

    def add_rater(self, language: str) -> str:
        """Add a rater who has consented, and return the token of the personal link."""
        token = secrets.token_urlsafe(18)
        row = (f"r{secrets.token_hex(6)}", _hash(token), language, time.time())
        self._commit(lambda: self._write("INSERT INTO raters VALUES (?, ?, ?, ?, NULL)", *row))
        return token

    def find_rater(self, token: str) -> Rater | None:
        """Return the rater whose personal link has this token, or None."""
        rows = self._rows("SELECT * FROM raters WHERE token_hash = ?", _hash(token))
        return Rater(rows[0]["id"], rows[0]["language"], rows[0]["started"] is not None) if rows else None

    def mark_started(self, rater: Rater) -> None:
        """Record that the rater has finished the training page."""
        query = "UPDATE raters SET started = ? WHERE id = ? AND started IS NULL"
        self._commit(lambda: self._write(query, time.time(), rater.id))

    def examples(self) -> list[StudyItem]:
        """Return the examples of the training page."""
        return [item for item in self._items.values() if item.role.startswith("example ")]

    def next_task(self, rater: Rater) -> RatingTask | None:
        """Return the first unanswered task, or None if all are answered. It stays the same until it is answered."""
        return self._task(rater, self.count_answered(rater))

    def last_task(self, rater: Rater) -> RatingTask | None:
        """Return the task that the rater answered last, for a correction; None before the first answer."""
        return self._task(rater, self.count_answered(rater) - 1)

    def upcoming_task(self, rater: Rater) -> RatingTask | None:
        """Return the task after the next one, for preloading; None if there is none."""
        return self._task(rater, self.count_answered(rater) + 1)

    def add_answer(
        self, rater: Rater, position: int, revision: int, value: int, *, seconds: float | None, replays: int
    ) -> bool:
        """Add an answer to the first unanswered task, or a correction to the task before it.

        Args:
            rater: the rater.
            position: position of the task.
            revision: number of answers that the position had when the page was rendered.
            value: the answer, one of the design's values.
            seconds: time from showing the page to answering, or None if unknown.
            replays: number of times that a sound was played again.

        Returns:
            Whether the answer was added. False if it arrived twice or too late, or is not one of the design's values.
        """

        def add() -> bool:
            done = self._count_answered(self._writer, rater)
            (expected,) = self._write(
                "SELECT coalesce(max(revision) + 1, 0) FROM answers WHERE rater = ? AND position = ?",
                rater.id,
                position,
            ).fetchone()
            if position not in (done, done - 1) or not 0 <= position < self.total or revision != expected:
                return False
            # The next two tasks are assigned too: then the page after this one is shown and preloads without a commit.
            self._assign(rater, min(done + 2, self.total - 1))
            row = (rater.id, position, revision, value, seconds, replays, time.time())
            self._write("INSERT INTO answers VALUES (?, ?, ?, ?, ?, ?, ?)", *row)
            if revision == 0:
                key = (rater.id, position)
                self._write("UPDATE assignments SET answered = 1 WHERE rater = ? AND position = ?", *key)
                self._write(
                    "UPDATE items SET ratings = ratings + 1 "
                    "WHERE id = (SELECT item FROM assignments WHERE rater = ? AND position = ?)",
                    *key,
                )
            return True

        return value in self.values and self._commit(add)

    def answers(self) -> list[Answer]:
        """Return each rater's latest answer to each answered item, attention checks included."""
        rows = self._read_all(
            "SELECT latest.*, revision + 1 AS revisions, role, modality, pair, label, model, rival FROM latest "
            "JOIN assignments USING (rater, position) JOIN items ON id = item ORDER BY latest.answered, rater, position"
        )
        return [Answer(**{column.name: row[column.name] for column in fields(Answer)}) for row in rows]

    def count_values(self) -> list[tuple[StudyItem, int, int]]:
        """Return each rated item with each answer that it got, and the number of raters who gave it."""
        rows = self._read_all(
            "SELECT item, value, count(*) AS n FROM latest JOIN assignments USING (rater, position) "
            "GROUP BY item, value"
        )
        counts = [(self._items[row["item"]], row["value"], row["n"]) for row in rows]
        return [(item, value, number) for item, value, number in counts if item.role == "rated"]

    def ratings_by_item(self) -> list[tuple[StudyItem, int]]:
        """Return every rated item with the number of its answers. Attention checks and examples are left out."""
        rows = self._rows("SELECT id, ratings FROM items WHERE role = 'rated' ORDER BY id")
        return [(self._items[row["id"]], row["ratings"]) for row in rows]

    def answers_by_rater(self) -> list[tuple[str, int]]:
        """Return the id of every rater who consented, with the number of answers."""
        rows = self._read_all(
            "SELECT id, coalesce(sum(answered), 0) AS n FROM raters LEFT JOIN assignments ON rater = id "
            "GROUP BY id ORDER BY consented"
        )
        return [(row["id"], row["n"]) for row in rows]

    def forget(self, rater: str) -> bool:
        """Delete a rater who withdrew, and all their answers. Return whether a rater with this id existed."""

        def delete() -> bool:
            self._write(
                "UPDATE items SET ratings = ratings - 1 "
                "WHERE id IN (SELECT item FROM assignments WHERE rater = ? AND answered)",
                rater,
            )
            for table in ("answers", "assignments"):
                self._write(f"DELETE FROM {table} WHERE rater = ?", rater)
            return self._write("DELETE FROM raters WHERE id = ?", rater).rowcount > 0

        return self._commit(delete)

    def media_names(self) -> frozenset[str]:
        """Return the names of all files that may be served."""
        return frozenset(
            name for item in self._items.values() for name in (item.source, item.shown, item.other) if name
        )

    def count_answered(self, rater: Rater) -> int:
        """Return the number of tasks that a rater has answered."""
        with self._reading:
            return self._count_answered(self._reader, rater)

    def _count_answered(self, connection: sqlite3.Connection, rater: Rater) -> int:
        """Count the answered tasks of a rater. They follow one another from 0, so the last one tells their number."""
        query = "SELECT coalesce(max(position) + 1, 0) FROM answers WHERE rater = ?"
        return int(connection.execute(query, (rater.id,)).fetchone()[0])

    def _task(self, rater: Rater, position: int) -> RatingTask | None:
        """Return the task at a position, or None past the end. Assign an item first if the position has none."""
        if not 0 <= position < self.total:
            return None
        query = (
            "SELECT item, swapped, value, coalesce(revision + 1, 0) AS revisions FROM assignments "
            "LEFT JOIN latest USING (rater, position) WHERE rater = ? AND position = ?"
        )
        rows = self._rows(query, rater.id, position)
        if not rows:
            self._commit(lambda: self._assign(rater, position))
            rows = self._rows(query, rater.id, position)
        row = rows[0]
        item = self._items[row["item"]]
        return RatingTask(position, self.total, item, bool(row["swapped"]), row["revisions"], row["value"])

    def _assign(self, rater: Rater, position: int) -> None:
        """Assign an item to each free position up to this one. Call it within `_commit`."""
        (first,) = self._write("SELECT count(*) FROM assignments WHERE rater = ?", rater.id).fetchone()
        for free in range(first, position + 1):
            rng = random.Random(f"{self.plan.seed} {rater.id} {free}")
            item = self._choose_item(rater, self._role(rater, free), rng)
            self._write(
                "INSERT INTO assignments VALUES (?, ?, ?, ?, ?, 0)",
                rater.id,
                free,
                item,
                int(rng.random() < 0.5),
                time.time(),
            )

    def _role(self, rater: Rater, position: int) -> str:
        """Return the role, "check" or "rated", of the item that belongs at a rater's position."""
        return "check" if position in draw_check_positions(self.plan, rater.id, self.total, self._checks) else "rated"

    def _choose_item(self, rater: Rater, role: str, rng: random.Random) -> int:
        """Return the id of the item with the fewest ratings that the rater may get.

        A rater never gets both directions of a pair: the source of one is a candidate of the other. Break ties by the
        model, then by the pair, that this rater has met least often; then at random.
        """
        met = {row["item"] for row in self._write("SELECT item FROM assignments WHERE rater = ?", rater.id)}
        kinds = Counter(_kind(self._items[number]) for number in met)
        pairs = Counter(self._items[number].pair for number in met)
        directions = {self._items[number].pair: self._items[number].modality for number in met}
        awaited: dict[int, int] = dict(
            self._write(
                "SELECT item, count(*) FROM assignments WHERE NOT answered AND assigned > ? GROUP BY item",
                time.time() - ABANDONED_AFTER,
            ).fetchall()
        )
        order: dict[int, tuple[int, int, int, float]] = {}
        for number, ratings in self._write("SELECT id, ratings FROM items WHERE role = ?", role):
            item = self._items[number]
            if number not in met and directions.get(item.pair, item.modality) == item.modality:
                load = ratings + awaited.get(number, 0)
                order[number] = (load, kinds[_kind(item)], pairs[item.pair], rng.random())
        if not order:
            raise DataError(f"study.db is damaged: rater {rater.id} has more items than there are; restore a backup")
        return min(order, key=order.__getitem__)

    def _count_items(self, role: str) -> int:
        """Return the number of items of a role that every rater can get, with one direction of each pair."""
        counts = Counter((item.pair, item.modality) for item in self._items.values() if item.role == role)
        fewest: dict[str, int] = {}
        for (pair, _), count in counts.items():
            fewest[pair] = min(count, fewest.get(pair, count))
        return sum(fewest.values())

    def _rows(self, query: str, *values: object) -> list[sqlite3.Row]:
        """Run a query that returns few rows. It never waits for a commit."""
        with self._reading:
            return self._reader.execute(query, values).fetchall()

    def _read_all(self, query: str) -> list[sqlite3.Row]:
        """Run a query that may return many rows. It has its own connection, so no rater waits for it."""
        with closing(_connect(self._path)) as connection:
            return connection.execute(query).fetchall()

    def _write(self, query: str, *values: object) -> sqlite3.Cursor:
        """Run a statement of the transaction of `_commit`."""
        return self._writer.execute(query, values)

    def _commit(self, work: Callable[[], T]) -> T:
        """Run work in a transaction, and return its result when it is on disk.

        A commit takes milliseconds. Work that arrives meanwhile waits, and then shares the next commit: the first
        thread that gets the lock does the work of all who wait.
        """
        future: Future[T] = Future()
        self._waiting.append((work, future))
        with self._writing:
            if not future.done():
                self._commit_waiting()
        return future.result()

    def _commit_waiting(self) -> None:
        """Run all waiting work in one transaction, exclusive among processes. Work that fails changes nothing."""
        batch = [self._waiting.popleft() for _ in range(len(self._waiting))]
        results: list[tuple[Callable[[Any], None], Any]] = []
        try:
            self._write("BEGIN IMMEDIATE")
            for work, future in batch:
                self._write("SAVEPOINT work")
                try:
                    results.append((future.set_result, work()))
                except Exception as error:
                    if not self._writer.in_transaction:  # SQLite gave up all work, on a full disk for example
                        raise
                    self._write("ROLLBACK TO work")
                    results.append((future.set_exception, error))
                self._write("RELEASE work")
            self._write("COMMIT")
        except BaseException as error:
            results = [(future.set_exception, error) for _, future in batch]
            if self._writer.in_transaction:
                self._write("ROLLBACK")
        for report, result in results:
            report(result)


def create_database(path: Path, items: Sequence[StudyItem]) -> None:
    """Create a database that holds these items."""
    connection = _connect(path)
    try:
        connection.executescript(SCHEMA)
        columns = [column.name for column in fields(StudyItem)]
        connection.execute("BEGIN")
        connection.executemany(
            f"INSERT INTO items ({', '.join(columns)}) VALUES ({', '.join(f':{name}' for name in columns)})",
            [asdict(item) for item in items],
        )
        connection.execute("COMMIT")
    finally:
        connection.close()


def draw_check_positions(plan: StudyPlan, rater: str, total: int, checks: int) -> list[int]:
    """Return the positions of a rater's attention checks.

    The positions are divided into `checks` intervals of equal length. Each interval gets one check at a random
    position, which depends only on the plan's seed and the rater.

    Args:
        plan: the plan.
        rater: id of the rater.
        total: number of items that the rater gets, checks included.
        checks: number of checks.
    """
    rng = random.Random(f"{plan.seed} {rater} checks")
    edges = [total * number // max(checks, 1) for number in range(checks + 1)]
    return [rng.randrange(low, high) for low, high in pairwise(edges)]


def _connect(path: Path) -> sqlite3.Connection:
    """Open a database in autocommit mode, with durable commits."""
    connection = sqlite3.connect(path, timeout=30, isolation_level=None, check_same_thread=False)
    connection.row_factory = sqlite3.Row
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
        connection.execute(f"PRAGMA {pragma}")
    return connection


def _hash(token: str) -> str:
    """Return the hash under which a personal link's token is stored."""
    return hashlib.sha256(token.encode()).hexdigest()


def _kind(item: StudyItem) -> tuple[str, str, str]:
    """Return what raters compare: the model or the two models of an item, and the modality."""
    return item.model, item.rival, item.modality


def _to_item(row: sqlite3.Row) -> StudyItem:
    return StudyItem(**{column.name: row[column.name] for column in fields(StudyItem)})
