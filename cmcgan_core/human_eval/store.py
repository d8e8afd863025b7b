"""Raters, assignments and answers in SQLite.

Answers are added, never changed or overwritten. An answer carries a revision number: how many answers its question had
before (0 for a first answer). The primary key is (rater, position, revision), so the database itself refuses an answer
that arrives twice because of a double click, a reload or a second tab. WAL with `synchronous=FULL` puts an answer on
disk before `add_answer` returns.
"""

import hashlib
import random
import secrets
import sqlite3
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from itertools import pairwise
from pathlib import Path

from cmcgan_core.errors import DataError
from cmcgan_core.human_eval.integrity import check_database
from cmcgan_core.human_eval.study import RatingStudy, StudyPlan

#: For this time after an item is assigned, it counts as rated even without an answer, seconds. After that we assume
#: that the rater has left.
ABANDONED_AFTER = 1800.0

SCHEMA = """
CREATE TABLE items (
    id INTEGER PRIMARY KEY, role TEXT NOT NULL, modality TEXT NOT NULL, pair TEXT NOT NULL, label TEXT NOT NULL,
    model TEXT NOT NULL, rival TEXT NOT NULL, source TEXT NOT NULL, shown TEXT NOT NULL, other TEXT NOT NULL
);
CREATE TABLE raters (
    id TEXT PRIMARY KEY, token_hash TEXT NOT NULL UNIQUE, language TEXT NOT NULL, consented REAL NOT NULL, started REAL
);
CREATE TABLE assignments (
    rater TEXT NOT NULL REFERENCES raters, position INTEGER NOT NULL, item INTEGER NOT NULL REFERENCES items,
    swapped INTEGER NOT NULL, assigned REAL NOT NULL, PRIMARY KEY (rater, position), UNIQUE (rater, item)
);
CREATE INDEX assignments_item ON assignments (item);
CREATE TABLE answers (
    rater TEXT NOT NULL, position INTEGER NOT NULL, revision INTEGER NOT NULL, value INTEGER NOT NULL, seconds REAL,
    replays INTEGER NOT NULL, answered REAL NOT NULL, PRIMARY KEY (rater, position, revision),
    FOREIGN KEY (rater, position) REFERENCES assignments
);
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
    """The database of a study. A lock guards its one connection, so any thread may call its methods.

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
        self._lock = threading.RLock()
        try:
            self._connection = _connect(study.database)
            check_database(self._connection, study, SCHEMA)
            roles = Counter(row["role"] for row in self._rows("SELECT role FROM items"))
        except (sqlite3.Error, ValueError) as error:
            raise DataError(
                f"{study.database} cannot be used ({error}); make sure that it is writable and on a local disk, or "
                "restore the study from a backup"
            ) from error
        self._checks = min(self.plan.checks_per_rater, roles["check"])
        self.total: int = min(self.plan.per_rater, roles["rated"]) + self._checks

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def secret(self, name: str) -> str:
        """Return the study's random secret of this name. It is stored, so it survives a restart of the server."""
        with self._transaction():
            self._connection.execute("INSERT OR IGNORE INTO secrets VALUES (?, ?)", (name, secrets.token_hex(32)))
            return str(self._rows("SELECT value FROM secrets WHERE name = ?", name)[0]["value"])

    def add_rater(self, language: str) -> str:
        """Add a rater who has consented, and return the token of the personal link."""
        token = secrets.token_urlsafe(18)
        with self._transaction():
            self._connection.execute(
                "INSERT INTO raters VALUES (?, ?, ?, ?, NULL)",
                (f"r{secrets.token_hex(6)}", _hash(token), language, time.time()),
            )
        return token

    def find_rater(self, token: str) -> Rater | None:
        """Return the rater whose personal link has this token, or None."""
        rows = self._rows("SELECT * FROM raters WHERE token_hash = ?", _hash(token))
        return Rater(rows[0]["id"], rows[0]["language"], rows[0]["started"] is not None) if rows else None

    def mark_started(self, rater: Rater) -> None:
        """Record that the rater has finished the training page."""
        with self._transaction():
            self._connection.execute(
                "UPDATE raters SET started = ? WHERE id = ? AND started IS NULL", (time.time(), rater.id)
            )

    def examples(self) -> list[StudyItem]:
        """Return the examples of the training page."""
        return [_to_item(row) for row in self._rows("SELECT * FROM items WHERE role LIKE 'example %' ORDER BY id")]

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
        with self._transaction():
            done = self.count_answered(rater)
            answers_so_far = self._rows(
                "SELECT count(*) AS n FROM answers WHERE rater = ? AND position = ?", rater.id, position
            )[0]["n"]
            if position not in (done, done - 1) or not 0 <= position < self.total or revision != answers_so_far:
                return False
            if value not in self.values or self._task(rater, position) is None:
                return False
            row = (rater.id, position, revision, value, seconds, replays, time.time())
            self._connection.execute("INSERT INTO answers VALUES (?, ?, ?, ?, ?, ?, ?)", row)
        return True

    def answers(self) -> list[Answer]:
        """Return each rater's latest answer to each answered item, attention checks included."""
        rows = self._rows(
            "SELECT *, revision + 1 AS revisions FROM latest JOIN assignments USING (rater, position) "
            "JOIN items ON items.id = item ORDER BY answered, rater, position"
        )
        return [Answer(**{column.name: row[column.name] for column in fields(Answer)}) for row in rows]

    def ratings_by_item(self) -> list[tuple[StudyItem, int]]:
        """Return every rated item with the number of its answers. Attention checks and examples are left out."""
        rows = self._rows(
            "SELECT items.*, count(latest.rater) AS n FROM items LEFT JOIN assignments ON item = items.id "
            "LEFT JOIN latest USING (rater, position) WHERE role = 'rated' GROUP BY items.id ORDER BY items.id"
        )
        return [(_to_item(row), row["n"]) for row in rows]

    def answers_by_rater(self) -> list[tuple[str, int]]:
        """Return the id of every rater who consented, with the number of answers."""
        rows = self._rows(
            "SELECT id, count(latest.rater) AS n FROM raters LEFT JOIN latest ON rater = id "
            "GROUP BY id ORDER BY consented"
        )
        return [(row["id"], row["n"]) for row in rows]

    def forget(self, rater: str) -> bool:
        """Delete a rater who withdrew, and all their answers. Return whether a rater with this id existed."""
        with self._transaction():
            for table in ("answers", "assignments"):
                self._connection.execute(f"DELETE FROM {table} WHERE rater = ?", (rater,))
            return self._connection.execute("DELETE FROM raters WHERE id = ?", (rater,)).rowcount > 0

    def media_names(self) -> frozenset[str]:
        """Return the names of all files that may be served."""
        rows = self._rows("SELECT source, shown, other FROM items")
        return frozenset(name for row in rows for name in row if name)

    def count_answered(self, rater: Rater) -> int:
        """Return the number of tasks that a rater has answered."""
        return int(self._rows("SELECT count(DISTINCT position) AS n FROM answers WHERE rater = ?", rater.id)[0]["n"])

    def _task(self, rater: Rater, position: int) -> RatingTask | None:
        """Return the task at a position, or None past the end. Assign an item first if the position has none."""
        if not 0 <= position < self.total:
            return None
        query = (
            "SELECT items.*, swapped, value, coalesce(revision + 1, 0) AS revisions FROM assignments "
            "JOIN items ON items.id = item LEFT JOIN latest USING (rater, position) WHERE rater = ? AND position = ?"
        )
        rows = self._rows(query, rater.id, position)
        if not rows:
            with self._transaction():
                self._assign(rater, position)
            rows = self._rows(query, rater.id, position)
        row = rows[0]
        return RatingTask(position, self.total, _to_item(row), bool(row["swapped"]), row["revisions"], row["value"])

    def _assign(self, rater: Rater, position: int) -> None:
        """Assign an item to each free position up to this one."""
        first = self._rows("SELECT count(*) AS n FROM assignments WHERE rater = ?", rater.id)[0]["n"]
        for free in range(first, position + 1):
            rng = random.Random(f"{self.plan.seed} {rater.id} {free}")
            item = self._choose_item(rater, self._role(rater, free), rng)
            self._connection.execute(
                "INSERT INTO assignments VALUES (?, ?, ?, ?, ?)",
                (rater.id, free, item, int(rng.random() < 0.5), time.time()),
            )

    def _role(self, rater: Rater, position: int) -> str:
        """Return the role, "check" or "rated", of the item that belongs at a rater's position."""
        return "check" if position in draw_check_positions(self.plan, rater.id, self.total, self._checks) else "rated"

    def _choose_item(self, rater: Rater, role: str, rng: random.Random) -> int:
        """Return the id of the item with the fewest ratings that the rater does not have yet.

        Break ties by the model, then by the pair, that this rater has met least often; then at random.
        """
        rows = self._rows(
            "SELECT id, model || rival || modality AS kind, pair, (SELECT count(*) FROM assignments AS a WHERE item = "
            "items.id AND (assigned > ? OR EXISTS (SELECT 1 FROM answers AS b WHERE b.rater = a.rater AND b.position = "
            "a.position))) AS ratings, EXISTS (SELECT 1 FROM assignments WHERE rater = ? AND item = items.id) AS met "
            "FROM items WHERE role = ?",
            time.time() - ABANDONED_AFTER,
            rater.id,
            role,
        )
        kinds = Counter(row["kind"] for row in rows if row["met"])
        pairs = Counter(row["pair"] for row in rows if row["met"])
        candidates = [row for row in rows if not row["met"]]
        if not candidates:
            raise DataError(f"study.db is damaged: rater {rater.id} has more items than there are; restore a backup")
        order = {
            row["id"]: (row["ratings"], kinds[row["kind"]], pairs[row["pair"]], rng.random()) for row in candidates
        }
        return int(min(order, key=order.__getitem__))

    def _rows(self, query: str, *values: object) -> list[sqlite3.Row]:
        """Run a query, and return all of its rows."""
        with self._lock:
            return self._connection.execute(query, values).fetchall()

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        """Run statements in one transaction, exclusive among threads and processes; nested ones join the outer one."""
        with self._lock:
            if self._connection.in_transaction:
                yield
                return
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield
            except BaseException:
                self._connection.execute("ROLLBACK")
                raise
            self._connection.execute("COMMIT")


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


def _to_item(row: sqlite3.Row) -> StudyItem:
    return StudyItem(**{column.name: row[column.name] for column in fields(StudyItem)})
