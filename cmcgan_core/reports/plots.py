"""Plots as SVG, drawn with Matplotlib, which is imported when the first plot is drawn."""

import importlib.util
import io
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from cmcgan_core.errors import ConfigError

if TYPE_CHECKING:
    from matplotlib.axes import Axes

#: Size in inches: as wide as a phone. On a wider screen several plots are next to each other.
SIZE = (4.0, 2.5)
#: Colours that colour-blind people can tell apart (Okabe and Ito), in the order of the runs.
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000")
#: Points (steps, values) of one run.
Curve = Sequence[tuple[int, float]]


def require_matplotlib() -> None:
    """Check that Matplotlib is installed, before any work is done for a page that needs it.

    Raises:
        ConfigError: Matplotlib is not installed.
    """
    if importlib.util.find_spec("matplotlib") is None:
        raise ConfigError("a report needs matplotlib; install with: pip install 'cmcgan[report]'")


def curves(title: str, by_run: Mapping[str, Curve]) -> str:
    """Return a plot of one loss over the steps, with a line for each run."""
    with _drawing(SIZE) as (axes, svg):
        for place, (name, points) in enumerate(by_run.items()):
            steps, values = [step for step, _ in points], [value for _, value in points]
            axes.plot(steps, values, color=COLOURS[place % len(COLOURS)], linewidth=1.3, label=name)
        axes.set_title(title)
        axes.set_xlabel("step")
        axes.grid(visible=True, color="#ddd", linewidth=0.6)
        if len(by_run) > 1:
            axes.legend(frameon=False)
    return svg[0]


def confusion(title: str, matrix: Sequence[Sequence[int]], classes: Sequence[str]) -> str:
    """Return a plot of a confusion matrix in per cent of the true class; shares below 0.5 % are not written."""
    shares = [[100 * count / max(1, sum(row)) for count in row] for row in matrix]
    side = max(3.2, 1.4 + 0.26 * len(classes))
    with _drawing((side, side)) as (axes, svg):
        axes.imshow(shares, cmap="Blues", vmin=0, vmax=100)
        for i, row in enumerate(shares):
            for j, share in enumerate(row):
                if share >= 0.5:
                    colour = "white" if share > 60 else "black"
                    axes.text(j, i, f"{share:.0f}", ha="center", va="center", fontsize=7, color=colour)
        names = [name.replace("_", " ") for name in classes]
        axes.set_xticks(range(len(names)), names, rotation=90)
        axes.set_yticks(range(len(names)), names)
        axes.set_xlabel("judged")
        axes.set_ylabel("true")
        axes.set_title(title)
        axes.spines[:].set_visible(False)
        axes.tick_params(length=0)
    return svg[0]


def intervals(title: str, rows: Sequence[tuple[str, float, tuple[float, float] | None]], ceiling: float) -> str:
    """Return a plot of accuracies as dots with their intervals, the first row on top.

    Args:
        title: title of the plot.
        rows: label, accuracy (0 to 1), and interval of each row.
        ceiling: accuracy on real samples, drawn as a dashed line.
    """
    with _drawing((SIZE[0], 0.9 + 0.27 * len(rows))) as (axes, svg):
        for place, (_, value, interval) in enumerate(rows):
            if interval is not None:
                axes.plot(interval, (place, place), color=COLOURS[0], linewidth=1.5)
            axes.plot(value, place, "o", color=COLOURS[0], markersize=5)
        axes.axvline(ceiling, color=COLOURS[1], linewidth=1, linestyle="--")
        axes.set_yticks(range(len(rows)), [name for name, _, _ in rows])
        axes.set_ylim(len(rows) - 0.5, -0.5)
        axes.set_xlim(0, 1)
        axes.set_title(title)
        axes.grid(visible=True, axis="x", color="#ddd", linewidth=0.6)
    return svg[0]


@contextmanager
def _drawing(size: tuple[float, float]) -> Iterator[tuple["Axes", list[str]]]:
    """Yield axes to draw on, and a list that holds the SVG at the end. The same plot gives the same SVG."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    settings: dict[Any, Any] = {
        "svg.fonttype": "none",
        "svg.hashsalt": "cmcgan",
        "font.family": "sans-serif",
        "font.size": 8,
        "axes.titlesize": 9,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "text.parse_math": False,
    }
    svg: list[str] = []
    with rc_context(settings):
        figure = Figure(figsize=size, layout="constrained")
        yield figure.add_subplot(), svg
        content = io.StringIO()
        figure.savefig(content, format="svg", metadata={"Date": None, "Creator": None})
        svg.append(content.getvalue())
