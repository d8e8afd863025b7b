"""Load a network that embeds sounds and pictures, and embed half seconds of sound, pictures and whole files.

Shapes: N items, L samples of half a second, S side of a picture, D values of an embedding.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cmcgan_core.checkpoint import Trained, load_checkpoint
from cmcgan_core.errors import CheckpointError, MediaError
from cmcgan_core.features.settings import FeatureSettings
from cmcgan_core.inference.chunks import HalfSecond, read_half_seconds
from cmcgan_core.inference.translate import pictures_to_input, waveforms_to_input
from cmcgan_core.media.files import SILENT_DBFS, loudness, read_picture, require_media
from cmcgan_core.modality import Modality
from cmcgan_core.nn.capabilities import Embedder, embeds_both
from cmcgan_core.run_folder import BOX, find_checkpoint, newest_runs
from cmcgan_core.utils.batches import in_batches

#: The retrieval model that ships with cmcgan.
SHIPPED = BOX / "retrieval.safetensors"
#: Half seconds and pictures that are embedded at once.
BATCH = 64

#: Embeddings (D,) of the items of a batch, by their position in the batch.
_ByPlace: TypeAlias = dict[int, NDArray[np.float32]]


class Embeddings(NamedTuple):
    """The embeddings of N half seconds of a sound, of N pictures of a video, or of one picture."""

    starts: NDArray[np.float32]  #: (N,), seconds; NaN for a picture file
    vectors: NDArray[np.float32]  #: (N, D), of length 1


def load_embedder(checkpoint: Path | None, device: torch.device) -> Trained:
    """Load a network that embeds both modalities.

    Args:
        checkpoint: a run folder or its name in `runs/`, a checkpoint file, or "box". None is the retrieval model that
            ships with cmcgan. If there is none, it is the newest run in `runs/` that embeds both modalities, else the
            box.
        device: where to put the network.

    Raises:
        CheckpointError: the checkpoint does not exist, cannot be read, or does not embed both modalities.
    """
    if checkpoint is not None or SHIPPED.is_file():
        trained = load_checkpoint(find_checkpoint(checkpoint or SHIPPED), device)
        require_embedder(trained)
        return trained
    for run in newest_runs():
        trained = load_checkpoint(run, device)
        if embeds_both(trained.network):
            return trained
    return load_embedder(BOX, device)


def require_embedder(trained: Trained) -> Embedder:
    """Return the network of a checkpoint as one that embeds both modalities.

    Raises:
        CheckpointError: it embeds one modality or none.
    """
    network = trained.network
    if isinstance(network, Embedder) and embeds_both(network):
        return network
    embedded = [f"{modality.word}s" for modality in network.embeds] if isinstance(network, Embedder) else ["nothing"]
    raise CheckpointError(
        f"{trained.path} holds a {trained.about.config.method}, which embeds {' and '.join(embedded)}, but not both "
        "sounds and pictures; train a network that does with: cmcgan train DATA --preset cm-gans-small"
    )


def embed_sounds(trained: Trained, waveforms: NDArray[np.float32]) -> NDArray[np.float32]:
    """Embed half seconds (N, L) as vectors (N, D), see `normalise`."""
    return _embed(trained, Modality.AUDIO, waveforms_to_input(trained, torch.from_numpy(waveforms)))


def embed_pictures(trained: Trained, pictures: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Embed pictures (N, S, S, 3) as vectors (N, D), see `normalise`."""
    return _embed(trained, Modality.VISUAL, pictures_to_input(trained, pictures))


def _embed(trained: Trained, modality: Modality, maps: Tensor) -> NDArray[np.float32]:
    with torch.inference_mode():
        return normalise(require_embedder(trained).embed(modality, maps).float().cpu().numpy())


def normalise(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Scale vectors (N, D) to length 1. A vector of zeros, or with a value that is not finite, becomes zeros."""
    with np.errstate(over="ignore", invalid="ignore"):
        lengths = np.linalg.norm(vectors.astype(np.float64), axis=1, keepdims=True)
    usable = np.isfinite(lengths) & (lengths > 0)
    unit: NDArray[np.float32] = np.where(usable, vectors / np.where(usable, lengths, 1), 0).astype(np.float32)
    return unit


def embed_file(trained: Trained, path: Path) -> dict[Modality, Embeddings]:
    """Embed one file, see `embed_files`.

    Raises:
        MediaError: the file cannot be read.
    """
    ((_, found),) = embed_files(trained, [path])
    if isinstance(found, MediaError):
        raise found
    return found


def embed_files(
    trained: Trained, paths: Iterable[Path]
) -> Iterator[tuple[Path, dict[Modality, Embeddings] | MediaError]]:
    """Embed files in their order, in memory that does not grow with their lengths, apart from the embeddings.

    A sound is embedded by all its half seconds, without those that are silent. A video is embedded by the half seconds
    of its sound and by the pictures at their starts. Embeddings that `normalise` turns into zeros are left out, because
    they are similar to nothing. Half seconds of several files pass through the network together.

    Yields:
        The file, and its embeddings by modality, or the error that explains why it cannot be read.
    """
    settings = trained.about.settings
    found: dict[Modality, list[tuple[float, NDArray[np.float32]]]] = {}
    for batch in in_batches(_read_all(paths, settings), BATCH):
        sounds, pictures = _embed_batch(trained, batch)
        for place, piece in enumerate(batch):
            if piece.half_second is None:
                yield piece.path, piece.error or {modality: _join(parts) for modality, parts in found.items()}
                found = {}
            for modality, vectors in ((Modality.AUDIO, sounds), (Modality.VISUAL, pictures)):
                if piece.half_second is not None and place in vectors:
                    found.setdefault(modality, []).append((piece.half_second.start, vectors[place]))


class _Piece(NamedTuple):
    """A half second of a file, or its end."""

    path: Path
    half_second: HalfSecond | None = None  #: None at the end of the file
    error: MediaError | None = None  #: at the end: why the rest of the file cannot be read


def _read_all(paths: Iterable[Path], settings: FeatureSettings) -> Iterator[_Piece]:
    """Yield the half seconds of files, each file followed by its end."""
    for path in paths:
        error = None
        try:
            for half_second in _read(path, settings):
                yield _Piece(path, half_second)
        except MediaError as fault:
            error = fault
        yield _Piece(path, error=error)


def _read(path: Path, settings: FeatureSettings) -> Iterator[HalfSecond]:
    """Yield the half seconds of a sound or a video, or the one picture of a picture file.

    Raises:
        MediaError: the file is not a media file, or cannot be read.
    """
    if require_media(path) == "picture":
        yield HalfSecond(math.nan, None, read_picture(path, settings.picture_size))
    else:
        yield from read_half_seconds(path, settings, settings.seconds)


def _embed_batch(trained: Trained, batch: Sequence[_Piece]) -> tuple[_ByPlace, _ByPlace]:
    """Return the embeddings of the sounds that are not silent, and those of the pictures."""
    sounds, pictures = {}, {}
    for place, piece in enumerate(batch):
        sound, picture = piece.half_second[1:] if piece.half_second else (None, None)
        if sound is not None and loudness(sound) >= SILENT_DBFS:
            sounds[place] = sound
        if picture is not None:
            pictures[place] = picture
    return _by_place(trained, sounds, embed_sounds), _by_place(trained, pictures, embed_pictures)


def _by_place(
    trained: Trained,
    items: Mapping[int, NDArray[Any]],
    embed: Callable[[Trained, NDArray[Any]], NDArray[np.float32]],
) -> _ByPlace:
    """Embed items; leave out embeddings of zeros."""
    vectors = embed(trained, np.stack(list(items.values()))) if items else ()
    return {place: vector for place, vector in zip(items, vectors, strict=True) if vector.any()}


def _join(parts: Sequence[tuple[float, NDArray[np.float32]]]) -> Embeddings:
    return Embeddings(np.array([start for start, _ in parts], np.float32), np.stack([vector for _, vector in parts]))
