"""The demonstration set is reproducible, split without leaks and in tune, and its pictures follow its sounds."""

import os
import pickle
import subprocess
import sys
import zlib
from dataclasses import replace
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch

from cmcgan_core.data.prepare import plan
from cmcgan_core.data.prepare.sources import Recording, SourceOptions
from cmcgan_core.data.synthetic import DEMO_CLASSES, DemoSource, soundfont
from cmcgan_core.data.synthetic.picture import BOOTH, MOVING, STEADY, Scene
from cmcgan_core.data.synthetic.score import (
    OPEN_STRINGS,
    REGISTERS,
    Note,
    closed_holes,
    compose,
    note_at,
    stopped_string,
    tube_position,
)
from cmcgan_core.data.synthetic.seeds import make_rng
from cmcgan_core.data.synthetic.sound import ONE_MICROPHONE, render, sample_acoustics, sample_voice
from cmcgan_core.data.synthetic.source import STUDIO_PLAYERS
from cmcgan_core.errors import ConfigError
from cmcgan_core.features.representations import analyse
from cmcgan_core.features.settings import FeatureSettings

OPTIONS = SourceOptions()
NO_FOLDER = Path("no-folder")


def recordings(pairs=5000, options=OPTIONS, scene="studio"):
    result, skipped = DemoSource(pairs, scene).recordings(NO_FOLDER, options)
    assert skipped == []
    return result


def short(label="violin"):
    return next(r for r in recordings(130) if r.label == label)


def rendered(recording, options=OPTIONS):
    return list(DemoSource(130).read_pairs(recording, options))


def held(label, pitch, bow=(0.2, 0.8)):
    return [Note(0, 1, 1, pitch, 0.6, bow, False)]


def values(recordings, name):
    return {getattr(r, name) if hasattr(r, name) else r.extra[name] for r in recordings}


@pytest.mark.parametrize("scene", ["studio", "rooms"])
@pytest.mark.parametrize("pairs", [52, 130, 777, 5000])
def test_the_pairs_are_spread_evenly_over_the_classes(pairs, scene):
    counts = dict.fromkeys(DEMO_CLASSES, 0)
    for recording in recordings(pairs, scene=scene):
        counts[recording.label] += recording.pairs
    assert sum(counts.values()) == pairs
    assert max(counts.values()) - min(counts.values()) <= 1


@pytest.mark.parametrize(
    ("pairs", "extra"),
    [(52, set()), (130, set()), (156, {"new-players", "new-rooms"}), (5000, {"new-players", "new-rooms"})],
)
def test_every_class_is_in_every_split_of_the_studio(pairs, extra):
    all_recordings = recordings(pairs)
    for label in DEMO_CLASSES:
        splits = {r.split for r in all_recordings if r.label == label}
        assert splits == {"train", "validation", "test"} | extra


def test_the_studio_has_one_booth_and_one_to_five_players_who_are_all_trained_on():
    all_recordings = recordings()
    counts = []
    for label in DEMO_CLASSES:
        of_class = {
            s: [r for r in all_recordings if (r.label, r.split) == (label, s)] for s in values(all_recordings, "split")
        }
        known = [*of_class["train"], *of_class["validation"], *of_class["test"]]
        assert values(known, "room") == {BOOTH}
        assert values(known, "player") == values(of_class["train"], "player")
        counts.append(len(values(known, "player")))
    assert {min(counts), max(counts)} == {1, 5}


def test_new_players_play_in_the_booth_and_new_rooms_have_known_players():
    all_recordings = recordings()
    trained = [r for r in all_recordings if r.split == "train"]
    new_players, new_rooms = ([r for r in all_recordings if r.split == s] for s in ("new-players", "new-rooms"))
    assert values(new_players, "room") == {BOOTH}
    assert not values(new_players, "player") & values(trained, "player")
    assert BOOTH not in values(new_rooms, "room")
    assert values(new_rooms, "player") <= values(trained, "player")


@pytest.mark.parametrize("scene", ["studio", "rooms"])
def test_split_is_about_70_10_20_and_by_piece(scene):
    all_recordings = recordings(scene=scene)
    pairs = {s: sum(r.pairs for r in all_recordings if r.split == s) for s in ("train", "validation", "test")}
    share = {s: count / sum(pairs.values()) for s, count in pairs.items()}
    assert share == pytest.approx({"train": 0.7, "validation": 0.1, "test": 0.2}, abs=0.03)
    assert len({r.group for r in all_recordings}) == len({r.id for r in all_recordings}) == len(all_recordings)


@pytest.mark.parametrize("pairs", [52, 130, 5000])
def test_every_class_of_the_rooms_scene_is_tested_in_seen_and_unseen_rooms(pairs):
    all_recordings = recordings(pairs, scene="rooms")
    trained_rooms = {r.extra["room"] for r in all_recordings if r.split == "train"}
    for label in DEMO_CLASSES:
        recordings_of_class = [r for r in all_recordings if r.label == label]
        own_rooms = {r.extra["room"] for r in recordings_of_class if r.split == "train"}
        tested_rooms = {r.extra["room"] for r in recordings_of_class if r.split == "test"}
        assert {r.split for r in recordings_of_class} == {"train", "validation", "test"}
        assert tested_rooms & own_rooms
        assert tested_rooms - trained_rooms
        assert tested_rooms <= own_rooms | (tested_rooms - trained_rooms)


def test_the_test_split_of_the_rooms_scene_has_the_same_players_in_both_kinds_of_rooms():
    all_recordings = recordings(scene="rooms")
    trained = {r.extra["room"] for r in all_recordings if r.split == "train"}
    players = {True: set(), False: set()}
    for recording in (r for r in all_recordings if r.split == "test"):
        players[recording.extra["room"] in trained].add(recording.player)
    assert players[True] == players[False]


def test_a_class_of_the_rooms_scene_has_several_players_and_rooms():
    trained = [r for r in recordings(scene="rooms") if r.label == "oboe" and r.split == "train"]
    assert len({r.player for r in trained}) >= 4
    assert len({r.extra["room"] for r in trained}) >= 4


def test_the_camera_of_the_studio_moves_less_than_that_of_the_rooms_scene():
    takes = [replace(short(), id=f"violin-p0-piece{i:02d}-room0") for i in range(6)]
    spread = {}
    for framing in (STEADY, MOVING):
        frames = [Scene(0, take, 64, framing).frame(held("violin", 69), 0).astype(float) for take in takes]
        spread[framing] = np.std(frames, axis=0).mean()
    assert spread[STEADY] < 0.75 * spread[MOVING]


def test_a_plan_knows_the_pairs_without_rendering_them():
    counts = plan(NO_FOLDER, DemoSource(130), OPTIONS).counts
    assert sum(sum(classes.values()) for classes in counts.values()) == 130
    assert counts["train"].keys() == counts["test"].keys() == set(DEMO_CLASSES)


def test_too_few_pairs_are_refused():
    with pytest.raises(ConfigError, match="at least 52 pairs, not 51"):
        DemoSource(51)


def test_pairs_have_the_documented_shapes_and_times():
    options = replace(OPTIONS, hop=0.25, settings=FeatureSettings(picture_size=64))
    recording = replace(short(), pairs=3)
    pairs = rendered(recording, options)
    assert [p.start for p in pairs] == [0, 0.25, 0.5]
    for pair in pairs:
        assert pair.sound.shape == (22_050,)
        assert pair.sound.dtype == np.float32
        assert 0 < np.abs(pair.sound).max() <= 1
        assert pair.picture.shape == (64, 64, 3)
        assert pair.picture.dtype == np.uint8
    assert np.array_equal(pairs[0].sound[11_025:], pairs[1].sound[:11_025])


def test_rendering_depends_on_seed_and_recording_not_on_order_or_copy():
    first, second = short("horn"), short("tuba")
    separate = rendered(first)[0]
    rendered(second)
    again = rendered(pickle.loads(pickle.dumps(first)))[0]
    other_seed = rendered(first, replace(OPTIONS, seed=1))[0]
    assert np.array_equal(separate.sound, again.sound)
    assert np.array_equal(separate.picture, again.picture)
    assert not np.array_equal(separate.sound, other_seed.sound)
    assert not np.array_equal(separate.picture, other_seed.picture)


@pytest.mark.slow
def test_rendering_is_the_same_in_another_process_with_another_hash_seed():
    script = (
        "import zlib; from pathlib import Path; from cmcgan_core.data.synthetic import DemoSource;"
        "from cmcgan_core.data.prepare.sources import SourceOptions as O; s = DemoSource(130);"
        "r = s.recordings(Path(), O())[0][0]; p = next(s.read_pairs(r, O()));"
        "print(r.id, zlib.crc32(p.sound.tobytes()), zlib.crc32(p.picture.tobytes()))"
    )
    elsewhere = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "PYTHONHASHSEED": "1"},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    recording = recordings(130)[0]
    pair = rendered(recording)[0]
    here = (recording.id, zlib.crc32(pair.sound.tobytes()), zlib.crc32(pair.picture.tobytes()))
    assert elsewhere.split() == [str(part) for part in here]


def test_spectrograms_fit_the_range_of_the_settings():
    sounds = [rendered(short(label))[0].sound for label in DEMO_CLASSES]
    spectrograms = analyse(torch.from_numpy(np.stack(sounds)), OPTIONS.settings)
    assert (spectrograms > OPTIONS.settings.max_level).float().mean() < 0.002
    # Some microphones record nothing above 6 kHz, and some recordings have little noise.
    assert (spectrograms < OPTIONS.settings.min_level).float().mean() < 0.15


@pytest.mark.parametrize("label", DEMO_CLASSES)
def test_the_composed_note_sounds_in_tune(label):
    pitch = sum(REGISTERS[label]) // 2
    voice = sample_voice(label, make_rng(0, label), make_rng(0, label, "take"))
    acoustics = sample_acoustics(make_rng(0, "room"), make_rng(0, "take"), ONE_MICROPHONE)
    sound = render(held(label, pitch), voice, acoustics, samples=44_100, rate=44_100, rng=make_rng(0))
    spectrum = np.abs(np.fft.rfft(sound * np.hanning(len(sound)))) ** 2
    hz = voice.concert_pitch * 2 ** ((pitch - 69) / 12)
    harmonics = hz * np.arange(1, 9)
    in_tune = sum(spectrum[round(h * 0.98) : round(h * 1.02) + 1].sum() for h in harmonics)
    between = sum(spectrum[round(h - hz * 0.55) : round(h - hz * 0.45) + 1].sum() for h in harmonics)
    assert in_tune > 0.5 * spectrum.sum()
    assert in_tune > 20 * between


def scene(label):
    recording = next(r for r in recordings(130) if r.label == label)
    return Scene(0, recording, 128, STEADY)


@pytest.mark.parametrize("label", DEMO_CLASSES)
def test_picture_follows_the_note(label):
    low, high = REGISTERS[label]
    camera = scene(label)
    first, same, other = (camera.frame(held(label, pitch), 0.5) for pitch in (low + 1, low + 1, high - 4))
    assert np.array_equal(first, same)
    assert (np.abs(first.astype(int) - other).max(2) > 40).mean() > 0.002


def test_bow_moves_within_a_note():
    camera = scene("cello")
    start, end = (camera.frame(held("cello", 50, bow), 0) for bow in ((0.1, 0.9), (0.9, 0.1)))
    assert (np.abs(start.astype(int) - end).max(2) > 40).mean() > 0.005


def test_trombone_slide_reaches_further_for_lower_positions():
    camera = scene("trombone")
    first, seventh = (camera.frame(held("trombone", pitch), 0).astype(int) for pitch in (46, 40))
    assert tube_position("trombone", 46) == 0
    assert tube_position("trombone", 40) == 6
    changed = np.nonzero((np.abs(first - seventh).max(2) > 40).any(0))[0]
    assert changed.max() - changed.min() > 15


@pytest.mark.parametrize("label", DEMO_CLASSES)
def test_pieces_fill_their_time_within_the_register(label):
    notes = compose(label, 8, make_rng(0, label))
    low, high = REGISTERS[label]
    assert notes[-1].start + notes[-1].seconds >= 8
    assert all(low <= note.pitch <= high and 0 <= note.loudness <= 1 for note in notes)
    assert all(a.start + a.seconds <= b.start + 1e-9 for a, b in pairwise(notes))
    assert all(0 <= place <= 1 for note in notes for place in note.bow)
    assert len({note.pitch for note in notes}) > 2


def test_the_note_at_a_time_is_the_last_that_started():
    notes = [Note(0, 1, 1, 60, 0.5, (0, 1), False), Note(1.5, 1, 1, 62, 0.5, (0, 1), False)]
    assert [note_at(notes, t).pitch for t in (0, 1.2, 1.5, 9)] == [60, 60, 62, 62]


def test_fingerings_match_the_instruments():
    assert stopped_string("violin", 69) == (2, 0)
    assert stopped_string("violin", 81) == (len(OPEN_STRINGS["violin"]) - 1, pytest.approx(1 - 2 ** (-5 / 12)))
    assert [tube_position("trumpet", pitch) for pitch in (58, 57, 56, 54)] == [0, 1, 2, 4]
    assert closed_holes("flute", REGISTERS["flute"][0]) == 6
    assert closed_holes("flute", REGISTERS["flute"][0] + 11) < 2


def test_source_detects_no_folder(tmp_path):
    assert not DemoSource().detects(tmp_path)


def test_missing_soundfont_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"nothing\.sf2"):
        DemoSource(52, soundfonts=(tmp_path / "nothing.sf2",))


class Synth:
    """Replaces the synthesizer of both packages; plays a constant while a note is held."""

    def __init__(self, samplerate):
        self.held = 0

    def sfload(self, path):
        return 1 if Path(path).read_bytes() == b"RIFF" else -1

    def program_select(self, channel, font, bank, program):
        assert program in soundfont.PROGRAMS.values()

    def noteon(self, channel, pitch, velocity):
        self.held = velocity

    def noteoff(self, channel, pitch):
        self.held = 0


class TinySynth(Synth):
    def generate(self, samples):
        return memoryview(np.full(2 * samples, self.held / 127, np.float32).tobytes())


class FluidSynth(Synth):
    def __init__(self, samplerate, channels, **settings):
        super().__init__(samplerate)

    def delete(self):
        self.held = 0

    def get_samples(self, samples):
        return np.full(2 * samples, self.held * 258, np.int16)


@pytest.fixture(params=[("tinysoundfont", TinySynth), ("fluidsynth", FluidSynth)], ids=["tinysoundfont", "fluidsynth"])
def synthesizer(request, monkeypatch):
    name, synth = request.param
    for package in ("tinysoundfont", "fluidsynth"):
        monkeypatch.setitem(sys.modules, package, None)
    monkeypatch.setitem(sys.modules, name, type(sys)(name))
    monkeypatch.setattr(sys.modules[name], "Synth", synth, raising=False)


@pytest.mark.usefixtures("synthesizer")
def test_soundfont_plays_the_notes_when_they_are_due(tmp_path):
    path = tmp_path / "a.sf2"
    path.write_bytes(b"RIFF")
    notes = [Note(0.25, 0.25, 1, 60, 1, (0, 1), False), Note(0.75, 0.5, 1, 62, 0.5, (0, 1), False)]
    sound = soundfont.play(path, "violin", notes, 1000, 1000)
    assert sound.shape == (1000,)
    assert sound[[100, 400, 600, 900]] == pytest.approx([0, 1, 0, 79 / 127], abs=0.02)


@pytest.mark.usefixtures("synthesizer")
def test_a_source_can_play_a_soundfont(tmp_path):
    path = tmp_path / "a.sf2"
    path.write_bytes(b"RIFF")
    source = DemoSource(52, soundfonts=(path,))
    recording = next(r for r in source.recordings(NO_FOLDER, OPTIONS)[0] if source.soundfont_of(r, 0) == path)
    pair = next(source.read_pairs(recording, OPTIONS))
    assert 0 < np.abs(pair.sound).max() <= 1


@pytest.mark.usefixtures("synthesizer")
def test_synthesis_and_soundfonts_take_turns_over_the_players_or_else_the_pieces_of_a_class(tmp_path):
    fonts = tmp_path / "a.sf2", tmp_path / "b.sf3"
    for path in fonts:
        path.write_bytes(b"RIFF")
    source = DemoSource(1560, soundfonts=fonts)
    for label in DEMO_CLASSES:
        trained = [r for r in source.recordings(NO_FOLDER, OPTIONS)[0] if r.label == label and r.split == "train"]
        sources = [source.soundfont_of(recording, OPTIONS.seed) for recording in trained]
        assert sources == [source.soundfont_of(recording, OPTIONS.seed) for recording in trained]
        assert set(sources) == {None, *fonts}
        if label in ("sax", "viola", "violin"):
            assert len({(r.player, s) for r, s in zip(trained, sources, strict=True)}) == STUDIO_PLAYERS[label]
        else:
            counts = [sources.count(font) for font in (None, *fonts)]
            assert max(counts) - min(counts) <= 1
    assert all(font.name in source.identity for font in fonts)


@pytest.mark.usefixtures("synthesizer")
def test_a_file_that_is_not_a_soundfont_is_named(tmp_path):
    path = tmp_path / "a.sf2"
    path.write_bytes(b"?")
    with pytest.raises(ConfigError, match=r"a\.sf2 is not a soundfont"):
        soundfont.play(path, "violin", held("violin", 60), 100, 1000)


@pytest.mark.parametrize("name", ["sf2/FluidR3_GM.sf2", "sf3/MuseScore_General_Full.sf3"])
def test_an_installed_soundfont_plays_in_tune(name):
    path = Path("/usr/share/sounds") / name
    if not path.exists() or find_spec("fluidsynth") is None:
        pytest.skip(f"{path} or pyfluidsynth is not installed")
    sound = soundfont.play(path, "clarinet", held("clarinet", 69), 22_050, 44_100)
    spectrum = np.abs(np.fft.rfft(sound * np.hanning(len(sound)))) ** 2
    assert spectrum[218:223].sum() > 0.3 * spectrum.sum()  # 2 Hz per value: 436 to 444 Hz


def test_soundfont_without_a_package_says_what_to_install(tmp_path, monkeypatch):
    path = tmp_path / "a.sf2"
    path.write_bytes(b"RIFF")
    for package in ("tinysoundfont", "fluidsynth"):
        monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ConfigError, match="pip install pyfluidsynth"):
        DemoSource(52, soundfonts=(path,))


def test_recording_is_a_protocol_recording():
    recording = recordings(52)[0]
    assert isinstance(recording, Recording)
    assert recording.files == ()
    assert recording.id == f"{recording.group.replace('-piece', '-p0-piece')}-room{recording.extra['room']}"
