"""The layouts of URMP and Sub-URMP, as their authors publish them.

Sources: Li, Liu, Dinesh, Duan, Sharma, "Creating a multitrack classical music performance dataset" (IEEE TMM 2019);
Chen, Srivastava, Duan, Xu, "Deep cross-modal audio-visual generation" (ACM MM 2017), which cut Sub-URMP from it.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cmcgan_core.data.prepare.recording import (
    RawPair,
    Recording,
    Skipped,
    SourceOptions,
    cut_chunks,
    refuse_labels,
    skip_too_short,
    skip_unreadable,
)
from cmcgan_core.errors import MediaError
from cmcgan_core.media.files import Strip, read_picture, read_sound, read_video
from cmcgan_core.utils.files import is_folder
from cmcgan_core.utils.names import is_ignored

#: The class of each of URMP's abbreviations. The classes are named like Sub-URMP's folders.
INSTRUMENTS = {
    "vn": "violin",
    "va": "viola",
    "vc": "cello",
    "db": "double_bass",
    "fl": "flute",
    "ob": "oboe",
    "cl": "clarinet",
    "bn": "bassoon",
    "sax": "sax",
    "tpt": "trumpet",
    "hn": "horn",
    "tbn": "trombone",
    "tba": "tuba",
}

#: The split of each folder of Sub-URMP. The release calls its test split "validation".
FOLDER_SPLITS = {"train": "train", "validation": "test", "test": "test"}

_CHUNK = re.compile(r"(?P<song>.+\d)_(?P<milliseconds>\d+)")
_PIECE = re.compile(r"\d+_(?P<tune>[^_]+)_(?P<parts>[a-z_]+)")


@dataclass(frozen=True)
class SubUrmp:
    """Sub-URMP: `img|chunk/{train,validation}/<instrument>/<instrument><SS>_<ms>.{jpg,wav}`.

    Each song is a recording. The release has a chunk every 100 ms. A chunk is left out if its distance from the first
    chunk of its song is not a multiple of the hop.
    """

    identity = "sub-urmp/1"

    def detects(self, root: Path) -> bool:
        """Return whether there are folders of chunks and of pictures."""
        return (root / "chunk").is_dir() and (root / "img").is_dir()

    def recordings(self, root: Path, options: SourceOptions) -> tuple[list[Recording], list[Skipped]]:
        """Return the songs, and the files that have no partner or an unexpected name."""
        refuse_labels(options, "Sub-URMP")
        songs: dict[str, Recording] = {}
        faults: list[Skipped] = []
        for folder, split in FOLDER_SPLITS.items():
            for instrument in _list_folders(root / "chunk" / folder) | _list_folders(root / "img" / folder):
                where = f"{folder}/{instrument}"
                for song, starts in sorted(_find_songs(root, where, faults).items()):
                    if song in songs:
                        faults.append(
                            Skipped(f"chunk/{where}/{song}_*.wav", "is also a song of another split or class")
                        )
                        continue
                    kept = [ms for ms in starts if _is_on_grid(ms - starts[0], options.hop)]
                    files = tuple(_chunk_files(root, f"{where}/{song}_{ms}") for ms in kept)
                    songs[song] = Recording(
                        song, instrument, split=split, files=sum(files, ()), pairs=len(kept), extra={"where": where}
                    )
        return sorted(songs.values(), key=lambda song: song.id), sorted(faults)

    def read_pairs(self, recording: Recording, options: SourceOptions) -> Iterator[RawPair | Skipped]:
        """Yield a pair for each WAV file and its JPEG file. A damaged file loses only its own pair."""
        settings = options.settings
        for wav, jpg in zip(recording.files[::2], recording.files[1::2], strict=True):
            sound_file, picture_file = (
                f"{kind}/{recording.extra['where']}/{path.name}" for kind, path in (("chunk", wav), ("img", jpg))
            )
            try:
                sound = read_sound(wav, settings.sample_rate)
            except MediaError as error:
                yield skip_unreadable(sound_file, wav, error)
                continue
            try:
                picture = read_picture(jpg, settings.picture_size)
            except MediaError as error:
                yield skip_unreadable(picture_file, jpg, error)
                continue
            if len(sound) < settings.samples:
                yield skip_too_short(sound_file, options)
                continue
            yield RawPair(_parse_milliseconds(wav) / 1000, sound[: settings.samples], picture, sound_file, picture_file)


@dataclass(frozen=True)
class Urmp:
    """URMP: `NN_Tune_instr_instr.../` with `Vid_*.mp4`, and an `AuSep_k_*.wav` for each player.

    Each player of a piece is a recording. The players sit side by side in the video: player k is the k-th of n equal
    strips. The instruments are read from the folder's name, because the files of part 3 of piece 15 have a wrong name.
    The dataset re-uses takes in several pieces with the same tune, so all pieces with the same tune name are one group.
    """

    identity = "urmp/2"

    def detects(self, root: Path) -> bool:
        """Return whether there is a folder of a piece with a sound file for its first player."""
        return any(_PIECE.fullmatch(name) and any((root / name).glob("AuSep_1_*.wav")) for name in _list_folders(root))

    def recordings(self, root: Path, options: SourceOptions) -> tuple[list[Recording], list[Skipped]]:
        """Return the players of all pieces, and the pieces and parts with missing files."""
        refuse_labels(options, "URMP")
        recordings: list[Recording] = []
        faults: list[Skipped] = []
        for name in sorted(_list_folders(root)):
            piece = _PIECE.fullmatch(name)
            if not piece:
                continue
            parts = piece["parts"].split("_")
            video = next(iter(sorted((root / name).glob("Vid_*.mp4"))), None)
            unknown = [part for part in parts if part not in INSTRUMENTS]
            if video is None or unknown:
                reason = f"{unknown[0]!r} is not an instrument of URMP" if unknown else "has no video"
                faults.append(Skipped(name, reason))
                continue
            for number, part in enumerate(parts):
                sound = next(iter(sorted((root / name).glob(f"AuSep_{number + 1}_*.wav"))), None)
                if sound is None:
                    faults.append(Skipped(f"{name}/AuSep_{number + 1}_{part}_*.wav", "is missing"))
                    continue
                recordings.append(
                    Recording(
                        f"{name}-{number + 1}",
                        INSTRUMENTS[part],
                        group=piece["tune"],
                        files=(video, sound),
                        extra={"strip": number, "strips": len(parts)},
                    )
                )
        return recordings, faults

    def read_pairs(self, recording: Recording, options: SourceOptions) -> Iterator[RawPair | Skipped]:
        """Yield the chunks of the player's sound, each with the player's strip of the frame at its start."""
        video, sound = recording.files
        sound_file, picture_file = (f"{path.parent.name}/{path.name}" for path in (sound, video))
        try:
            waveform = read_sound(sound, options.settings.sample_rate)
        except MediaError as error:
            yield skip_unreadable(sound_file, sound, error)
            return
        try:
            pictures = _read_player_pictures(
                video, options.hop, options.settings.picture_size, recording.extra["strips"]
            )
        except MediaError as error:
            yield skip_unreadable(picture_file, video, error)
            return
        if len(waveform) < options.settings.samples:
            yield skip_too_short(sound_file, options)
        for start, chunk in cut_chunks(waveform, options):
            if start in pictures:
                picture = pictures[start][recording.extra["strip"]]
                yield RawPair(start, chunk, picture, sound_file, picture_file)


@lru_cache(maxsize=1)
def _read_player_pictures(video: Path, hop: float, size: int, strips: int) -> dict[float, list[NDArray[np.uint8]]]:
    """Return the strips of all players at each start of a chunk.

    The last result is cached, because the same process reads the other players of the piece next.
    """
    return dict(read_video(video, hop, size, tuple(Strip(number, strips) for number in range(strips))))


def _list_folders(folder: Path) -> set[str]:
    """Return the names of the folders in a folder; nothing if the folder cannot be read."""
    try:
        return {entry.name for entry in folder.iterdir() if is_folder(entry) and not is_ignored([entry.name])}
    except OSError:
        return set()


def _find_songs(root: Path, where: str, faults: list[Skipped]) -> dict[str, list[int]]:
    """Return the songs of one instrument folder, each with the starts (ms) of the chunks that have both files.

    Args:
        root: the folder of the source.
        where: `<split folder>/<instrument>`.
        faults: the files without a partner or with an unexpected name are appended to it.
    """
    sounds, pictures = _list_stems(root / "chunk" / where, ".wav"), _list_stems(root / "img" / where, ".jpg")
    faults += [
        Skipped(f"chunk/{where}/{stem}.wav", f"has no picture img/{where}/{stem}.jpg") for stem in sounds - pictures
    ]
    faults += [
        Skipped(f"img/{where}/{stem}.jpg", f"has no sound chunk/{where}/{stem}.wav") for stem in pictures - sounds
    ]
    songs: dict[str, list[int]] = {}
    for stem in sounds & pictures:
        if chunk := _CHUNK.fullmatch(stem):
            songs.setdefault(chunk["song"], []).append(int(chunk["milliseconds"]))
        else:
            faults.append(Skipped(f"chunk/{where}/{stem}.wav", "is not named <instrument><song>_<milliseconds>"))
    return {song: sorted(starts) for song, starts in songs.items()}


def _list_stems(folder: Path, suffix: str) -> set[str]:
    """Return the names, without the suffix, of the files with a suffix; nothing if the folder cannot be read."""
    try:
        return {entry.stem for entry in folder.iterdir() if entry.suffix == suffix and not is_ignored([entry.name])}
    except OSError:
        return set()


def _chunk_files(root: Path, stem: str) -> tuple[Path, Path]:
    """Return the sound file and the picture file of a chunk, `<split folder>/<instrument>/<song>_<ms>`."""
    return root / "chunk" / f"{stem}.wav", root / "img" / f"{stem}.jpg"


def _is_on_grid(milliseconds: int, hop: float) -> bool:
    """Return whether a distance is a multiple of the hop (in seconds)."""
    return milliseconds % round(hop * 1000) == 0


def _parse_milliseconds(path: Path) -> int:
    """Return the start of a chunk in ms, from the name of its file."""
    return int(path.stem.rpartition("_")[2])
