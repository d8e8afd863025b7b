"""Export answers as CSV or JSON."""

import csv
import io
import json
from dataclasses import asdict, fields
from datetime import UTC, datetime

from cmcgan_core.human_eval.store import Answer, Store

#: Export formats and their media types.
EXPORT_FORMATS = {"csv": "text/csv; charset=utf-8", "json": "application/json"}


def export_answers(store: Store, file_format: str) -> str:
    """Return the latest answer to every item, attention checks included, one row each.

    Args:
        store: the database.
        file_format: a key of `EXPORT_FORMATS`.

    Returns:
        The text of the file. Times are UTC in ISO 8601.
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
    table.writerows(rows)
    return text.getvalue()
