"""Small studies, raters who answer by a rule, and a server in a process of its own."""

import re
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cmcgan_core.human_eval.create import create_study
from cmcgan_core.human_eval.designs import MODALITIES
from cmcgan_core.human_eval.draw import Pair
from cmcgan_core.human_eval.store import Item, Rater, Store
from cmcgan_core.human_eval.study import Plan, Study

LABELS = ("cello", "flute")


def real_pairs(count: int) -> list[Pair]:
    """Pairs of two classes in turn; each its own colour and pitch."""
    time_axis = np.arange(4410) / 44_100
    return [
        Pair(
            f"{LABELS[i % 2]}/p{i}",
            LABELS[i % 2],
            (0.05 * (i + 1) * np.sin(2 * np.pi * (200 + 50 * i) * time_axis)).astype(np.float32),
            np.full((24, 24, 3), (20 * i % 256, 90, 160), dtype=np.uint8),
        )
        for i in range(count)
    ]


@dataclass(frozen=True)
class Painter:
    """A model that makes plain pictures of a size of its own, and hum."""

    side: int = 24
    modalities: tuple[str, ...] = MODALITIES
    origin: str = "a test"

    def makes(self, pair: str) -> tuple[str, ...]:
        return self.modalities

    def picture(self, pair: Pair) -> np.ndarray:
        return np.full((self.side, self.side, 3), len(pair.name) * 9, dtype=np.uint8)

    def sound(self, pair: Pair) -> np.ndarray:
        return np.sin(np.arange(4410) / 9).astype(np.float32)


def make_study(
    out: Path,
    design: str = "ast-aat",
    *,
    pairs: int = 3,
    models: tuple[str, ...] = ("alpha", "beta"),
    modalities: tuple[str, ...] = MODALITIES,
    **plan: object,
) -> Study:
    """A study of `pairs` rated pairs."""
    makers = {name: Painter(24 + 8 * i) for i, name in enumerate(models)}
    return create_study(out, Plan(design, **plan), real_pairs(pairs + 4), makers, modalities=modalities)


def join(store: Store) -> Rater:
    rater = store.rater(store.join("en"))
    assert rater is not None
    return rater


def rate_all(store: Store, rater: Rater, value: Callable[[Item], int]) -> None:
    """Answer everything that a rater is given."""
    while (task := store.next_task(rater)) is not None:
        added = store.answer(rater, task.position, task.revision, value(task.item), seconds=2.0, replays=1)
        assert added


def fields_of(page: str) -> dict[str, str]:
    """Names and values of a page's hidden fields."""
    return dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)"', page))


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def start_server(study: Study, port: int, environment: Mapping[str, str] | None = None) -> subprocess.Popen[bytes]:
    """`cmcgan human-eval serve`, once it answers."""
    command = [sys.executable, "-m", "cmcgan_cli", "human-eval", "serve", str(study.root), "--port", str(port)]
    server = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    for _ in range(600):
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=5).close()
            return server
        except OSError:
            assert server.poll() is None, "the server ended"
            time.sleep(0.1)
    server.kill()
    raise AssertionError("the server does not answer")


@contextmanager
def serving(study: Study) -> Iterator[str]:
    """The address of a running server."""
    port = free_port()
    server = start_server(study, port)
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.kill()
        server.wait()
