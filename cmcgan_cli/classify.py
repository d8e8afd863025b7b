"""`cmcgan classify`."""

import itertools
from collections import Counter
from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cmcgan_cli.console import (
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
    out,
    print_line,
    print_row,
    progress_bar,
    read_listed,
    require_inputs,
    require_one_format,
)

if TYPE_CHECKING:
    from cmcgan_core.errors import MediaError
    from cmcgan_core.inference.dynamic_classifier import Classified
    from cmcgan_core.inference.sampling import SamplingOptions

#: Number of classes that the terminal shows for a single input.
CLASSES_SHOWN = 3
#: Columns of --csv.
COLUMNS = ("input", "start", "end", "label", "confidence", "unlike_training", "given", "generated", "error")


def classify(
    inputs: Inputs = None,
    sources: Sources = None,
    checkpoint: Checkpoint = None,
    every: Annotated[
        float | None,
        typer.Option(
            help="Length of a step of the timeline of each sound and video, in seconds. Default: no timeline."
        ),
    ] = None,
    seed: Seed = 0,
    samples: Annotated[
        int, typer.Option(min=1, help="Number of generated samples of the missing modality, which are averaged.")
    ] = 1,
    at: Annotated[
        float | None,
        typer.Option(
            help="Time of the half second to use, in seconds. Default: the loudest one of a sound; all of a video."
        ),
    ] = None,
    device: Device = "auto",
    scheduler: Scheduler = None,
    as_json: Json = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print a table as CSV on standard output.")] = False,
    quiet: Quiet = False,
) -> None:
    """Recognise the instrument in sounds, pictures and videos, or in a sound and a picture together.

    This is the dynamic multimodal classification network: it generates a missing modality first. A sound is classified
    by its loudest half second. A video, and with --every also a sound, is classified by the mean over its half seconds.
    Each input is classified separately. Exception: exactly one sound and one picture, both named as files, are one
    performance (to separate them, name their folder, or use two commands). Folders are searched recursively. A bad
    input is named and does not stop the others; the exit code is then 1.

    An input that is unlike the training data is marked: it may show none of the classes, and its probabilities mean
    little. About 5 % of inputs like the validation split are marked too. A silent sound has no class.

    --json prints one line for each input, with all classes and whether the probabilities are calibrated on held-out
    recordings. --csv prints one row for each input, or with --every for each step. Without them, consecutive steps of
    one class are one line. Silent steps have no label.

    Examples:

      cmcgan classify sound.wav

      cmcgan classify sound.wav player.jpg --json

      cmcgan classify concert.mp4 --every 5

      cmcgan classify archive/ --every 0.5 --csv > archive.csv

      cmcgan classify archive/ --csv --scheduler tcp://host:8786 > archive.csv
    """
    from cmcgan_core.inference.inputs import expand
    from cmcgan_core.inference.sampling import SamplingOptions

    require_one_format(as_json=as_json, as_csv=as_csv)
    if every is not None and at is not None:
        raise typer.BadParameter("uses a single half second; leave out --every", param_hint="--at")
    named = require_inputs(inputs, sources)
    found = [item.path for item in expand(named, listed=read_listed(named))]
    performances = _group_into_performances(named, found)
    if every is not None and any(len(paths) > 1 for paths in performances):
        raise typer.BadParameter("a sound and a picture together have no timeline", param_hint="--every")
    sampling, run = SamplingOptions(samples=samples, seed=seed, at=at), find_run(checkpoint)
    if as_json:
        print_result = _json_printer({"seed": seed, "checkpoint": str(run)})
    else:
        print_result = _csv_printer() if as_csv else _text_printer(len(performances), quiet=quiet)
    failed, counts = False, Counter[str]()
    with closing(_classify(run, performances, sampling, every, device, scheduler, quiet=quiet)) as results:
        for paths, result in zip(performances, results, strict=True):
            if isinstance(result, Exception):
                failed = True
                note_error(result)
            else:
                counts.update(unlike=bool(result.unlike_training), silent=result.label is None)
            print_result(paths, result)
    if len(performances) > 1:
        note_unlike(counts, len(performances), quiet=quiet)
    if failed:
        raise typer.Exit(1)


def _classify(
    run: Path,
    performances: Sequence[tuple[Path, ...]],
    sampling: "SamplingOptions",
    every: float | None,
    device: str,
    scheduler: str | None,
    *,
    quiet: bool,
) -> "Generator[Classified | MediaError]":
    """Yield the classification of each performance, or its fault.

    If all have one, torch is not imported, and no scheduler is needed.
    """
    from cmcgan_core.media.files import media_fault

    faults = [fault for paths in performances if (fault := media_fault(paths))]
    if len(faults) == len(performances):
        yield from faults
        return
    if scheduler is not None:
        from cmcgan_core.utils.cluster import connect

        with connect(scheduler) as cluster, progress_bar(quiet=quiet) as on_progress:
            from cmcgan_core.inference.cluster import WorkerModel, classify_on_cluster

            note(f"model: {run}", quiet=quiet)
            model = WorkerModel(run, device)
            yield from classify_on_cluster(cluster, model, performances, sampling, every, on_progress=on_progress)
        return
    from cmcgan_core.checkpoint import load_checkpoint
    from cmcgan_core.inference.classify import classify_all
    from cmcgan_core.inference.dynamic_classifier import load_classifier
    from cmcgan_core.utils.device import choose_device

    generating = load_checkpoint(run, choose_device(device))
    classifier = load_classifier(generating)
    note_model(generating, quiet=quiet)
    with progress_bar(quiet=quiet) as on_progress:
        yield from classify_all(generating, classifier, performances, sampling, every, on_progress=on_progress)


#: Prints the result of one file, or of a sound and a picture together, on standard output.
Printer = Callable[[Sequence[Path], "Classified | MediaError"], None]


def _group_into_performances(sources: Sequence[str], paths: list[Path]) -> list[tuple[Path, ...]]:
    """Return each file as its own performance, or one sound and one picture together if nothing else is named."""
    from cmcgan_core.media.files import media_kind

    kinds = sorted(str(media_kind(path)) for path in paths)
    # Files from a folder or a pattern have other names than the user typed.
    if kinds == ["picture", "sound"] and paths == [Path(source) for source in sources]:
        return [tuple(paths)]
    return [(path,) for path in paths]


def _json_printer(common: dict[str, object]) -> Printer:
    """Return a printer of one JSON document per result, each with the fields in `common`."""

    def print_result(paths: Sequence[Path], result: "Classified | MediaError") -> None:
        inputs = [str(path) for path in paths]
        if isinstance(result, Exception):
            emit_json({"input": inputs, "error": str(result), **common})
        else:
            emit_json({"input": inputs, **asdict(result), "error": None, **common})

    return print_result


def _csv_printer() -> Printer:
    """Return a printer of one row per result, or per step of its timeline."""
    print_row(COLUMNS)

    def print_result(paths: Sequence[Path], result: "Classified | MediaError") -> None:
        name = " + ".join(map(str, paths))
        if isinstance(result, Exception):
            print_row([name, *[None] * (len(COLUMNS) - 2), result])
        else:
            shared = ["+".join(result.given), result.generated, None]
            rows: list[tuple[object, ...]] = [
                (step.start, step.end, step.label, step.confidence, step.unlike_training) for step in result.timeline
            ]
            rows = rows or [(None, None, result.label, result.confidence, result.unlike_training)]
            for row in rows:
                print_row([name, *row, *shared])

    return print_result


def _text_printer(count: int, *, quiet: bool) -> Printer:
    """Return a printer of the most probable classes of a single input, or of a line per input, and of timelines."""

    def print_result(paths: Sequence[Path], result: "Classified | MediaError") -> None:
        if isinstance(result, Exception):
            return
        if count > 1 or result.timeline:
            print_line(f"{paths[0]}: {_describe_class(result)} ({_describe_modalities(result)})")
            _print_timeline(result)
        else:
            _print_classes(result, quiet=quiet)

    return print_result


def _describe_class(result: "Classified") -> str:
    """Return the class and its probability, and whether the input is unlike the training data; or that it is silent."""
    if result.label is None:
        return "(silent)"
    unlike = "  unlike the training data" if result.unlike_training else ""
    return f"{result.label} {result.confidence:.3f}{unlike}"


def _describe_modalities(result: "Classified") -> str:
    """Return which modalities were given and which one was generated."""
    generated = f"; {result.generated.word} filled in by the generator" if result.generated else ""
    return f"{' and '.join(modality.word for modality in result.given)} given{generated}"


def _print_classes(result: "Classified", *, quiet: bool) -> None:
    """Print the most probable classes."""
    from cmcgan_cli.tables.cells import new_table

    print_line(_describe_modalities(result))
    if result.label is None:
        print_line("The sound is silent, so it has no class.")
        return
    if result.unlike_training:
        print_line(f"Warning: the input {UNLIKE_TRAINING}")
    table = new_table(None, "class", "probability")
    for name, probability in itertools.islice(result.probabilities.items(), CLASSES_SHOWN):
        table.add_row(name, f"{probability:.3f}")
    out().print(table)
    averaged = f"mean over {result.chunks} half seconds; " if result.chunks > 1 else ""
    reliable = (
        "calibrated on the validation split, and only for inputs like it"
        if result.calibrated
        else "not calibrated (that needs a generating run and a validation split)"
    )
    note(f"{averaged}probabilities {reliable}", quiet=quiet)


def _print_timeline(result: "Classified") -> None:
    """Print consecutive steps of one class as one line, with their mean confidence and how many they are."""
    for label, group in itertools.groupby(result.timeline, lambda step: step.label):
        steps = list(group)
        confidences = [step.confidence for step in steps if step.confidence is not None]
        text = f"{label} {sum(confidences) / len(confidences):.3f}" if confidences else "(silent)"
        if 2 * sum(bool(step.unlike_training) for step in steps) > len(steps):
            text += "  unlike the training data"
        if len(steps) > 1:
            text += f" (mean of {len(steps)} steps)"
        print_line(f"  {steps[0].start:8.2f} to {steps[-1].end:8.2f} s  {text}")
