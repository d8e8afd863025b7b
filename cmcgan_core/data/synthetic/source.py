"""The recordings of the demonstration set: their pieces, players, rooms and splits."""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from math import ceil
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from cmcgan_core.data.prepare.sources import RawPair, Recording, Skipped, SourceOptions
from cmcgan_core.data.synthetic import soundfont
from cmcgan_core.data.synthetic.picture import BOOTH, MOVING, STEADY, Scene
from cmcgan_core.data.synthetic.score import REGISTERS, Note, compose
from cmcgan_core.data.synthetic.seeds import make_rng
from cmcgan_core.data.synthetic.sound import (
    ANY_MICROPHONE,
    ONE_MICROPHONE,
    record,
    render,
    sample_acoustics,
    sample_voice,
)
from cmcgan_core.errors import ConfigError

#: The classes in alphabetical order: the instruments of URMP and Sub-URMP.
DEMO_CLASSES = tuple(sorted(REGISTERS))

#: The largest number of pairs of a recording: ten seconds at the default hop of half a second.
MAX_PAIRS = 20

#: Number of players of each class in the studio: one to five, as in Sub-URMP.
STUDIO_PLAYERS = {
    "bassoon": 1,
    "cello": 2,
    "clarinet": 2,
    "double_bass": 2,
    "flute": 2,
    "horn": 1,
    "oboe": 1,
    "sax": 3,
    "trombone": 1,
    "trumpet": 2,
    "tuba": 1,
    "viola": 3,
    "violin": 5,
}

#: The largest number of players of a class in the rooms scene.
ROOMS_PLAYERS = 8
#: The number of rooms of the rooms scene that are used for training.
SEEN_ROOMS = 12
#: The number of rooms that are only used for tests: of the split new-rooms, and of the test split of the rooms scene.
UNSEEN_ROOMS = 6


#: The scenes of the demonstration set.
SceneName = Literal["studio", "rooms"]


@dataclass(frozen=True)
class DemoSource:
    """A `Source` that renders its recordings and reads no files.

    A recording is one piece, played once by one player in one room. Pieces are split 70 : 10 : 20 into train,
    validation and test (approximately, with fewer than ten pairs per class). Players in validation and test also play
    in train, as in the papers.

    - `studio`: one to five players of each class sit in one booth before one camera and one microphone, as in
      Sub-URMP. With at least twelve pairs per class, two splits show what the papers do not report: `new-players` has
      players that no other split has, and `new-rooms` has the known players in other rooms. Each has half as many
      pieces as `test`.
    - `rooms`: up to eight players of each class in twelve rooms. Each recording has another camera position and
      another microphone. Half of a class's test recordings are in rooms of its training recordings, the others in
      rooms that no class was trained in.

    Attributes:
        pairs: number of pairs of the whole set, all splits and classes together; at least four per class.
        scene: where the players are: "studio" or "rooms".
        soundfonts: SF2 or SF3 files. The built-in synthesis and the soundfonts take turns, see `soundfont_of`.

    Raises:
        ConfigError: there are too few pairs, a soundfont does not exist, or no package that plays it is installed.
    """

    pairs: int = 5000
    scene: SceneName = "studio"
    soundfonts: tuple[Path, ...] = ()

    def __post_init__(self) -> None:
        if self.pairs < 4 * len(DEMO_CLASSES):
            raise ConfigError(
                f"the demonstration set needs at least {4 * len(DEMO_CLASSES)} pairs, not {self.pairs}: "
                "four per class, for training, validation and test"
            )
        for path in self.soundfonts:
            soundfont.require_playable(path)

    @property
    def identity(self) -> str:
        """Version of the renderer, scene, number of pairs, and names and sizes of the soundfonts."""
        fonts = "".join(f" {path.name} {path.stat().st_size}" for path in self.soundfonts)
        return f"demo/3 {self.scene} {self.pairs}{fonts}"

    def detects(self, root: Path) -> bool:
        """Return False, because no folder contains this set."""
        return False

    def recordings(self, root: Path, options: SourceOptions) -> tuple[list[Recording], list[Skipped]]:
        """Return all recordings, class by class. `root` is ignored, and no file is skipped."""
        shares = _split_evenly(self.pairs, len(DEMO_CLASSES))
        class_recordings = _studio_recordings if self.scene == "studio" else _rooms_recordings
        return [
            recording
            for label, share in zip(DEMO_CLASSES, shares, strict=True)
            for recording in class_recordings(label, share, options.seed)
        ], []

    def read_pairs(self, recording: Recording, options: SourceOptions) -> Iterator[RawPair]:
        """Render the sound of a recording as a whole, and yield its chunks with the picture at the start of each.

        The result depends only on the recording, the seed and the settings.
        """
        settings = options.settings
        assert recording.pairs
        starts = [round(i * options.hop * settings.sample_rate) for i in range(recording.pairs)]
        samples = starts[-1] + settings.samples
        notes = _compose_piece(recording, samples / settings.sample_rate, options.seed)
        sound = self._render_sound(recording, notes, samples, options)
        scene = Scene(options.seed, recording, settings.picture_size, STEADY if self.scene == "studio" else MOVING)
        for i, start in enumerate(starts):
            chunk = sound[start : start + settings.samples]
            time = i * options.hop
            yield RawPair(time, chunk, scene.frame(notes, time), recording.id, recording.id)

    def _render_sound(
        self, recording: Recording, notes: list[Note], samples: int, options: SourceOptions
    ) -> NDArray[np.float32]:
        """Return the sound of a whole recording, (samples,)."""
        seed, rate = options.seed, options.settings.sample_rate
        rng = make_rng(seed, recording.id, "sound")
        equipment = ONE_MICROPHONE if self.scene == "studio" else ANY_MICROPHONE
        acoustics = sample_acoustics(make_rng(seed, "room", _int_extra(recording, "room"), "sound"), rng, equipment)
        font = self.soundfont_of(recording, seed)
        if font is None:
            take = make_rng(seed, recording.id, "voice")
            voice = sample_voice(recording.label, make_rng(seed, recording.player, "voice"), take)
            return render(notes, voice, acoustics, samples=samples, rate=rate, rng=rng)
        return record(soundfont.play(font, recording.label, notes, samples, rate), acoustics, rate, rng)

    def soundfont_of(self, recording: Recording, seed: int) -> Path | None:
        """Return the soundfont that plays a recording, or None for the built-in synthesis.

        A player has one source, if the class has as many players as there are sources. Otherwise the sources take turns
        over the pieces of the class. The seed decides which one is first.
        """
        sources = (None, *self.soundfonts)
        first = int(make_rng(seed, recording.label, "soundfonts").integers(len(sources)))
        players = STUDIO_PLAYERS[recording.label] if self.scene == "studio" else ROOMS_PLAYERS
        player = int(recording.player.rpartition("-p")[2])
        return sources[(first + (player if players >= len(sources) else _int_extra(recording, "piece"))) % len(sources)]


def _studio_recordings(label: str, pairs: int, seed: int) -> list[Recording]:
    """Return the recordings of one class in the studio, one for each piece.

    Their number is a multiple of twelve if there are enough pairs, so that the shares of the splits are exact.
    """
    lengths = _split_evenly(pairs, min(pairs, 12 * ceil(pairs / (12 * MAX_PAIRS))))
    new = len(lengths) // 12
    known = _split_pieces(len(lengths) - 2 * new)
    splits = known + ["new-players"] * new + ["new-rooms"] * new
    players = min(STUDIO_PLAYERS[label], known.count("train"))
    rooms = 1 + make_rng(seed, label, "rooms").permutation(UNSEEN_ROOMS)
    recordings = []
    for piece, (split, turn, length) in enumerate(zip(splits, _count_turns(splits), lengths, strict=True)):
        player = STUDIO_PLAYERS[label] + turn if split == "new-players" else turn % players
        room = int(rooms[turn % UNSEEN_ROOMS]) if split == "new-rooms" else BOOTH
        recordings.append(_recording(f"{label}-p{player}", piece, room, split, length))
    return recordings


def _rooms_recordings(label: str, pairs: int, seed: int) -> list[Recording]:
    """Return the recordings of one class in the rooms scene, one for each piece.

    Their number is a multiple of ten if there are enough pairs, so that the split is exact.
    """
    lengths = _split_evenly(pairs, min(pairs, 10 * ceil(pairs / (10 * MAX_PAIRS))))
    splits = _split_pieces(len(lengths))
    trained = splits.count("train")
    rng = make_rng(seed, label, "rooms")
    seen = 1 + rng.permutation(SEEN_ROOMS)[:trained]
    unseen = 1 + SEEN_ROOMS + rng.permutation(UNSEEN_ROOMS)
    recordings = []
    for piece, (split, turn, length) in enumerate(zip(splits, _count_turns(splits), lengths, strict=True)):
        number, rooms = turn, seen
        if split == "test":
            # Both kinds of rooms get the same players, so that differences between them are not due to the players.
            number, is_unseen = divmod(turn, 2)
            rooms = unseen if is_unseen else seen
        player, room = f"{label}-p{number % min(ROOMS_PLAYERS, trained)}", int(rooms[number % len(rooms)])
        recordings.append(_recording(player, piece, room, split, length))
    return recordings


def _split_pieces(pieces: int) -> list[str]:
    """Return the split of each piece: train, validation and test in the shares 70 : 10 : 20, in this order."""
    tested = 2 * max(1, pieces // 10)
    return ["train"] * (pieces - tested - tested // 2) + ["validation"] * (tested // 2) + ["test"] * tested


def _count_turns(splits: list[str]) -> list[int]:
    """Return for each piece how many pieces of its split come before it."""
    turns = {split: itertools.count() for split in splits}
    return [next(turns[split]) for split in splits]


def _recording(player: str, piece: int, room: int, split: str, pairs: int) -> Recording:
    """Return one recording; the name of the player starts with the class."""
    label = player.rpartition("-p")[0]
    return Recording(
        id=f"{player}-piece{piece:02d}-room{room}",
        label=label,
        player=player,
        split=split,
        group=f"{label}-piece{piece:02d}",
        extra={"piece": piece, "room": room},
        pairs=pairs,
    )


def _compose_piece(recording: Recording, seconds: float, seed: int) -> list[Note]:
    """Return the notes of a recording's piece; they depend on the class, the piece and the seed only."""
    piece = _int_extra(recording, "piece")
    return compose(recording.label, seconds, make_rng(seed, recording.label, "piece", piece))


def _split_evenly(total: int, parts: int) -> list[int]:
    """Return whole numbers with the sum `total` that differ by at most one."""
    return [total * (part + 1) // parts - total * part // parts for part in range(parts)]


def _int_extra(recording: Recording, name: str) -> int:
    """Return a whole number from `Recording.extra`."""
    value = recording.extra[name]
    assert isinstance(value, int)
    return value
