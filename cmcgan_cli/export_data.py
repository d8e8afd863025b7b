"""The command `cmcgan export-data`: write a prepared dataset in a layout that other tools read."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from cmcgan_cli.console import Json, Quiet, emit_json, note, print_line, progress_bar, resumable


class LayoutChoice(StrEnum):
    """The layouts of exports."""

    WEBDATASET = "webdataset"
    HF = "hf"


Data = Annotated[Path, typer.Argument(metavar="DATA", help="Prepared dataset.")]
Out = Annotated[Path, typer.Argument(metavar="OUT", help="Folder to write; missing, empty, or an unfinished export.")]
To = Annotated[
    LayoutChoice,
    typer.Option("--to", help="webdataset: tar shards; hf: Parquet files for Hugging Face's datasets, with a card."),
]
PairsPerFile = Annotated[int, typer.Option("--pairs-per-file", min=1, help="Number of pairs in a file.")]
Workers = Annotated[
    int | None, typer.Option(min=1, help="Number of processes. Default: one per core, fewer for little work.")
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Show the planned files; write nothing.")]


def export_data(
    data: Data,
    out: Out,
    to: To,
    pairs_per_file: PairsPerFile = 2048,
    workers: Workers = None,
    dry_run: DryRun = False,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Export a prepared dataset for other tools: WebDataset shards, or Parquet files for Hugging Face's datasets.

    Pictures and spectrograms keep every value. To resume an interrupted export, run the same command again.
    docs/data.md describes the layouts. cmcgan prepare reads WebDataset shards. --to hf needs: pip install 'cmcgan[hf]'.

    Examples:

      cmcgan export-data prepared/urmp shards --to webdataset

      cmcgan export-data prepared/urmp urmp-hf --to hf

      cmcgan prepare shards --out prepared/copy
    """
    from cmcgan_core.data.export import export_dataset, plan_export

    if dry_run:
        plan = plan_export(data, to.value, pairs_per_file=pairs_per_file)
        if as_json:
            emit_json(plan.to_dict())
            return
        for split, (pairs, files) in plan.counts().items():
            print_line(f"{split}: {pairs} pairs in {_count_files(files)}")
        return
    with resumable("finished files are kept; the same command resumes"), progress_bar(quiet=quiet) as on_progress:
        report = export_dataset(
            data, out, to.value, pairs_per_file=pairs_per_file, workers=workers, on_progress=on_progress
        )
    if as_json:
        emit_json(report.to_dict())
    else:
        megabytes = sum(shard.bytes for shard in report.shards) / 1e6
        pairs = sum(shard.pairs for shard in report.shards)
        print_line(f"{report.out}: {pairs} pairs in {_count_files(len(report.shards))}, {megabytes:.0f} MB")
    if report.already_complete:
        note(f"{report.out} was already complete; nothing was done", quiet=quiet)


def _count_files(count: int) -> str:
    """Return a number of files in words."""
    return "1 file" if count == 1 else f"{count} files"
