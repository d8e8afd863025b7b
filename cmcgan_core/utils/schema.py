"""."""

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import MISSING, dataclass, fields, is_dataclass
from enum import Enum
from math import isfinite
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, TypeVar, get_args, get_origin, get_type_hints

from cmcgan_core.errors import ConfigError

C = TypeVar("C")


@dataclass(frozen=True)
class Range:
    """Bounds of a number: `minimum` and `maximum` belong to it, `above` does not."""

    minimum: float | None = None
    maximum: float | None = None
    above: float | None = None

    def fault(self, value: float) -> str | None:
        """Why the value is outside, or None."""
        if self.above is not None and not value > self.above:
            return f"should be greater than {self.above:g}"
        if self.minimum is not None and not value >= self.minimum:
            return f"should be at least {self.minimum:g}"
        if self.maximum is not None and not value <= self.maximum:
            return f"should be at most {self.maximum:g}"
        return None


Positive = Annotated[float, Range(above=0)]


Count = Annotated[int, Range(minimum=1)]


Share = Annotated[float, Range(minimum=0, maximum=1)]


Seed = Annotated[int, Range(minimum=0, maximum=2**31 - 1)]


def build(cls: type[C], table: Mapping[str, Any], what: str) -> C:
    """A dataclass from nested tables.

    Raises:
        ConfigError: lists every fault: names that do not exist, types and ranges that do not fit.
    """
    faults: list[str] = []
    built = _build(cls, table, "", faults)
    if faults:
        raise ConfigError(f"{what} is not a valid configuration:\n" + "\n".join(f"  {f}" for f in faults))
    return built  # type: ignore[no-any-return]


def merge(base: Mapping[str, Any], change: Mapping[str, Any]) -> dict[str, Any]:
    """`base` with the values of `change`, table by table."""
    merged = dict(base)
    for key, value in change.items():
        if isinstance(value, Mapping) and isinstance(merged.get(key), Mapping):
            merged[key] = merge(merged[key], value)
        else:
            merged[key] = value
    return merged


def flatten(table: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return nested tables as one table with dotted names."""
    flat: dict[str, Any] = {}
    for key, value in table.items():
        flat |= flatten(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {f"{prefix}{key}": value}
    return flat


def _build(cls: Any, table: Mapping[str, Any], path: str, faults: list[str]) -> Any:
    hints = get_type_hints(cls, include_extras=True)
    known = {f.name for f in fields(cls)}
    for name in table.keys() - known:
        faults.append(f"{path}{name}: there is no such setting{did_you_mean(name, known)}")
    values = {}
    for f in fields(cls):
        if f.name in table:
            values[f.name] = _convert(hints[f.name], table[f.name], f"{path}{f.name}", faults)
        elif f.default is MISSING and f.default_factory is MISSING:
            faults.append(f"{path}{f.name}: is missing")
    return cls(**values) if not faults else None


def _convert(hint: Any, value: Any, path: str, faults: list[str]) -> Any:  # noqa: PLR0911 - a case a kind of hint
    """The value as the type hint wants it; appends to `faults` where it does not fit."""
    if is_dataclass(hint):
        return _build(hint, value, f"{path}.", faults) if _is(Mapping, value, path, "a table", faults) else None
    origin = get_origin(hint)
    if origin is Annotated:
        return _convert_number(hint, value, path, faults)
    if origin is UnionType:
        (kind,) = (one for one in get_args(hint) if one is not NoneType)
        return None if value is None else _convert(kind, value, path, faults)
    if origin is Literal:
        return _convert_choice(list(get_args(hint)), value, path, faults)
    if isinstance(hint, type) and issubclass(hint, Enum):
        choice = _convert_choice([member.value for member in hint], value, path, faults)
        return hint(choice) if choice is not None else None
    if origin in (tuple, list) and _is((list, tuple), value, path, "a list", faults):
        return origin(_convert(get_args(hint)[0], v, f"{path}[{i}]", faults) for i, v in enumerate(value))
    if origin is dict and _is(Mapping, value, path, "a table", faults):
        key, item = get_args(hint)
        return {_convert(key, k, path, faults): _convert(item, v, f"{path}.{k}", faults) for k, v in value.items()}
    if origin in (tuple, list, dict) or hint is Any:
        return value
    return _convert_scalar(hint, value, path, faults)


def _convert_choice(choices: list[Any], value: Any, path: str, faults: list[str]) -> Any:
    """Return the value if it is one of the choices; otherwise append a fault."""
    if value in choices:
        return value
    faults.append(f"{path}: should be one of {', '.join(map(repr, choices))}, not {value!r}")
    return None


def _convert_number(hint: Any, value: Any, path: str, faults: list[str]) -> Any:
    kind, bounds = get_args(hint)
    before = len(faults)
    number = _convert_scalar(kind, value, path, faults)
    if len(faults) == before and (fault := bounds.fault(number)):
        faults.append(f"{path}: {fault}, not {value!r}")
    return number


def _convert_scalar(kind: type, value: Any, path: str, faults: list[str]) -> Any:
    names = {int: "a whole number", float: "a number", bool: "true or false", str: "a text"}
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if kind is float and isinstance(value, float) and not isfinite(value):
        faults.append(f"{path}: should be finite, not {value}")
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        faults.append(f"{path}: should be {names[kind]}, not {value!r}")
    return value


def _is(kind: Any, value: Any, path: str, name: str, faults: list[str]) -> bool:
    if not isinstance(value, kind):
        faults.append(f"{path}: should be {name}, not {value!r}")
        return False
    return True


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """A question to end an error with, where a known name resembles the given one."""
    close = difflib.get_close_matches(name, list(known), n=1)
    return f" (did you mean {close[0]}?)" if close else ""
