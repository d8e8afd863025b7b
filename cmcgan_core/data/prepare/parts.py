"""Parts: the pairs of one recording in one file, so that an interrupted `prepare` need not read the recording again."""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from hashlib import blake2b
from pathlib import Path
from typing import Any, NamedTuple
from zipfile import BadZipFile, ZipFile

import numpy as np
import torch
from numpy.typing import NDArray

from cmcgan_core.data.prepare.recording import RawPair, Recording, Skipped, Source, SourceOptions
from cmcgan_core.errors import DataError, MediaError
from cmcgan_core.features.representations import analyse
from cmcgan_core.features.settings import FeatureSettings
from cmcgan_core.media.files import loudness
from cmcgan_core.utils.batches import in_batches
from cmcgan_core.utils.files import atomic_write, explain_write_errors

#: Pairs analysed at once: enough to be quick, little enough to stay in the processor's cache.
BATCH = 32
#: What to do after a dataset could not be written.
NEXT_STEP = "run the same command again"


@dataclass
class Log:
    """What a part tells besides its arrays.

    Attributes:
        rows: start, sound file, picture file and checksum of each pair.
        skipped: files that gave no pairs.
        silent: chunks left out as silent.
    """

    rows: list[tuple[float, str, str, str]] = field(default_factory=list)
    skipped: list[Skipped] = field(default_factory=list)
    silent: int = 0


class PartBatch(NamedTuple):
    """Some pairs of a part, in order."""

    pictures: NDArray[Any]  #: uint8 (B, S, S, 3)
    spectrograms: NDArray[Any]  #: float16 (B, M, T), decibels


def part_name(source: Source, recording: Recording, options: SourceOptions, silence: float | None) -> str:
    """The name of a recording's part: a hash of everything that decides its content.

    Feature settings count by name, and only where they differ from their default. So neither a move of the code nor a
    new setting with a default changes the identity of a dataset. `Source.identity` stands for the code of the source.
    """
    defaults = FeatureSettings()
    features = {name: value for name, value in asdict(options.settings).items() if value != getattr(defaults, name)}
    decisive = {
        "source": source.identity,
        "id": recording.id,
        "label": recording.label,
        "player": recording.player,
        "extra": recording.extra,
        "pairs": recording.pairs,
        "files": [(path.name, *_size_and_time(path)) for path in recording.files],
        "features": features,
        "hop": options.hop,
        "seed": options.seed,
        "silence": silence,
    }
    return blake2b(json.dumps(decisive, sort_keys=True).encode(), digest_size=16).hexdigest() + ".zip"


def write_parts(
    source: Source, jobs: Sequence[tuple[Recording, Path]], options: SourceOptions, silence: float | None
) -> int:
    """Make the parts of some recordings, each whole or not at all; returns the number of pairs.

    Raises:
        DataError: a part cannot be written.
    """
    pairs = 0
    for recording, path in jobs:
        log = Log()
        with (
            explain_write_errors(path.parent.parent, DataError, NEXT_STEP),
            atomic_write(path) as temporary,
            ZipFile(temporary, "w") as archive,
        ):
            for number, batch in enumerate(in_batches(_audible(source, recording, options, silence, log), BATCH)):
                made = _made(batch, options.settings, log)
                _store(archive, f"{number:06d}.pictures.npy", made.pictures)
                _store(archive, f"{number:06d}.spectrograms.npy", made.spectrograms)
            archive.writestr("log.json", json.dumps(vars(log)))
        pairs += len(log.rows)
    return pairs


def read_log(path: Path) -> Log:
    """What a part tells besides its arrays."""
    with _reading(path) as archive:
        log = json.loads(archive.read("log.json"))
    return Log([tuple(row) for row in log["rows"]], [Skipped(*entry) for entry in log["skipped"]], log["silent"])


def read_part(path: Path) -> Iterator[PartBatch]:
    """The arrays of a part, some pairs at a time."""
    with _reading(path) as archive:
        for name in sorted(archive.namelist()):
            if name.endswith(".pictures.npy"):
                spectrograms = name.replace("pictures", "spectrograms")
                yield PartBatch(_load(archive, name), _load(archive, spectrograms))


def checksum(picture: NDArray[np.uint8], spectrograms: NDArray[np.float16]) -> str:
    """16 hexadecimal digits of BLAKE2b over the bytes of a pair: its spectrograms, then its picture."""
    return blake2b(spectrograms.tobytes() + picture.tobytes(), digest_size=8).hexdigest()


def _audible(
    source: Source, recording: Recording, options: SourceOptions, silence: float | None, log: Log
) -> Iterator[RawPair]:
    """The pairs that are kept; the others go into the log."""
    try:
        for pair in source.read_pairs(recording, options):
            if isinstance(pair, Skipped):
                log.skipped.append(pair)
            elif silence is not None and loudness(pair.sound) < silence:
                log.silent += 1
            else:
                yield pair
    except MediaError as error:
        log.skipped.append(Skipped(recording.id, str(error)))


def _made(batch: list[RawPair], settings: FeatureSettings, log: Log) -> PartBatch:
    sounds = torch.from_numpy(np.stack([pair.sound for pair in batch]))
    spectrograms = analyse(sounds, settings).to(torch.float16).numpy()
    pictures = np.stack([pair.picture for pair in batch])
    sums = [checksum(picture, spectrogram) for picture, spectrogram in zip(pictures, spectrograms, strict=True)]
    log.rows += [(p.start, p.sound_file, p.picture_file, s) for p, s in zip(batch, sums, strict=True)]
    return PartBatch(pictures, spectrograms)


def _store(archive: ZipFile, name: str, array: NDArray[Any]) -> None:
    with archive.open(name, "w") as entry:
        np.save(entry, array)


def _load(archive: ZipFile, name: str) -> NDArray[Any]:
    with archive.open(name) as entry:
        array: NDArray[Any] = np.load(entry)
    return array


@contextmanager
def _reading(path: Path) -> Iterator[ZipFile]:
    try:
        with ZipFile(path) as archive:
            yield archive
    except (BadZipFile, KeyError, OSError) as error:
        raise DataError(f"{path} is damaged ({error}); delete it, then run the same command again") from error


def _size_and_time(path: Path) -> tuple[int, int]:
    try:
        status = path.stat()
    except OSError:
        return -1, -1
    return status.st_size, status.st_mtime_ns
