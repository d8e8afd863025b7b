"""`cmcgan human-eval serve --terminal`: one rater answers in a terminal, without a browser."""

import os
import shutil
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import typer

from cmcgan_cli.console import out, print_line
from cmcgan_core.media.files import read_picture

if TYPE_CHECKING:
    from rich.text import Text

    from cmcgan_core.human_eval.pages import Medium
    from cmcgan_core.human_eval.store import Rater, RatingTask, Store
    from cmcgan_core.human_eval.study import RatingStudy

#: Programs that play a sound file, with their arguments. The first installed one is used.
PLAYERS = {
    "ffplay": ["-nodisp", "-autoexit", "-loglevel", "error"],
    "pw-play": [],
    "paplay": [],
    "aplay": ["-q"],
    "afplay": [],
}
#: Red, green and blue, 0 to 255.
RGB = tuple[int, int, int]

#: Largest width of a picture, columns.
MAX_COLUMNS = 64


def rate_in_terminal(study: "RatingStudy", store: "Store", token: str) -> None:
    """Take one rater through consent, the examples and all items. Every answer is saved at once.

    Args:
        study: the study folder.
        store: its database.
        token: personal key of a rater who resumes, or "" for a new rater.
    """
    from cmcgan_core.human_eval.study import PAGE_TEXTS

    text = PAGE_TEXTS.read(study.plan.language)
    if token:
        rater = store.find_rater(token)
        if rater is None:
            raise typer.BadParameter(
                f"no rater of {study.root} has this key; check the key, or begin without --resume",
                param_hint="--resume",
            )
    else:
        token = _ask_consent(study, store)
        rater = store.find_rater(token)
        assert rater is not None
    try:
        _show_training(study, store, rater)
        while (task := store.next_task(rater)) is not None:
            _rate_task(study, store, rater, task)
    except (KeyboardInterrupt, EOFError, typer.Abort):
        command = f"cmcgan human-eval serve {study.root} --terminal --resume {token}"
        print_line("\n" + text["terminal"]["resume"].format(command=command))
        raise typer.Exit(130) from None
    out().print(text["thanks"]["text"].format(total=store.total).partition(". ")[0] + ".")
    out().print(text["thanks"]["number"].format(number=rater.id))


def _ask_consent(study: "RatingStudy", store: "Store") -> str:
    """Ask for consent, and return the personal key of the new rater."""
    from cmcgan_core.human_eval.pages import estimate_minutes
    from cmcgan_core.human_eval.study import PAGE_TEXTS

    texts = PAGE_TEXTS.read(study.plan.language)
    text, words = texts["welcome"], texts["terminal"]
    out().print(study.plan.title or text["title"], style="bold")
    for line in (
        text["intro"],
        text["time"].format(minutes=estimate_minutes(store.total), items=store.total),
        text["needs"],
        text["data"],
        text["freedom"],
        study.plan.about,
        study.plan.contact,
    ):
        if line:
            out().print(line)
    question = f"{text['consent']} [{words['yes']}/{words['no'].upper()}]"
    reply = typer.prompt(question, default="", show_default=False).strip().lower()
    if not reply.startswith(words["yes"]):
        raise typer.Exit(0)
    return store.add_rater(study.plan.language)


def _show_training(study: "RatingStudy", store: "Store", rater: "Rater") -> None:
    """Show the examples, unless the rater has already seen them."""
    from cmcgan_core.human_eval import pages
    from cmcgan_core.human_eval.study import PAGE_TEXTS

    if rater.started:
        return
    answers = {choice.value: choice.answer for choice in pages.answer_choices(study.design, rater.language)}
    texts = PAGE_TEXTS.read(rater.language)
    text, enter = texts["training"], texts["terminal"]["enter"]
    out().print(f"\n{text['title']}", style="bold")
    for item in store.examples():
        source, candidates = pages.item_media(item, rater.language)
        _show_media(study, [source, *candidates])
        deserved = answers[study.design.examples[item.role.removeprefix("example ")]]
        typer.prompt(f"{text['deserves']} {deserved} [{enter}]", default="", show_default=False)
    store.mark_started(rater)


def _rate_task(study: "RatingStudy", store: "Store", rater: "Rater", task: "RatingTask") -> None:
    """Show an item until the rater answers it, or goes back to correct the previous answer."""
    from cmcgan_core.human_eval import pages
    from cmcgan_core.human_eval.study import PAGE_TEXTS

    design, text = study.design, PAGE_TEXTS.read(rater.language)
    source, candidates = pages.item_media(task.item, rater.language, swapped=task.swapped)
    choices = pages.answer_choices(design, rater.language)
    out().print(f"\n{text['rate']['title'].format(number=task.position + 1, total=task.total)}", style="bold")
    started, replays = time.monotonic(), 0
    _show_media(study, [source, *candidates])
    out().print(pages.question_text(design, task.item, rater.language))
    for choice in choices:
        out().print(f"  {choice.key}  {choice.answer}" + (f": {choice.hint}" if choice.hint else ""))
    commands = f"  r  {text['terminal']['replay']}, b  {text['terminal']['back']}"
    while True:
        reply = typer.prompt(commands, prompt_suffix=" > ").strip().lower()
        selected = next((choice for choice in choices if str(choice.key) == reply), None)
        if selected is not None:
            value = pages.swap_preference(design, task, selected.value)
            store.add_answer(
                rater, task.position, task.revision, value, seconds=time.monotonic() - started, replays=replays
            )
            return
        if reply == "r":
            replays += 1
            _show_media(study, [medium for medium in (source, *candidates) if medium.kind == "sound"])
        elif reply == "b" and task.revision == 0 and (last := store.last_task(rater)) is not None:
            _rate_task(study, store, rater, last)
            return


def _show_media(study: "RatingStudy", media: "list[Medium]") -> None:
    """Draw pictures and play sounds. Print the path of a sound that cannot be played."""
    for medium in media:
        path = study.medium(medium.file)
        out().print(f"{medium.caption}:")
        if medium.kind == "picture":
            for row in _picture_rows(path):
                out().print(row)
        elif not _play_sound(path):
            print_line(f"  {path}")


def _picture_rows(path: Path) -> "list[Text]":
    """Return a picture as rows of coloured half-block characters."""
    from rich.text import Text

    rows = []
    for cells in picture_blocks(path, min(MAX_COLUMNS, out().width)):
        row = Text()
        for upper, lower in cells:
            row.append("▀", style=f"rgb({','.join(map(str, upper))}) on rgb({','.join(map(str, lower))})")
        rows.append(row)
    return rows


def _play_sound(path: Path) -> bool:
    """Play a sound file on this machine, and return whether it was played.

    Over ssh nothing is played, because the rater sits at another machine. Without a working player nothing is played
    either.
    """
    player = next((name for name in PLAYERS if shutil.which(name)), None)
    if player is None or "SSH_CONNECTION" in os.environ:
        return False
    result = subprocess.run(
        [player, *PLAYERS[player], str(path)], stdin=subprocess.DEVNULL, capture_output=True, check=False
    )
    return result.returncode == 0


def picture_blocks(path: Path, columns: int) -> list[list[tuple[RGB, RGB]]]:
    """Return a picture as rows of cells, each with the colours of its upper and its lower half.

    A terminal's cell is about twice as high as it is wide, so a square picture takes `columns` / 2 rows.
    """
    side = columns - columns % 2
    picture: list[list[list[int]]] = np.asarray(read_picture(path, side)).tolist()
    return [
        [(_to_rgb(upper), _to_rgb(lower)) for upper, lower in zip(picture[row], picture[row + 1], strict=True)]
        for row in range(0, side, 2)
    ]


def _to_rgb(pixel: list[int]) -> RGB:
    red, green, blue = pixel
    return red, green, blue
