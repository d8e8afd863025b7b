"""The tables of `cmcgan compare`: a column for each recipe."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

from cmcgan_cli.tables.cells import NONE, brackets, figure_text, new_table, published_text

if TYPE_CHECKING:
    from rich.table import Table

    from cmcgan_core.evaluation.compare import Comparison, Group
    from cmcgan_core.evaluation.pooling import Figure


class RowKey(NamedTuple):
    """A row of the table of figures: the section that it belongs to, its label, and the format of its figures."""

    section: str
    label: str
    spec: str = ".3f"


def costs(compared: "Comparison") -> "Table":
    """Return the table of the trainings and their costs, with a row for each recipe."""
    from cmcgan_core.evaluation.labels import schedule_label

    table = new_table("Runs", "run", "preset", "seeds", "steps", "paper's", "training, s", "CPU-s", "device")
    for group in compared.groups:
        configs = [entry.about.config for entry in group.entries]
        devices = ", ".join(sorted({entry.device for entry in group.entries if entry.device}))
        seconds = figure_text(group.seconds, ".0f"), figure_text(group.cpu_seconds, ".0f")
        seeds = ", ".join(str(config.seed) for config in configs)
        steps = str(group.steps), schedule_label(group.entries[0].about) or NONE
        table.add_row(group.name, configs[0].preset or NONE, seeds, *steps, *seconds, devices or NONE)
    table.caption = (
        "paper's: pairs seen, as a share of CMCGAN's 200 epochs of 17,555 pairs; elapsed seconds, and CPU-seconds of "
        "all threads, from the run's log"
    )
    return table


def figures(compared: "Comparison") -> "Table":
    """Return the table of all figures, with a column for each recipe."""
    split = compared.split
    table = new_table(f"{split} split", "", *(group.name.replace(", ", "\n") for group in compared.groups), "paper")
    columns = [dict(rows(group, split)) for group in compared.groups]
    keys = list(dict.fromkeys(key for column in columns for key in column))
    sections = list(dict.fromkeys(key.section for key in keys))
    paper = published_rows()
    for section in sections:
        members = [key for key in keys if key.section == section]
        for key in members:
            values = [figure_text(column.get(key), key.spec) for column in columns]
            published = published_text(paper.get(key), missing="")
            table.add_row(key.label, *values, published, end_section=key is members[-1])
    table.caption = f"{brackets(compared.groups)}; * the run's own output"
    return table


def rows(group: "Group", split: str) -> "Iterator[tuple[RowKey, Figure | None]]":
    """Yield the figures of a recipe: Table 1 by each judge, Table 2, metrics, poses, classification and retrieval."""
    from cmcgan_core.evaluation.labels import kind_label, plural, recovery_label
    from cmcgan_core.evaluation.pose_scores import ALL_READABLE

    pooled = group.figures
    main = ("", pooled.table1, pooled.recovered, pooled.copied)
    others = [
        (", 2nd judge", judge.table1, judge.recovered, judge.copied) for judge in list(pooled.other_judges.values())[:1]
    ]
    for judge, table1, recovered, copied in (main, *others):
        for direction, by_hops in table1.items():
            for hops, parts in by_hops.items():
                own = " *" if hops == group.hops else ""
                label = f"{direction.table_name} {kind_label(hops)}{own}{judge}"
                yield RowKey(f"table1{judge}", label), parts[split].micro
        for modality, by_hops in recovered.items():
            for hops, parts in by_hops.items():
                yield RowKey(f"table1{judge}", f"{recovery_label(hops, modality)}{judge}"), parts[split].micro
        for direction in table1:
            label = f"{direction.table_name} control: copied{judge}"
            yield RowKey(f"table1{judge}", label), copied[direction][split].micro
    for name, accuracy in pooled.table2.items():
        yield RowKey("table2", name), accuracy.micro
    yield from _quality_rows(group)
    if (poses := pooled.poses.get(ALL_READABLE)) is not None:
        yield RowKey("poses", "poses: r"), poses.generated
        yield RowKey("poses", "poses: r, control: another sound"), poses.another_sound
        yield RowKey("poses", "poses: r of real pictures"), poses.real
    if pooled.classification:
        yield RowKey("classification", "classification"), pooled.classification[split].micro
        yield RowKey("classification", "classification, balanced"), pooled.classification[split].balanced
    if pooled.retrieval is not None:
        for direction, ranking in pooled.retrieval.ranking.items():
            name = f"{direction.source.word} to {plural(direction.target)}"
            for rank, recall in ranking.recall.items():
                yield RowKey("retrieval", f"{name}: recall@{rank}"), recall
            yield RowKey("retrieval", f"{name}: mean average precision"), ranking.mean_average_precision


def _quality_rows(group: "Group") -> "Iterator[tuple[RowKey, Figure | None]]":
    """Yield the metrics of the run's own output."""
    from cmcgan_core.evaluation.sample_metrics import metrics_to_show

    for direction, kinds in group.figures.quality.items():
        samples = kinds[group.hops]
        for name, metric in metrics_to_show([samples]).items():
            yield RowKey("samples", f"{direction.table_name} {metric.title}", metric.format), samples[name]


def published_rows() -> dict[RowKey, float]:
    """Return the published figures by row. The paper's Table 1 scores the output of two hops."""
    from cmcgan_core.evaluation.labels import kind_label
    from cmcgan_core.evaluation.paper import paper_tables

    tables = paper_tables()
    published = {RowKey("table2", name): value for name, value in tables.table2.items()}
    for direction, by_system in tables.table1.items():
        for own in ("", " *"):
            published[RowKey("table1", f"{direction} {kind_label('2')}{own}")] = by_system["CMCGAN (paper)"]["test"]
    return published
