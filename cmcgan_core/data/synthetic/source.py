"""Which performances the demonstration set has: pieces, players, rooms and their split."""

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

#: The classes, alphabetical: the instruments of URMP and Sub-URMP.
DEMO_CLASSES = tuple(sorted(REGISTERS))

#: Most pairs of a recording: ten seconds at the usual hop of half a second.
LONGEST = 20

#: Players of a class; rooms that training sees; rooms that only the test split has.
PLAYERS, SEEN_ROOMS, UNSEEN_ROOMS = 8, 12, 6


@dataclass(frozen=True)
class DemoSource:
    """Performances rendered on the spot; a `Source` that reads no files.

    A recording is one piece, played once by one player in one room. Pieces are split 70 : 10 : 20 into train,
    validation and test (with fewer than ten pairs a class, not quite); players of the other splits play in train too.
    Of a class's test recordings every other one is in a room that the class was trained in, the rest are in rooms that
    no class was trained in.

    Attributes:
        pairs: number of pairs of the whole set, all splits and classes together; at least four a class.
        soundfont: an SF2 file that plays the notes instead of the built-in synthesis, or None.

    Raises:
        ConfigError: too few pairs, no such file, or no package that plays one.
    """

    pairs: int = 5000
    soundfont: Path | None = None

    def __post_init__(self) -> None:
        if self.pairs < 4 * len(DEMO_CLASSES):
            raise ConfigError(
                f"the demonstration set needs at least {4 * len(DEMO_CLASSES)} pairs, not {self.pairs}: "
                "four a class, for training, validation and two kinds of test rooms"
            )
        if self.soundfont is not None:
            soundfonts.check(self.soundfont)

    @property
    def identity(self) -> str:
        """Version of what is rendered, and the settings; a soundfont counts by its name and size."""
        voices = "" if self.soundfont is None else f" {self.soundfont.name} {self.soundfont.stat().st_size}"
        return f"demo/1 {self.pairs}{voices}"

    def detects(self, root: Path) -> bool:
        """Never: no folder holds this set."""
        return False

    def recordings(self, root: Path, options: SourceOptions) -> tuple[list[Recording], list[Skipped]]:
        """All performances, by class; `root` is not looked at and nothing is ever skipped."""
        del root
        shares = _shares(self.pairs, len(DEMO_CLASSES))
        return [
            recording
            for label, share in zip(DEMO_CLASSES, shares, strict=True)
            for recording in _performances(label, share, options.seed)
        ], []

    def read_pairs(self, recording: Recording, options: SourceOptions) -> Iterator[RawPair]:
        """Render a performance: its sound as a whole, then chunk by chunk with the picture at the chunk's start.

        A function of the recording, the seed and the settings alone.
        """
        settings = options.settings
        assert recording.pairs
        starts = [round(i * options.hop * settings.sample_rate) for i in range(recording.pairs)]
        samples = starts[-1] + settings.samples
        notes = _notes(recording, samples / settings.sample_rate, options.seed)
        sound = self._perform(recording, notes, samples, options)
        scene = Scene(options.seed, recording, settings.picture_size)
        for i, start in enumerate(starts):
            chunk = sound[start : start + settings.samples]
            time = i * options.hop
            yield RawPair(time, chunk, scene.frame(notes, time), recording.id, recording.id)

    def _perform(
        self, recording: Recording, notes: list[Note], samples: int, options: SourceOptions
    ) -> NDArray[np.float32]:
        """The sound of a whole performance, (samples,)."""
        seed, rate = options.seed, options.settings.sample_rate
        rng = make_rng(seed, recording.id, "sound")
        acoustics = sample_acoustics(make_rng(seed, "room", _number(recording, "room"), "sound"), rng)
        if self.soundfont is None:
            voice = sample_voice(recording.label, make_rng(seed, recording.player, "voice"))
            return render(notes, voice, acoustics, samples=samples, rate=rate, rng=rng)
        return record(soundfonts.play(self.soundfont, recording.label, notes, samples, rate), acoustics, rate, rng)


def _performances(label: str, pairs: int, seed: int) -> list[Recording]:
    """The recordings of one class, in tens where there are pairs enough; every piece is performed once."""
    lengths = _shares(pairs, min(pairs, 10 * ceil(pairs / (10 * LONGEST))))
    tested = 2 * max(1, len(lengths) // 10)
    validated = tested // 2
    trained = len(lengths) - tested - validated
    rng = make_rng(seed, label, "rooms")
    seen, unseen = rng.permutation(SEEN_ROOMS), SEEN_ROOMS + rng.permutation(UNSEEN_ROOMS)
    seen = seen[:trained]
    performances = []
    for piece, length in enumerate(lengths):
        split, turn = _split(piece, trained, validated)
        rooms = seen
        if split == "test":
            # Both kinds of rooms get the same players, so that neither the player nor the room explains the other.
            turn, is_unseen = divmod(turn, 2)
            rooms = unseen if is_unseen else seen
        player, room = f"{label}-p{turn % min(PLAYERS, trained)}", int(rooms[turn % len(rooms)])
        performances.append(_performance(player, piece, room, split, length))
    return performances


def _split(piece: int, trained: int, validated: int) -> tuple[str, int]:
    """The split of a piece, and its place there."""
    if piece < trained:
        return "train", piece
    if piece < trained + validated:
        return "validation", piece - trained
    return "test", piece - trained - validated


def _performance(player: str, piece: int, room: int, split: str, pairs: int) -> Recording:
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


def _notes(recording: Recording, seconds: float, seed: int) -> list[Note]:
    piece = _number(recording, "piece")
    return compose(recording.label, seconds, make_rng(seed, recording.label, "piece", piece))


def _shares(total: int, parts: int) -> list[int]:
    """The total in whole parts that differ by one at most."""
    return [total * (part + 1) // parts - total * part // parts for part in range(parts)]


def _number(recording: Recording, name: str) -> int:
    value = recording.extra[name]
    assert isinstance(value, int)
    return value
