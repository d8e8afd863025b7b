"""Evaluations as HTML pages. `docs/evaluation.md` defines every figure."""

import json
from collections import Counter
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

from cmcgan_core import __version__
from cmcgan_core.config import Config, load_config
from cmcgan_core.data.dataset import PreparedDataset
from cmcgan_core.evaluation.compare import Comparison, Entry, Group, differing
from cmcgan_core.evaluation.labels import REAL, few_samples_note, kind_label, plural, recovery_label, schedule_label
from cmcgan_core.evaluation.paper import paper_tables
from cmcgan_core.evaluation.pooling import Figure
from cmcgan_core.evaluation.sample_metrics import Metric, metrics_to_show
from cmcgan_core.modality import Direction
from cmcgan_core.reports.nearest import find_neighbours
from cmcgan_core.reports.plots import confusion, curves, intervals, require_matplotlib
from cmcgan_core.reports.samples import data_uri, make_examples
from cmcgan_core.utils.files import write_text
from cmcgan_core.utils.toml import dump_toml

__all__ = ["make_environment", "report_page", "require_matplotlib", "write_report"]

Row = TypeVar("Row", bound=Hashable)

#: Columns of a log that are not curves.
CLOCKS = ("step", "epoch", "seconds", "cpu_seconds")


@dataclass(frozen=True)
class DatasetCard:
    """What the page says about the dataset.

    Attributes:
        about: content of its `dataset.toml`.
        splits: names of the splits.
        pairs: number of pairs by class, for each split.
        recordings, players: number of recordings and of players, for each split.
    """

    about: dict[str, Any]
    splits: list[str]
    pairs: dict[str, list[int]]
    recordings: list[int]
    players: list[int]


@dataclass(frozen=True)
class QualityTable:
    """The table of the metrics of one direction.

    Attributes:
        direction: direction of the samples.
        columns: recipe and kind of samples of each column.
        rows: for each metric, the metric, its figures in the columns, and its figure for real samples.
    """

    direction: Direction
    columns: list[tuple[Group, str]]
    rows: list[tuple[Metric, list[Figure | None], Figure | None]]


def write_report(
    compared: Comparison, dataset: PreparedDataset, out: Path, *, seed: int = 0, device: str = "auto"
) -> Path:
    """Write everything about evaluated runs as `index.html`, one self-contained file.

    Args:
        compared: one run, or several.
        dataset: the dataset that they were evaluated on.
        out: folder of the page.
        seed: seed of the first latents of the samples.
        device: see `choose_device`.

    Returns:
        The page.

    Raises:
        ConfigError: Matplotlib is not installed.
    """
    require_matplotlib()
    page = out / "index.html"
    write_text(page, report_page(compared, dataset, seed=seed, device=device))
    return page


def report_page(compared: Comparison, dataset: PreparedDataset, *, seed: int = 0, device: str = "auto") -> str:
    """Return the text of the page that `write_report` writes."""
    shown = [group.entries[0] for group in compared.groups]
    recipes = {group.name: group.entries[0].about.config for group in compared.groups}
    directions = _rows_of(group.figures.table1 for group in compared.groups)
    translating = [entry for entry in shown if entry.evaluation.table1]
    return (
        make_environment()
        .get_template("report.html")
        .render(
            compared=compared,
            first=compared.entries[0].evaluation,
            paper=paper_tables(),
            directions=directions,
            qualities=[quality_table(compared.groups, direction) for direction in directions],
            examples=make_examples(translating, dataset, seed=seed, device=device) if translating else [],
            neighbours=find_neighbours(translating, dataset, seed=seed, device=device) if translating else [],
            accuracies=[_accuracies(compared.groups, direction) for direction in directions],
            table2=_rows_of(group.figures.table2 for group in compared.groups),
            confusions=[plot for entry in shown for plot in _confusions(entry)],
            curves=_curves(shown),
            settings=_settings(recipes),
            configurations={name: dump_toml(config.to_dict()) for name, config in recipes.items()},
            card=_card(dataset),
            version=__version__,
        )
    )


def quality_table(groups: Sequence[Group], direction: Direction) -> QualityTable:
    """Return the table of the metrics of one direction, with a column for each recipe and kind of samples."""
    translating = [group for group in groups if direction in group.figures.quality]
    columns = [(group, kind) for group in translating for kind in group.figures.quality[direction] if kind != REAL]
    samples = [group.figures.quality[direction][kind] for group, kind in columns]
    real = translating[0].figures.quality[direction][REAL]
    rows = [
        (metric, [figures.get(name) for figures in samples], real.get(name))
        for name, metric in metrics_to_show(samples).items()
    ]
    return QualityTable(direction, columns, rows)


def _rows_of(tables: Iterable[Mapping[Row, object]]) -> list[Row]:
    """Return the rows that any of several tables has."""
    return list(dict.fromkeys(row for table in tables for row in table))


def make_environment() -> Environment:
    """Return the environment of the templates, with the filters that they use."""
    environment = Environment(
        loader=PackageLoader("cmcgan_core.reports"),
        autoescape=select_autoescape(),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["figure"] = _figure_text
    environment.filters["kind"] = kind_label
    environment.filters["recovery"] = recovery_label
    environment.filters["few_samples"] = few_samples_note
    environment.filters["share_of_schedule"] = schedule_label
    environment.filters["plural"] = plural
    return environment


def _figure_text(figure: Figure | None, spec: str = ".3f") -> str:
    """Return a figure as `Figure.text` does, or a dash. A line may break before a bracket, but not inside it."""
    return "–" if figure is None else figure.text(spec, gap="\N{NO-BREAK SPACE}")


def _plot_uri(svg: str) -> str:
    """Return a plot as a data URI, so that plots share neither names nor styles."""
    return data_uri("image/svg+xml", svg.encode())


def _accuracies(groups: Sequence[Group], direction: Direction) -> tuple[str, str]:
    """Return the title and the plot of Table 1's rows of one direction, by recipe and number of hops."""
    translating = [group for group in groups if direction in group.figures.table1]
    first = translating[0].entries[0].evaluation
    figures = {
        f"{group.name} {kind_label(hops)}" if len(groups) > 1 else kind_label(hops): by_split[first.split].micro
        for group in translating
        for hops, by_split in group.figures.table1[direction].items()
    }
    rows = [(label, figure.value, figure.interval) for label, figure in figures.items()]
    real = first.real[direction.target][first.split].micro
    title = f"{direction.table_name}: judged accuracy, {first.split} split"
    return title, _plot_uri(intervals(title, rows, real))


def _confusions(entry: Entry) -> list[tuple[str, str]]:
    """Return titles and plots of the confusion matrices of a run's own output, and of a classifier."""
    evaluation = entry.evaluation
    matrices = {
        f"{entry.name}: {direction.table_name}": kinds[str(evaluation.hops)]
        for direction, kinds in evaluation.confusion.items()
    }
    if evaluation.classification is not None:
        matrices[f"{entry.name}: classifier"] = evaluation.classification.confusion
    titled = {f"{name}, per cent of the true class": matrix for name, matrix in matrices.items()}
    return [(title, _plot_uri(confusion(title, matrix, evaluation.classes))) for title, matrix in titled.items()]


def _curves(entries: Sequence[Entry]) -> list[tuple[str, str]]:
    """Return names and plots of everything in the runs' logs."""
    names = dict.fromkeys(name for entry in entries for record in entry.log for name in record if name not in CLOCKS)
    plots = []
    for name in names:
        by_run = {
            entry.name: [(int(record["step"]), record[name]) for record in entry.log if name in record]
            for entry in entries
        }
        plots.append((name, _plot_uri(curves(name, by_run))))
    return plots


def _settings(recipes: Mapping[str, Config]) -> dict[str, dict[str, str]]:
    """Return the settings in which recipes differ from the paper, or from each other."""
    paper = load_config("paper").to_dict()
    rows = differing({"as printed": paper, **{name: config.to_dict() for name, config in recipes.items()}})
    return {name: _written(row) for name, row in rows.items() if name not in ("seed", "preset")}


def _written(values: Mapping[str, Any]) -> dict[str, str]:
    """Return a value as text: as in TOML, but strings without quotes, and a dash for None."""
    return {
        name: "–" if value is None else value if isinstance(value, str) else json.dumps(value)
        for name, value in values.items()
    }


def _card(dataset: PreparedDataset) -> DatasetCard:
    """Describe the dataset: its `dataset.toml`, and pairs, recordings and players by split."""
    splits = list(dict.fromkeys(pair.split for pair in dataset.pairs))
    by_class = Counter((pair.label, pair.split) for pair in dataset.pairs)
    return DatasetCard(
        about=dataset.about,
        splits=splits,
        pairs={label: [by_class[label, split] for split in splits] for label in dataset.classes},
        recordings=[len({pair.recording for pair in dataset.split(name).pairs}) for name in splits],
        players=[len({pair.player for pair in dataset.split(name).pairs if pair.player}) for name in splits],
    )
