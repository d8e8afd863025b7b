"""The tables of `cmcgan evaluate`: the scores of one network."""

from typing import TYPE_CHECKING

from cmcgan_cli.tables.cells import NONE, accuracy_text, figure_text, new_table, published_text

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rich.table import Table

    from cmcgan_core.evaluation.results import Evaluation
    from cmcgan_core.evaluation.scores import Accuracy
    from cmcgan_core.modality import Direction
    from cmcgan_core.run_folder import About

#: The smallest number of classes that a correlation is computed over.
LEAST_CLASSES = 5


def tables(evaluation: "Evaluation", *, by_class: bool, confusion: bool) -> "list[Table]":
    """Return the tables that apply to the network, with the scores of each class and the matrices if requested."""
    shown = []
    if evaluation.table1:
        shown += [table1(evaluation), quality(evaluation), table2(evaluation)]
        shown += [classes(evaluation, direction) for direction in evaluation.by_class] if by_class else []
    if evaluation.poses:
        shown.append(poses(evaluation))
    if evaluation.classification is not None:
        shown.append(classification(evaluation))
    if evaluation.retrieval is not None:
        shown.append(retrieval(evaluation))
    return [*shown, *confusions(evaluation)] if confusion else shown


def summary(evaluation: "Evaluation") -> str:
    """Return a sentence about the pairs and the latents of the tables."""
    pairs, split, latents = evaluation.pairs, evaluation.split, evaluation.seeds.latents
    parts = [f"{pairs[split]} {split} pairs of {evaluation.recordings[split]} recordings"]
    if latents:
        parts.append(f"{len(latents)} latents each, seeds {latents[0]} to {latents[-1]}")
    judged = evaluation.table1 or evaluation.classification is not None
    column = f"; train: {pairs['train']} training pairs" if judged else ""
    text = f"{', '.join(parts)}{column}. Brackets: 95 % over recordings."
    if evaluation.table1 and not evaluation.poses:
        return f"{text} No poses: only the demonstration set has a score."
    if not evaluation.table1 and evaluation.retrieval is None and evaluation.classification is None:
        return f"{text} No retrieval: no class of this split has two recordings."
    return text


def training(about: "About") -> str:
    """Return a sentence about how far a run was trained, compared with the paper's; "" for other methods."""
    from cmcgan_core.evaluation.labels import schedule_label

    share = schedule_label(about)
    return f"The run saw {share} of the pairs of the paper's 200 epochs." if share else ""


def table1(evaluation: "Evaluation") -> "Table":
    """Return the table of the judged accuracy of generated samples, with the published figures."""
    from cmcgan_core.evaluation.labels import kind_label, plural, recovery_label
    from cmcgan_core.evaluation.paper import paper_tables

    split, judges = evaluation.split, list(evaluation.other_judges.values())[:1]
    columns = ["", "train", split, "balanced", *(["2nd judge"] if judges else [])]
    table = new_table("Table 1: judged accuracy of generated samples", *columns)
    for direction, by_hops in evaluation.table1.items():
        name, modality = direction.table_name, direction.target
        for hops, parts in by_hops.items():
            own = " *" if hops == str(evaluation.hops) else ""
            second = [accuracy_text(judge.table1[direction][hops][split]) for judge in judges]
            table.add_row(f"{name} {kind_label(hops)}{own}", *_cells(parts, split), *second)
        for hops, parts in evaluation.recovered.get(modality, {}).items():
            second = [accuracy_text(judge.recovered[modality][hops][split]) for judge in judges]
            table.add_row(f"{name} {recovery_label(hops, modality)}", *_cells(parts, split), *second)
        second = [accuracy_text(judge.copied[direction][split]) for judge in judges]
        table.add_row(f"{name} control: copied", *_cells(evaluation.copied[direction], split), *second)
        for row, values in paper_tables().table1[name].items():
            table.add_row(
                f"{name} {row}", published_text(values.get("train")), published_text(values.get("test")), style="dim"
            )
        second = [accuracy_text(judge.real[modality][split]) for judge in judges]
        real = _cells(evaluation.real[modality], split)
        table.add_row(f"{name} real {plural(modality)}", *real, *second, end_section=True)
    table.caption = (
        "* the model's own output; R_: real samples, recovered by one subnetwork; RF_: translated to the other "
        "modality and back; copied: a stored training sample of the class that the judge predicts for the input; real: "
        "the judge's own accuracy, the ceiling"
    )
    return table


def table2(evaluation: "Evaluation") -> "Table":
    """Return the table of dynamic multimodal classification, with the controls and the published figures."""
    from cmcgan_core.evaluation.outputs import PairClassifier
    from cmcgan_core.evaluation.paper import paper_tables

    paper, others = paper_tables().table2, evaluation.other_table2
    columns = ["", evaluation.split, "balanced", *others, "paper"]
    table = new_table("Table 2: dynamic multimodal classification", *columns)
    for name, accuracy in evaluation.table2.items():
        label = name if name in paper else f"  {name}"
        by_others = (accuracy_text(rows.get(name)) for rows in others.values())
        cells = accuracy_text(accuracy), accuracy_text(accuracy, balanced=True), *by_others
        table.add_row(label, *cells, published_text(paper.get(name)))
    notes = ["indented: controls, which carry no information"]
    if others:
        notes.append("retrained: trained on generated samples too")
    if PairClassifier.CONCATENATED in others:
        notes.append("concatenated: classifiers of the inputs instead of their codes")
    table.caption = "; ".join([*notes, *claims_of_table2(evaluation.table2)])
    return table


def claims_of_table2(table2: "Mapping[str, Accuracy]") -> list[str]:
    """Return a sentence for each generated modality: is it as good as the real one, or better, as CMCGAN claims?

    It is, if its accuracy is not below the interval of V-A. The given modality alone shows what generating adds.
    """
    real, sentences = table2["V-A"], []
    for row, alone in (("GV-A", "A"), ("GA-V", "V")):
        if row in table2 and real.micro_interval is not None:
            low, high = real.micro_interval
            value = table2[row].micro
            place = "below" if value < low else "above" if value > high else "within"
            sentences.append(f"{row} is {place} the interval of V-A; {alone} alone has {table2[alone].micro:.3f}")
    return sentences


def quality(evaluation: "Evaluation") -> "Table":
    """Return the table of the metrics of the samples, with a column for each direction and kind of samples."""
    from cmcgan_core.evaluation.labels import few_samples_note, kind_label
    from cmcgan_core.evaluation.sample_metrics import metrics_to_show

    columns = [(direction, kind) for direction, kinds in evaluation.quality.items() for kind in kinds]
    heads = [f"{direction.table_name}\n{kind_label(kind)}" for direction, kind in columns]
    table = new_table(f"Samples of the {evaluation.split} split", "", *heads)
    qualities = [evaluation.quality[direction][kind] for direction, kind in columns]
    for name, metric in metrics_to_show(qualities).items():
        values = (samples.get(name) for samples in qualities)
        table.add_row(metric.title, *(NONE if value is None else format(value, metric.format) for value in values))
    table.caption = "real: the same figure for real samples; for distances, that of the training split"
    if note := few_samples_note(evaluation.pairs[evaluation.split]):
        table.caption += f". {note}"
    return table


def classes(evaluation: "Evaluation", direction: "Direction") -> "Table":
    """Return the table of the scores of each class in one direction."""
    by_class = evaluation.by_class[direction]
    judges = [evaluation.judge, *list(evaluation.other_judges)[:1]]
    columns = ["", "pairs", evaluation.judge, *(["2nd judge"] if len(judges) > 1 else []), "unlike training"]
    table = new_table(f"{direction.table_name} by class, {evaluation.split} split", *columns)
    for name, scores in by_class.items():
        accuracies = (f"{scores.accuracy[judge]:.3f}" for judge in judges)
        unlikeness = NONE if scores.unlikeness is None else f"{scores.unlikeness:.3f}"
        table.add_row(name, str(scores.pairs), *accuracies, unlikeness)
    distances = [scores.unlikeness for scores in by_class.values() if scores.unlikeness is not None]
    table.caption = "unlike training: median distance of the given samples to the nearest training sample"
    if len(distances) == len(by_class) >= LEAST_CLASSES:
        by_judge = ([scores.accuracy[judge] for scores in by_class.values()] for judge in judges)
        correlations = (_rank_correlation(distances, values) for values in by_judge)
        table.caption += f"; its rank correlation with the accuracies: {', '.join(correlations)}"
    return table


def _rank_correlation(x: "Sequence[float]", y: "Sequence[float]") -> str:
    """Return Spearman's rank correlation of values; it does not exist if all values are equal."""
    from scipy.stats import spearmanr

    return NONE if len(set(x)) == 1 or len(set(y)) == 1 else f"{spearmanr(x, y)[0]:.2f}"


def poses(evaluation: "Evaluation") -> "Table":
    """Return the table that shows whether the poses of generated pictures follow the notes, by class."""
    from cmcgan_core.evaluation.pooling import Figure

    table = new_table("Poses: r of read and true height", "", "real pictures", "generated", "control: another sound")
    for name, score in evaluation.poses.items():
        figures = (
            None if value is None else Figure(value, interval=interval)
            for value, interval in ((score.generated, score.interval), (score.another_sound, None))
        )
        table.add_row(name, f"{score.real:.2f}", *(figure_text(figure, ".2f") for figure in figures))
    table.caption = "a class counts if the heights of its real pictures are read with r >= .8"
    return table


def classification(evaluation: "Evaluation") -> "Table":
    """Return the table of the accuracy of a classifier on real pairs."""
    from cmcgan_core.evaluation.labels import plural

    assert evaluation.classification is not None
    table = new_table("Classification of real pairs", "", "train", evaluation.split, "balanced")
    inputs = " and ".join(plural(modality) for modality in evaluation.classification.modalities)
    table.add_row(inputs, *_cells(evaluation.classification.accuracy, evaluation.split))
    return table


def retrieval(evaluation: "Evaluation") -> "Table":
    """Return the table of cross-modal retrieval, with the level of chance."""
    from cmcgan_core.evaluation.labels import plural

    assert evaluation.retrieval is not None
    chance = evaluation.retrieval.chance
    heads = [f"recall@{rank}" for rank in chance.recall]
    table = new_table("Cross-modal retrieval by class", "", *heads, "mean average precision")
    rows = {
        f"{direction.source.word} to {plural(direction.target)}": ranking
        for direction, ranking in evaluation.retrieval.ranking.items()
    }
    for label, ranking in {**rows, "by chance": chance}.items():
        figures = (*ranking.recall.values(), ranking.mean_average_precision)
        table.add_row(label, *(f"{value:.3f}" for value in figures), style="dim" if ranking is chance else "")
    table.caption = "items of the query's own recording are left out"
    return table


def confusions(evaluation: "Evaluation") -> "list[Table]":
    """Return confusion matrices in per cent of the true class: of the model's own output, and of a classifier."""
    matrices = {
        f"{direction.table_name}: judged class": kinds[str(evaluation.hops)]
        for direction, kinds in evaluation.confusion.items()
    }
    if evaluation.classification is not None:
        matrices["predicted class"] = evaluation.classification.confusion
    return [_confusion(f"{title}, %", evaluation.classes, matrix) for title, matrix in matrices.items()]


def _confusion(title: str, classes: "Sequence[str]", matrix: "Sequence[Sequence[int]]") -> "Table":
    table = new_table(title, "true", *(str(i + 1) for i in range(len(matrix))))
    for number, (name, counts) in enumerate(zip(classes, matrix, strict=True), start=1):
        shares = [round(100 * count / max(1, sum(counts))) for count in counts]
        table.add_row(f"{number} {name}", *(str(share) if share else "." for share in shares))
    return table


def _cells(parts: "dict[str, Accuracy]", split: str) -> tuple[str, str, str]:
    """Return the accuracy on training pairs, if there are any, on the split, and balanced on the split."""
    train = f"{parts['train'].micro:.3f}" if "train" in parts else NONE
    return train, accuracy_text(parts[split]), accuracy_text(parts[split], balanced=True)
