"""`cmcgan generate`."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cmcgan_cli.console import (
    Checkpoint,
    Device,
    Json,
    Quiet,
    Seed,
    emit_json,
    err,
    find_run,
    note,
    out,
    progress_bar,
    resumable,
)

if TYPE_CHECKING:
    from cmcgan_core.inference.generate import Generated

Sources = Annotated[
    list[str],
    typer.Option(
        "--from",
        "-f",
        help="A sound, a picture, a video, a folder of them, a pattern, or - for a list of files on standard input; "
        "may be repeated.",
        show_default=False,
    ),
]


def generate(
    sources: Sources,
    out_path: Annotated[
        Path, typer.Option("--out", "-o", help="Folder for the results, or the name of a single one.")
    ] = Path(),
    checkpoint: Checkpoint = None,
    to: Annotated[
        str | None, typer.Option(help="visual or audio; by default what the input lacks.", show_default=False)
    ] = None,
    format_: Annotated[
        str | None,
        typer.Option(
            "--format",
            help="Of a sound: png (jpg, webp), mp4 (mkv, mov), gif or png-sequence; of a picture: wav or flac; of a "
            "video: mkv, mp4, ... By default a sound of up to ten seconds is a png, a longer one an mp4.",
            show_default=False,
        ),
    ] = None,
    samples: Annotated[int, typer.Option(min=1, max=1000, help="How many to make of each input.")] = 1,
    grid: Annotated[bool, typer.Option("--grid", help="All samples of a sound on one picture.")] = False,
    seed: Seed = 0,
    at: Annotated[
        float | None, typer.Option(help="Second of the sound to listen to; by default its loudest half second.")
    ] = None,
    seconds: Annotated[
        float | None, typer.Option(help="Length of the sound of a picture; by default half a second.")
    ] = None,
    fps: Annotated[
        float, typer.Option(min=0.1, max=120, help="Pictures a second of a film that follows a sound.")
    ] = 10,
    drift: Annotated[
        float | None,
        typer.Option(
            help="Seconds in which one random variation turns into the next; 0 keeps the first. By default films keep "
            "it, and a picture's sound takes another one each half second.",
            min=0,
        ),
    ] = None,
    size: Annotated[
        int | None,
        typer.Option(
            min=8, max=4096, help="Side of pictures in pixels; by default the model's, in films at least 256."
        ),
    ] = None,
    repair: Annotated[
        bool, typer.Option("--repair", help="Make the damaged, black or missing pictures of videos from their sound.")
    ] = False,
    hops: Annotated[
        int | None,
        typer.Option(min=1, max=2, help="1: A2V or V2A; 2: the paper's A-A-V or V-V-A; by default the model's own."),
    ] = None,
    overwrite: Annotated[bool, typer.Option(help="Replace results that exist; by default they are skipped.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be made, and make nothing.")] = False,
    device: Device = "auto",
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Turn sound into pictures, pictures into sound, and give silent films a soundtrack.

    What is missing is made: of a sound NAME.png, or NAME.mp4 whose pictures follow it; of a picture NAME.wav, with its
    spectrogram as NAME.lms.png and NAME.lms.npy; of a video without sound NAME.soundtrack.mp4. Folders are searched
    with all that is below them, and their structure is kept in --out. A bad input is named and the others are made;
    the exit code is then 1. What exists is skipped, so the same command goes on where it was stopped. --json prints one
    line a result.

    Examples:

      cmcgan generate --from sound.wav

      cmcgan generate --from player.jpg --seconds 5 --out made/ --samples 4 --seed 7

      cmcgan generate --from song.mp3 --out song.mp4 --fps 25 --drift 8

      cmcgan generate --from silent.mp4 --out made/

      cmcgan generate --from damaged.mkv --repair --out made/

      cmcgan generate --from clips/ --out made/ --json > made.jsonl

      find . -name '*.flac' -print0 | cmcgan generate --from - --out made/
    """
    from cmcgan_core.checkpoint import load_checkpoint
    from cmcgan_core.inference.classify import find_classifier
    from cmcgan_core.inference.generate import OutputOptions, make_all, plan
    from cmcgan_core.inference.inputs import expand
    from cmcgan_core.inference.translate import SamplingOptions
    from cmcgan_core.utils.device import choose_device

    if to not in (None, "visual", "audio"):
        raise typer.BadParameter("is visual or audio", param_hint="--to")
    listed = sys.stdin.read() if "-" in sources else ""
    output = OutputOptions(to, format_, grid, size, fps, seconds, drift, repair, overwrite)  # type: ignore[arg-type]
    sampling = SamplingOptions(samples, seed, hops, at)
    tasks = plan(expand(sources, out_path, listed), out_path, output, sampling)
    if dry_run:
        for task in tasks:
            out().print(f"{task.source} -> {', '.join(map(str, task.paths)) or task.error}", soft_wrap=True)
        return
    on = choose_device(device)
    trained = load_checkpoint(find_run(checkpoint), on)
    note(f"model: {trained.path}", quiet=quiet)
    failed = False
    with resumable("stopped; the same command goes on where this one was"), progress_bar(quiet=quiet) as on_progress:
        classifier = find_classifier(trained.path, on)
        for made in make_all(trained, tasks, sampling, output, classifier, on_progress=on_progress):
            failed |= bool(made.error)
            _say(made, as_json=as_json, quiet=quiet)
    if failed:
        raise typer.Exit(1)


def _say(made: "Generated", *, as_json: bool, quiet: bool) -> None:
    """One result: paths, or JSON, on standard output; the rest on standard error."""
    if made.error:
        err().print(f"error: {made.error}", style="red", soft_wrap=True)
    if as_json:
        emit_json(_document(made))
        return
    for path in made.outputs:
        out().print(str(path), soft_wrap=True)
    for stretch in made.repaired:
        note(
            f"{made.input}: {stretch.start:.2f} to {stretch.end:.2f} s, {stretch.frames} pictures: {stretch.reason}",
            quiet=quiet,
        )
    if made.skipped:
        note(f"{made.input}: its results exist already; replace them with --overwrite", quiet=quiet)
    elif not made.outputs and not made.error:
        note(f"{made.input}: no picture is damaged, so nothing was made", quiet=quiet)


def _document(made: "Generated") -> dict[str, Any]:
    return {
        "input": str(made.input),
        "outputs": [str(path) for path in made.outputs],
        "route": made.route,
        "seed": made.seed,
        "seconds": made.seconds,
        "class": made.guess,
        "repaired": [stretch.__dict__ for stretch in made.repaired],
        "skipped": made.skipped,
        "error": made.error or None,
    }
