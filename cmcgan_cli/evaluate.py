"""`cmcgan evaluate`."""

from pathlib import Path
from typing import Annotated

import typer

from cmcgan_cli.choices import Latents, SplitOption
from cmcgan_cli.console import (
    Checkpoint,
    Device,
    Json,
    Quiet,
    Seed,
    emit_json,
    find_run,
    note,
    out,
    progress_bar,
    require_dataset,
    resumable,
)


def evaluate(
    data: Annotated[
        Path,
        typer.Argument(metavar="DATA", help="A prepared dataset (made by: cmcgan prepare).", show_default=False),
    ],
    checkpoint: Checkpoint = None,
    report: Annotated[
        Path | None, typer.Option(help="Folder for an HTML page with everything.", show_default=False)
    ] = None,
    split: SplitOption = "test",
    latents: Latents = 4,
    by_class: Annotated[bool, typer.Option("--by-class", help="Print the accuracy of each class.")] = False,
    confusion: Annotated[bool, typer.Option("--confusion", help="Print the confusion matrices.")] = False,
    concatenate: Annotated[
        bool,
        typer.Option(
            "--concatenate", help="Add to Table 2 classifiers of concatenated inputs. They are trained first."
        ),
    ] = False,
    seed: Seed = 0,
    device: Device = "auto",
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Evaluate a trained model on a split, next to the paper's Tables 1 and 2.

    A model that translates is judged by classifiers, which are trained once on the real training pairs and kept with
    the dataset. Controls show what stored training samples would score. A model that classifies is scored by its
    accuracy. A model that embeds both modalities is scored by retrieval. An earlier evaluation is reused if nothing has
    changed.

    Examples:

      cmcgan evaluate prepared/sub_urmp

      cmcgan evaluate prepared/sub_urmp --checkpoint runs/sub_urmp-small --json > evaluation.json

      cmcgan evaluate prepared/sub_urmp --checkpoint runs/sub_urmp-small --report report
    """
    run = find_run(checkpoint)
    require_dataset(data)
    from cmcgan_cli.tables.evaluation import summary, tables, training
    from cmcgan_core.data.dataset import open_dataset
    from cmcgan_core.evaluation.compare import compare
    from cmcgan_core.reports.html import require_matplotlib, write_report

    if report is not None:
        require_matplotlib()
    dataset = open_dataset(data)
    with resumable(), progress_bar(quiet=quiet) as on_progress:
        compared = compare(
            [run],
            dataset,
            split=split,
            latents=latents,
            seed=seed,
            concatenate=concatenate,
            device=device,
            on_progress=on_progress,
        )
        page = None if report is None else write_report(compared, dataset, report, seed=seed, device=device)
    (entry,) = compared.entries
    evaluation = entry.evaluation
    if as_json:
        emit_json(evaluation.to_dict())
    else:
        for table in tables(evaluation, by_class=by_class, confusion=confusion):
            out().print(table)
        note(f"{summary(evaluation)} {training(entry.about)}".rstrip(), quiet=quiet)
    if page is not None:
        note(f"open {page} in a browser", quiet=quiet)
