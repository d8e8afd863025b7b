"""Progress reports of long work.

A slow function calls its `on_progress` argument; the caller decides how to display the reports. The command
line displays them with rich. Python users can pass `on_progress=tqdm_progress()`.
"""

from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Progress:
    """The state of one stage of the work.

    Attributes:
        stage: what is being done, in a few words ("preparing", "training small").
        done: the number of units finished.
        total: the total number of units, or None while it is unknown.
        unit: what is counted ("recordings", "steps").
        values: figures to display (losses, pairs so far), by name.
    """

    stage: str
    done: int
    total: int | None
    unit: str = "steps"
    values: dict[str, float] = field(default_factory=dict)


OnProgress = Callable[[Progress], None]


def silent(progress: Progress) -> None:
    """Display nothing."""


def tqdm_progress() -> OnProgress:
    """Return an `OnProgress` that shows one tqdm bar for each stage, on standard error."""
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
