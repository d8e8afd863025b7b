"""Test helpers: small studies, raters who answer by a rule, and a server in its own process."""

import re
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np

from cmcgan_core.human_eval.create import create_study
from cmcgan_core.human_eval.designs import RATED_MODALITIES
from cmcgan_core.human_eval.draw import RealPair
from cmcgan_core.human_eval.store import Rater, Store, StudyItem
from cmcgan_core.human_eval.study import RatingStudy, StudyPlan

LABELS = ("cello", "flute")


def real_pairs(count: int) -> list[RealPair]:
    """Return pairs that alternate between two classes. Each has its own colour and pitch."""
    time_axis = np.arange(4410) / 44_100
    return [
        RealPair(
            f"{LABELS[i % 2]}/p{i}",
            LABELS[i % 2],
            (0.05 * (i + 1) * np.sin(2 * np.pi * (200 + 50 * i) * time_axis)).astype(np.float32),
            np.full((24, 24, 3), (20 * i % 256, 90, 160), dtype=np.uint8),
        )
        for i in range(count)
    ]


@dataclass(frozen=True)
class PlainModel:
    """A model that generates pictures of one colour and one size, and a hum."""

    side: int = 24
    modalities: tuple[str, ...] = RATED_MODALITIES
    origin: str = "a test"

    def available(self, pair_name: str) -> tuple[str, ...]:
        return self.modalities

    def make_picture(self, pair: RealPair) -> np.ndarray:
        return np.full((self.side, self.side, 3), len(pair.name) * 9, dtype=np.uint8)

    def make_sound(self, pair: RealPair) -> np.ndarray:
        return np.sin(np.arange(4410) / 9).astype(np.float32)


def make_study(
    out: Path,
    design: str = "ast-aat",
    *,
    pairs: int = 3,
    models: tuple[str, ...] = ("alpha", "beta"),
    modalities: tuple[str, ...] = RATED_MODALITIES,
    **plan: object,
) -> RatingStudy:
    """Create a study with `pairs` rated pairs."""
    rated_models = {name: PlainModel(24 + 8 * i) for i, name in enumerate(models)}
    return create_study(out, StudyPlan(design, **plan), real_pairs(pairs + 4), rated_models, modalities=modalities)


def join(store: Store) -> Rater:
    """Add a rater."""
    rater = store.find_rater(store.add_rater("en"))
    assert rater is not None
    return rater


def rate_all(store: Store, rater: Rater, value: Callable[[StudyItem], int]) -> None:
    """Answer all tasks of a rater."""
    while (task := store.next_task(rater)) is not None:
        added = store.add_answer(rater, task.position, task.revision, value(task.item), seconds=2.0, replays=1)
        assert added


def hidden_fields(page: str) -> dict[str, str]:
    """Return the names and values of a page's hidden form fields."""
    return dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)"', page))


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def start_server(
    study: RatingStudy, port: int, *options: str, before: str = "", log: IO[bytes] | None = None
) -> subprocess.Popen[bytes]:
    """Start `cmcgan human-eval serve`, and wait until it responds.

    Args:
        study: the study.
        port: the port.
        options: more options of the command.
        before: Python code that the server runs first.
        log: a file for its standard error.
    """
    code = f"{before}\nfrom cmcgan_cli.app import main\nmain()"
    arguments = ["human-eval", "serve", str(study.root), "--port", str(port), *options]
    server = subprocess.Popen(
        [sys.executable, "-c", code, *arguments], stdout=subprocess.DEVNULL, stderr=log or subprocess.DEVNULL
    )
    for _ in range(600):
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=5).close()
            return server
        except OSError:
            assert server.poll() is None, "the server has stopped"
            time.sleep(0.1)
    server.kill()
    raise AssertionError("the server does not respond")


@contextmanager
def serving(study: RatingStudy) -> Iterator[str]:
    """Run a server for the study; yield its address."""
    port = free_port()
    server = start_server(study, port)
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.kill()
        server.wait()
