"""The hits of a search as one picture, and as a page."""

import itertools
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont, ImageOps

from cmcgan_core.errors import MediaError
from cmcgan_core.features.figures import draw_maps
from cmcgan_core.features.settings import FeatureSettings
from cmcgan_core.inference.chunks import read_picture_at
from cmcgan_core.inference.retrieve.results import Retrieved
from cmcgan_core.inference.translate import read_half_second, to_audio
from cmcgan_core.media.files import media_kind, read_picture, write_picture
from cmcgan_core.modality import Modality
from cmcgan_core.reports.html import make_environment
from cmcgan_core.reports.samples import picture_uri
from cmcgan_core.utils.files import RUN_AGAIN, explain_write_errors, write_text

#: Largest number of queries that are shown.
ROWS = 100
#: Side of a thumbnail in pixels.
SIDE = 160
#: Width of the gaps of a sheet in pixels.
GAP = 12
#: Height of a line of text of a sheet in pixels.
LINE = 16


@dataclass(frozen=True)
class Tile:
    """A query or a hit.

    Attributes:
        path: the file.
        picture: thumbnail (SIDE, SIDE, 3): the picture, or the spectrogram of the half second.
        caption: score and time.
        sound: whether it has a sound to play.
        at: time in seconds.
    """

    path: Path
    picture: NDArray[np.uint8]
    caption: str
    sound: bool
    at: float


def write_hits_sheet(results: Sequence[Retrieved], settings: FeatureSettings, out: Path) -> None:
    """Write a picture with a row for each of the first `ROWS` queries that can be read: the query, then its hits.

    Args:
        results: the results of `retrieve`.
        settings: feature settings of the model, by which spectrograms are drawn.
        out: the file.

    Raises:
        MediaError: the file cannot be written, or its suffix is not that of a picture.
    """
    write_picture(out, draw_hits(_rows(results, settings)))


def write_hits_page(results: Sequence[Retrieved], settings: FeatureSettings, out: Path) -> None:
    """Write a page with a row for each of the first `ROWS` queries that can be read: the query, then its hits.

    Thumbnails are part of the page. Players play the files themselves, so they work where the files are.

    Args:
        results: the results of `retrieve`.
        settings: feature settings of the model, by which spectrograms are drawn.
        out: the file.

    Raises:
        MediaError: the file cannot be written.
    """
    rows = [
        [
            {
                "name": _printable(tile.path),
                "link": _link(tile, out),
                "picture": picture_uri(tile.picture),
                "tile": tile,
            }
            for tile in tiles
        ]
        for tiles in _rows(results, settings)
    ]
    text = make_environment().get_template("hits.html").render(rows=rows)
    with explain_write_errors(out, MediaError, RUN_AGAIN):
        write_text(out, text)


def draw_hits(rows: Sequence[Sequence[Tile]]) -> NDArray[np.uint8]:
    """Return rows of tiles as one picture (height, width, 3); the first tile of a row is the query."""
    columns = max((len(row) for row in rows), default=1)
    height = SIDE + 2 * LINE + GAP
    sheet = Image.new("RGB", (GAP + columns * (SIDE + GAP) + GAP, GAP + max(1, len(rows)) * height), "white")
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(size=LINE * 0.75)
    for i, row in enumerate(rows):
        for j, tile in enumerate(row):
            # A wider gap separates the query from its hits.
            left, top = GAP + j * (SIDE + GAP) + (GAP if j else 0), GAP + i * height
            sheet.paste(Image.fromarray(tile.picture), (left, top))
            draw.text((left, top + SIDE), _shorten(_printable(tile.path), font), "black", font)
            draw.text((left, top + SIDE + LINE), tile.caption, "#666", font)
    return np.asarray(sheet)


def _rows(results: Sequence[Retrieved], settings: FeatureSettings) -> list[list[Tile]]:
    """Return the tiles of queries: the query, then its hits."""
    return [
        [
            _make_tile(result.query, result.modality, result.at, "query", settings),
            *(_make_tile(hit.path, hit.modality, hit.at, f"{hit.score:.3f}", settings) for hit in result.hits),
        ]
        for result in itertools.islice((result for result in results if not result.error), ROWS)
        if result.modality
    ]


def _make_tile(path: Path, modality: Modality, at: float | None, title: str, settings: FeatureSettings) -> Tile:
    caption = title if at is None else f"{title}, {modality.word} at {at:g} s"
    return Tile(path, _thumbnail(path, modality, at, settings), caption, media_kind(path) != "picture", at or 0.0)


def _thumbnail(path: Path, modality: Modality, at: float | None, settings: FeatureSettings) -> NDArray[np.uint8]:
    """Return a thumbnail (SIDE, SIDE, 3); it is grey if the file has changed and cannot be read any more."""
    try:
        if modality is Modality.AUDIO:
            maps = to_audio(read_half_second(path, settings, at)[None], settings)
            spectrogram: NDArray[np.uint8] = draw_maps(maps, SIDE)[0]
            return spectrogram
        video = media_kind(path) == "video"
        picture = read_picture_at(path, settings, at or 0.0) if video else read_picture(path)
        return np.asarray(ImageOps.pad(Image.fromarray(picture), (SIDE, SIDE), color="white"))
    except MediaError:
        return np.full((SIDE, SIDE, 3), 200, np.uint8)


def _printable(path: Path) -> str:
    """Return a path as text that can be drawn and encoded, even if its name is not valid text."""
    return os.fsencode(path).decode("utf-8", "replace")


def _shorten(name: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont) -> str:
    """Return the end of a path that fits below a thumbnail."""
    shown = name
    while font.getlength(shown) > SIDE:
        name = name[1:]
        shown = f"\N{HORIZONTAL ELLIPSIS}{name}"
    return shown


def _link(tile: Tile, page: Path) -> str:
    """Return the address of a file, relative to the page; a player starts at the time of the tile."""
    relative = os.path.relpath(tile.path, page.parent)
    return quote(os.fsencode(relative)) + (f"#t={tile.at:g}" if tile.at else "")
