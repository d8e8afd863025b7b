"""`cmcgan compare`."""

from pathlib import Path
from typing import Annotated

import typer

from cmcgan_cli.choices import Latents, SplitOption
from cmcgan_cli.console import (
    Device,
    Json,
    Quiet,
    Seed,
    emit_json,
    find_run,
    note,
    out,
    parse_run,
    progress_bar,
    require_dataset,
    resumable,
)


def compare(
    data: Annotated[
        Path,
        typer.Argument(metavar="DATA", help="A prepared dataset (made by: cmcgan prepare).", show_default=False),
    ],
    runs: Annotated[
        list[Path],
        typer.Argument(
            metavar="RUN...",
            parser=parse_run,
            help="Run folders or their names in runs/, checkpoint files, or box.",
            show_default=False,
        ),
    ],
    report: Annotated[
        Path | None, typer.Option(help="Folder for an HTML page with everything.", show_default=False)
    ] = None,
    split: SplitOption = "test",
    latents: Latents = 4,
    seed: Seed = 0,
    device: Device = "auto",
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Evaluate several runs on the same pairs with the same latents, and print one table.

    Runs that differ only in their seed are one recipe, and their figures are pooled. Earlier evaluations of the runs
    are reused.

    Examples:

      cmcgan compare prepared/sub_urmp runs/a runs/b runs/c

      cmcgan compare prepared/sub_urmp runs/a runs/b --report report
    """
    checkpoints = [find_run(run) for run in runs]
    require_dataset(data)
    from cmcgan_cli.tables.comparison import costs, figures
    from cmcgan_cli.tables.evaluation import summary
    from cmcgan_core.data.dataset import open_dataset
    from cmcgan_core.evaluation.compare import compare as compare_runs
    from cmcgan_core.reports.html import require_matplotlib, write_report

    if report is not None:
        require_matplotlib()
    dataset = open_dataset(data)
    with resumable(), progress_bar(quiet=quiet) as on_progress:
        compared = compare_runs(
            checkpoints,
            dataset,
            split=split,
            latents=latents,
            seed=seed,
            device=device,
            on_progress=on_progress,
        )
        page = None if report is None else write_report(compared, dataset, report, seed=seed, device=device)
    if as_json:
        emit_json(compared.to_dict())
    else:
        out().print(costs(compared))
        out().print(figures(compared))
        note(summary(compared.entries[0].evaluation), quiet=quiet)
    if page is not None:
        note(f"open {page} in a browser", quiet=quiet)
