"""`cmcgan classify`."""

import csv
import itertools
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cmcgan_cli.console import Checkpoint, Device, Json, Quiet, Seed, emit_json, err, find_run, note, out, progress_bar

if TYPE_CHECKING:
    from cmcgan_core.errors import MediaError
    from cmcgan_core.inference.classify import Classified

#: What the terminal calls the modalities.
WORDS = {"audio": "sound", "visual": "picture"}
#: Classes that the terminal shows of a single input.
SHOWN = 3
#: Columns of --csv.
COLUMNS = ("input", "start", "end", "label", "confidence", "given", "generated", "error")


def classify(
    sources: Annotated[
        list[str],
        typer.Option(
            "--from",
            "-f",
            help="A sound, a picture, a video, a folder of them, a pattern, or - for a list of files on standard "
            "input; may be repeated.",
            show_default=False,
        ),
    ],
    checkpoint: Checkpoint = None,
    every: Annotated[
        float | None,
        typer.Option(help="Seconds of a step of a timeline of each sound and video; by default none is made."),
    ] = None,
    seed: Seed = 0,
    samples: Annotated[int, typer.Option(min=1, help="How often to fill in the missing modality; averaged.")] = 1,
    at: Annotated[
        float | None,
        typer.Option(help="Second to attend to; by default a sound's loudest half second, and all of a video."),
    ] = None,
    device: Device = "auto",
    as_json: Json = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print a table as CSV on standard output.")] = False,
    quiet: Quiet = False,
) -> None:
    """Say which instrument is played, in sounds, pictures and videos, or in a sound and a picture together.

    The dynamic multimodal classification network: a missing modality is generated first. A sound is judged by its
    loudest half second; of a video, and with --every also of a sound, half seconds are judged and averaged. Each input
    is judged by itself, but for one sound and one picture, named alone and one by one: they are taken for one
    performance (to have them apart, give the folder, or two commands). Folders are searched with all that is below
    them. A bad input is named and the others are done; the exit code is then 1.

    --json prints one line a result, with all classes and whether the probabilities were calibrated on held-out
    recordings; --csv one row a result, and with --every one row a step. Steps in which nothing is heard have no label.

    Examples:

      cmcgan classify --from sound.wav

      cmcgan classify --from sound.wav --from player.jpg --json

      cmcgan classify --from concert.mp4 --every 5

      cmcgan classify --from archive/ --every 0.5 --csv > archive.csv
    """
    from cmcgan_core.checkpoint import load_checkpoint
    from cmcgan_core.inference.classify import classify_all, load_classifier
    from cmcgan_core.inference.inputs import expand
    from cmcgan_core.inference.translate import SamplingOptions
    from cmcgan_core.utils.device import choose_device

    if as_json and as_csv:
        raise typer.BadParameter("give --json or --csv, not both", param_hint="--csv")
    if every is not None and at is not None:
        raise typer.BadParameter("attends to a single half second; leave out --every", param_hint="--at")
    paths = [one.path for one in expand(sources, listed=sys.stdin.read() if "-" in sources else "")]
    performances = _performances(sources, paths)
    if every is not None and len(performances[0]) > 1:
        raise typer.BadParameter("a sound and a picture together have no timeline", param_hint="--every")
    on = choose_device(device)
    generating = load_checkpoint(find_run(checkpoint), on)
    classifier = load_classifier(generating.path, on)
    note(f"model: {generating.path}", quiet=quiet)
    about = {"seed": seed, "checkpoint": str(generating.path)}
    say = _json(about) if as_json else _csv() if as_csv else _plain(len(performances), quiet=quiet)
    failed = False
    with progress_bar(quiet=quiet) as on_progress:
        sampling = SamplingOptions(samples=samples, seed=seed, at=at)
        results = classify_all(generating, classifier, performances, sampling, every, on_progress=on_progress)
        for inputs, said in zip(performances, results, strict=True):
            if isinstance(said, Exception):
                failed = True
                err().print(f"error: {said}", style="red", soft_wrap=True)
            say(inputs, said)
    if failed:
        raise typer.Exit(1)


#: Prints what became of one sound, picture or video, or of a sound and a picture together.
Say = Callable[[Sequence[Path], "Classified | MediaError"], None]


def _performances(sources: Sequence[str], paths: list[Path]) -> list[tuple[Path, ...]]:
    """What is to be judged: each file by itself, but one sound and one picture, if nothing else is named, together."""
    from cmcgan_core.media.files import media_kind

    kinds = sorted(str(media_kind(path)) for path in paths)
    # Files that a folder or a pattern held have other names than what was typed.
    if kinds == ["picture", "sound"] and paths == [Path(source) for source in sources]:
        return [tuple(paths)]
    return [(path,) for path in paths]


def _json(about: dict[str, object]) -> Say:
    """One document a result."""

    def say(inputs: Sequence[Path], said: "Classified | MediaError") -> None:
        document: dict[str, object] = {"input": [str(path) for path in inputs]}
        if isinstance(said, Exception):
            emit_json({**document, "error": str(said), **about})
        else:
            timeline = [moment._asdict() for moment in said.timeline]
            emit_json({**document, **said.__dict__, "timeline": timeline, "error": None, **about})

    return say


def _csv() -> Say:
    """A row for a result, or for each step of its timeline."""
    table = csv.writer(sys.stdout, lineterminator="\n")
    table.writerow(COLUMNS)

    def say(inputs: Sequence[Path], said: "Classified | MediaError") -> None:
        name = " + ".join(map(str, inputs))
        if isinstance(said, Exception):
            table.writerow([name, None, None, None, None, None, None, said])
        else:
            known = ["+".join(said.given), said.generated, None]
            rows = said.timeline or [(None, None, said.label, said.confidence)]
            table.writerows([name, *row, *known] for row in rows)
        sys.stdout.flush()

    return say


def _plain(count: int, *, quiet: bool) -> Say:
    """What people read: of a single input the likeliest classes, of several a line each, and timelines."""

    def say(inputs: Sequence[Path], said: "Classified | MediaError") -> None:
        if isinstance(said, Exception):
            return
        if count > 1 or said.timeline:
            out().print(f"{inputs[0]}: {said.label} {said.confidence:.3f} ({_given(said)})", soft_wrap=True)
            _print_timeline(said)
        else:
            _print_classes(said, quiet=quiet)

    return say


def _given(said: "Classified") -> str:
    filled = f"; {WORDS[said.generated]} filled in by the generator" if said.generated else ""
    return f"{' and '.join(WORDS[modality] for modality in said.given)} given{filled}"


def _print_classes(said: "Classified", *, quiet: bool) -> None:
    from rich.table import Table

    out().print(_given(said), soft_wrap=True)
    table = Table("class", "probability")
    for name, probability in list(said.probabilities.items())[:SHOWN]:
        table.add_row(name, f"{probability:.3f}")
    out().print(table)
    averaged = f"mean over {said.chunks} half seconds; " if said.chunks > 1 else ""
    reliable = "calibrated on the validation split" if said.calibrated else "not calibrated (no validation split)"
    note(f"{averaged}probabilities {reliable}", quiet=quiet)


def _print_timeline(said: "Classified") -> None:
    """Neighbouring steps of one class as one line."""
    for label, run in itertools.groupby(said.timeline, lambda moment: moment.label):
        steps = list(run)
        heard = [step.confidence for step in steps if step.confidence is not None]
        what = f"{label} {sum(heard) / len(heard):.3f}" if heard else "(silent)"
        out().print(f"  {steps[0].start:8.2f} to {steps[-1].end:8.2f} s  {what}", soft_wrap=True)
