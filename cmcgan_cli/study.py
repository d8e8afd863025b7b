"""`cmcgan study`."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cmcgan_cli.comparison import brackets, costs, shown
from cmcgan_cli.console import Device, Json, Quiet, emit_json, note, out, progress_bar, resumable

if TYPE_CHECKING:
    from rich.table import Table

    from cmcgan_core.evaluation.compare import Figure, Group
    from cmcgan_core.experiments.study import Study, StudyResult


def study(
    data: Annotated[Path, typer.Argument(help="A prepared dataset (made by: cmcgan prepare).", show_default=False)],
    name: Annotated[
        str,
        typer.Argument(
            metavar="STUDY", help="rivals, ablations, recipe, or a TOML file of your own.", show_default=False
        ),
    ],
    out_dir: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="Folder of the study; by default studies/DATASET-STUDY.", show_default=False),
    ] = None,
    report: Annotated[
        Path | None, typer.Option(help="Folder to write everything to, as one HTML page.", show_default=False)
    ] = None,
    split: Annotated[str, typer.Option(help="Split to judge: test, validation or train.")] = "test",
    latents: Annotated[int, typer.Option(min=1, help="Samples to make of each pair.")] = 4,
    seed: Annotated[
        int, typer.Option(min=0, help="Seed of the latents to judge; those of the trainings are the study's.")
    ] = 0,
    device: Device = "auto",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be trained; train nothing.")] = False,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Train several recipes on equal budgets with several seeds, judge them alike, and set them side by side.

    rivals: CMCGAN, its literal recipe, LCGAN, CMAV's S2I-C, S2I-N, S2I-A and I2S, and L1 alone. ablations: CMCGAN's
    Figures 3 to 5. recipe: one change at a time. --dry-run says where the file of a study is, to copy.

    The same command goes on with a study; on another core or GPU at the same time it takes part in it. A run that
    fails is named, the others are done, and the exit code is 1.

    Examples:

      cmcgan study prepared/sub_urmp rivals --dry-run

      cmcgan study prepared/sub_urmp rivals --report report

      cmcgan study prepared/sub_urmp mine.toml --out studies/mine --json > mine.json
    """
    from cmcgan_core.experiments.study import find_study, load_study, run_study

    file = find_study(name)
    chosen = load_study(file)
    folder = out_dir or Path("studies") / f"{data.resolve().name}-{file.stem}"
    if dry_run:
        _show_plan(chosen, file, data, folder, as_json=as_json)
        return
    if report is not None:
        from cmcgan_core.reports.html import require_matplotlib, write_report

        require_matplotlib()
    with resumable(), progress_bar(quiet=quiet) as draw:
        found = run_study(
            chosen, data, folder, split=split, latents=latents, seed=seed, device=device, on_progress=draw
        )
        page = None
        if report is not None and found.compared.groups:
            page = write_report(found.compared, data, report, seed=seed, device=device)
    if as_json:
        emit_json(found.to_dict())
    else:
        _show(found, quiet=quiet)
    if found.unfinished:
        note(f"other processes are at work on {', '.join(found.unfinished)}; give the same command again afterwards")
    if page is not None:
        note(f"open {page} in a browser", quiet=quiet)
    for run, reason in found.failed.items():
        note(f"{run} failed: {reason}")
    if found.failed:
        raise typer.Exit(1)


def _show_plan(study: "Study", file: Path, data: Path, folder: Path, *, as_json: bool) -> None:
    """What a study would train."""
    from dataclasses import asdict

    from cmcgan_core.experiments.study import plan_study

    parameters = plan_study(study, data)
    if as_json:
        emit_json({"out": str(folder), "file": str(file), "parameters": parameters, **asdict(study)})
        return
    table = _table(f"{study.title}: {data} -> {folder}", "recipe", "preset", "settings", "parameters to generate")
    for name, recipe in study.rows.items():
        table.add_row(name, recipe.preset, "\n".join((*study.set, *recipe.set)), f"{parameters[name]:,}")
    trainings, seeds = len(study.rows) * len(study.seeds), ", ".join(map(str, study.seeds))
    table.caption = (
        f"{trainings} trainings (seeds {seeds}) of {study.seconds:g} seconds of CPU or GPU: "
        f"{trainings * study.seconds / 3600:.1f} hours, and judging"
    )
    out().print(table)
    note(f"its file, to copy: {file}")


def _show(found: "StudyResult", *, quiet: bool) -> None:
    groups = found.compared.groups
    out().print(costs(found.compared))
    for direction in ("S2I", "I2S"):
        if having := [group for group in groups if direction in group.figures["table1"]]:
            out().print(table1(having, direction))
            out().print(samples(having, direction))
    if groups:
        out().print(table2(groups))
    for name, command in found.commands.items():
        note(f"{name}: {command}", quiet=quiet)


def table1(groups: "Sequence[Group]", direction: str) -> "Table":
    """Judged accuracy of generated samples of one direction, a row a recipe, beside the papers'."""
    from cmcgan_core.evaluation.paper import paper_tables

    split, modality = groups[0].entries[0].evaluation.split, "v" if direction == "S2I" else "a"
    title = f"Table 1, {direction}: judged accuracy of generated samples"
    table = _table(title, "", "train", split, "2nd judge", "two hops", "recovered")
    for group in groups:
        hops = str(group.entries[0].evaluation.hops)
        by_hops = group.figures["table1"][direction]
        other = next(iter(group.figures["other_judges"].values()))["table1"][direction][hops]
        two = by_hops["2"][split]["micro"] if "2" in by_hops else None
        judged = (shown(of["micro"], ".3f") for of in (by_hops[hops]["train"], by_hops[hops][split], other[split]))
        recovered = group.figures["recovered"].get(modality)
        others = two, recovered and recovered[split]["micro"]
        table.add_row(group.name, *judged, *(shown(of, ".3f") for of in others))
    real = groups[0].figures["real"][modality]
    other = next(iter(groups[0].figures["other_judges"].values()))["real"][modality]
    judged = (shown(of["micro"], ".3f") for of in (real["train"], real[split], other[split]))
    table.add_row("real", *judged, "", "", end_section=True)
    for name, values in paper_tables()["table1"][direction].items():
        published = (f"{values[part]:.4f}" if part in values else "-" for part in ("train", "test"))
        table.add_row(name, *published, *["-"] * 3, style="dim")
    table.caption = f"{brackets(groups)}; recovered: made of the real ones by way of the other modality"
    return table


def samples(groups: "Sequence[Group]", direction: str) -> "Table":
    """Distances, sharpness, spread and pose of one direction, a row a recipe."""
    columns = ["", "L1", "Fréchet", "upper freq.", "diversity", "precision at 1"]
    pose = direction == "S2I" and any(group.figures["pose"] for group in groups)
    table = _table(f"Samples, {direction}", *columns, *(["pose"] if pose else []))

    def row(name: str, group: "Group", kind: str) -> None:
        quality, judge = group.figures["quality"][direction][kind], group.entries[0].evaluation.judge
        figures: list[Figure | None] = [
            quality["l1"],
            quality["frechet_distance"].get(judge),
            quality["high_frequency"],
            quality["diversity"],
            quality["precision_at_1"],
        ]
        if pose:
            found = group.figures["pose"]
            figures.append(found["real"] if kind == "real" else found["generated"].get(kind))
        table.add_row(name, *(shown(figure, ".3g") for figure in figures))

    for group in groups:
        row(group.name, group, str(group.entries[0].evaluation.hops))
    row("real", groups[0], "real")
    return table


def table2(groups: "Sequence[Group]") -> "Table":
    """Dynamic multimodal classification with what each recipe fills in, a row a recipe."""
    from cmcgan_core.evaluation.paper import paper_tables

    names = [name for name in paper_tables()["table2"] if name.startswith("G")]
    table = _table("Table 2: classification with the missing modality filled in", "", *names)
    for group in groups:
        found = group.figures["table2"]
        table.add_row(group.name, *(shown(found[name]["micro"] if name in found else None, ".3f") for name in names))
    real = groups[0].figures["table2"]
    table.add_row("the given modality alone", shown(real["A"]["micro"], ".3f"), shown(real["V"]["micro"], ".3f"))
    return table


def _table(title: str, *columns: str) -> "Table":
    """An empty table that breaks figures rather than cutting them short."""
    from rich.table import Column, Table

    return Table(*(Column(name, overflow="fold") for name in columns), title=title)
