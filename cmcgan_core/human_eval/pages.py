"""The HTML of the pages: Jinja templates, texts in each language, and the values that a question's page needs."""

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import NamedTuple

from jinja2 import Environment

from cmcgan_core.human_eval.designs import Design
from cmcgan_core.human_eval.store import RatingTask, StudyItem
from cmcgan_core.human_eval.study import PAGE_TEXTS
from cmcgan_core.web.pages import make_environment

#: Typical time to answer a question, seconds. The consent text uses it to estimate the duration of the study.
SECONDS_PER_QUESTION = 8


class Choice(NamedTuple):
    """A button that gives an answer.

    Attributes:
        value: value that the button sends.
        key: digit key that presses the button.
        answer: text of the button.
        hint: explanation below the text, or "".
    """

    value: int
    key: int
    answer: str
    hint: str


class Medium(NamedTuple):
    """A sound or a picture on a page.

    Attributes:
        kind: "sound" or "picture".
        file: file name in the study's media folder.
        caption: text above the medium.
    """

    kind: str
    file: str
    caption: str


@cache
def template_environment() -> Environment:
    """Return the Jinja environment of the pages and the report."""
    return make_environment(Path(__file__).parent)


def render_page(template: str, language: str, **values: object) -> str:
    """Return a page in one language as HTML."""
    return (
        template_environment().get_template(template).render(t=PAGE_TEXTS.read(language), language=language, **values)
    )


def answer_choices(design: Design, language: str) -> list[Choice]:
    """Return the answers of a design, from worst to best."""
    text = PAGE_TEXTS.read(language)["design"][design.name]
    return [
        Choice(value, key, text["answers"][str(value)], text["hints"][str(value)])
        for value, key in zip(design.values, design.keys, strict=True)
    ]


def question_text(design: Design, item: StudyItem, language: str) -> str:
    """Return the question about an item."""
    return str(PAGE_TEXTS.read(language)["design"][design.name][item.modality])


def item_media(item: StudyItem, language: str, *, swapped: bool = False) -> tuple[Medium, list[Medium]]:
    """Return the source of an item, and its one or two candidates in the order in which they are shown.

    Args:
        item: the item.
        language: language of the captions.
        swapped: whether the rival is shown first.
    """
    captions: Mapping[str, str] = PAGE_TEXTS.read(language)["common"]
    source_modality = "sound" if item.modality == "picture" else "picture"
    source = Medium(source_modality, item.source, captions[f"{source_modality}_source"])
    if not item.other:
        return source, [Medium(item.modality, item.shown, captions[f"{item.modality}_candidate"])]
    files = (item.other, item.shown) if swapped else (item.shown, item.other)
    return source, [
        Medium(item.modality, file, captions[place]) for file, place in zip(files, ("first", "second"), strict=True)
    ]


def task_files(task: RatingTask | None) -> list[str]:
    """Return the names of all media files of a task, for preloading; an empty list without a task.

    They are sorted: their order must not tell the first candidate of an item from its rival.
    """
    return sorted(name for name in (task.item.source, task.item.shown, task.item.other) if name) if task else []


def swap_preference(design: Design, task: RatingTask, value: int) -> int:
    """Convert the value of a button to the stored value, or back.

    They differ only in a paired design when the rival is shown first: then 1 and 2 change places.
    """
    return 3 - value if design.paired and task.swapped and value in design.values else value


def estimate_minutes(questions: int) -> int:
    """Return how long the questions take, in minutes, rounded up to a multiple of five."""
    return max(5, -(-questions * SECONDS_PER_QUESTION // 300) * 5)
