"""`cmcgan evaluate`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cmcgan_cli.comparison import show_comparison
from cmcgan_cli.console import (
    Checkpoint,
    Device,
    Json,
    Quiet,
    Seed,
    emit_json,
    note,
    out,
    progress_bar,
    resumable,
)

if TYPE_CHECKING:
    from rich.table import Table

    from cmcgan_core.evaluation.evaluate import Evaluation
    from cmcgan_core.evaluation.scores import Accuracy, Quality
    from cmcgan_core.experiments.representations import RepresentationStudy


def evaluate(
    data: Annotated[
        list[Path],
        typer.Argument(
            help="A prepared dataset (made by: cmcgan prepare); for a study, several; with --compare, runs after it."
        ),
    ],
    checkpoint: Checkpoint = None,
    compare: Annotated[bool, typer.Option("--compare", help="Set the named runs side by side.")] = False,
    report: Annotated[
        Path | None, typer.Option(help="Folder to write everything to, as one HTML page.", show_default=False)
    ] = None,
    study: Annotated[
        str | None,
        typer.Option(help="representations: CMAV's sound classifiers on each dataset; judges no model."),
    ] = None,
    split: Annotated[str, typer.Option(help="Split to judge: test, validation or train.")] = "test",
    latents: Annotated[int, typer.Option(min=1, help="Samples to make of each pair.")] = 4,
    confusion: Annotated[bool, typer.Option("--confusion", help="Print which class is taken for which.")] = False,
    seed: Seed = 0,
    device: Device = "auto",
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Judge a trained model on a whole split, beside the paper's Tables 1 and 2.

    The judges are classifiers, trained once on the real training pairs and kept beside the dataset. What was judged
    already in the same way is not judged again.

    Examples:

      cmcgan evaluate prepared/sub_urmp

      cmcgan evaluate prepared/sub_urmp --checkpoint runs/sub_urmp-small --json > evaluation.json

      cmcgan evaluate prepared/sub_urmp --compare runs/a runs/b runs/c --report report

      cmcgan evaluate prepared/urmp prepared/urmp-cqt --study representations
    """
    if study is not None:
        if study != "representations":
            raise typer.BadParameter(f"there is no study {study!r}; give representations", param_hint="--study")
        for option, given in (("--checkpoint", checkpoint), ("--compare", compare or None), ("--report", report)):
            if given is not None:
                raise typer.BadParameter("a study trains its own classifiers; leave it out", param_hint=option)
        _study_representations(data, split, seed, device, as_json=as_json, quiet=quiet)
        return
    from cmcgan_core.evaluation.compare import compare as run_comparison
    from cmcgan_core.reports.html import require_matplotlib, write_report

    dataset, *runs = data
    if (fault := _fault(runs, checkpoint, compare=compare, confusion=confusion)) is not None:
        raise typer.BadParameter(fault)
    if report is not None:
        require_matplotlib()
    with resumable(), progress_bar(quiet=quiet) as draw:
        compared = run_comparison(
            runs or [checkpoint], dataset, split=split, latents=latents, seed=seed, device=device, on_progress=draw
        )
        page = None if report is None else write_report(compared, dataset, report, seed=seed, device=device)
    if as_json:
        emit_json(compared.to_dict() if compare else compared.entries[0].evaluation.to_dict())
    elif compare:
        show_comparison(compared)
        note(summary(compared.entries[0].evaluation), quiet=quiet)
    else:
        _show(compared.entries[0].evaluation, confusion=confusion, quiet=quiet)
    if page is not None:
        note(f"open {page} in a browser", quiet=quiet)


def _fault(runs: list[Path], checkpoint: Path | None, *, compare: bool, confusion: bool) -> str | None:
    """What is wrong with options that do not go together."""
    if not compare:
        several = "give one dataset; several are for --study representations, and runs after it for --compare"
        return several if runs else None
    if not runs:
        return "--compare needs runs: cmcgan evaluate DATA --compare RUN RUN"
    if checkpoint is not None:
        return "--compare and --checkpoint do not go together; name all runs after --compare"
    return "--confusion is of one run; --report has the matrices of all" if confusion else None


def _show(found: "Evaluation", *, confusion: bool, quiet: bool) -> None:
    for table in (table1(found), quality(found), table2(found)):
        out().print(table)
    if confusion:
        for direction in found.table1:
            out().print(confusions(found, direction))
    note(summary(found), quiet=quiet)


def _study_representations(data: list[Path], split: str, seed: int, device: str, *, as_json: bool, quiet: bool) -> None:
    from cmcgan_core.experiments.representations import study_representations

    with resumable(), progress_bar(quiet=quiet) as draw:
        found = study_representations(data, split=split, seed=seed, device=device, on_progress=draw)
    if as_json:
        emit_json(found.to_dict())
        return
    out().print(representations(found))
    note(
        f"{found.pairs[split]} {split} pairs, {found.pairs['train']} training pairs, seed {seed}. "
        "Brackets: 95 % over recordings.",
        quiet=quiet,
    )


def representations(found: "RepresentationStudy") -> "Table":
    """Accuracy of CMAV's sound classifiers by representation beside the paper's."""
    from rich.table import Table

    table = Table("", "layers", "train", found.split, "balanced", "paper", title="CMAV, Table 1: sound classifiers")
    for row in found.rows:
        cells = f"{row.train.micro:.3f}", _accuracy(row.accuracy), _accuracy(row.accuracy, balanced=True)
        table.add_row(row.representation.upper(), str(row.layers), *cells, _paper(row.paper))
    return table


def summary(found: "Evaluation") -> str:
    """What the tables are of."""
    latents = found.seeds["latents"]
    said = (
        f"{found.pairs[found.split]} {found.split} pairs of {found.recordings[found.split]} recordings, "
        f"{len(latents)} latents each, seeds {latents[0]} to {latents[-1]}; {found.pairs['train']} training pairs. "
        "Brackets: 95 % over recordings."
    )
    return said if found.pose else f"{said} No poses: only the demonstration set has a score."


def table1(found: "Evaluation") -> "Table":
    """Judged accuracy of generated samples beside the paper's."""
    from rich.table import Table

    paper = found.to_dict()["paper"]["table1"]
    second = next(iter(found.other_judges.values()), None)
    columns = ["", "train", found.split, "balanced", *(["2nd judge"] if second else [])]
    table = Table(*columns, title="Table 1: judged accuracy of generated samples")
    for name, hops in found.table1.items():
        for number, parts in hops.items():
            own = " *" if number == str(found.hops) else ""
            others = [_accuracy(second.table1[name][number][found.split])] if second else []
            table.add_row(f"{name} {_HOPS[number]}{own}", *_cells(parts, found.split), *others)
        modality, what = ("v", "pictures") if name == "S2I" else ("a", "sounds")
        if (recovered := found.recovered.get(modality)) is not None:
            others = [_accuracy(second.recovered[modality][found.split])] if second else []
            table.add_row(f"{name} {what} recovered", *_cells(recovered, found.split), *others)
        for row, values in paper[name].items():
            table.add_row(f"{name} {row}", _paper(values.get("train")), _paper(values.get("test")), style="dim")
        others = [_accuracy(second.real[modality][found.split])] if second else []
        table.add_row(f"{name} real {what}", *_cells(found.real[modality], found.split), *others, end_section=True)
    table.caption = (
        "* the model's own output; recovered: made of real ones by way of the other modality; real: the "
        "judge's own accuracy, the ceiling"
    )
    return table


def table2(found: "Evaluation") -> "Table":
    """The dynamic multimodal classification network, its controls and the paper's figures."""
    from rich.table import Table

    paper = found.to_dict()["paper"]["table2"]
    columns = ["", found.split, "balanced", *(["retrained"] if found.retrained else []), "paper"]
    table = Table(*columns, title="Table 2: dynamic multimodal classification")
    for name, accuracy in found.table2.items():
        label = name if name in paper else f"  {name}"
        own = [_accuracy(found.retrained.get(name))] if found.retrained else []
        table.add_row(label, _accuracy(accuracy), _accuracy(accuracy, balanced=True), *own, _paper(paper.get(name)))
    table.caption = "indented: controls, which carry nothing"
    if found.retrained:
        table.caption += "; retrained: the run's classifier, trained on generated samples too"
    return table


def quality(found: "Evaluation") -> "Table":
    """Closeness to the truth, distances, sharpness, spread, retrieval and pose."""
    from rich.table import Table

    columns = [(name, kind) for name, kinds in found.quality.items() for kind in kinds]
    heads = [f"{name}\n{_HOPS[kind]}" for name, kind in columns]
    table = Table("", *heads, title=f"Samples of the {found.split} split")

    def row(label: str, *values: float | None) -> None:
        if any(value is not None for value in values):
            table.add_row(label, *("-" if value is None else f"{value:.3g}" for value in values))

    def figures(label: str, name: str) -> None:
        row(label, *(getattr(found.quality[direction][kind], name) for direction, kind in columns))

    def distances(label: str, name: str) -> None:
        of: list[Quality] = [found.quality[direction][kind] for direction, kind in columns]
        row(label, *(getattr(one, name).get(found.judge) for one in of))

    figures("L1 to the truth", "l1")
    figures("SSIM to the truth", "ssim")
    figures("log-spectral distance, dB", "log_spectral_distance")
    distances("Fréchet distance", "frechet_distance")
    distances("kernel distance", "kernel_distance")
    figures("upper frequencies / real", "high_frequency")
    figures("diversity over z / real", "diversity")
    figures("retrieval: precision at 1", "precision_at_1")
    figures("retrieval: mean precision", "mean_average_precision")
    if found.pose:
        pose = {"real": found.pose.real, **found.pose.generated}
        row("pose: r within classes", *(pose.get(kind) if name == "S2I" else None for name, kind in columns))
        other = found.pose.other_sound
        row("  with another sound", *(other.get(kind) if name == "S2I" else None for name, kind in columns))
    table.caption = "real: what real samples reach in the same place; distances: those of the training split"
    return table


def confusions(found: "Evaluation", direction: str) -> "Table":
    """Which class is taken for which in the model's own output, in per cent of the true class."""
    from rich.table import Table

    matrix = found.quality[direction][str(found.hops)].confusion
    table = Table("true", *(str(i + 1) for i in range(len(matrix))), title=f"{direction}: judged class, %")
    for number, (name, counts) in enumerate(zip(found.classes, matrix, strict=True), start=1):
        shares = [round(100 * count / max(1, sum(counts))) for count in counts]
        table.add_row(f"{number} {name}", *(str(share) if share else "." for share in shares))
    return table


_HOPS = {"1": "direct", "2": "two hops", "real": "real"}


def _cells(parts: "dict[str, Accuracy]", split: str) -> tuple[str, str, str]:
    return f"{parts['train'].micro:.3f}", _accuracy(parts[split]), _accuracy(parts[split], balanced=True)


def _accuracy(accuracy: "Accuracy | None", *, balanced: bool = False) -> str:
    """An accuracy with its interval: 0.512 [.45 .57]."""
    from cmcgan_core.evaluation.compare import Figure

    if accuracy is None:
        return "-"
    if balanced:
        return Figure(accuracy.balanced, interval=accuracy.balanced_interval).text(".3f")
    return Figure(accuracy.micro, interval=accuracy.micro_interval).text(".3f")


def _paper(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"
