"""Queries: the sound or the picture that a search begins with."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cmcgan_core.checkpoint import Trained
from cmcgan_core.errors import MediaError
from cmcgan_core.features.settings import FeatureSettings
from cmcgan_core.inference.chunks import read_picture_at
from cmcgan_core.inference.retrieve.embedding import embed_file, embed_pictures, embed_sounds, normalise
from cmcgan_core.inference.retrieve.gallery import hash_file
from cmcgan_core.inference.target import Target
from cmcgan_core.inference.translate import read_half_second
from cmcgan_core.inference.windows import open_windows
from cmcgan_core.media.files import SILENT_DBFS, loudness, read_picture, require_media, track_kinds
from cmcgan_core.modality import Modality


@dataclass(frozen=True)
class Query:
    """A sound or a picture, embedded.

    Attributes:
        path: the file.
        modality: what is used of it.
        at: start of the half second of a sound, or time of the picture of a video, in seconds. None for a picture file,
            and for a video of which all pictures are used.
        target: what it looks for.
        content: see `gallery.hash_file`.
        vector: the embedding (D,), of length 1.
    """

    path: Path
    modality: Modality
    at: float | None
    target: Target
    content: bytes
    vector: NDArray[np.float32]


def read_query(trained: Trained, path: Path, target: Target | None, at: float | None) -> Query:
    """Read and embed a query.

    A sound is represented by one half second. A video is represented by its sound, like a sound file. Exceptions: if it
    has no sound, if its sound is silent, or if only sounds are searched, it is represented by its pictures: the mean of
    their embeddings, or the one at `at`.

    Args:
        trained: a network that embeds both modalities.
        path: a sound, a picture or a video.
        target: what to look for; None is the modality that the query is not represented by.
        at: start of the half second of a sound, or time of the picture of a video, in seconds. None is the loudest half
            second of a sound, and all pictures of a video. A picture file ignores it.

    Raises:
        MediaError: the file is not a media file, cannot be read, ends before `at`, or has nothing to compare, because
            it is silent or its embedding is zero.
    """
    kind = require_media(path)
    content = hash_file(path)
    if kind == "picture":
        settings = trained.about.settings
        modality, at, vector = Modality.VISUAL, None, _embed_picture(trained, read_picture(path, settings.picture_size))
    elif kind == "sound":
        modality, (at, vector) = Modality.AUDIO, _embed_sound(trained, path, at)
    else:
        modality, at, vector = _embed_video(trained, path, target, at)
    if not vector.any():
        raise MediaError(f"{path}: its embedding is zero or not finite, so nothing can be compared with it")
    return Query(path, modality, at, target or Target(modality.other), content, vector)


def _embed_video(
    trained: Trained, path: Path, target: Target | None, at: float | None
) -> tuple[Modality, float | None, NDArray[np.float32]]:
    """Return the modality that represents a video, the time that is used, and the embedding (D,)."""
    tracks = track_kinds(path)
    settings = trained.about.settings
    if "picture" not in tracks:
        return Modality.AUDIO, *_embed_sound(trained, path, at)
    if target is not Target.AUDIO and "sound" in tracks:
        start, waveform = _read_half_second(path, settings, at)
        if loudness(waveform) >= SILENT_DBFS:
            return Modality.AUDIO, start, embed_sounds(trained, waveform[None])[0]
    if at is not None:
        return Modality.VISUAL, at, _embed_picture(trained, read_picture_at(path, settings, at, settings.picture_size))
    embeddings = embed_file(trained, path).get(Modality.VISUAL)
    mean = np.zeros(1, np.float32) if embeddings is None else embeddings.vectors.mean(axis=0)
    return Modality.VISUAL, None, normalise(mean[None])[0]


def _embed_picture(trained: Trained, picture: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return the embedding (D,) of a picture (S, S, 3)."""
    vector: NDArray[np.float32] = embed_pictures(trained, picture[None])[0]
    return vector


def _embed_sound(trained: Trained, path: Path, at: float | None) -> tuple[float, NDArray[np.float32]]:
    """Return the start and the embedding (D,) of the half second of a sound that is used.

    Raises:
        MediaError: it is silent.
    """
    start, waveform = _read_half_second(path, trained.about.settings, at)
    if loudness(waveform) < SILENT_DBFS:
        where = "" if at is None else f" at {at:g} s"
        raise MediaError(f"{path}: is silent{where}, so nothing can be compared with it")
    return start, embed_sounds(trained, waveform[None])[0]


def _read_half_second(path: Path, settings: FeatureSettings, at: float | None) -> tuple[float, NDArray[np.float32]]:
    """Return the start and the waveform (L,) of the half second at a time, or of the loudest one.

    Raises:
        MediaError: the file cannot be read, or has no sound at that time.
    """
    if at is None:
        start, waveform = open_windows(path, settings).find_loudest()
        return round(start, 3), waveform
    return at, read_half_second(path, settings, at).numpy()
