"""Cells of tables: figures, accuracies and published figures as text."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.table import Table

    from cmcgan_core.evaluation.compare import Group
    from cmcgan_core.evaluation.pooling import Figure
    from cmcgan_core.evaluation.scores import Accuracy

#: The cell of a figure that does not exist.
NONE = "-"
#: What the square brackets mean.
INTERVALS = "brackets: 95 % over recordings"


def figure_text(figure: "Figure | None", spec: str = ".3f") -> str:
    """Return a figure with its deviation and its interval, if it has them: 0.512 (0.010) [.45 .57]."""
    return NONE if figure is None else figure.text(spec)


def accuracy_text(accuracy: "Accuracy | None", *, balanced: bool = False) -> str:
    """Return an accuracy with its interval: 0.512 [.45 .57]."""
    from cmcgan_core.evaluation.pooling import Figure

    if accuracy is None:
        return NONE
    if balanced:
        return figure_text(Figure(accuracy.balanced, interval=accuracy.balanced_interval))
    return figure_text(Figure(accuracy.micro, interval=accuracy.micro_interval))


def published_text(value: float | None, missing: str = NONE) -> str:
    """Return a published figure with the four digits of the papers."""
    return missing if value is None else f"{value:.4f}"


def brackets(groups: "Sequence[Group]") -> str:
    """Return what the brackets in a table of recipes mean."""
    several = any(len(group.entries) > 1 for group in groups)
    return f"round brackets: standard deviation over seeds; square {INTERVALS}" if several else f"square {INTERVALS}"


def new_table(title: str | None, *columns: str) -> "Table":
    """Return an empty table.

    It is narrow, so that two figures with intervals and a published figure fit a terminal of 80 columns. What still
    does not fit is broken over lines, never cut off.
    """
    from rich.box import SIMPLE_HEAD
    from rich.table import Column, Table

    heads = (Column(name, overflow="fold") for name in columns)
    return Table(*heads, title=title, box=SIMPLE_HEAD, show_edge=False, padding=(0, 1, 0, 0))
