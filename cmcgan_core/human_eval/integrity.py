"""Check the database of a study before it is used: one that is damaged must not give wrong answers or odd pages."""

import sqlite3
from collections.abc import Iterable

from cmcgan_core.human_eval.designs import RATED_MODALITIES
from cmcgan_core.human_eval.study import PAGE_TEXTS, RatingStudy
from cmcgan_core.utils.names import require_names

#: Latest time that a computer can have had, seconds since 1970: the year 2200.
LATEST_TIME = 7_258_118_400
#: What holds for every row of each table. `{...}` are lists of allowed values, see `_allowed`.
RULES = {
    "items": (
        "typeof(pair) = 'text'",
        "typeof(label) = 'text'",
        "typeof(model) = 'text'",
        "typeof(rival) = 'text'",
        "typeof(source) = 'text'",
        "typeof(shown) = 'text'",
        "typeof(other) = 'text'",
        "role IN ({roles})",
        "modality IN ({modalities})",
        "(other <> '') = {paired}",
    ),
    "raters": (
        "typeof(id) = 'text'",
        "typeof(token_hash) = 'text'",
        "language IN ({languages})",
        "consented BETWEEN 0 AND {latest}",
        "started IS NULL OR started BETWEEN 0 AND {latest}",
    ),
    "assignments": (
        "typeof(position) = 'integer' AND position >= 0",
        "swapped IN (0, 1)",
        "assigned BETWEEN 0 AND {latest}",
        "answered = EXISTS "
        "(SELECT 1 FROM answers AS a WHERE a.rater = assignments.rater AND a.position = assignments.position)",
        # The positions of a rater follow one another from 0, and so do those that are answered.
        "position = 0 OR EXISTS (SELECT 1 FROM assignments AS a WHERE a.rater = assignments.rater "
        "AND a.position = assignments.position - 1 AND a.answered >= assignments.answered)",
    ),
    "answers": (
        "typeof(position) = 'integer'",
        "typeof(revision) = 'integer' AND revision >= 0",
        "typeof(value) = 'integer' AND value IN ({values})",
        "seconds IS NULL OR (typeof(seconds) = 'real' AND seconds BETWEEN 0 AND {latest})",
        "typeof(replays) = 'integer' AND replays >= 0",
        "typeof(answered) = 'real' AND answered BETWEEN 0 AND {latest}",
        # The answers at a position follow one another too.
        "revision = 0 OR EXISTS (SELECT 1 FROM answers AS a WHERE a.rater = answers.rater "
        "AND a.position = answers.position AND a.revision = answers.revision - 1)",
    ),
    "secrets": ("typeof(value) = 'text'",),
}

#: The tables with texts of their own; texts in the others refer to these.
TEXTS = ("items", "raters", "secrets")


def check_database(connection: sqlite3.Connection, study: RatingStudy, schema: str) -> None:
    """Check the database of a study.

    Args:
        connection: the database.
        study: the study; its design says which values are possible.
        schema: the SQL that creates the tables.

    Raises:
        ValueError: the database is damaged; the message has no file.
        sqlite3.Error: it cannot be read.
    """
    (result,) = connection.execute("PRAGMA integrity_check(1)").fetchone()
    if result != "ok":
        raise ValueError(str(result).replace("\n", " "))
    _check_tables(connection, schema)
    for table in TEXTS:
        connection.execute(f"SELECT * FROM {table}").fetchall()  # fails if a text is not UTF-8
    if connection.execute("PRAGMA foreign_key_check").fetchone():
        raise ValueError("a row refers to another one that is missing")
    allowed = _allowed(study)
    for table, rules in RULES.items():
        for rule in rules:
            if connection.execute(f"SELECT 1 FROM {table} WHERE ({rule.format(**allowed)}) IS NOT TRUE").fetchone():
                raise ValueError(f"a row of the table {table} has a value that is not possible")
    if connection.execute(
        "SELECT 1 FROM items LEFT JOIN (SELECT item, count(*) AS n FROM assignments WHERE answered GROUP BY item) "
        "ON id = item WHERE ratings IS NOT coalesce(n, 0)"
    ).fetchone():
        raise ValueError("the number of ratings of an item is wrong")
    _check_items(connection, study)


def _check_tables(connection: sqlite3.Connection, schema: str) -> None:
    """Raise a `ValueError` if the tables are not those that a schema creates."""
    query = "SELECT type, name, sql FROM sqlite_master WHERE sql IS NOT NULL"
    empty = sqlite3.connect(":memory:")
    try:
        empty.executescript(schema)
        expected = set(empty.execute(query))
    finally:
        empty.close()
    if {tuple(row) for row in connection.execute(query)} != expected:
        raise ValueError("its tables are not those of a study")


def _allowed(study: RatingStudy) -> dict[str, object]:
    """Return the lists of allowed values for `RULES`, as SQL."""
    design = study.design
    return {
        "roles": _quoted(["rated", "check", *(f"example {kind}" for kind in design.examples)]),
        "modalities": _quoted(RATED_MODALITIES),
        "languages": _quoted(PAGE_TEXTS.languages()),
        "values": ", ".join(map(str, design.values)),
        "paired": int(design.paired),
        "latest": LATEST_TIME,
    }


def _check_items(connection: sqlite3.Connection, study: RatingStudy) -> None:
    """Raise a `ValueError` if there is nothing to rate, or if the files of an item are missing."""
    roles = {str(role).partition(" ")[0] for (role,) in connection.execute("SELECT DISTINCT role FROM items")}
    if not {"rated", "example"} <= roles:
        raise ValueError("it has no item to rate, or no example")
    rows = connection.execute("SELECT source, shown, other FROM items").fetchall()
    names = {name for row in rows for name in row if name}
    require_names(sorted(names), "file")
    if missing := [name for name in sorted(names) if not study.medium(name).is_file()]:
        raise ValueError(f"{study.media} lacks the file {missing[0]}")


def _quoted(texts: Iterable[str]) -> str:
    """Return texts as an SQL list; none of them has a quote."""
    return ", ".join(f"'{text}'" for text in texts)
