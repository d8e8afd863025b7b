"""Parts: files with the pairs of one recording each, which an interrupted `prepare` reuses when it resumes."""

import json
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from hashlib import blake2b
from pathlib import Path
from typing import Any, NamedTuple
from zipfile import BadZipFile, ZipFile

import numpy as np
from numpy.typing import NDArray

from cmcgan_core.data.prepare.recording import FeaturePair, RawPair, Recording, Skipped, Source, SourceOptions
from cmcgan_core.errors import DataError, MediaError
from cmcgan_core.features.settings import FeatureSettings
from cmcgan_core.media.files import loudness
from cmcgan_core.utils.batches import in_batches
from cmcgan_core.utils.files import RUN_AGAIN, atomic_write, explain_write_errors

#: The number of pairs that are analysed together: large enough to be fast, small enough for the processor's cache.
BATCH = 32


@dataclass
class PartLog:
    """The content of a part except its arrays.

    Attributes:
        rows: the start, sound file, picture file and checksum of each pair.
        skipped: the files that gave no pairs.
        silent: the number of chunks left out because they are silent.
    """

    rows: list[tuple[float, str, str, str]] = field(default_factory=list)
    skipped: list[Skipped] = field(default_factory=list)
    silent: int = 0

    def to_dict(self) -> dict[str, Any]:
        """Return the fields by name, for JSON."""
        return {"rows": self.rows, "skipped": self.skipped, "silent": self.silent}


class PartBatch(NamedTuple):
    """Consecutive pairs of a part."""

    pictures: NDArray[Any]  #: uint8 (B, S, S, 3)
    spectrograms: NDArray[Any]  #: float16 (B, M, T), in the representation's unit, mostly decibels


def part_name(source: Source, recording: Recording, options: SourceOptions, silence: float | None) -> str:
    """Return the name of a recording's part: a hash of everything that determines its content.

    Feature settings are hashed by name, and only if they differ from their defaults. Therefore moving code or adding a
    setting with a default does not change the identity of a dataset. `Source.identity` represents the code of the
    source.
    """
    defaults = FeatureSettings()
    features = {name: value for name, value in asdict(options.settings).items() if value != getattr(defaults, name)}
    inputs = {
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
    return blake2b(json.dumps(inputs, sort_keys=True).encode(), digest_size=16).hexdigest() + ".zip"


def write_parts(
    source: Source, jobs: Sequence[tuple[Recording, Path]], options: SourceOptions, silence: float | None
) -> int:
    """Write the parts of some recordings, each atomically, and return the number of pairs.

    Args:
        source: the source of the recordings.
        jobs: the recordings and the paths of their parts.
        options: how the source is read.
        silence: chunks below this level, in dBFS, are left out; None keeps all.

    Raises:
        DataError: a part cannot be written.
    """
    count = 0
    for recording, path in jobs:
        log = PartLog()
        with (
            explain_write_errors(path.parent.parent, DataError, RUN_AGAIN),
            atomic_write(path) as temporary,
            ZipFile(temporary, "w") as archive,
        ):
            audible = _read_audible(source, recording, options, silence, log)
            for number, pairs in enumerate(in_batches(audible, BATCH)):
                batch = _extract_features(pairs, options.settings, log)
                _store_array(archive, f"{number:06d}.pictures.npy", batch.pictures)
                _store_array(archive, f"{number:06d}.spectrograms.npy", batch.spectrograms)
            archive.writestr("log.json", json.dumps(log.to_dict()))
        count += len(log.rows)
    return count


def read_part_log(path: Path) -> PartLog:
    """Read the log of a part.

    Raises:
        DataError: the part is damaged.
    """
    with _open_part(path) as archive:
        log = json.loads(archive.read("log.json"))
        skipped = [Skipped(*entry) for entry in log["skipped"]]
        return PartLog([tuple(row) for row in log["rows"]], skipped, log["silent"])


def read_part(path: Path) -> Iterator[PartBatch]:
    """Yield the pairs of a part in order, a batch at a time.

    Raises:
        DataError: the part is damaged.
    """
    with _open_part(path) as archive:
        for name in sorted(archive.namelist()):
            if name.endswith(".pictures.npy"):
                spectrograms = name.replace("pictures", "spectrograms")
                yield PartBatch(_load_array(archive, name), _load_array(archive, spectrograms))


def checksum(picture: NDArray[np.uint8], spectrogram: NDArray[np.float16]) -> str:
    """Return 16 hexadecimal digits of BLAKE2b over the bytes of a pair: its spectrogram, then its picture."""
    return blake2b(spectrogram.tobytes() + picture.tobytes(), digest_size=8).hexdigest()


def _read_audible(
    source: Source, recording: Recording, options: SourceOptions, silence: float | None, log: PartLog
) -> Iterator[RawPair | FeaturePair]:
    """Yield the pairs that are not silent; count the silent ones, and list what is skipped, in the log.

    Pairs whose features were extracted before are not examined again.
    """
    try:
        for pair in source.read_pairs(recording, options):
            if isinstance(pair, Skipped):
                log.skipped.append(pair)
            elif isinstance(pair, FeaturePair):
                yield pair
            elif not np.isfinite(pair.sound).all():
                log.skipped.append(Skipped(pair.sound_file, f"has values that are not numbers at {pair.start:g} s"))
            elif silence is not None and loudness(pair.sound) < silence:
                log.silent += 1
            else:
                yield pair
    except MediaError as error:
        log.skipped.append(Skipped(recording.id, str(error)))


def _extract_features(pairs: Sequence[RawPair | FeaturePair], settings: FeatureSettings, log: PartLog) -> PartBatch:
    """Return the pictures and the spectrograms of some pairs of one kind, and add the pairs to the log."""
    raw = [pair for pair in pairs if isinstance(pair, RawPair)]
    spectrograms = (
        _analyse(raw, settings) if raw else np.stack([p.spectrogram for p in pairs if isinstance(p, FeaturePair)])
    )
    pictures = np.stack([pair.picture for pair in pairs])
    for pair, picture, spectrogram in zip(pairs, pictures, spectrograms, strict=True):
        log.rows.append((pair.start, pair.sound_file, pair.picture_file, checksum(picture, spectrogram)))
    return PartBatch(pictures, spectrograms)


def _analyse(pairs: list[RawPair], settings: FeatureSettings) -> NDArray[np.float16]:
    """Return the spectrograms (B, M, T) of some pairs."""
    # Imported here, so that only the processes that compute import torch.
    import torch

    from cmcgan_core.features.representations import analyse

    sounds = torch.from_numpy(np.stack([pair.sound for pair in pairs]))
    spectrograms: NDArray[np.float16] = analyse(sounds, settings).to(torch.float16).numpy()
    return spectrograms


def _store_array(archive: ZipFile, name: str, array: NDArray[Any]) -> None:
    with archive.open(name, "w") as entry:
        np.save(entry, array)


def _load_array(archive: ZipFile, name: str) -> NDArray[Any]:
    with archive.open(name) as entry:
        array: NDArray[Any] = np.load(entry)
    return array


@contextmanager
def _open_part(path: Path) -> Iterator[ZipFile]:
    """Open the archive of a part; raise a `DataError` if it is damaged."""
    try:
        with ZipFile(path) as archive:
            yield archive
    except (BadZipFile, EOFError, KeyError, OSError, TypeError, ValueError, zlib.error) as error:
        raise DataError(f"{path} is damaged ({error}); delete it, then run the same command again") from error


def _size_and_time(path: Path) -> tuple[int, int]:
    """Return the size in bytes and the time of the last change in ns; -1 and -1 if the file cannot be read."""
    try:
        status = path.stat()
    except OSError:
        return -1, -1
    return status.st_size, status.st_mtime_ns
