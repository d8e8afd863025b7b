"""The command `cmcgan prepare`: turn recordings into a prepared dataset, or verify one."""

from contextlib import nullcontext
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cmcgan_cli.console import (
    Json,
    Quiet,
    Scheduler,
    Seed,
    emit_json,
    note,
    out,
    print_line,
    progress_bar,
    resumable,
)

if TYPE_CHECKING:
    from cmcgan_core.data.prepare import PreparePlan, PrepareReport
    from cmcgan_core.data.prepare.recording import Skipped
    from cmcgan_core.features.settings import FeatureSettings

#: The number of skipped files that are printed; skipped.csv lists all.
LISTED = 20


Source = Annotated[
    Path,
    typer.Argument(
        metavar="SOURCE",
        help="Folder of the recordings, or of WebDataset shards; one such shard; demo for the synthetic demonstration "
        "set; with --check, a prepared dataset.",
    ),
]
Out = Annotated[
    Path | None, typer.Option("--out", "-o", help="Folder of the dataset. Default: prepared/<name of SOURCE>.")
]
Layout = Annotated[
    str | None,
    typer.Option(
        "--source",
        help="Layout of the folder: sub-urmp, urmp, classes, videos, webdataset, or one of a plugin. Default: "
        "detected.",
    ),
]


class SceneChoice(StrEnum):
    """The scenes of the demonstration set."""

    STUDIO = "studio"
    ROOMS = "rooms"


Scene = Annotated[
    SceneChoice | None,
    typer.Option(
        "--scene",
        help="Of demo only: studio (one booth, like Sub-URMP's) or rooms (many rooms and cameras, much harder).  "
        "[default: studio]",
        show_default=False,
    ),
]
Pairs = Annotated[
    int | None,
    typer.Option("--pairs", min=52, help="Of demo only: number of pairs.  [default: 5000]", show_default=False),
]
Representation = Annotated[
    str, typer.Option(help="Representation of the sound: lms, ms, cqt, mfcc, stft, or one of a plugin.")
]
Labels = Annotated[
    Path | None,
    typer.Option(help="CSV file with the columns file,label, for videos without class folders."),
]
Hop = Annotated[float, typer.Option(help="Seconds between the starts of two pairs.")]
Split = Annotated[
    str, typer.Option(help="Shares of train, validation and test, for recordings whose split is not fixed.")
]
Soundfont = Annotated[
    list[Path] | None,
    typer.Option(
        help="For demo: an .sf2 or .sf3 file that plays a share of the pieces (needs pyfluidsynth or tinysoundfont). "
        "May be repeated.",
        show_default=False,
    ),
]
Silence = Annotated[
    float | None, typer.Option(help="Leave out chunks below this level, in dBFS. Default: -60.", show_default=False)
]
KeepSilence = Annotated[bool, typer.Option("--keep-silence", help="Keep silent chunks too.")]
Workers = Annotated[
    int | None, typer.Option(min=1, help="Number of processes. Default: one per core, fewer for little work.")
]
Overwrite = Annotated[
    bool, typer.Option("--overwrite", help="Replace a dataset that has other settings or was made from other files.")
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Show the planned dataset; write nothing.")]
Verify = Annotated[bool, typer.Option("--check", help="Verify every file and every checksum of a prepared dataset.")]


def prepare(
    source: Source,
    out_folder: Out = None,
    layout: Layout = None,
    scene: Scene = None,
    pairs: Pairs = None,
    representation: Representation = "lms",
    labels: Labels = None,
    hop: Hop = 0.5,
    seed: Seed = 0,
    split: Split = "0.7,0.1,0.2",
    soundfont: Soundfont = None,
    silence: Silence = None,
    keep_silence: KeepSilence = False,
    workers: Workers = None,
    scheduler: Scheduler = None,
    overwrite: Overwrite = False,
    dry_run: DryRun = False,
    verify: Verify = False,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Cut recordings into pairs of half a second of sound and the picture at its start.

    To resume an interrupted run, run the same command again. Damaged files are listed and left out, and the exit code
    is then 1. docs/data.md describes the layouts and the format. With --scheduler, several machines share the work, see
    docs/scaling.md.

    Examples:

      cmcgan prepare Sub-URMP/

      cmcgan prepare my-videos/ --labels labels.csv --out prepared/mine

      cmcgan prepare URMP/ --representation cqt --out prepared/URMP-cqt

      cmcgan prepare demo

      cmcgan prepare demo --scene rooms --pairs 20000 --out prepared/rooms

      cmcgan prepare demo --soundfont FluidR3_GM.sf2 --soundfont MuseScore_General.sf3

      cmcgan prepare shards/ --out prepared/shards

      cmcgan prepare URMP/ --scheduler tcp://host:8786

      cmcgan prepare --check prepared/URMP
    """
    if verify:
        _check(source, json=json)
        return
    from cmcgan_core.data import prepare as preparation
    from cmcgan_core.data.synthetic import DemoSource
    from cmcgan_core.media.files import SILENT_DBFS
    from cmcgan_core.utils.cluster import connect
    from cmcgan_core.utils.names import folder_name

    options = preparation.SourceOptions(_default_settings(representation), hop=hop, seed=seed, labels=labels)
    is_demo = str(source) == "demo" and layout is None and labels is None and not source.exists()
    demo_only = {"--scene": scene, "--pairs": pairs, "--soundfont": soundfont}
    given = next((name for name, value in demo_only.items() if value), None)
    if given and not is_demo:
        raise typer.BadParameter("this option needs the SOURCE demo", param_hint=given)
    scene, soundfonts = scene or SceneChoice.STUDIO, tuple(soundfont or ())
    chosen = DemoSource(pairs or 5000, scene.value, soundfonts) if is_demo else layout
    if workers and scheduler:
        raise typer.BadParameter(
            "is the number of processes here; leave it out with --scheduler", param_hint="--workers"
        )
    ratio = _parse_ratio(split)
    level = SILENT_DBFS if silence is None else silence
    if dry_run:
        _show_plan(preparation.plan(source, chosen, options, split=ratio), json=json)
        return
    with (
        resumable("finished recordings are kept; the same command resumes"),
        connect(scheduler) if scheduler is not None else nullcontext() as cluster,
        progress_bar(quiet=quiet) as on_progress,
    ):
        report = preparation.prepare(
            source,
            out_folder or Path("prepared") / folder_name(source).removesuffix(".tar"),
            chosen,
            options,
            split=ratio,
            silence=None if keep_silence else level,
            workers=workers,
            cluster=cluster,
            overwrite=overwrite,
            on_progress=on_progress,
        )
    _show_report(report, json=json, quiet=quiet)


def _default_settings(representation: str) -> "FeatureSettings":
    """Return the default settings of a representation. Those of LMS are known without torch, which imports slowly."""
    from cmcgan_core.features.settings import FeatureSettings

    if representation == FeatureSettings().representation:
        return FeatureSettings()
    from cmcgan_core.features.representations import default_settings

    return default_settings(representation)


def _parse_ratio(text: str) -> tuple[float, float, float]:
    """Parse the value of --split."""
    try:
        train, validation, test = (float(share) for share in text.split(","))
    except ValueError:
        raise typer.BadParameter("give three shares, for example 0.7,0.1,0.2", param_hint="--split") from None
    return train, validation, test


def _check(folder: Path, *, json: bool) -> None:
    """Verify a dataset and print its faults; exit with code 1 if it has any."""
    from cmcgan_core.data.prepare import check

    faults = check(folder)
    if json:
        emit_json({"dataset": str(folder), "ok": not faults, "faults": faults})
    else:
        for fault in faults or ["all files are complete, and all checksums match"]:
            print_line(f"{folder}: {fault}")
    if faults:
        raise typer.Exit(1)


def _show_plan(plan: "PreparePlan", *, json: bool) -> None:
    """Print the plan of a dataset."""
    if json:
        emit_json(plan.to_dict())
    else:
        recordings, megabytes = len(plan.recordings), plan.size_bytes / 1e6
        _print_counts(
            f"{plan.source}: {recordings} recordings, about {plan.pairs} pairs, {megabytes:.0f} MB", plan.counts
        )
    _list_skipped(plan.skipped)


def _show_report(report: "PrepareReport", *, json: bool, quiet: bool) -> None:
    """Print a summary of the dataset that was written; exit with code 1 if files were skipped."""
    if json:
        emit_json(report.to_dict())
    else:
        silent = f", {report.dropped_silent} silent chunks left out" if report.dropped_silent else ""
        _print_counts(f"{report.out}: {report.pairs} pairs of {report.recordings} recordings{silent}", report.counts)
    if report.already_complete:
        note(f"{report.out} was already complete; nothing was done", quiet=quiet)
    _list_skipped(report.skipped)
    note(f"next: cmcgan train {report.out}", quiet=quiet)
    if report.skipped:
        raise typer.Exit(1)


def _print_counts(title: str, counts: dict[str, dict[str, int]]) -> None:
    """Print a table of the number of pairs by class and split."""
    from rich.text import Text

    from cmcgan_cli.tables.cells import new_table

    print_line(title)
    table = new_table(None, "class", *counts)
    for label in sorted({label for classes in counts.values() for label in classes}):
        table.add_row(Text(label), *(str(classes.get(label, 0)) for classes in counts.values()))
    table.add_section()
    table.add_row("all", *(str(sum(classes.values())) for classes in counts.values()))
    out().print(table)


def _list_skipped(skipped: "tuple[Skipped, ...]") -> None:
    """Print the first skipped files on standard error."""
    for file, reason in skipped[:LISTED]:
        note(f"skipped {file}: {reason}")
    if len(skipped) > LISTED:
        note(f"and {len(skipped) - LISTED} more, see skipped.csv")
