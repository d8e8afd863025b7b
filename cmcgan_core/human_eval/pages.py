"""The pages' HTML: Jinja templates, the text of a language, and what each page needs to know of a task."""

from collections.abc import Mapping
from functools import cache
from typing import Any, NamedTuple

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

from cmcgan_core.human_eval.designs import Design
from cmcgan_core.human_eval.store import Item, Task
from cmcgan_core.human_eval.study import read_text

#: Seconds that a question takes, for the consent text.
SECONDS_A_QUESTION = 8


class Choice(NamedTuple):
    """An answer as a button: what it sends, the digit that presses it, and its text."""

    value: int
    key: int
    answer: str
    hint: str


class Medium(NamedTuple):
    """A sound or a picture on a page."""

    kind: str
    file: str
    caption: str


@cache
def environment() -> Environment:
    """The templates of the pages and of the report."""
    return Environment(
        loader=PackageLoader("cmcgan_core.human_eval"),
        autoescape=select_autoescape(),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


@cache
def text_of(language: str) -> dict[str, Any]:
    """The text of a language, read once."""
    return read_text(language)


def render(template: str, language: str, **values: object) -> str:
    """A page in a language."""
    return environment().get_template(template).render(t=text_of(language), language=language, **values)


def choices(design: Design, language: str) -> list[Choice]:
    """The answers of a design, from worst to best."""
    text = text_of(language)["design"][design.name]
    return [
        Choice(value, key, text["answers"][str(value)], text["hints"][str(value)])
        for value, key in zip(design.values, design.keys, strict=True)
    ]


def question(design: Design, item: Item, language: str) -> str:
    """What is asked of an item."""
    return str(text_of(language)["design"][design.name][item.modality])


def media_of(item: Item, language: str, *, swapped: bool = False) -> tuple[Medium, list[Medium]]:
    """The source of an item and its candidates, one or two, in the order in which they are shown."""
    common: Mapping[str, str] = text_of(language)["common"]
    given = "sound" if item.modality == "picture" else "picture"
    source = Medium(given, item.source, common[f"{given}_given"])
    if not item.other:
        return source, [Medium(item.modality, item.shown, common[f"{item.modality}_made"])]
    files = (item.other, item.shown) if swapped else (item.shown, item.other)
    return source, [
        Medium(item.modality, file, common[place]) for file, place in zip(files, ("first", "second"), strict=True)
    ]


def files_of(task: Task | None) -> list[str]:
    """What to load before a task is shown."""
    return [name for name in (task.item.source, task.item.shown, task.item.other) if name] if task else []


def canonical(design: Design, task: Task, value: int) -> int:
    """The design's value for a button, or the button for a value: a preference turns with the sides."""
    return 3 - value if design.paired and task.swapped and value in design.values else value


def minutes(items: int) -> int:
    """How long so many questions take, rounded up to five minutes."""
    return max(5, -(-items * SECONDS_A_QUESTION // 300) * 5)
