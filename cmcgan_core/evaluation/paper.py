"""."""

import tomllib
from importlib.resources import files
from typing import Any


def paper_tables() -> dict[str, Any]:
    """The published figures."""
    return tomllib.loads(files("cmcgan_core.evaluation").joinpath("paper_tables.toml").read_text(encoding="utf-8"))
