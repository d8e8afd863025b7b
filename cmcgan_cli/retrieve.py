"""`cmcgan retrieve`."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cmcgan_cli.console import (
    Device,
    Inputs,
    Json,
    Quiet,
    Sources,
    emit_json,
    find_run,
    note,
    note_error,
    note_model,
    parse_run,
    print_line,
    print_row,
    progress_bar,
    read_listed,
    require_inputs,
    require_names,
    require_one_format,
    resumable,
)
from cmcgan_core.inference.target import Target

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cmcgan_core.checkpoint import Trained
    from cmcgan_core.inference.retrieve.files import Gallery
    from cmcgan_core.inference.retrieve.results import Hit, IndexReport, Retrieval, Retrieved

#: Columns of --csv.
COLUMNS = ("query", "rank", "score", "path", "modality", "at", "error")


def retrieve(
    searched: Annotated[
        list[str],
        typer.Option(
            "--in",
            "-i",
            help="Where to search: a file, a folder, a pattern, or - for a list of files on standard input. May be "
            "repeated.",
            show_default=False,
            callback=require_names,
        ),
    ],
    inputs: Inputs = None,
    sources: Sources = None,
    to: Annotated[
        Target | None,
        typer.Option(
            help="What to find. Default: pictures for a sound, sounds for a picture. A video is a sound if it has one."
        ),
    ] = None,
    top: Annotated[int, typer.Option(min=1, help="Largest number of files to find for each input.")] = 5,
    at: Annotated[
        float | None,
        typer.Option(
            min=0,
            help="Time of the half second or picture of the input to use, in seconds. Default: the loudest half second "
            "of a sound; all pictures of a video.",
        ),
    ] = None,
    checkpoint: Annotated[
        Path | None,
        typer.Option(
            "--checkpoint",
            "-c",
            parser=parse_run,
            metavar="RUN",
            help="A run folder or its name in runs/, a checkpoint file, or box. Default: the retrieval model that "
            "ships with cmcgan, else the newest run here that embeds both sounds and pictures, else box.",
        ),
    ] = None,
    index: Annotated[
        Path | None,
        typer.Option(
            help="Folder that keeps the embeddings of files. Default: $CMCGAN_INDEX, else cmcgan/index in the user's "
            "cache."
        ),
    ] = None,
    sheet: Annotated[
        Path | None, typer.Option(help="Write the hits of the first 100 inputs as one picture, hits.png.")
    ] = None,
    html: Annotated[
        Path | None, typer.Option(help="Write them as a page with pictures and players, hits.html.")
    ] = None,
    device: Device = "auto",
    as_json: Json = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print a table as CSV on standard output.")] = False,
    quiet: Quiet = False,
) -> None:
    """Find the pictures that fit a sound, and the sounds that fit a picture, in folders of any size.

    A network embeds sounds and pictures as vectors. Files are ordered by the cosine similarity of their embedding to
    that of the input, from 1 to -1. Sounds and videos are searched by half seconds; the most similar one counts, and
    its time is told. A video as input is represented by its sound; if it has none, or with --to audio, by its pictures.
    The input itself is not found. With --to all, or --to the kind of the input, exact copies of it come first.

    Embeddings are kept in an index, so the next search embeds only files that are new or have changed. A bad file is
    named and does not stop the others; the exit code is then 1. --json prints one line for each input.

    Examples:

      cmcgan retrieve sound.wav --in photos/

      cmcgan retrieve player.jpg --in recordings/ --html hits.html

      cmcgan retrieve concert.mp4 --in archive/ --to all --top 10

      cmcgan retrieve clips/ --in photos/ --csv > hits.csv
    """
    from cmcgan_core.inference.inputs import expand
    from cmcgan_core.inference.retrieve.files import find_gallery
    from cmcgan_core.inference.retrieve.results import unread
    from cmcgan_core.media.files import media_fault

    named = require_inputs(inputs, sources)
    _check_options(named, searched, sheet, as_json=as_json, as_csv=as_csv)
    listed = read_listed((*named, *searched))
    queries = [item.path for item in expand(named, listed=listed)]
    gallery = find_gallery(searched, listed, [file for file in (sheet, html) if file])
    with resumable("what was embedded is kept; the same command goes on"):
        if all(faults := [media_fault([query]) for query in queries]):
            found, trained = unread(queries, map(str, faults)), None
        else:
            trained = _load_embedder(checkpoint, device, quiet=quiet)
            found = _search(trained, queries, gallery, top, to, at, index, quiet=quiet)
    if as_json:
        _print_json(found, str(trained.path) if trained else None)
    elif as_csv:
        _print_csv(found)
    else:
        _print_text(found)
    failed = _print_faults(found, quiet=quiet)
    if trained is not None:
        _write_hits(found, trained, sheet, html)
    if failed:
        raise typer.Exit(1)


def _load_embedder(checkpoint: Path | None, device: str, *, quiet: bool) -> "Trained":
    """Load the network that embeds both modalities."""
    if checkpoint is not None:
        find_run(checkpoint)  # before torch is imported
    from cmcgan_core.inference.retrieve.embedding import load_embedder
    from cmcgan_core.utils.device import choose_device

    trained = load_embedder(checkpoint, choose_device(device))
    note_model(trained, quiet=quiet)
    return trained


def _search(
    trained: "Trained",
    queries: "Sequence[Path]",
    gallery: "Gallery",
    top: int,
    to: Target | None,
    at: float | None,
    index: Path | None,
    *,
    quiet: bool,
) -> "Retrieval":
    """Search the gallery, and show the progress."""
    from cmcgan_core.inference.retrieve.retrieval import retrieve as search

    with progress_bar(quiet=quiet) as on_progress:
        return search(trained, queries, gallery, top=top, to=to, at=at, index_folder=index, on_progress=on_progress)


def _write_hits(found: "Retrieval", trained: "Trained", sheet: Path | None, html: Path | None) -> None:
    """Write the hits as a picture and as a page, if these are wanted."""
    if sheet is None and html is None:
        return
    from cmcgan_core.reports.hits import write_hits_page, write_hits_sheet

    settings = trained.about.settings
    if sheet is not None:
        write_hits_sheet(found.results, settings, sheet)
    if html is not None:
        write_hits_page(found.results, settings, html)


def _check_options(sources: list[str], searched: list[str], sheet: Path | None, *, as_json: bool, as_csv: bool) -> None:
    """Refuse options that contradict each other."""
    from cmcgan_core.media.files import media_kind

    require_one_format(as_json=as_json, as_csv=as_csv)
    if "-" in sources and "-" in searched:
        raise typer.BadParameter("only one of --from and --in can be read from standard input", param_hint="--in")
    if sheet is not None and media_kind(sheet) != "picture":
        raise typer.BadParameter(
            f"{sheet} is not the name of a picture; take one that ends in .png", param_hint="--sheet"
        )


def _print_json(found: "Retrieval", checkpoint: str | None) -> None:
    """Print one JSON document for each query. The checkpoint is None if no query can be read."""
    for result in found.results:
        emit_json({**_to_document(result), "checkpoint": checkpoint, "index": _describe_index(found.index)})


def _to_document(result: "Retrieved") -> dict[str, Any]:
    """Return the JSON document of a result."""
    return {**asdict(result), "error": result.error or None}


def _describe_index(index: "IndexReport | None") -> dict[str, Any] | None:
    """Return the statistics of the index; what is wrong with files is on standard error."""
    if index is None:
        return None
    counts = {"files": index.files, "embedded": index.embedded, "failed": len(index.faults)}
    return {"path": str(index.path), **counts}


def _print_csv(found: "Retrieval") -> None:
    """Print one row for each hit, and one for each query that cannot be read."""
    print_row(COLUMNS)
    for result in found.results:
        if result.error:
            print_row([result.query, None, None, None, None, None, result.error])
        for rank, hit in enumerate(result.hits, start=1):
            print_row([result.query, rank, hit.score, hit.path, hit.modality, hit.at, None])


def _print_text(found: "Retrieval") -> None:
    """Print one line for each hit; if there are several queries, below a line with the query."""
    several = len(found.results) > 1
    for result in found.results:
        if result.error:
            continue
        if several:
            print_line(f"{result.query}:")
        for hit in result.hits:
            print_line(f"{'  ' if several else ''}{hit.score:6.3f}  {_describe_hit(hit)}")


def _describe_hit(hit: "Hit") -> str:
    """Return the file, and what was found in it if that is only a part."""
    return str(hit.path) if hit.at is None else f"{hit.path}  {hit.modality.word} at {hit.at:g} s"


def _print_faults(found: "Retrieval", *, quiet: bool) -> bool:
    """Print on standard error what is wrong with files, and what happened to the index.

    Returns:
        Whether a query or a file cannot be read.
    """
    index = found.index
    faults = [*(result.error for result in found.results if result.error), *(index.faults if index else ())]
    for fault in dict.fromkeys(faults):
        note_error(fault)
    if index is not None:
        for text in index.notes:
            note(f"note: {text}", quiet=quiet)
        note(f"searched: {index.files} files, of which {index.embedded} were embedded now", quiet=quiet)
        if not index.files or not any(result.hits for result in found.results):
            note("nothing was found", quiet=quiet)
    return bool(faults)
