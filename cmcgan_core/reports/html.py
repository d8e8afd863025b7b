"""Results as HTML pages. `docs/evaluation.md` says what each figure is."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

from cmcgan_core import __version__
from cmcgan_core.config import Config, load_config
from cmcgan_core.data.dataset import PairDataset
from cmcgan_core.evaluation.compare import Comparison, Entry, Figure, Group, differing
from cmcgan_core.evaluation.evaluate import Evaluation
from cmcgan_core.evaluation.paper import paper_tables
from cmcgan_core.reports.plots import confusion, curves, intervals, require_matplotlib
from cmcgan_core.reports.samples import data_uri, make_examples
from cmcgan_core.utils.files import write_text
from cmcgan_core.utils.toml import dump_toml

__all__ = ["demo_page", "report_page", "require_matplotlib", "write_report"]

#: Columns of a log that are no curves.
CLOCKS = ("step", "epoch", "seconds", "cpu_seconds")
#: Figures of samples: their label, their name in `scores.Quality`, and the directions that have them.
QUALITY = (
    ("L1 to the truth", "l1"),
    ("SSIM to the truth", "ssim"),
    ("log-spectral distance, dB", "log_spectral_distance"),
    ("Fréchet distance", "frechet_distance"),
    ("kernel distance", "kernel_distance"),
    ("upper frequencies / real", "high_frequency"),
    ("diversity over z / real", "diversity"),
    ("retrieval: precision at 1", "precision_at_1"),
    ("retrieval: mean precision", "mean_average_precision"),
)
#: What kinds of samples are called.
KINDS = {"1": "direct", "2": "two hops", "real": "real"}


def demo_page(evaluation: Evaluation, examples: Sequence[Mapping[str, object]], config: Config, seconds: float) -> str:
    """The page that `cmcgan demo` leaves: samples to see and hear, the tables, and what to do next.

    Args:
        evaluation: of the run.
        examples: paths relative to the page, by the names of `demonstration.Example`.
        config: of the run.
        seconds: that everything took.
    """
    template = _environment().get_template("demo.html")
    return template.render(evaluation=evaluation.to_dict(), examples=examples, config=config, seconds=seconds)


def write_report(compared: Comparison, data: Path, out: Path, *, seed: int = 0, device: str = "auto") -> Path:
    """Write everything that is known of evaluated runs as `index.html`, one file that needs no other.

    Args:
        compared: one run, or several.
        data: the dataset that they were evaluated on.
        out: folder.
        seed: of the first latents that are shown.
        device: see `choose_device`.

    Returns:
        The page.

    Raises:
        ConfigError: Matplotlib is not installed.
    """
    require_matplotlib()
    page = out / "index.html"
    write_text(page, report_page(compared, data, seed=seed, device=device))
    return page


def report_page(compared: Comparison, data: Path, *, seed: int = 0, device: str = "auto") -> str:
    """The text of `write_report`'s page."""
    first, shown = compared.entries[0].evaluation, [group.entries[0] for group in compared.groups]
    recipes = {group.name: group.entries[0].about.config for group in compared.groups}
    return (
        _environment()
        .get_template("report.html")
        .render(
            compared=compared,
            first=first,
            paper=paper_tables(),
            quality=QUALITY,
            kinds=KINDS,
            examples=make_examples(shown, data, seed=seed, device=device),
            accuracies=[_accuracies(compared.groups, direction, first) for direction in _rows(compared, "table1")],
            table2=_rows(compared, "table2"),
            confusions=[plot for entry in shown for plot in _confusions(entry)],
            curves=_curves(shown),
            settings=_settings(recipes),
            configurations={name: dump_toml(config.to_dict()) for name, config in recipes.items()},
            card=_card(data),
            version=__version__,
        )
    )


def _rows(compared: Comparison, table: str) -> list[str]:
    """Rows that a table has of any run: those that go one way only have fewer."""
    return list(dict.fromkeys(row for group in compared.groups for row in group.figures[table]))


def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("cmcgan_core.reports"),
        autoescape=select_autoescape(),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["figure"] = _shown
    return environment


def _shown(figure: Figure | None, spec: str = ".3f") -> str:
    """A figure as `Figure.text` has it.

    A line may break before a bracket, and nowhere in it.
    """
    if figure is None:
        return "–"
    return figure.text(spec, gap="\N{NO-BREAK SPACE}")


def _plot(svg: str) -> str:
    """A plot as an address; so that plots share neither names nor styles."""
    return data_uri("image/svg+xml", svg.encode())


def _accuracies(groups: Sequence[Group], direction: str, first: Evaluation) -> tuple[str, str]:
    """Title, and Table 1's rows of one direction as a plot: each recipe's numbers of hops."""
    split = first.split
    figures = {
        f"{group.name} {KINDS[hops]}" if len(groups) > 1 else KINDS[hops]: parts[split]["micro"]
        for group in groups
        for hops, parts in group.figures["table1"].get(direction, {}).items()
    }
    rows = [(label, figure.value, figure.interval) for label, figure in figures.items()]
    real = first.real["v" if direction == "S2I" else "a"][split].micro
    title = f"{direction}: judged accuracy, {split} split"
    return title, _plot(intervals(title, rows, real))


def _confusions(entry: Entry) -> list[tuple[str, str]]:
    """Titles and matrices of a run's own output."""
    found = entry.evaluation
    plots = []
    for direction, kinds in found.quality.items():
        title = f"{entry.name}: {direction}, per cent of the true class"
        plots.append((title, _plot(confusion(title, kinds[str(found.hops)].confusion, found.classes))))
    return plots


def _curves(entries: Sequence[Entry]) -> list[tuple[str, str]]:
    """Names and plots of everything that the runs' logs have."""
    names = dict.fromkeys(name for entry in entries for record in entry.log for name in record if name not in CLOCKS)
    plots = []
    for name in names:
        by_run = {
            entry.name: [(record["step"], record[name]) for record in entry.log if name in record] for entry in entries
        }
        plots.append((name, _plot(curves(name, by_run))))
    return plots


def _settings(recipes: Mapping[str, Config]) -> dict[str, dict[str, str]]:
    """Settings in which recipes differ from the paper's, or from each other."""
    paper = load_config("paper").to_dict()
    rows = differing({"as printed": paper, **{name: config.to_dict() for name, config in recipes.items()}})
    return {name: _written(row) for name, row in rows.items() if name not in ("seed", "preset")}


def _written(values: Mapping[str, Any]) -> dict[str, str]:
    """Values as TOML has them, texts without quotes; a dash where there is none."""
    return {
        name: "–" if value is None else value if isinstance(value, str) else json.dumps(value)
        for name, value in values.items()
    }


def _card(data: Path) -> dict[str, Any]:
    """What the dataset is: its `dataset.toml`, and pairs, recordings and players counted by split."""
    dataset = PairDataset(data)
    splits = list(dict.fromkeys(pair.split for pair in dataset.pairs))
    by_class = Counter((pair.label, pair.split) for pair in dataset.pairs)
    return {
        "about": dataset.about,
        "splits": splits,
        "pairs": {label: [by_class[label, split] for split in splits] for label in dataset.classes},
        "recordings": [len({p.recording for p in dataset.pairs if p.split == split}) for split in splits],
        "players": [len({p.player for p in dataset.pairs if p.split == split and p.player}) for split in splits],
    }
