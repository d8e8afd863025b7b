"""Build frozen dataclasses from nested tables (TOML, JSON), and report every invalid value at once."""

import difflib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import MISSING, dataclass, fields, is_dataclass
from enum import Enum
from math import isfinite
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from cmcgan_core.errors import ConfigError

C = TypeVar("C")

#: Deepest nesting of tables and lists in a document; configurations have four levels.
DEEPEST = 32
#: Longest part of a wrong value that a message shows, characters.
SHOWN = 80


@dataclass(frozen=True)
class Range:
    """The allowed range of a number, as the annotation `Annotated[float, Range(...)]` of a dataclass field.

    Attributes:
        minimum: the smallest allowed value, or None.
        maximum: the largest allowed value, or None.
        above: a value that the number must exceed, or None.
        below: a value that the number must not reach, or None.
    """

    minimum: float | None = None
    maximum: float | None = None
    above: float | None = None
    below: float | None = None

    def fault(self, value: float) -> str | None:
        """Return why the value is outside the range, or None if it is inside."""
        if self.above is not None and not value > self.above:
            return f"should be greater than {self.above:g}"
        if self.minimum is not None and not value >= self.minimum:
            return f"should be at least {self.minimum:g}"
        if self.maximum is not None and not value <= self.maximum:
            return f"should be at most {self.maximum:g}"
        if self.below is not None and not value < self.below:
            return f"should be less than {self.below:g}"
        return None


Positive = Annotated[float, Range(above=0)]

#: The largest count of epochs, steps, pairs and so on. It is more than any computer can do, and fits into 32 bits.
MOST = 10**9

Count = Annotated[int, Range(minimum=1, maximum=MOST)]

Share = Annotated[float, Range(minimum=0, maximum=1)]

Seed = Annotated[int, Range(minimum=0, maximum=2**31 - 1)]


def build(cls: type[C], table: Mapping[str, Any], what: str) -> C:
    """Build a dataclass from nested tables.

    Supported field types: int, float, bool, str, `Literal`, enums, other dataclasses, `X | None`, `list[X]`,
    `tuple[X, ...]`, `dict[str, X]`, `Any`, and numbers annotated with a `Range`. A whole number is accepted as a float.

    Args:
        cls: the dataclass.
        table: its values by field name.
        what: the name of the table in the error message.

    Raises:
        ConfigError: lists every fault: unknown and missing names, wrong types, values out of range.
    """
    faults: list[str] = []
    built: C = _build(cls, table, "", faults)
    if faults:
        raise ConfigError(f"{what} is not a valid configuration:\n" + "\n".join(f"  {f}" for f in faults))
    return built


def require_plain(document: Any) -> None:
    """Check that a parsed document has numbers of ordinary size, and no tables nested without end.

    Python reads integers of any length, but cannot print or compute with them everywhere. No file of cmcgan needs them.

    Raises:
        ValueError: an integer needs more than 64 bits, or tables and lists are nested deeper than `DEEPEST`.
    """
    level, depth = [document], 0
    while level:
        if depth > DEEPEST:
            raise ValueError(f"tables are nested deeper than {DEEPEST} levels")
        if any(isinstance(value, int) and not -(2**63) <= value < 2**63 for value in level):
            raise ValueError("a whole number has more than 64 bits")
        mappings = [value.values() for value in level if isinstance(value, Mapping)]
        level = [item for values in (*mappings, *(v for v in level if isinstance(v, list))) for item in values]
        depth += 1


def parse_json(text: str | bytes) -> dict[str, Any]:
    """Return the JSON object in a text.

    Raises:
        ValueError: the text is not a JSON object, or is more than `require_plain` allows.
    """
    try:
        document = json.loads(text)
    except RecursionError as error:
        raise ValueError("lists are nested too deeply") from error
    if not isinstance(document, dict):
        raise ValueError("it is not a JSON object")
    require_plain(document)
    return document


def merge(base: Mapping[str, Any], change: Mapping[str, Any]) -> dict[str, Any]:
    """Return `base` updated with `change`; tables that both contain are merged in the same way."""
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
    """Return the dataclass, or None if there are faults; `path` is the prefix of its fields' names in `faults`."""
    hints = get_type_hints(cls, include_extras=True)
    known = {f.name for f in fields(cls)}
    for name in table.keys() - known:
        nested = [f"{path}{setting}" for setting in _nested_settings(cls) if setting.endswith(f".{name}")]
        hint = f" (did you mean {' or '.join(nested)}?)" if nested else did_you_mean(name, known)
        faults.append(f"{path}{name}: is not a known setting{hint}")
    values = {}
    for f in fields(cls):
        if f.name in table:
            values[f.name] = _convert(hints[f.name], table[f.name], f"{path}{f.name}", faults)
        elif f.default is MISSING and f.default_factory is MISSING:
            faults.append(f"{path}{f.name}: is missing")
    if faults:
        return None
    try:
        return cls(**values)
    except ConfigError as error:  # a dataclass checks values that depend on one another
        faults.append(f"{path}{error}")
        return None


def _nested_settings(cls: Any) -> Iterator[str]:
    """Yield the dotted names of the settings of dataclasses that are fields of a dataclass."""
    hints = get_type_hints(cls)
    for name in (f.name for f in fields(cls) if is_dataclass(hints[f.name])):
        inner = hints[name]
        yield from (f"{name}.{f.name}" for f in fields(inner))
        yield from (f"{name}.{setting}" for setting in _nested_settings(inner))


def _convert(hint: Any, value: Any, path: str, faults: list[str]) -> Any:  # noqa: PLR0911 - one case for each type
    """Return the value converted to the type hint; append to `faults` if it does not fit."""
    if is_dataclass(hint):
        return _build(hint, value, f"{path}.", faults) if _check_type(Mapping, value, path, "a table", faults) else None
    if isinstance(hint, type) and issubclass(hint, Enum):
        choices = [member.value for member in hint]
        return hint(value) if _check_choice(choices, value, path, faults) else None
    origin = get_origin(hint)
    if origin is Annotated:
        return _convert_number(hint, value, path, faults)
    if origin in (UnionType, Union):  # the latter if the type is annotated
        (inner,) = (option for option in get_args(hint) if option is not NoneType)
        return None if value is None else _convert(inner, value, path, faults)
    if origin is Literal:
        _check_choice(get_args(hint), value, path, faults)
        return value
    if origin in (tuple, list) and _check_type((list, tuple), value, path, "a list", faults):
        return origin(_convert(get_args(hint)[0], v, f"{path}[{i}]", faults) for i, v in enumerate(value))
    if origin is dict and _check_type(Mapping, value, path, "a table", faults):
        key, item = get_args(hint)
        return {_convert(key, k, path, faults): _convert(item, v, f"{path}.{k}", faults) for k, v in value.items()}
    if origin in (tuple, list, dict) or hint is Any:
        return value
    return _convert_scalar(hint, value, path, faults)


def _convert_number(hint: Any, value: Any, path: str, faults: list[str]) -> Any:
    """Convert a number that is annotated with a `Range`, and check the range if the type is right."""
    scalar_type, bounds = get_args(hint)
    before = len(faults)
    number = _convert_scalar(scalar_type, value, path, faults)
    if len(faults) == before and (fault := bounds.fault(number)):
        faults.append(f"{path}: {fault}, not {show(value)}")
    return number


def _convert_scalar(scalar_type: type, value: Any, path: str, faults: list[str]) -> Any:
    """Check an int, float, bool or str. A whole number becomes a float if a float is expected."""
    names = {int: "a whole number", float: "a number", bool: "true or false", str: "a text"}
    if scalar_type is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if scalar_type is float and isinstance(value, float) and not isfinite(value):
        faults.append(f"{path}: should be finite, not {value}")
    if not isinstance(value, scalar_type) or (scalar_type is int and isinstance(value, bool)):
        faults.append(f"{path}: should be {names[scalar_type]}, not {show(value)}")
    return value


def _check_type(types: Any, value: Any, path: str, name: str, faults: list[str]) -> bool:
    """Return whether the value has one of the types; if not, append "should be `name`" to `faults`."""
    if not isinstance(value, types):
        faults.append(f"{path}: should be {name}, not {show(value)}")
        return False
    return True


def _check_choice(choices: Iterable[Any], value: Any, path: str, faults: list[str]) -> bool:
    """Return whether the value is one of the choices; if not, append the choices to `faults`."""
    choices = list(choices)
    if value not in choices:
        faults.append(f"{path}: should be one of {', '.join(map(repr, choices))}, not {show(value)}")
        return False
    return True


def show(value: object) -> str:
    """Return a value as a message shows it: its literal, cut if it is long."""
    text = repr(value)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}..."


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return " (did you mean X?)" for the known name X that is most similar to `name`, or "" if none is similar."""
    similar = difflib.get_close_matches(name, list(known), n=1)
    return f" (did you mean {similar[0]}?)" if similar else ""
