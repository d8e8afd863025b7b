"""`cmcgan train`."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cmcgan_cli.console import Device, Json, Quiet, emit_json, note, out, print_line, progress_bar, resumable

if TYPE_CHECKING:
    from cmcgan_core.config import Config
    from cmcgan_core.data.dataset import PreparedDataset


def train(
    data: Annotated[
        Path | None, typer.Argument(help="A prepared dataset (made by: cmcgan prepare).", show_default=False)
    ] = None,
    preset: Annotated[
        str | None,
        typer.Option(
            help="small (the default, for two CPU cores), default (for a GPU), paper, tiny (for tests), s2i-c, i2s, ..."
        ),
    ] = None,
    config: Annotated[Path | None, typer.Option(help="A TOML file with settings that change the preset.")] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", help="One setting, for example train.epochs=10; may be repeated.")
    ] = None,
    out_dir: Annotated[
        Path | None, typer.Option("--out", "-o", help="Run folder. Default: runs/DATASET-PRESET.", show_default=False)
    ] = None,
    resume: Annotated[Path | None, typer.Option(help="Resume the run in this folder.", show_default=False)] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an existing run.")] = False,
    seed: Annotated[
        int | None,
        typer.Option(min=0, help="Seed of all random numbers. Default: the seed of the preset.", show_default=False),
    ] = None,
    device: Device = "auto",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show settings and sizes; train nothing.")] = False,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Train a model on a prepared dataset.

    Ctrl-C finishes the step, saves, and prints the command that resumes.

    Examples:

      cmcgan train prepared/sub_urmp

      cmcgan train prepared/sub_urmp --preset default --device cuda

      cmcgan train prepared/sub_urmp --set train.epochs=20 --out runs/longer

      cmcgan train prepared/sub_urmp --preset s2i-c-small --set train.wrong_pairs=pose

      cmcgan train --resume runs/longer
    """
    from cmcgan_core.config import load_config
    from cmcgan_core.data.dataset import open_dataset
    from cmcgan_core.training.train import resume_config, train_run

    if resume is not None:
        if data or preset or config or settings or out_dir or overwrite or seed is not None:
            raise typer.BadParameter(
                "a resumed run keeps its dataset and settings; give --resume only", param_hint="--resume"
            )
        run_config, data = resume_config(resume)
        out_dir = resume
    elif data is None:
        raise typer.BadParameter("name a prepared dataset, or a run to resume (--resume)", param_hint="DATA")
    else:
        preset = preset or "small"
        seed_setting = [] if seed is None else [f"seed={seed}"]
        run_config = load_config(preset, config, [*(settings or []), *seed_setting])
        out_dir = out_dir or Path("runs") / f"{data.resolve().name}-{preset}"
    dataset = open_dataset(data)
    if dry_run:
        _show_plan(run_config, dataset, out_dir, as_json=as_json)
        return
    if not quiet:
        note(_cost(run_config, dataset))
    with resumable(f"resume with: cmcgan train --resume {out_dir}"), progress_bar(quiet=quiet) as on_progress:
        result = train_run(
            run_config,
            dataset,
            out_dir,
            device=device,
            resume=resume is not None,
            overwrite=overwrite,
            on_progress=on_progress,
        )
    if result.falling:
        note(
            "warning: the losses were still falling when the run ended, so the run was too short; train longer, for "
            f"example with --set train.steps={2 * result.steps}",
            quiet=quiet,
        )
    if as_json:
        emit_json(asdict(result))
        return
    losses = _figures(result.losses)
    print_line(f"{result.out}  {result.steps} steps in {result.seconds:.0f} s  {losses}")
    note(f"next: cmcgan evaluate {data} --checkpoint {result.out}", quiet=quiet)


def _cost(config: "Config", dataset: "PreparedDataset") -> str:
    """Return a sentence about the length of a run."""
    from cmcgan_core.training.train import plan_run

    plan = plan_run(config, dataset)
    batch = min(config.train.batch_size, plan["pairs"])
    return f"{plan['steps']} steps of {batch} pairs, out of {plan['pairs']}; the progress shows the time that is left"


def _show_plan(config: "Config", dataset: "PreparedDataset", out_dir: Path, *, as_json: bool) -> None:
    """Print the settings and the sizes of a run."""
    from cmcgan_core.training.train import plan_run
    from cmcgan_core.utils.schema import flatten

    plan = plan_run(config, dataset)
    if as_json:
        emit_json({"out": str(out_dir), **plan, "config": config.to_dict()})
        return
    from rich.table import Table

    table = Table("setting", "value", title=f"{dataset.root} -> {out_dir}")
    for name, value in {**plan, **flatten(config.to_dict())}.items():
        table.add_row(name, str(value))
    out().print(table)


def _figures(values: dict[str, float]) -> str:
    return "  ".join(f"{name} {value:.3f}" for name, value in values.items())
