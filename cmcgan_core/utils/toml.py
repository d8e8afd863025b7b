"""Read and write TOML files."""

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import tomli_w

from cmcgan_core.errors import ConfigError
from cmcgan_core.utils.schema import require_plain


def dump_toml(table: Mapping[str, object]) -> str:
    """Return a mapping as TOML text. Keys whose value is `None` are left out, because TOML has no null."""
    return tomli_w.dumps(_without_none(table))


def _without_none(table: Mapping[str, object]) -> dict[str, object]:
    """Return a copy of nested mappings without the keys whose value is `None`."""
    return {k: _without_none(v) if isinstance(v, Mapping) else v for k, v in table.items() if v is not None}


def parse_toml(text: str) -> dict[str, Any]:
    """Return TOML text as nested dictionaries.

    Raises:
        ValueError: the text is not valid TOML, or is more than `require_plain` allows.
    """
    try:
        table = tomllib.loads(text)
    except RecursionError as error:
        raise ValueError("lists are nested too deeply") from error
    require_plain(table)
    return table


def read_toml(file: Path) -> dict[str, Any]:
    """Return a TOML file as nested dictionaries. Paths in it may have bytes that are not UTF-8.

    Raises:
        ConfigError: the file cannot be read or is not valid TOML.
    """
    try:
        return parse_toml(file.read_text(encoding="utf-8", errors="surrogateescape"))
    except OSError as error:
        raise ConfigError(f"{file} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise ConfigError(f"{file} is not TOML: {error}") from error
