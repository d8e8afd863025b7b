"""The recordings of the demonstration set: their pieces, players, rooms and splits."""

from collections.abc import Iterator
from dataclasses import dataclass
from math import ceil
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cmcgan_core.data.prepare.sources import RawPair, Recording, Skipped, SourceOptions
from cmcgan_core.data.synthetic import soundfont as soundfonts
from cmcgan_core.data.synthetic.picture import Scene
from cmcgan_core.data.synthetic.score import REGISTERS, Note, compose
from cmcgan_core.data.synthetic.seeds import make_rng
from cmcgan_core.data.synthetic.sound import record, render, sample_acoustics, sample_voice
from cmcgan_core.errors import ConfigError

#: The classes in alphabetical order: the instruments of URMP and Sub-URMP.
DEMO_CLASSES = tuple(sorted(REGISTERS))

#: The largest number of pairs of a recording: ten seconds at the default hop of half a second.
MAX_PAIRS = 20

#: The largest number of players of a class.
PLAYERS = 8
#: The number of rooms that are used for training.
SEEN_ROOMS = 12
#: The number of rooms that only the test split uses.
UNSEEN_ROOMS = 6


@dataclass(frozen=True)
class DemoSource:
    """A `Source` that renders its recordings and reads no files.

    A recording is one piece, played once by one player in one room. Pieces are split 70 : 10 : 20 into train,
    validation and test (approximately, with fewer than ten pairs per class). Players in validation and test also play
    in train. Half of a class's test recordings are in rooms of its training recordings, the others in rooms that no
    class was trained in.

    Attributes:
        pairs: number of pairs of the whole set, all splits and classes together; at least four per class.
        soundfont: an SF2 file that plays the notes instead of the built-in synthesis, or None.

    Raises:
        ConfigError: there are too few pairs, the soundfont does not exist, or no package that plays it is installed.
    """

    pairs: int = 5000
    soundfont: Path | None = None

    def __post_init__(self) -> None:
        if self.pairs < 4 * len(DEMO_CLASSES):
            raise ConfigError(
                f"the demonstration set needs at least {4 * len(DEMO_CLASSES)} pairs, not {self.pairs}: "
                "four per class, for training, validation and two kinds of test rooms"
            )
        if self.soundfont is not None:
            soundfonts.require_playable(self.soundfont)

    @property
    def identity(self) -> str:
        """Version of the renderer, number of pairs, and name and size of the soundfont."""
        soundfont = "" if self.soundfont is None else f" {self.soundfont.name} {self.soundfont.stat().st_size}"
        return f"demo/1 {self.pairs}{soundfont}"

    def detects(self, root: Path) -> bool:
        """Return False, because no folder contains this set."""
        return False

    def recordings(self, root: Path, options: SourceOptions) -> tuple[list[Recording], list[Skipped]]:
        """Return all recordings, class by class. `root` is ignored, and no file is skipped."""
        shares = _split_evenly(self.pairs, len(DEMO_CLASSES))
        return [
            recording
            for label, share in zip(DEMO_CLASSES, shares, strict=True)
            for recording in _class_recordings(label, share, options.seed)
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
        scene = Scene(options.seed, recording, settings.picture_size)
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
        acoustics = sample_acoustics(make_rng(seed, "room", _int_extra(recording, "room"), "sound"), rng)
        if self.soundfont is None:
            voice = sample_voice(recording.label, make_rng(seed, recording.player, "voice"))
            return render(notes, voice, acoustics, samples=samples, rate=rate, rng=rng)
        return record(soundfonts.play(self.soundfont, recording.label, notes, samples, rate), acoustics, rate, rng)


def _class_recordings(label: str, pairs: int, seed: int) -> list[Recording]:
    """Return the recordings of one class, one for each piece.

    Their number is a multiple of ten if there are enough pairs, so that the split is exact.
    """
    lengths = _split_evenly(pairs, min(pairs, 10 * ceil(pairs / (10 * MAX_PAIRS))))
    tested = 2 * max(1, len(lengths) // 10)
    validated = tested // 2
    trained = len(lengths) - tested - validated
    rng = make_rng(seed, label, "rooms")
    seen, unseen = rng.permutation(SEEN_ROOMS), SEEN_ROOMS + rng.permutation(UNSEEN_ROOMS)
    seen = seen[:trained]
    recordings = []
    for piece, length in enumerate(lengths):
        split, turn = _split_of_piece(piece, trained, validated)
        rooms = seen
        if split == "test":
            # Both kinds of rooms get the same players, so that differences between them are not due to the players.
            turn, is_unseen = divmod(turn, 2)
            rooms = unseen if is_unseen else seen
        player, room = f"{label}-p{turn % min(PLAYERS, trained)}", int(rooms[turn % len(rooms)])
        recordings.append(_recording(player, piece, room, split, length))
    return recordings


def _split_of_piece(piece: int, trained: int, validated: int) -> tuple[str, int]:
    """Return the split of a piece, and its position within the split."""
    if piece < trained:
        return "train", piece
    if piece < trained + validated:
        return "validation", piece - trained
    return "test", piece - trained - validated


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
