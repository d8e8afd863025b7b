"""`cmcgan train`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cmcgan_cli.console import Device, Json, Quiet, emit_json, note, out, progress_bar, resumable

if TYPE_CHECKING:
    from cmcgan_core.config import Config


def train(
    data: Annotated[
        Path | None, typer.Argument(help="A prepared dataset (made by: cmcgan prepare).", show_default=False)
    ] = None,
    preset: Annotated[
        str | None,
        typer.Option(
            help="paper, default (GPU), small (two CPU cores; taken if none is named), tiny (tests), s2i-c, i2s."
        ),
    ] = None,
    config: Annotated[Path | None, typer.Option(help="A TOML file of settings that differ from the preset.")] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", help="One setting, as train.epochs=10; may be repeated.")
    ] = None,
    wrong_pairs: Annotated[
        str | None,
        typer.Option(help="What a pair is wrong by: class (default), or pose, within a class.", show_default=False),
    ] = None,
    out_dir: Annotated[
        Path | None, typer.Option("--out", "-o", help="Run folder; by default runs/DATASET-PRESET.", show_default=False)
    ] = None,
    resume: Annotated[Path | None, typer.Option(help="Go on with this run folder.", show_default=False)] = None,
    overwrite: Annotated[bool, typer.Option(help="Replace a run that is already there.")] = False,
    seed: Annotated[int | None, typer.Option(help="Seed; that of the preset by default.", show_default=False)] = None,
    device: Device = "auto",
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show the run's settings and sizes; train nothing.")
    ] = False,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Train a model on a prepared dataset.

    Ctrl-C finishes the step, saves and says how to go on.

    Examples:

      cmcgan train prepared/sub_urmp

      cmcgan train prepared/sub_urmp --preset default --device cuda

      cmcgan train prepared/sub_urmp --set train.epochs=20 --out runs/longer

      cmcgan train prepared/sub_urmp --preset s2i-c-small --wrong-pairs pose

      cmcgan train --resume runs/longer
    """
    from cmcgan_core.config import load_config
    from cmcgan_core.training import train as training

    if resume is not None:
        if data or preset or config or settings or wrong_pairs or out_dir or overwrite or seed is not None:
            raise typer.BadParameter(
                "a resumed run keeps its dataset and settings; give --resume alone", param_hint="--resume"
            )
        chosen, data = training.resume_config(resume)
        out_dir = resume
    elif data is None:
        raise typer.BadParameter("name a prepared dataset, or a run to go on with (--resume)", param_hint="DATA")
    else:
        named = [] if seed is None else [f"seed={seed}"]
        named += [] if wrong_pairs is None else [f"train.wrong_pairs={wrong_pairs}"]
        preset = preset or "small"
        chosen = load_config(preset, config, [*(settings or []), *named])
        out_dir = out_dir or Path("runs") / f"{data.resolve().name}-{preset}"
    if dry_run:
        _show_plan(chosen, data, out_dir, as_json=as_json)
        return
    go_on = f"go on with: cmcgan train --resume {out_dir}"
    with resumable(f"stopped; {go_on}"), progress_bar(quiet=quiet) as draw:
        result = training.train_run(
            chosen, data, out_dir, device=device, resume=resume is not None, overwrite=overwrite, on_progress=draw
        )
    if as_json:
        emit_json(result.__dict__)
    elif result.finished:
        out().print(
            f"{result.out}  {result.step} steps in {result.seconds:.0f} s  {_figures(result.losses)}", soft_wrap=True
        )
        note(f"next: cmcgan evaluate {data} --checkpoint {result.out}", quiet=quiet)
    if not result.finished:
        note(f"stopped after step {result.step} of {result.steps}; {go_on}")
        raise typer.Exit(130)


def _show_plan(config: "Config", data: Path, out_dir: Path, *, as_json: bool) -> None:
    from cmcgan_core.training.train import plan_run

    plan = plan_run(config, data)
    if as_json:
        emit_json({"out": str(out_dir), **plan, "config": config.to_dict()})
        return
    from rich.table import Table

    table = Table("setting", "value", title=f"{data} -> {out_dir}")
    for name, value in {**plan, **_flat(config.to_dict())}.items():
        table.add_row(name, str(value))
    out().print(table)


def _flat(table: dict[str, object], prefix: str = "") -> dict[str, object]:
    rows: dict[str, object] = {}
    for key, value in table.items():
        if isinstance(value, dict):
            rows |= _flat(value, f"{prefix}{key}.")
        else:
            rows[f"{prefix}{key}"] = value
    return rows


def _figures(values: dict[str, float]) -> str:
    return "  ".join(f"{name} {value:.3f}" for name, value in values.items())
