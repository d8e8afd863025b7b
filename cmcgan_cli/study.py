"""`cmcgan study`."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cmcgan_cli.choices import Latents, SplitOption
from cmcgan_cli.console import (
    Device,
    Json,
    Quiet,
    emit_json,
    find_run,
    note,
    out,
    parse_run,
    progress_bar,
    require_dataset,
    require_device,
    resumable,
)

if TYPE_CHECKING:
    from cmcgan_core.data.dataset import PreparedDataset
    from cmcgan_core.experiments.recipes import Study
    from cmcgan_core.experiments.study import StudyResult

#: The study of several datasets; all other studies use one.
REPRESENTATIONS = "representations"
#: The study of representations for retrieval.
RETRIEVAL = "retrieval"


def study(
    data: Annotated[
        list[Path],
        typer.Argument(metavar="DATA...", help="A prepared dataset; for representations, several.", show_default=False),
    ],
    name: Annotated[
        str,
        typer.Argument(
            metavar="STUDY",
            help="rivals, ablations, recipe, printed, poses, encodings, representations, retrieval, or a TOML file of "
            "your own.",
            show_default=False,
        ),
    ],
    out_dir: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="Folder of the study; by default studies/DATASET-STUDY.", show_default=False),
    ] = None,
    report: Annotated[
        Path | None, typer.Option(help="Folder for an HTML page with everything.", show_default=False)
    ] = None,
    split: SplitOption = "test",
    latents: Latents = 4,
    seed: Annotated[
        int, typer.Option(min=0, help="Seed of the latents; the study sets the seeds of its trainings.")
    ] = 0,
    runs: Annotated[
        list[Path] | None,
        typer.Option(
            "--checkpoint",
            "-c",
            parser=parse_run,
            metavar="RUN",
            help="A run that retrieval compares too. Repeat for several.",
        ),
    ] = None,
    full_size: Annotated[
        bool,
        typer.Option("--full-size", help="The papers' sizes and a larger budget, for a GPU: presets without -small."),
    ] = False,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", help="A setting of everything that retrieval trains, as a.b=c. Repeat for several."),
    ] = None,
    same_recording: Annotated[
        bool,
        typer.Option(
            "--same-recording", help="Retrieval may find items of the query's own recording, as in published figures."
        ),
    ] = False,
    device: Device = "auto",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the planned trainings; train nothing.")] = False,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Train several recipes with equal budgets and several seeds, evaluate them alike, and compare them.

    rivals: CMCGAN, its recipe as printed, CMAV's S2I-C, S2I-N, S2I-A and I2S, and L1 alone. ablations: the
    comparisons of CMCGAN's Figures 3 to 5. recipe: the recommended recipe with one change at a time. printed: from the
    recipe as printed towards the recommended one. poses: wrong pairs by pose, as in CMAV. encodings: CMAV's I2S with
    two encodings of pictures. representations: CMAV's sound classifiers on the same pairs, prepared in several
    representations of sound. retrieval: CM-GANs, its ablations and classical methods, compared by how well sounds find
    pictures, and pictures sounds. --dry-run prints the path of a study's file, which you can copy and edit.

    The same command resumes a study. If you start it several times at once, on several cores or GPUs, the processes
    share the runs. If a run fails, it is named, the other runs are trained, and the exit code is 1.

    Examples:

      cmcgan study prepared/sub_urmp rivals --dry-run

      cmcgan study prepared/sub_urmp rivals --report report

      cmcgan study prepared/sub_urmp ablations --full-size --device cuda

      cmcgan study prepared/sub_urmp mine.toml --out studies/mine --json > mine.json

      cmcgan study prepared/urmp prepared/urmp-cqt representations

      cmcgan study prepared/demo retrieval --checkpoint runs/demo-small
    """
    _refuse_options(
        name,
        {
            "--out": out_dir is not None and name == REPRESENTATIONS,
            "--report": report is not None and name in (REPRESENTATIONS, RETRIEVAL),
            "--full-size": full_size and name == REPRESENTATIONS,
            "--dry-run": dry_run and name in (REPRESENTATIONS, RETRIEVAL),
            "--checkpoint": bool(runs) and name != RETRIEVAL,
            "--set": bool(settings) and name != RETRIEVAL,
            "--same-recording": same_recording and name != RETRIEVAL,
        },
    )
    if len(data) > 1 and name != REPRESENTATIONS:
        raise typer.BadParameter(f"name one dataset; several are for the study {REPRESENTATIONS}", param_hint="DATA")
    for root in data:
        require_dataset(root)
    require_device(device)
    if name == REPRESENTATIONS:
        _study_representations(data, split, seed, device, as_json=as_json, quiet=quiet)
        return
    if name == RETRIEVAL:
        _study_retrieval(
            data[0],
            out_dir or _default_folder(data[0], RETRIEVAL, full_size=full_size),
            split,
            [find_run(run) for run in runs or ()],
            device,
            settings=settings or (),
            same_recording=same_recording,
            full_size=full_size,
            as_json=as_json,
            quiet=quiet,
        )
        return
    from cmcgan_core.experiments.recipes import find_study, load_study

    file = find_study(name)
    chosen = load_study(file, full_size=full_size)
    from cmcgan_core.data.dataset import open_dataset
    from cmcgan_core.experiments.study import run_study

    dataset = open_dataset(data[0])
    folder = out_dir or _default_folder(data[0], file.stem, full_size=full_size)
    if dry_run:
        _show_plan(chosen, file, dataset, folder, as_json=as_json)
        return
    if report is not None:
        from cmcgan_core.reports.html import require_matplotlib, write_report

        require_matplotlib()
    with resumable(), progress_bar(quiet=quiet) as on_progress:
        result = run_study(
            chosen, dataset, folder, split=split, latents=latents, seed=seed, device=device, on_progress=on_progress
        )
        page = None
        if report is not None and result.compared.groups:
            page = write_report(result.compared, dataset, report, seed=seed, device=device)
    _show(result, page, as_json=as_json, quiet=quiet)
    if result.failed:
        raise typer.Exit(1)


def _default_folder(data: Path, name: str, *, full_size: bool) -> Path:
    """Return the folder of a study that no option names."""
    from cmcgan_core.utils.names import folder_name

    return Path("studies") / f"{folder_name(data)}-{name}{'-full-size' if full_size else ''}"


def _refuse_options(name: str, misplaced: Mapping[str, bool]) -> None:
    """Raise an error for the first option that was given and that the study does not have."""
    for option in (option for option, given in misplaced.items() if given):
        raise typer.BadParameter(f"the study {name} does not have this option", param_hint=option)


def _show(result: "StudyResult", page: Path | None, *, as_json: bool, quiet: bool) -> None:
    from cmcgan_cli.tables.study import tables

    if as_json:
        emit_json(result.to_dict())
    else:
        for table in tables(result):
            out().print(table)
        for name, command in result.commands.items():
            note(f"{name}: {command}", quiet=quiet)
    if result.unfinished:
        note(f"other processes are working on {', '.join(result.unfinished)}; afterwards, run the same command again")
    if page is not None:
        note(f"open {page} in a browser", quiet=quiet)
    for run, reason in result.failed.items():
        note(f"{run} failed: {reason}")


def _show_plan(study: "Study", file: Path, dataset: "PreparedDataset", folder: Path, *, as_json: bool) -> None:
    """Print the planned trainings of a study."""
    from cmcgan_cli.tables.study import plan
    from cmcgan_core.experiments.study import plan_study

    parameters = plan_study(study, dataset)
    if as_json:
        emit_json({"out": str(folder), "file": str(file), "parameters": parameters, **asdict(study)})
        return
    out().print(plan(study, dataset.root, folder, parameters))
    note(f"to define a study of your own, copy and edit: {file}")


def _study_representations(
    data: Sequence[Path], split: str, seed: int, device: str, *, as_json: bool, quiet: bool
) -> None:
    from cmcgan_cli.tables.cells import INTERVALS
    from cmcgan_cli.tables.study import representations
    from cmcgan_core.data.dataset import open_dataset
    from cmcgan_core.experiments.representations import study_representations

    datasets = [open_dataset(root) for root in data]
    with resumable(), progress_bar(quiet=quiet) as on_progress:
        result = study_representations(datasets, split=split, seed=seed, device=device, on_progress=on_progress)
    if as_json:
        emit_json(result.to_dict())
        return
    out().print(representations(result))
    note(
        f"{result.pairs[split]} {split} pairs, {result.pairs['train']} training pairs, seeds "
        f"{', '.join(map(str, result.seeds))}. Round brackets: standard deviation over seeds; square {INTERVALS}.",
        quiet=quiet,
    )


def _study_retrieval(
    data: Path,
    folder: Path,
    split: str,
    runs: Sequence[Path],
    device: str,
    *,
    settings: Sequence[str],
    same_recording: bool,
    full_size: bool,
    as_json: bool,
    quiet: bool,
) -> None:
    from cmcgan_cli.tables.study import retrieval
    from cmcgan_core.data.dataset import open_dataset
    from cmcgan_core.experiments.retrieval import study_retrieval

    dataset = open_dataset(data)
    with resumable(), progress_bar(quiet=quiet) as on_progress:
        result = study_retrieval(
            dataset,
            folder,
            split=split,
            runs=runs,
            settings=settings,
            same_recording=same_recording,
            full_size=full_size,
            device=device,
            on_progress=on_progress,
        )
    if as_json:
        emit_json(result.to_dict())
        return
    for table in retrieval(result):
        out().print(table)
    note(
        f"{result.pairs} {split} pairs, seeds {', '.join(map(str, result.seeds))}. Brackets: 95 % over recordings. "
        "P@1: precision at 1; partner: share of the gallery that is ranked before the item of the query's own pair.",
        quiet=quiet,
    )
