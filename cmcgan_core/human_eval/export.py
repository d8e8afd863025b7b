"""Answers as CSV or JSON, for any other program."""

import csv
import io
import json
from dataclasses import asdict, fields
from datetime import UTC, datetime

from cmcgan_core.human_eval.store import Answer, Store

#: Formats, and their media types.
FORMATS = {"csv": "text/csv; charset=utf-8", "json": "application/json"}


def export(store: Store, kind: str) -> str:
    """The newest answer to every item, attention checks included, a row each; times in UTC, ISO 8601."""
    rows = [
        asdict(answer) | {"answered": datetime.fromtimestamp(answer.answered, UTC).isoformat(timespec="milliseconds")}
        for answer in store.answers()
    ]
    if kind == "json":
        return json.dumps(rows, ensure_ascii=False, indent=1) + "\n"
    text = io.StringIO()
    table = csv.DictWriter(text, [column.name for column in fields(Answer)], lineterminator="\n")
    table.writeheader()
    table.writerows(rows)
    return text.getvalue()
