"""URMP and Sub-URMP, as their authors publish them.

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
    chunks,
    refuse_labels,
    skipped,
    too_short,
)
from cmcgan_core.errors import MediaError
from cmcgan_core.media.files import Strip, read_picture, read_sound, read_video

#: URMP's abbreviations, and Sub-URMP's folder names for them.
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

#: Sub-URMP's folders, and the split each is; the release calls its held-out part validation.
SPLITS = {"train": "train", "validation": "test", "test": "test"}

_CHUNK = re.compile(r"(?P<song>.+\d)_(?P<milliseconds>\d+)")
_PIECE = re.compile(r"\d+_(?P<tune>[^_]+)_(?P<parts>[a-z_]+)")


@dataclass(frozen=True)
class SubUrmp:
    """`img|chunk/{train,validation}/<instrument>/<instrument><SS>_<ms>.{jpg,wav}`; a song is a recording.

    The release steps by 100 ms; chunks whose distance from the song's first is no multiple of the hop are left out.
    """

    identity = "sub-urmp/1"

    def detects(self, root: Path) -> bool:
        """Whether there are folders of chunks and of pictures."""
        return (root / "chunk").is_dir() and (root / "img").is_dir()

    def recordings(self, root: Path, options: SourceOptions) -> tuple[list[Recording], list[Skipped]]:
        """The songs, and the files that have no partner or another kind of name."""
        refuse_labels(options, "Sub-URMP")
        songs: dict[str, Recording] = {}
        faults: list[Skipped] = []
        for folder, split in SPLITS.items():
            for instrument in _names(root / "chunk" / folder) | _names(root / "img" / folder):
                where = f"{folder}/{instrument}"
                for song, starts in sorted(_paired(root, where, faults).items()):
                    if song in songs:
                        faults.append(Skipped(f"chunk/{where}/{song}_*.wav", "is a song of another split or class too"))
                        continue
                    kept = [ms for ms in starts if _on_grid(ms - starts[0], options.hop)]
                    files = tuple(_partners(root, f"{where}/{song}_{ms}") for ms in kept)
                    songs[song] = Recording(
                        song, instrument, split=split, files=sum(files, ()), pairs=len(kept), extra={"where": where}
                    )
        return sorted(songs.values(), key=lambda song: song.id), sorted(faults)

    def read_pairs(self, recording: Recording, options: SourceOptions) -> Iterator[RawPair | Skipped]:
        """A pair for each wav and jpg; a damaged file costs its own pair only."""
        settings = options.settings
        for wav, jpg in zip(recording.files[::2], recording.files[1::2], strict=True):
            sound_file, picture_file = (
                f"{kind}/{recording.extra['where']}/{path.name}" for kind, path in (("chunk", wav), ("img", jpg))
            )
            try:
                sound = read_sound(wav, settings.sample_rate)
            except MediaError as error:
                yield skipped(sound_file, wav, error)
                continue
            try:
                picture = read_picture(jpg, settings.picture_size)
            except MediaError as error:
                yield skipped(picture_file, jpg, error)
                continue
            if len(sound) < settings.samples:
                yield too_short(sound_file, options)
                continue
            yield RawPair(_milliseconds(wav) / 1000, sound[: settings.samples], picture, sound_file, picture_file)


@dataclass(frozen=True)
class Urmp:
    """`NN_Tune_instr_instr.../` with `Vid_*.mp4` and an `AuSep_k_*.wav` for each player; a player is a recording.

    The players sit side by side in the video: player k is the k-th of n equal strips. Instruments are those of the
    folder's name (part 3 of piece 15 is misnamed in its files). The dataset re-uses takes in several pieces with one
    tune, so all pieces with one tune name are one group.
    """

    identity = "urmp/1"

    def detects(self, root: Path) -> bool:
        """Whether a piece's folder with a separate part is there."""
        return any(_PIECE.fullmatch(name) and any((root / name).glob("AuSep_1_*.wav")) for name in _names(root))

    def recordings(self, root: Path, options: SourceOptions) -> tuple[list[Recording], list[Skipped]]:
        """The players of all pieces, and the pieces and parts that miss something."""
        refuse_labels(options, "URMP")
        found: list[Recording] = []
        faults: list[Skipped] = []
        for name in sorted(_names(root)):
            piece = _PIECE.fullmatch(name)
            if not piece:
                continue
            parts = piece["parts"].split("_")
            video = next(iter(sorted((root / name).glob("Vid_*.mp4"))), None)
            unknown = [part for part in parts if part not in INSTRUMENTS]
            if video is None or unknown:
                faults.append(Skipped(name, f"{unknown[0]!r} is no instrument of URMP" if unknown else "has no video"))
                continue
            for number, part in enumerate(parts):
                sound = next(iter(sorted((root / name).glob(f"AuSep_{number + 1}_*.wav"))), None)
                if sound is None:
                    faults.append(Skipped(f"{name}/AuSep_{number + 1}_{part}_*.wav", "is not there"))
                    continue
                strip = {"strip": number, "strips": len(parts)}
                found.append(
                    Recording(
                        f"{name}-{number + 1}",
                        INSTRUMENTS[part],
                        group=piece["tune"],
                        files=(video, sound),
                        extra=strip,
                    )
                )
        return found, faults

    def read_pairs(self, recording: Recording, options: SourceOptions) -> Iterator[RawPair | Skipped]:
        """The chunks of a player's own sound, each with the player's strip of the frame at its start."""
        video, sound = recording.files
        sound_file, picture_file = (f"{path.parent.name}/{path.name}" for path in (sound, video))
        try:
            waveform = read_sound(sound, options.settings.sample_rate)
        except MediaError as error:
            yield skipped(sound_file, sound, error)
            return
        try:
            pictures = _players(video, options.hop, options.settings.picture_size, recording.extra["strips"])
        except MediaError as error:
            yield skipped(picture_file, video, error)
            return
        if len(waveform) < options.settings.samples:
            yield too_short(sound_file, options)
        for start, chunk in chunks(waveform, options):
            if start in pictures:
                picture = pictures[start][recording.extra["strip"]]
                yield RawPair(start, chunk, picture, sound_file, picture_file)


@lru_cache(maxsize=1)
def _players(video: Path, hop: float, size: int, strips: int) -> dict[float, list[NDArray[np.uint8]]]:
    """The strips at each time; kept for the other players of the piece, who are read next by the same process."""
    return dict(read_video(video, hop, size, tuple(Strip(number, strips) for number in range(strips))))


def _names(folder: Path) -> set[str]:
    """Folders in a folder; none where it is not there."""
    try:
        return {entry.name for entry in folder.iterdir() if entry.is_dir() and not entry.name.startswith(".")}
    except OSError:
        return set()


def _paired(root: Path, where: str, faults: list[Skipped]) -> dict[str, list[int]]:
    """Songs of one instrument folder, each with the starts, in ms, of the chunks that have both files."""
    sounds, pictures = _stems(root / "chunk" / where, ".wav"), _stems(root / "img" / where, ".jpg")
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


def _stems(folder: Path, suffix: str) -> set[str]:
    try:
        return {entry.stem for entry in folder.iterdir() if entry.suffix == suffix and not entry.name.startswith(".")}
    except OSError:
        return set()


def _partners(root: Path, stem: str) -> tuple[Path, Path]:
    return root / "chunk" / f"{stem}.wav", root / "img" / f"{stem}.jpg"


def _on_grid(milliseconds: int, hop: float) -> bool:
    return milliseconds % round(hop * 1000) == 0


def _milliseconds(path: Path) -> int:
    return int(path.stem.rpartition("_")[2])
