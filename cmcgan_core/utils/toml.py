"""TOML, written: the standard library only reads it.

Own code for the little that is written here (tables of scalars and lists), so that a bare training machine needs no
further package.
"""

import json
import math
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cmcgan_core.errors import ConfigError


def dump_toml(table: Mapping[str, object], prefix: str = "") -> str:
    """A mapping of scalars, lists and mappings as TOML; `None` is left out, as TOML has none."""
    scalars = {k: v for k, v in table.items() if not isinstance(v, Mapping) and v is not None}
    lines = [f"{_key(k)} = {_value(v)}\n" for k, v in scalars.items()]
    for key, inner in table.items():
        if isinstance(inner, Mapping):
            name = f"{prefix}{_key(key)}"
            lines.append(f"\n[{name}]\n" + dump_toml(inner, f"{name}."))
    return "".join(lines)


def _key(key: str) -> str:
    return key if key and all(c.isascii() and (c.isalnum() or c in "-_") for c in key) else json.dumps(key)


def _value(value: object) -> str:
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(_value(v) for v in value) + "]"
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{_key(k)} = {_value(v)}" for k, v in value.items()) + " }"
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    # JSON's strings, booleans and numbers are TOML's, given that DEL is escaped too.
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def read_toml(file: Path) -> dict[str, Any]:
    """A TOML file as nested dictionaries.

    Raises:
        ConfigError: it cannot be read or is not TOML.
    """
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{file} cannot be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{file} is not TOML: {error}") from error
