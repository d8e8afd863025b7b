"""The tables of `cmcgan study`: a row for each recipe."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from cmcgan_cli.tables.cells import NONE, brackets, figure_text, new_table, published_text
from cmcgan_cli.tables.comparison import costs

if TYPE_CHECKING:
    from rich.table import Table

    from cmcgan_core.evaluation.compare import Group
    from cmcgan_core.evaluation.pooling import PooledAccuracy, PooledJudgeScores
    from cmcgan_core.experiments.recipes import Study
    from cmcgan_core.experiments.representations import RepresentationStudy
    from cmcgan_core.experiments.retrieval import RetrievalStudy
    from cmcgan_core.experiments.study import StudyResult
    from cmcgan_core.modality import Direction

#: Largest number of metrics in one table of samples.
METRICS_PER_TABLE = 6


def tables(result: "StudyResult") -> "list[Table]":
    """Return all tables of a study."""
    from cmcgan_core.modality import Direction

    groups, shown = result.compared.groups, [costs(result.compared)]
    for direction in Direction:
        if translating := [group for group in groups if direction in group.figures.table1]:
            shown += [table1(translating, direction), *samples(translating, direction)]
    if posing := [group for group in groups if group.figures.poses]:
        shown.append(poses(posing))
    return [*shown, table2(groups)] if groups else shown


def plan(study: "Study", data: Path, folder: Path, parameters: dict[str, int]) -> "Table":
    """Return the table of the planned trainings of a study. Parameters are those of the networks that generate."""
    table = new_table(f"{study.title}: {data} -> {folder}", "recipe", "preset and settings", "parameters")
    for name, recipe in study.rows.items():
        table.add_row(name, "\n".join((recipe.preset, *recipe.set)), f"{parameters[name]:,}")
    trainings, seeds = len(study.rows) * len(study.seeds), ", ".join(map(str, study.seeds))
    common = f"All recipes: {', '.join(study.set)}. " if study.set else ""
    table.caption = (
        f"{common}{trainings} trainings (seeds {seeds}) of {study.seconds:g} seconds of CPU or GPU: "
        f"{trainings * study.seconds / 3600:.1f} hours, plus the evaluations"
    )
    return table


def table1(groups: "Sequence[Group]", direction: "Direction") -> "Table":
    """Return the table of the judged accuracy of the samples of one direction, with the published figures."""
    from cmcgan_core.evaluation.labels import kind_label, recovery_label
    from cmcgan_core.evaluation.paper import paper_tables

    split, modality = groups[0].entries[0].evaluation.split, direction.target
    title = f"Table 1, {direction.table_name}: judged accuracy of generated samples"
    one, two = "1", "2"
    recoveries = {hops: recovery_label(hops, modality) for hops in (one, two)}
    table = new_table(title, "", "train", split, "2nd judge", kind_label(two), *recoveries.values())
    for group in groups:
        pooled, by_hops = group.figures, group.figures.table1[direction]
        own, second = by_hops[group.hops], _second_judge(group).table1[direction][group.hops]
        accuracies: list[PooledAccuracy | None] = [own["train"], own[split], second[split]]
        recovered = pooled.recovered.get(modality, {})
        others = (by_hops.get(two, {}), *(recovered.get(hops, {}) for hops in recoveries))
        accuracies += [parts.get(split) for parts in others]
        table.add_row(group.name, *(figure_text(item.micro if item else None) for item in accuracies))
    real, second = groups[0].figures.real[modality], _second_judge(groups[0]).real[modality]
    cells = (figure_text(item.micro) for item in (real["train"], real[split], second[split]))
    table.add_row("real", *cells, *[""] * (1 + len(recoveries)), end_section=True)
    for name, values in paper_tables().table1[direction.table_name].items():
        published = (published_text(values.get(part)) for part in ("train", "test"))
        table.add_row(name, *published, *[NONE] * (2 + len(recoveries)), style="dim")
    table.caption = (
        f"{brackets(groups)}; {recoveries[one]}: real samples, recovered by one subnetwork; {recoveries[two]}: "
        "translated to the other modality and back"
    )
    return table


def _second_judge(group: "Group") -> "PooledJudgeScores":
    return next(iter(group.figures.other_judges.values()))


def samples(groups: "Sequence[Group]", direction: "Direction") -> "list[Table]":
    """Return the tables of the metrics of the samples of one direction, in parts that fit a terminal."""
    from cmcgan_core.evaluation.labels import REAL, few_samples_note
    from cmcgan_core.evaluation.sample_metrics import metrics_to_show
    from cmcgan_core.utils.batches import in_batches

    rows = {group.name: group.figures.quality[direction][group.hops] for group in groups}
    rows["real"] = groups[0].figures.quality[direction][REAL]
    evaluation, shown = groups[0].entries[0].evaluation, []
    for part in in_batches(metrics_to_show(rows.values()).items(), METRICS_PER_TABLE):
        titles = (metric.title for _, metric in part)
        table = new_table(f"Samples, {direction.table_name}", "", *titles)
        table.caption = few_samples_note(evaluation.pairs[evaluation.split]) or None
        for row, quality in rows.items():
            table.add_row(row, *(figure_text(quality.get(name), metric.format) for name, metric in part))
        shown.append(table)
    return shown


def poses(groups: "Sequence[Group]") -> "Table":
    """Return the table that shows whether the poses of generated pictures follow the notes."""
    from cmcgan_core.evaluation.pose_scores import ALL_READABLE, READABLE

    columns = "generated", "control: another sound", "real pictures"
    table = new_table("Poses: r of read and true height", "", *columns)
    for group in groups:
        if (score := group.figures.poses.get(ALL_READABLE)) is not None:
            figures = score.generated, score.another_sound, score.real
            table.add_row(group.name, *(figure_text(figure, ".2f") for figure in figures))
    by_class = {name: score for name, score in groups[0].figures.poses.items() if name != ALL_READABLE}
    readable = [name for name, score in by_class.items() if score.real.value >= READABLE]
    table.caption = f"classes whose real pictures are read with r >= .8: {', '.join(readable) or 'none'}"
    return table


def table2(groups: "Sequence[Group]") -> "Table":
    """Return the table of dynamic multimodal classification, with what each recipe generates."""
    from cmcgan_core.evaluation.paper import paper_tables

    names = [name for name in paper_tables().table2 if name.startswith("G")]
    table = new_table("Table 2: classification with a generated modality", "", *names)
    for group in groups:
        accuracies = [group.figures.table2.get(name) for name in names]
        table.add_row(group.name, *(figure_text(item.micro if item else None) for item in accuracies))
    real = groups[0].figures.table2
    table.add_row("the real modality alone", figure_text(real["A"].micro), figure_text(real["V"].micro))
    return table


def representations(study: "RepresentationStudy") -> "Table":
    """Return the table of the accuracy of CMAV's sound classifiers by representation, with the published figures."""
    table = new_table("CMAV, Table 1: sound classifiers", "", "layers", "train", study.split, "balanced", "paper")
    for row in study.rows:
        figures = row.train.micro, row.accuracy.micro, row.accuracy.balanced
        cells = (figure_text(figure) for figure in figures)
        table.add_row(row.representation.upper(), str(row.layers), *cells, published_text(row.paper))
    return table


def retrieval(study: "RetrievalStudy") -> "list[Table]":
    """Return the tables of a study of retrieval: precision over all ranks, and what is found first."""
    tasks = list(study.rows[0].runs[0].tasks)
    bi_modal = list(study.rows[0].runs[0].partner)
    precision = new_table(f"Retrieval, {study.split}: mean average precision", "", *tasks)
    found = new_table(
        f"Retrieval, {study.split}", "", *(f"{name} {task}" for name in ("P@1", "partner") for task in bi_modal)
    )
    for row in study.rows:
        precision.add_row(row.name, *(figure_text(row.precision(task)) for task in tasks))
        found.add_row(row.name, *(figure_text(read(task)) for read in (row.first, row.partner) for task in bi_modal))
    precision.add_row("random", *(f"{study.chance:.3f}" if task in bi_modal else NONE for task in tasks))
    return [precision, found]
