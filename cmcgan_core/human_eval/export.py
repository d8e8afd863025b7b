"""Export answers as CSV or JSON."""

import csv
import io
import json
from dataclasses import asdict, fields
from datetime import UTC, datetime

from cmcgan_core.human_eval.store import Answer, Store

#: Export formats and their media types.
EXPORT_FORMATS = {"csv": "text/csv; charset=utf-8", "json": "application/json"}
#: A cell that begins with one of these is a formula to a spreadsheet, which would run it.
FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")


def export_answers(store: Store, file_format: str) -> str:
    """Return the latest answer to every item, attention checks included, one row each.

    Args:
        store: the database.
        file_format: a key of `EXPORT_FORMATS`.

    Returns:
        The text of the file. Times are UTC in ISO 8601. In CSV, text that a spreadsheet would run as a formula has an
        apostrophe in front.
    """
    rows = [
        asdict(answer) | {"answered": datetime.fromtimestamp(answer.answered, UTC).isoformat(timespec="milliseconds")}
        for answer in store.answers()
    ]
    if file_format == "json":
        return json.dumps(rows, ensure_ascii=False, indent=1) + "\n"
    text = io.StringIO()
    table = csv.DictWriter(text, [column.name for column in fields(Answer)], lineterminator="\n")
    table.writeheader()
    table.writerows({name: _without_formula(value) for name, value in row.items()} for row in rows)
    return text.getvalue()


def _without_formula(value: object) -> object:
    """Return a cell of a CSV file: text that would be a formula gets an apostrophe in front."""
    return f"'{value}" if isinstance(value, str) and value.startswith(FORMULA_STARTS) else value
