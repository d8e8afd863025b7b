"""`cmcgan generate`."""

from collections import Counter
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cmcgan_cli.console import (
    RESUMES,
    UNLIKE_TRAINING,
    Checkpoint,
    Device,
    Inputs,
    Json,
    Quiet,
    Scheduler,
    Seed,
    Sources,
    emit_json,
    find_run,
    note,
    note_error,
    note_model,
    note_unlike,
    print_line,
    progress_bar,
    read_listed,
    require_device,
    require_inputs,
    resumable,
)
from cmcgan_core.inference.routes import Format
from cmcgan_core.modality import Modality

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

    from cmcgan_core.inference.generate.plan import OutputOptions, Task
    from cmcgan_core.inference.generate.results import Generated
    from cmcgan_core.inference.sampling import SamplingOptions


def generate(
    inputs: Inputs = None,
    sources: Sources = None,
    out_path: Annotated[
        Path, typer.Option("--out", "-o", help="Folder of the results, or the name of the only result.")
    ] = Path(),
    checkpoint: Checkpoint = None,
    to: Annotated[
        Modality | None,
        typer.Option(help="What to generate. Default: what the input lacks.", show_default=False),
    ] = None,
    format_: Annotated[
        Format | None,
        typer.Option(
            "--format",
            metavar="FORMAT",
            help="Of a sound: png, jpg or webp; mp4, mkv, mov or gif; png-sequence. Of a picture: wav, flac, mp3, ogg, "
            "opus or m4a. Of a video: mkv, mp4, m4v, mov, webm, avi, flv, wmv, mpg, mpeg, ogv or ts. "
            "Default: png for a sound of up to ten seconds, mp4 for a longer "
            "one, wav for a picture.",
            show_default=False,
        ),
    ] = None,
    samples: Annotated[int, typer.Option(min=1, max=1000, help="Number of results for each input.")] = 1,
    grid: Annotated[bool, typer.Option("--grid", help="Draw all samples of a sound into one picture.")] = False,
    seed: Seed = 0,
    at: Annotated[
        float | None,
        typer.Option(help="Start of the half second of a sound to use, in seconds. Default: the loudest half second."),
    ] = None,
    seconds: Annotated[
        float | None, typer.Option(help="Length of the sound of a picture, in seconds. Default: half a second.")
    ] = None,
    fps: Annotated[
        float,
        typer.Option(min=0.1, max=120, help="Frames per second of a film that follows a sound; a gif has at most 50."),
    ] = 10,
    drift: Annotated[
        float | None,
        typer.Option(
            help="Seconds from one random variation to the next; 0 keeps the first. Default: films keep it, the sound "
            "of a picture changes it every half second.",
            min=0,
        ),
    ] = None,
    loudness: Annotated[
        str | None,
        typer.Option(
            help="Level of generated sounds in dBFS; sounds that would clip get a lower one, and silence stays "
            "silence. model: the level that the model generates. Default: -20.",
            show_default=False,
        ),
    ] = None,
    size: Annotated[
        int | None,
        typer.Option(
            min=8, max=4096, help="Side of pictures in pixels. Default: the model's own, in films at least 256."
        ),
    ] = None,
    repair: Annotated[
        bool, typer.Option("--repair", help="Generate the damaged, black or missing frames of videos from their sound.")
    ] = False,
    hops: Annotated[
        int | None,
        typer.Option(min=1, max=2, help="1: A2V or V2A; 2: the paper's A-A-V or V-V-A. Default: the model's own."),
    ] = None,
    overwrite: Annotated[bool, typer.Option(help="Replace existing results. Default: skip them.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the planned results, and write nothing.")] = False,
    device: Device = "auto",
    scheduler: Scheduler = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Turn sounds into pictures and films, pictures into sounds, and add soundtracks to silent films.

    The missing modality is generated. A sound becomes NAME.png, or a film NAME.mp4 that follows it. A picture becomes
    NAME.wav, with its spectrogram as NAME.lms.png and NAME.lms.npy. A video without sound becomes NAME.soundtrack.mp4.
    Folders are searched recursively, and --out gets their structure. A bad input is named and does not stop the others;
    the exit code is then 1. Existing results are skipped, so the same command resumes after a stop. --json prints one
    line for each input.

    Examples:

      cmcgan generate sound.wav

      cmcgan generate player.jpg --seconds 5 --out made/ --samples 4 --seed 7

      cmcgan generate song.mp3 --out song.mp4 --fps 25 --drift 8

      cmcgan generate silent.mp4 --out made/

      cmcgan generate damaged.mkv --repair --out made/

      cmcgan generate clips/ --out made/ --json > made.jsonl

      cmcgan generate archive/ --out made/ --scheduler tcp://host:8786

      find . -name '*.flac' -print0 | cmcgan generate - --out made/
    """
    from cmcgan_core.inference.generate.plan import OutputOptions, plan
    from cmcgan_core.inference.inputs import expand
    from cmcgan_core.inference.sampling import SamplingOptions
    from cmcgan_core.media.film import MAX_GIF_FPS, storable_fps

    output = OutputOptions(
        to=to,
        format=format_,
        grid=grid,
        size=size,
        fps=fps,
        seconds=seconds,
        drift=drift,
        loudness=_parse_loudness(loudness),
        repair=repair,
        overwrite=overwrite,
    )
    sampling = SamplingOptions(samples=samples, seed=seed, hops=hops, at=at)
    named = require_inputs(inputs, sources)
    tasks = plan(expand(named, out_path, read_listed(named)), out_path, output, sampling)
    run = find_run(checkpoint)
    if dry_run:
        require_device(device)
        _show_plan(tasks)
        return
    if any(storable_fps(path, fps) < fps for task in tasks for path in task.paths):
        note(f"a gif has at most {MAX_GIF_FPS} frames per second, so it is made with that", quiet=quiet)
    failed, counts = False, Counter[str]()
    hint = "with --overwrite, the same command starts again" if overwrite else RESUMES
    with resumable(hint), closing(_generate(run, tasks, sampling, output, device, scheduler, quiet=quiet)) as results:
        for result in results:
            failed |= bool(result.error)
            counts.update(unlike=bool(result.unlike_training), silent=result.silent)
            _print_result(result, as_json=as_json, quiet=quiet)
    if len(tasks) > 1:
        note_unlike(counts, len(tasks), quiet=quiet)
    if failed:
        raise typer.Exit(1)


def _generate(
    run: Path,
    tasks: "Sequence[Task]",
    sampling: "SamplingOptions",
    output: "OutputOptions",
    device: str,
    scheduler: str | None,
    *,
    quiet: bool,
) -> "Generator[Generated]":
    """Yield the result of each task. If nothing is left to generate, no model is loaded, and no scheduler is needed."""
    from cmcgan_core.inference.generate.results import known_result, needs_network

    if not any(needs_network(task, output) for task in tasks):
        yield from (known_result(task, sampling) for task in tasks)
        return
    if scheduler is not None:
        from cmcgan_core.utils.cluster import connect

        with connect(scheduler) as cluster, progress_bar(quiet=quiet) as on_progress:
            from cmcgan_core.inference.cluster import WorkerModel, generate_on_cluster

            note(f"model: {run}", quiet=quiet)
            model = WorkerModel(run, device)
            yield from generate_on_cluster(cluster, model, tasks, sampling, output, on_progress=on_progress)
        return
    from cmcgan_core.checkpoint import load_checkpoint
    from cmcgan_core.inference.dynamic_classifier import find_classifier
    from cmcgan_core.inference.generate.batch import generate_all
    from cmcgan_core.utils.device import choose_device

    trained = load_checkpoint(run, choose_device(device))
    note_model(trained, quiet=quiet)
    with progress_bar(quiet=quiet) as on_progress:
        yield from generate_all(trained, tasks, sampling, output, find_classifier(trained), on_progress=on_progress)


def _show_plan(tasks: "Sequence[Task]") -> None:
    """Print the planned results. The exit code is 1 if an input cannot be used."""
    for task in tasks:
        print_line(f"{task.source} -> {', '.join(map(str, task.paths)) or task.error}")
    if any(task.error for task in tasks):
        raise typer.Exit(1)


def _parse_loudness(text: str | None) -> float | None:
    """Return a level in dBFS, by default that of `media.level`, or None for the model's own level."""
    from cmcgan_core.media.level import LOUDNESS

    if text == "model":
        return None
    try:
        return LOUDNESS if text is None else float(text)
    except ValueError:
        raise typer.BadParameter(f"{text!r} is neither a number nor 'model'", param_hint="--loudness") from None


def _print_result(result: "Generated", *, as_json: bool, quiet: bool) -> None:
    """Print the paths of one result, or JSON, on standard output, and the rest on standard error."""
    if result.error:
        note_error(result.error)
    if as_json:
        emit_json(_to_document(result))
        return
    for path in result.outputs:
        print_line(str(path))
    if result.unlike_training:
        note(f"{result.input}: {UNLIKE_TRAINING}", quiet=quiet)
    if result.silent:
        note(f"{result.input}: is silent, so what was generated means nothing", quiet=quiet)
    for interval in result.repaired:
        times = f"{interval.start:.2f} to {interval.end:.2f} s"
        note(f"{result.input}: {times}, {interval.frames} pictures: {interval.reason}", quiet=quiet)
    if result.skipped:
        note(f"{result.input}: its results exist already; replace them with --overwrite", quiet=quiet)
    elif not result.outputs and not result.error:
        note(f"{result.input}: no picture is damaged, so nothing was written", quiet=quiet)


def _to_document(result: "Generated") -> dict[str, Any]:
    """Return the JSON document of a result."""
    return {
        "input": str(result.input),
        "outputs": [str(path) for path in result.outputs],
        "route": result.route,
        "seed": result.seed,
        "seconds": result.seconds,
        "class": result.guess,
        "unlike_training": result.unlike_training,
        "silent": result.silent,
        "repaired": [asdict(interval) for interval in result.repaired],
        "skipped": result.skipped,
        "error": result.error or None,
    }
