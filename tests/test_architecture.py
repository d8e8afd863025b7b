"""All names in docs/architecture.md exist."""

import re
from importlib import import_module
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
ROUTE = TEXT[TEXT.index("## The route of a pair") : TEXT.index("## Glossary")]


def resolve(name: str) -> object:
    """Return the object that a dotted name below cmcgan_core refers to."""
    parts = name.split(".")
    for end in range(len(parts), 0, -1):
        try:
            found: object = import_module(".".join(["cmcgan_core", *parts[:end]]))
        except ModuleNotFoundError:
            continue
        for attribute in parts[end:]:
            found = getattr(found, attribute)
        return found
    raise AssertionError(name)


@pytest.mark.parametrize(
    "name", sorted(set(re.findall(r"`([a-z]\w*(?:\.\w+)+)`", ROUTE)) - {"index.csv", "dataset.toml"})
)
def test_every_function_on_the_route_of_a_pair_exists(name: str) -> None:
    assert callable(resolve(name))


def test_every_folder_of_the_core_is_on_the_map() -> None:
    diagram = TEXT[TEXT.index("```") : TEXT.index("```", TEXT.index("```") + 3)]
    core = ROOT / "cmcgan_core"
    parts = {path.stem for path in core.glob("*.py")} | {path.parent.name for path in core.glob("*/__init__.py")}
    assert not {part for part in parts - {"__init__"} if not re.search(rf"\b{part}\b", diagram)}
