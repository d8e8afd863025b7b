"""How long work tells of its progress: it calls an `OnProgress`; whoever called it draws.

The command line draws with rich. A Python user writes `on_progress=tqdm_progress()`.
"""

from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Progress:
    """A point in a piece of long work.

    Attributes:
        stage: what is being done, in a few words ("preparing", "training small").
        done: units finished.
        total: units in all, or None while that is unknown.
        unit: what is counted ("recordings", "steps").
        values: figures worth showing (losses, pairs so far).
    """

    stage: str
    done: int
    total: int | None
    unit: str = "steps"
    values: dict[str, float] = field(default_factory=dict)


OnProgress = Callable[[Progress], None]


def silent(progress: Progress) -> None:
    """Draw nothing."""


def tqdm_progress() -> OnProgress:
    """One tqdm bar a stage, on standard error."""
    from tqdm import tqdm

    bars: dict[str, tqdm[None]] = {}

    def draw(progress: Progress) -> None:
        bar = bars.get(progress.stage)
        if bar is None:
            bar = bars[progress.stage] = tqdm(desc=progress.stage, total=progress.total, unit=progress.unit)
        bar.update(progress.done - bar.n)
        bar.set_postfix(progress.values, refresh=False)
        if progress.done == progress.total:
            bar.close()

    return draw
