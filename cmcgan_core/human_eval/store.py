"""Raters, assignments and answers in SQLite: durable when acknowledged, never doubled, never overwritten.

Answers are only ever added. An answer names the revision that it replaces (0 for a first answer), and its primary key
is (rater, position, revision): what comes twice, by a double click, a reload or a second tab, is refused by the
database itself. WAL with `synchronous=FULL` puts an answer on disk before `answer` returns.
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
from cmcgan_core.human_eval.study import Plan, Study

#: An assignment that nobody has answered counts as a rating to come for so long, in seconds; then the rater has left.
PATIENCE = 1800.0

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
class Item:
    """One thing to rate, or an example.

    Attributes:
        role: "rated", "check", or "example KIND" with a kind of `Design.examples`.
        modality: what is judged, "picture" or "sound"; the source is of the other one.
        pair: name of the real pair that it came from.
        label: class of that pair.
        model: who made it.
        rival: who made the other candidate; "" if there is none.
        source, shown, other: file names in `Study.media`; `other` is the rival's, or "".
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
    """Somebody who rates; nothing is known of the person.

    Attributes:
        id: name in exports; tells nothing of the personal link.
        language: of the pages.
        started: whether the training is over.
    """

    id: str
    language: str
    started: bool


@dataclass(frozen=True)
class Task:
    """An item as one rater meets it.

    Attributes:
        position: from 0.
        total: items that this rater has.
        item: what to rate.
        swapped: whether the rival is shown first.
        revision: answers that this position has already.
        value: the newest of those, or None.
    """

    position: int
    total: int
    item: Item
    swapped: bool
    revision: int
    value: int | None


@dataclass(frozen=True)
class Answer:
    """The newest answer of a rater to an item; `value` as the design says, whichever side the candidates were on."""

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
    """The database of a study; one connection that threads take turns on, so its methods may be called from any."""

    def __init__(self, study: Study) -> None:
        """Open it.

        Raises:
            DataError: it is damaged, is no database of a study, or may not be written.
        """
        self.plan = study.plan
        self.values = study.design.values
        self._lock = threading.RLock()
        try:
            self._connection = _connect(study.database)
            roles = Counter(row["role"] for row in self._rows("SELECT role FROM items"))
        except sqlite3.Error as error:
            raise DataError(
                f"{study.database} cannot be used ({error}); it must be writable, on a local disk, or be "
                "restored from a backup"
            ) from error
        self._checks = min(self.plan.checks_per_rater, roles["check"])
        #: Items that each rater gets, checks included.
        self.total: int = min(self.plan.per_rater, roles["rated"]) + self._checks

    def close(self) -> None:
        """Give the file back."""
        self._connection.close()

    def secret(self, name: str) -> str:
        """A random secret of the study, which outlives a restart of the server."""
        with self._transaction():
            self._connection.execute("INSERT OR IGNORE INTO secrets VALUES (?, ?)", (name, secrets.token_hex(32)))
            return str(self._rows("SELECT value FROM secrets WHERE name = ?", name)[0]["value"])

    def join(self, language: str) -> str:
        """A new rater, who has consented; the token of the personal link."""
        token = secrets.token_urlsafe(18)
        with self._transaction():
            self._connection.execute(
                "INSERT INTO raters VALUES (?, ?, ?, ?, NULL)",
                (f"r{secrets.token_hex(6)}", _hash(token), language, time.time()),
            )
        return token

    def rater(self, token: str) -> Rater | None:
        """Whose personal link this is, or None."""
        rows = self._rows("SELECT * FROM raters WHERE token_hash = ?", _hash(token))
        return Rater(rows[0]["id"], rows[0]["language"], rows[0]["started"] is not None) if rows else None

    def start(self, rater: Rater) -> None:
        """The training is over."""
        with self._transaction():
            self._connection.execute(
                "UPDATE raters SET started = ? WHERE id = ? AND started IS NULL", (time.time(), rater.id)
            )

    def examples(self) -> list[Item]:
        """What raters are shown before they begin."""
        return [_item(row) for row in self._rows("SELECT * FROM items WHERE role LIKE 'example %' ORDER BY id")]

    def next_task(self, rater: Rater) -> Task | None:
        """What the rater should rate now; None when all is done. The same until it is answered."""
        return self._task(rater, self.answered(rater))

    def last_task(self, rater: Rater) -> Task | None:
        """What the rater answered last, to correct it; None before the first answer."""
        return self._task(rater, self.answered(rater) - 1)

    def coming_task(self, rater: Rater) -> Task | None:
        """The item after the next one, to be loaded beforehand."""
        return self._task(rater, self.answered(rater) + 1)

    def answer(
        self, rater: Rater, position: int, revision: int, value: int, *, seconds: float | None, replays: int
    ) -> bool:
        """Add an answer to the open position, or a correction to the one before it.

        Args:
            rater: who.
            position: of the item.
            revision: answers that the position had when the page was made.
            value: one of the design's.
            seconds: from seeing the page to answering, or None.
            replays: times that a sound was played again.

        Returns:
            Whether it was added; False where it came twice or too late, or is not one of the answers.
        """
        with self._transaction():
            done = self.answered(rater)
            known = self._rows(
                "SELECT count(*) AS n FROM answers WHERE rater = ? AND position = ?", rater.id, position
            )[0]["n"]
            if position not in (done, done - 1) or not 0 <= position < self.total or revision != known:
                return False
            if value not in self.values or self._task(rater, position) is None:
                return False
            row = (rater.id, position, revision, value, seconds, replays, time.time())
            self._connection.execute("INSERT INTO answers VALUES (?, ?, ?, ?, ?, ?, ?)", row)
        return True

    def answers(self) -> list[Answer]:
        """The newest answer to every item that anybody answered, attention checks included."""
        rows = self._rows(
            "SELECT *, revision + 1 AS revisions FROM latest JOIN assignments USING (rater, position) "
            "JOIN items ON items.id = item ORDER BY answered, rater, position"
        )
        return [Answer(**{column.name: row[column.name] for column in fields(Answer)}) for row in rows]

    def ratings_by_item(self) -> list[tuple[Item, int]]:
        """Every item to be rated, with the number of its answers."""
        rows = self._rows(
            "SELECT items.*, count(latest.rater) AS n FROM items LEFT JOIN assignments ON item = items.id "
            "LEFT JOIN latest USING (rater, position) WHERE role = 'rated' GROUP BY items.id ORDER BY items.id"
        )
        return [(_item(row), row["n"]) for row in rows]

    def rater_progress(self) -> list[tuple[str, int]]:
        """Every rater who consented, with the number of answers."""
        rows = self._rows(
            "SELECT id, count(latest.rater) AS n FROM raters LEFT JOIN latest ON rater = id "
            "GROUP BY id ORDER BY consented"
        )
        return [(row["id"], row["n"]) for row in rows]

    def forget(self, rater: str) -> bool:
        """Delete a rater, who withdrew, with all answers; whether there was one of that number."""
        with self._transaction():
            for table in ("answers", "assignments"):
                self._connection.execute(f"DELETE FROM {table} WHERE rater = ?", (rater,))
            return self._connection.execute("DELETE FROM raters WHERE id = ?", (rater,)).rowcount > 0

    def media(self) -> frozenset[str]:
        """Names of all files that may be served."""
        rows = self._rows("SELECT source, shown, other FROM items")
        return frozenset(name for row in rows for name in row if name)

    def answered(self, rater: Rater) -> int:
        """How many items a rater has answered."""
        return int(self._rows("SELECT count(DISTINCT position) AS n FROM answers WHERE rater = ?", rater.id)[0]["n"])

    def _task(self, rater: Rater, position: int) -> Task | None:
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
        return Task(position, self.total, _item(row), bool(row["swapped"]), row["revisions"], row["value"])

    def _assign(self, rater: Rater, position: int) -> None:
        """Fill the positions up to this one, each with the item that has the fewest ratings."""
        first = self._rows("SELECT count(*) AS n FROM assignments WHERE rater = ?", rater.id)[0]["n"]
        for place in range(first, position + 1):
            rng = random.Random(f"{self.plan.seed} {rater.id} {place}")
            item = self._fewest_rated(rater, self._role(rater, place), rng)
            self._connection.execute(
                "INSERT INTO assignments VALUES (?, ?, ?, ?, ?)",
                (rater.id, place, item, int(rng.random() < 0.5), time.time()),
            )

    def _role(self, rater: Rater, position: int) -> str:
        return "check" if position in check_positions(self.plan, rater.id, self.total, self._checks) else "rated"

    def _fewest_rated(self, rater: Rater, role: str, rng: random.Random) -> int:
        """The item with the fewest ratings; among those of a model, then of a pair, that this rater has met least."""
        rows = self._rows(
            "SELECT id, model || rival || modality AS kind, pair, (SELECT count(*) FROM assignments AS a WHERE item = "
            "items.id AND (assigned > ? OR EXISTS (SELECT 1 FROM answers AS b WHERE b.rater = a.rater AND b.position = "
            "a.position))) AS ratings, EXISTS (SELECT 1 FROM assignments WHERE rater = ? AND item = items.id) AS met "
            "FROM items WHERE role = ?",
            time.time() - PATIENCE,
            rater.id,
            role,
        )
        kinds = Counter(row["kind"] for row in rows if row["met"])
        pairs = Counter(row["pair"] for row in rows if row["met"])
        candidates = [row for row in rows if not row["met"]]
        order = {
            row["id"]: (row["ratings"], kinds[row["kind"]], pairs[row["pair"]], rng.random()) for row in candidates
        }
        return int(min(order, key=order.__getitem__))

    def _rows(self, query: str, *values: object) -> list[sqlite3.Row]:
        with self._lock:
            return self._connection.execute(query, values).fetchall()

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        """All or nothing, alone among threads and processes; one inside another is part of it."""
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


def create_database(path: Path, items: Sequence[Item]) -> None:
    """A new database with its items."""
    connection = _connect(path)
    try:
        connection.executescript(SCHEMA)
        columns = [column.name for column in fields(Item)]
        connection.execute("BEGIN")
        connection.executemany(
            f"INSERT INTO items ({', '.join(columns)}) VALUES ({', '.join(f':{name}' for name in columns)})",
            [asdict(item) for item in items],
        )
        connection.execute("COMMIT")
    finally:
        connection.close()


def check_positions(plan: Plan, rater: str, total: int, checks: int) -> list[int]:
    """Where a rater meets attention checks: one at a random place in each of equal stretches."""
    rng = random.Random(f"{plan.seed} {rater} checks")
    edges = [total * number // max(checks, 1) for number in range(checks + 1)]
    return [rng.randrange(low, high) for low, high in pairwise(edges)]


def _connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=30, isolation_level=None, check_same_thread=False)
    connection.row_factory = sqlite3.Row
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
        connection.execute(f"PRAGMA {pragma}")
    return connection


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


def _item(row: sqlite3.Row) -> Item:
    return Item(**{column.name: row[column.name] for column in fields(Item)})
