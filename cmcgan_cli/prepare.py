"""`cmcgan prepare`: real media in, prepared pairs out."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cmcgan_cli.console import Json, Quiet, Seed, emit_json, err, note, out, progress_bar

if TYPE_CHECKING:
    from cmcgan_core.data.prepare.pipeline import Counts, Plan, PrepareReport
    from cmcgan_core.data.prepare.recording import Skipped

#: Skipped files that are listed; the others stand in skipped.csv.
LISTED = 20


Source = Annotated[
    Path, typer.Argument(help="Folder of the recordings; demo, to render a set; with --check, a prepared dataset.")
]
Out = Annotated[Path | None, typer.Option("--out", "-o", help="Folder to make; prepared/<name of SOURCE> by default.")]
Layout = Annotated[
    str | None, typer.Option("--source", help="sub-urmp, urmp, classes, videos or a plugin's; found by looking.")
]
Representation = Annotated[str, typer.Option(help="Picture of the sound: lms, ms, cqt, mfcc, stft or a plugin's.")]
Labels = Annotated[Path | None, typer.Option(help="CSV of file,label, for a folder of videos.")]
Hop = Annotated[float, typer.Option(help="Seconds between the starts of two pairs.")]
Split = Annotated[str, typer.Option(help="Shares of train, validation and test, where the source fixes no split.")]
Silence = Annotated[float, typer.Option(help="Leave out chunks whose level is below this, in dBFS.")]
KeepSilence = Annotated[bool, typer.Option("--keep-silence", help="Keep silent chunks too.")]
Workers = Annotated[int | None, typer.Option(min=1, help="Processes; by default one a core, fewer for little work.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace a dataset that was made otherwise.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Show what would be made; write nothing.")]
Verify = Annotated[bool, typer.Option("--check", help="Verify a prepared dataset, every checksum.")]


def prepare(
    source: Source,
    out_folder: Out = None,
    layout: Layout = None,
    representation: Representation = "lms",
    labels: Labels = None,
    hop: Hop = 0.5,
    seed: Seed = 0,
    split: Split = "0.7,0.1,0.2",
    silence: Silence = -60.0,
    keep_silence: KeepSilence = False,
    workers: Workers = None,
    overwrite: Overwrite = False,
    dry_run: DryRun = False,
    verify: Verify = False,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Cut recordings into pairs: half a second of sound, and the picture at its start.

    An interrupted run goes on where it was: give the same command again. Damaged files are named and left out, and the
    exit code is then 1. docs/data.md describes the layouts and the format.

    Examples:

      cmcgan prepare Sub-URMP/

      cmcgan prepare my-videos/ --labels labels.csv --out prepared/mine

      cmcgan prepare URMP/ --representation cqt --out prepared/URMP-cqt

      cmcgan prepare demo

      cmcgan prepare --check prepared/URMP
    """
    if verify:
        _check(source, json=json)
        return
    from cmcgan_core.data.prepare import pipeline as core
    from cmcgan_core.data.prepare.sources import SourceOptions
    from cmcgan_core.data.synthetic import DemoSource
    from cmcgan_core.features.representations import default_settings

    options = SourceOptions(default_settings(representation), hop=hop, seed=seed, labels=labels)
    render = str(source) == "demo" and layout is None and labels is None and not source.exists()
    given = DemoSource() if render else layout
    if dry_run:
        _show_plan(core.plan(source, given, options, split=_ratio(split)), json=json)
        return
    target = out_folder or Path("prepared") / source.resolve().name
    level = None if keep_silence else silence
    try:
        with progress_bar(quiet=quiet) as on_progress:
            report = core.prepare(
                source,
                target,
                given,
                options,
                split=_ratio(split),
                silence=level,
                workers=workers,
                overwrite=overwrite,
                on_progress=on_progress,
            )
    except KeyboardInterrupt:
        err().print("stopped; what is finished is kept: give the same command again to go on")
        raise typer.Exit(130) from None
    _show_report(report, json=json, quiet=quiet)


def _ratio(text: str) -> tuple[float, float, float]:
    try:
        train, validation, test = (float(share) for share in text.split(","))
    except ValueError:
        raise typer.BadParameter("give three shares, as in 0.7,0.1,0.2", param_hint="--split") from None
    return train, validation, test


def _check(folder: Path, *, json: bool) -> None:
    from cmcgan_core.data.prepare.pipeline import check

    faults = check(folder)
    if json:
        emit_json({"dataset": str(folder), "ok": not faults, "faults": faults})
    else:
        for fault in faults or ["every file is there, and every pair has its checksum"]:
            out().print(f"{folder}: {fault}", markup=False, soft_wrap=True)
    if faults:
        raise typer.Exit(1)


def _show_plan(plan: "Plan", *, json: bool) -> None:
    pairs = sum(sum(classes.values()) for classes in plan.pairs.values())
    if json:
        emit_json(
            {
                "source": plan.source,
                "recordings": len(plan.recordings),
                "pairs": pairs,
                "bytes": plan.size,
                "counts": plan.pairs,
                "skipped": [skip._asdict() for skip in plan.skipped],
            }
        )
    else:
        title = f"{plan.source}: {len(plan.recordings)} recordings, about {pairs} pairs, {plan.size / 1e6:.0f} MB"
        _table(title, plan.pairs)
    _list_skipped(plan.skipped)


def _show_report(report: "PrepareReport", *, json: bool, quiet: bool) -> None:
    if json:
        emit_json(
            {
                "out": str(report.out),
                "source": report.source,
                "recordings": report.recordings,
                "pairs": report.pairs,
                "counts": report.counts,
                "dropped_silent": report.dropped_silent,
                "already_complete": report.already_complete,
                "skipped": [skip._asdict() for skip in report.skipped],
            }
        )
    else:
        silent = f", {report.dropped_silent} silent ones left out" if report.dropped_silent else ""
        _table(f"{report.out}: {report.pairs} pairs of {report.recordings} recordings{silent}", report.counts)
    if report.already_complete:
        note(f"{report.out} was complete already; nothing was done", quiet=quiet)
    _list_skipped(report.skipped)
    note(f"next: cmcgan train {report.out}", quiet=quiet)
    if report.skipped:
        raise typer.Exit(1)


def _table(title: str, counts: "Counts") -> None:
    from rich.table import Table
    from rich.text import Text

    out().print(title, markup=False, soft_wrap=True)
    table = Table("class", *counts)
    for label in sorted({label for classes in counts.values() for label in classes}):
        table.add_row(Text(label), *(str(classes.get(label, 0)) for classes in counts.values()))
    table.add_section()
    table.add_row("all", *(str(sum(classes.values())) for classes in counts.values()))
    out().print(table)


def _list_skipped(skipped: "tuple[Skipped, ...]") -> None:
    for file, reason in skipped[:LISTED]:
        err().print(f"skipped {file}: {reason}", markup=False, soft_wrap=True)
    if len(skipped) > LISTED:
        err().print(f"and {len(skipped) - LISTED} more, see skipped.csv")
