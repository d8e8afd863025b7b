"""Test helpers: the page of `cmcgan app` with a tiny model."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from starlette.types import ASGIApp

from cmcgan_core.app.jobs import JobQueue
from cmcgan_core.app.models import Models
from cmcgan_core.app.server import make_app
from cmcgan_core.app.work import do_job


@contextmanager
def open_app(run: Path, folder: Path, searched: tuple[str, ...] = ()) -> Iterator[ASGIApp]:
    """Yield the page that offers a run; its queue works meanwhile."""
    models = Models(run / "last.safetensors", "cpu")
    with JobQueue(folder, lambda job, on_progress: do_job(models, searched, job, on_progress)) as queue:
        yield make_app(queue, models, frozenset({"localhost"}), searching=bool(searched))
