"""`cmcgan human-eval serve --terminal`: one rater, without a browser."""

import os
import shutil
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import typer

from cmcgan_cli.console import out
from cmcgan_core.media.files import read_picture

if TYPE_CHECKING:
    from rich.text import Text

    from cmcgan_core.human_eval.pages import Medium
    from cmcgan_core.human_eval.store import Rater, Store, Task
    from cmcgan_core.human_eval.study import Study

#: Players of a sound file, and their arguments; the first that is installed is used.
PLAYERS = {
    "ffplay": ["-nodisp", "-autoexit", "-loglevel", "error"],
    "pw-play": [],
    "paplay": [],
    "aplay": ["-q"],
    "afplay": [],
}
#: Most columns of a picture.
WIDEST = 64


def rate_in_terminal(study: "Study", store: "Store", token: str) -> None:
    """Take one rater through consent, one example of a sound, and all items; every answer is saved at once.

    Args:
        study: the folder.
        store: its database.
        token: of a rater who goes on, or "".
    """
    from cmcgan_core.human_eval.pages import text_of

    text = text_of(study.plan.language)
    if token:
        rater = store.rater(token)
        if rater is None:
            raise typer.BadParameter("no rater has this key", param_hint="--resume")
    else:
        token = _consent(study, store)
        rater = store.rater(token)
        assert rater is not None
    try:
        _training(study, store, rater)
        while (task := store.next_task(rater)) is not None:
            _rate(study, store, rater, task)
    except (KeyboardInterrupt, EOFError, typer.Abort):
        out().print(f"\ngo on with: cmcgan human-eval serve {study.root} --terminal --resume {token}", soft_wrap=True)
        raise typer.Exit(130) from None
    out().print(text["thanks"]["text"].format(total=store.total).partition(". ")[0] + ".")
    out().print(text["thanks"]["number"].format(number=rater.id))


def _consent(study: "Study", store: "Store") -> str:
    from cmcgan_core.human_eval.pages import minutes, text_of

    text = text_of(study.plan.language)["welcome"]
    out().print(study.plan.title or text["title"], style="bold")
    for line in (
        text["intro"],
        text["time"].format(minutes=minutes(store.total), items=store.total),
        text["needs"],
        text["data"],
        text["freedom"],
        study.plan.about,
        study.plan.contact,
    ):
        if line:
            out().print(line)
    if not typer.confirm(text["consent"]):
        raise typer.Exit(0)
    return store.join(study.plan.language)


def _training(study: "Study", store: "Store", rater: "Rater") -> None:
    from cmcgan_core.human_eval import pages

    if rater.started:
        return
    answers = {choice.value: choice.answer for choice in pages.choices(study.design, rater.language)}
    text = pages.text_of(rater.language)["training"]
    out().print(f"\n{text['title']}", style="bold")
    for item in store.examples():
        source, candidates = pages.media_of(item, rater.language)
        _show(study, [source, *candidates])
        deserved = answers[study.design.examples[item.role.removeprefix("example ")]]
        typer.prompt(f"{text['deserves']} {deserved} [Enter]", default="", show_default=False)
    store.start(rater)


def _rate(study: "Study", store: "Store", rater: "Rater", task: "Task") -> None:
    """Show one item until it is answered, or the one before it is to be corrected."""
    from cmcgan_core.human_eval import pages

    design, text = study.design, pages.text_of(rater.language)
    source, candidates = pages.media_of(task.item, rater.language, swapped=task.swapped)
    choices = pages.choices(design, rater.language)
    out().print(f"\n{text['rate']['title'].format(number=task.position + 1, total=task.total)}", style="bold")
    started, replays = time.monotonic(), 0
    _show(study, [source, *candidates])
    out().print(pages.question(design, task.item, rater.language))
    for choice in choices:
        out().print(f"  {choice.key}  {choice.answer}" + (f": {choice.hint}" if choice.hint else ""))
    while True:
        said = typer.prompt("  r  replay, b  back", prompt_suffix=" > ").strip().lower()
        chosen = next((choice for choice in choices if str(choice.key) == said), None)
        if chosen is not None:
            value = pages.canonical(design, task, chosen.value)
            store.answer(
                rater, task.position, task.revision, value, seconds=time.monotonic() - started, replays=replays
            )
            return
        if said == "r":
            replays += 1
            _show(study, [medium for medium in (source, *candidates) if medium.kind == "sound"])
        elif said == "b" and task.revision == 0 and (last := store.last_task(rater)) is not None:
            _rate(study, store, rater, last)
            return


def _show(study: "Study", media: "list[Medium]") -> None:
    """Draw pictures, play sounds; name a sound's file where nothing can play it."""
    for medium in media:
        path = study.media / medium.file
        out().print(f"{medium.caption}:")
        if medium.kind == "picture":
            for row in _blocks(path):
                out().print(row)
        elif not _play(path):
            out().print(f"  {path}", soft_wrap=True)


def _blocks(path: Path) -> "list[Text]":
    from rich.text import Text

    rows = []
    for cells in picture_blocks(path, min(WIDEST, out().width)):
        row = Text()
        for upper, lower in cells:
            row.append("▀", style=f"rgb({','.join(map(str, upper))}) on rgb({','.join(map(str, lower))})")
        rows.append(row)
    return rows


def _play(path: Path) -> bool:
    """Play a sound file on this machine; False over ssh, where nobody would hear it, and where no player works."""
    player = next((name for name in PLAYERS if shutil.which(name)), None)
    if player is None or "SSH_CONNECTION" in os.environ:
        return False
    done = subprocess.run(
        [player, *PLAYERS[player], str(path)], stdin=subprocess.DEVNULL, capture_output=True, check=False
    )
    return done.returncode == 0


Colour = tuple[int, int, int]


def picture_blocks(path: Path, columns: int) -> list[list[tuple[Colour, Colour]]]:
    """Rows of cells, each with the colours of its upper and its lower half.

    A terminal's cell is about twice as high as it is wide, so a square picture has `columns` by `columns` / 2 cells.
    """
    side = columns - columns % 2
    picture: list[list[list[int]]] = np.asarray(read_picture(path, side)).tolist()
    return [
        [(_colour(upper), _colour(lower)) for upper, lower in zip(picture[row], picture[row + 1], strict=True)]
        for row in range(0, side, 2)
    ]


def _colour(pixel: list[int]) -> Colour:
    red, green, blue = pixel
    return red, green, blue
