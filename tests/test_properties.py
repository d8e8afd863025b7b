"""Properties of names, lists and configurations that hold for all inputs; hypothesis draws the inputs."""

import os
from dataclasses import is_dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

from hypothesis import example, given, settings
from hypothesis import strategies as st

from cmcgan_core.config import Config
from cmcgan_core.errors import DataError
from cmcgan_core.inference.inputs import expand, read_list, split_list
from cmcgan_core.utils.names import MAX_NAME_BYTES, name_fault, path_below, shorten, to_text
from cmcgan_core.utils.schema import build
from cmcgan_core.utils.toml import dump_toml, parse_toml

settings.register_profile("repeatable", derandomize=True, database=None, deadline=None, max_examples=50)
settings.load_profile("repeatable")

#: Names of files as the system stores them: any bytes but NUL and slash.
FILE_BYTES = st.binary(min_size=1, max_size=255).filter(lambda name: not set(name) & {0, ord("/")})
FILE_NAMES = FILE_BYTES.map(os.fsdecode)


@given(FILE_NAMES, FILE_NAMES)
@example(os.fsdecode(b"p\xe9"), "p%E9")
@example("p%E9", "p%25E9")
def test_names_as_text_are_valid_lines_and_stay_distinct(first: str, second: str) -> None:
    texts = [to_text(name) for name in (first, second)]
    assert (texts[0] == texts[1]) == (first == second)
    assert all(text.encode() and len(text.split("\n")) == 1 for text in texts)


@given(st.text(max_size=300))
def test_a_name_from_data_never_leads_out_of_a_folder(name: str) -> None:
    folder = Path("folder")
    try:
        path = path_below(folder, name)
    except DataError:
        assert name_fault(name)
    else:
        assert os.path.dirname(os.path.normpath(path)) == "folder"  # noqa: PTH120 - pathlib does not resolve ".."
        assert path.name == name


@given(st.text(st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1, max_size=300))
def test_a_shortened_name_fits_and_keeps_its_suffix(name: str) -> None:
    path = Path("folder") / f"a{name}.wav"
    short = shorten(path)
    assert len(os.fsencode(short.name)) <= MAX_NAME_BYTES
    assert (short.parent, short.suffix) == (path.parent, ".wav")
    assert short == path or len(os.fsencode(path.name)) > MAX_NAME_BYTES


@given(st.lists(FILE_BYTES.map(lambda name: b"./" + name + b".wav"), max_size=5))
def test_a_list_separated_by_nul_gives_back_every_name(names: list[bytes]) -> None:
    listed = read_list(b"".join(name + b"\0" for name in names))
    assert [os.fsencode(name) for name in split_list(listed)] == names


@given(st.text())
def test_any_list_gives_inputs_with_relative_names(listed: str) -> None:
    for item in expand(["-"], listed=listed):
        assert not item.relative.is_absolute()
        assert ".." not in item.relative.parts


KEYS = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
VALUES = st.recursive(
    st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False) | KEYS,
    lambda parts: st.lists(parts, max_size=3) | st.dictionaries(KEYS, parts, max_size=3),
    max_leaves=10,
)


@given(st.dictionaries(KEYS, VALUES, max_size=4))
def test_a_document_is_read_as_it_was_written(document: dict[str, Any]) -> None:
    assert parse_toml(dump_toml(document)) == document


def of_type(hint: Any) -> st.SearchStrategy[Any]:
    """Return a strategy for the values of a setting."""
    if is_dataclass(hint):
        hints = get_type_hints(hint, include_extras=True)
        return st.fixed_dictionaries({}, optional={name: of_type(part) for name, part in hints.items()})
    if get_origin(hint) is Annotated:
        kind, limits = get_args(hint)
        low = limits.above if limits.minimum is None else limits.minimum
        high = limits.below if limits.maximum is None else limits.maximum
        if kind is int:
            return st.integers(low, high)
        within = st.floats(low, high, allow_nan=False, allow_infinity=False, allow_subnormal=False)
        return within.filter(lambda value: value not in (limits.above, limits.below))
    if get_origin(hint) is dict:
        numbers = st.floats(allow_nan=False, allow_infinity=False)
        return st.dictionaries(KEYS, VALUES if get_args(hint)[1] is Any else numbers, max_size=3)
    if hint is bool:
        return st.booleans()
    return st.sampled_from(get_args(hint)) if get_origin(hint) is Literal else KEYS


@given(of_type(Config))
def test_a_configuration_is_read_as_it_was_written(table: dict[str, Any]) -> None:
    config = build(Config, table, "the settings")
    assert build(Config, parse_toml(dump_toml(config.to_dict())), "the file") == config
