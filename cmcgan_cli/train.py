"""`cmcgan train`."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cmcgan_cli.console import (
    Device,
    Json,
    Quiet,
    emit_json,
    note,
    out,
    print_line,
    progress_bar,
    require_dataset,
    require_device,
    resumable,
)

if TYPE_CHECKING:
    from cmcgan_core.config import Config
    from cmcgan_core.data.dataset import PreparedDataset
    from cmcgan_core.training.run import TrainResult


def train(
    data: Annotated[
        Path | None,
        typer.Argument(metavar="DATA", help="A prepared dataset (made by: cmcgan prepare).", show_default=False),
    ] = None,
    preset: Annotated[
        str | None,
        typer.Option(
            help="small (the default, for two CPU cores), default (for a GPU), paper, tiny (for tests), s2i-c, i2s, ..."
        ),
    ] = None,
    config: Annotated[Path | None, typer.Option(help="A TOML file with settings that change the preset.")] = None,
    epochs: Annotated[
        int | None, typer.Option(min=1, help="Passes over the training pairs (train.epochs).", show_default=False)
    ] = None,
    batch_size: Annotated[
        int | None, typer.Option(min=1, help="Pairs in a step (train.batch_size).", show_default=False)
    ] = None,
    learning_rate: Annotated[
        float | None,
        typer.Option("--lr", help="Learning rate of generators and discriminators.", show_default=False),
    ] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", help="Any other setting, as a.b=c; may be repeated.")
    ] = None,
    name: Annotated[
        str | None, typer.Option("--name", help="Name of the run; its folder is runs/NAME.", show_default=False)
    ] = None,
    out_dir: Annotated[
        Path | None, typer.Option("--out", "-o", help="Run folder. Default: runs/DATASET-PRESET.", show_default=False)
    ] = None,
    resume: Annotated[
        Path | None,
        typer.Option(metavar="RUN", help="Resume a run: its folder, or its name in runs/.", show_default=False),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an existing run.")] = False,
    seed: Annotated[
        int | None,
        typer.Option(min=0, help="Seed of all random numbers. Default: the seed of the preset.", show_default=False),
    ] = None,
    loggers: Annotated[
        list[str] | None,
        typer.Option(
            "--log",
            help="Where to send losses and samples: tensorboard, wandb, mlflow, or that of a plugin. May be repeated. "
            "Default: tensorboard, if it is installed.",
            show_default=False,
        ),
    ] = None,
    profiled: Annotated[
        bool, typer.Option("--profile", help="Write a profile of a few steps: what takes the time on CPU and GPU.")
    ] = False,
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

      cmcgan train prepared/sub_urmp --epochs 20 --lr 0.0005 --name longer

      cmcgan train prepared/sub_urmp --set network.width=0.5 --out runs/wider

      cmcgan train prepared/sub_urmp --preset s2i-c-small --set train.wrong_pairs=pose

      cmcgan train prepared/sub_urmp --log wandb

      cmcgan train --resume runs/longer
    """
    from cmcgan_core.config import load_config
    from cmcgan_core.run_folder import find_named, resume_config
    from cmcgan_core.training.loggers import require_loggers
    from cmcgan_core.utils.names import folder_name

    options = {
        "train.epochs": epochs,
        "train.batch_size": batch_size,
        "train.generator.learning_rate": learning_rate,
        "train.discriminator.learning_rate": learning_rate,
        "seed": seed,
    }
    chosen = [*(settings or []), *(f"{key}={value}" for key, value in options.items() if value is not None)]
    if name is not None:
        out_dir = _named_folder(name, out_dir)
    if resume is not None:
        if data or preset or config or chosen or out_dir or overwrite or loggers:
            raise typer.BadParameter(
                "a resumed run keeps its dataset, settings and logs; give --resume only", param_hint="--resume"
            )
        out_dir = find_named(resume)
        run_config, data = resume_config(out_dir)
    elif data is None:
        raise typer.BadParameter("name a prepared dataset, or a run to resume (--resume)", param_hint="DATA")
    else:
        preset = preset or "small"
        run_config = load_config(preset, config, chosen)
        out_dir = out_dir or Path("runs") / f"{folder_name(data)}-{preset}"
    require_dataset(data)
    require_device(device)
    require_loggers(loggers or ())
    from cmcgan_core.data.dataset import open_dataset
    from cmcgan_core.training.train import train_run

    dataset = open_dataset(data)
    if dry_run:
        _show_plan(run_config, dataset, out_dir, as_json=as_json)
        return
    if not quiet:
        note(_cost(run_config, dataset))
    with resumable(lambda: _resume_hint(run_config, out_dir)), progress_bar(quiet=quiet) as on_progress:
        result = train_run(
            run_config,
            dataset,
            out_dir,
            device=device,
            resume=resume is not None,
            overwrite=overwrite,
            loggers=loggers,
            warn=lambda sentence: note(f"warning: {sentence}"),
            profiled=profiled,
            on_progress=on_progress,
        )
    if profiled and result.losses:
        _show_profile(result.out, quiet=quiet)
    _show_result(result, data, as_json=as_json, quiet=quiet)


def _show_result(result: "TrainResult", data: Path, *, as_json: bool, quiet: bool) -> None:
    """Print a finished run, and warn if it was too short. A run that was finished before has no losses."""
    if result.falling and result.losses:
        note(
            "warning: the losses were still falling when the run ended, so the run was too short; train longer, for "
            f"example with --set train.steps={2 * result.steps}",
            quiet=quiet,
        )
    if as_json:
        emit_json(asdict(result))
        return
    trained = f"{result.steps} steps in {result.seconds:.0f} s  {_figures(result.losses)}"
    print_line(f"{result.out}  {trained if result.losses else f'was finished before, after {result.steps} steps'}")
    note(f"next: cmcgan evaluate {data} --checkpoint {result.out}", quiet=quiet)


def _show_profile(out_dir: Path, *, quiet: bool) -> None:
    """Say where the profile of a run is."""
    from cmcgan_core.training.profile import TABLE, TRACE

    note(f"profile: {out_dir / TABLE}, and {out_dir / TRACE} to open at https://ui.perfetto.dev", quiet=quiet)


def _resume_hint(config: "Config", out_dir: Path) -> str:
    """Return how to resume a stopped run, if it had begun; otherwise its folder is missing, or holds another run."""
    from cmcgan_core.errors import ConfigError
    from cmcgan_core.run_folder import resume_config

    try:
        begun = resume_config(out_dir)[0] == config
    except ConfigError:
        begun = False
    return f"resume with: cmcgan train --resume {out_dir}" if begun else "nothing was saved; run the same command again"


def _named_folder(name: str, out_dir: Path | None) -> Path:
    """Return the folder of a run with a name.

    Raises:
        typer.BadParameter: the folder is named twice, or the name cannot be that of a folder.
    """
    from cmcgan_core.utils.names import name_fault

    if out_dir is not None:
        raise typer.BadParameter("give --name or --out, not both", param_hint="--name")
    if fault := name_fault(name):
        raise typer.BadParameter(f"{name!r} {fault}; for another folder, use --out", param_hint="--name")
    return Path("runs") / name


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
    from cmcgan_cli.tables.cells import new_table

    table = new_table(f"{dataset.root} -> {out_dir}", "setting", "value")
    for name, value in {**plan, **flatten(config.to_dict())}.items():
        table.add_row(name, str(value))
    out().print(table)


def _figures(values: dict[str, float]) -> str:
    return "  ".join(f"{name} {value:.3f}" for name, value in values.items())
