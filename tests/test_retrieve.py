"""Retrieval in folders: what is found, and what the index keeps."""

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import CLASSES
from media_fixtures import plain, tone, write_jpg, write_video, write_wav
from retrieve_fixtures import HIGH, LOW, MIDDLE, ColourAndPitch, make_embedder

from cmcgan_core.checkpoint import Trained, load_checkpoint, network_tensors, save_checkpoint
from cmcgan_core.config import load_config
from cmcgan_core.errors import CheckpointError, ConfigError, DataError
from cmcgan_core.features.settings import FeatureSettings
from cmcgan_core.inference.retrieve.embedding import Embeddings, embed_files, load_embedder, normalise
from cmcgan_core.inference.retrieve.files import find_gallery
from cmcgan_core.inference.retrieve.index import Block, open_index
from cmcgan_core.inference.retrieve.results import Retrieval
from cmcgan_core.inference.retrieve.retrieval import retrieve
from cmcgan_core.inference.retrieve.search import search
from cmcgan_core.inference.target import Target
from cmcgan_core.methods import METHODS
from cmcgan_core.modality import Modality
from cmcgan_core.nn.capabilities import Embedder
from cmcgan_core.run_folder import BOX, About

RED, GREEN, BLUE = (250, 5, 5), (5, 250, 5), (5, 5, 250)


@pytest.fixture
def embedder(tmp_path: Path) -> Trained:
    return make_embedder(tmp_path / "model.safetensors")


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    for name, colour in {"red": RED, "green": GREEN, "blue": BLUE, "dark red": (90, 3, 20)}.items():
        write_jpg(tmp_path / "photos" / f"{name}.png", plain(colour))
    return tmp_path / "photos"


@pytest.fixture
def sounds(tmp_path: Path) -> Path:
    write_wav(tmp_path / "sounds" / "low.wav", tone(1, LOW))
    write_wav(tmp_path / "sounds" / "high.wav", tone(1, HIGH))
    write_wav(tmp_path / "sounds" / "middle then low.wav", np.concatenate([tone(1.5, MIDDLE), tone(0.5, LOW)]))
    return tmp_path / "sounds"


def find(
    trained: Trained, query: Path, *searched: Path, top: int = 5, to: Target | None = None, at: float | None = None
) -> Retrieval:
    """Search with an index next to the checkpoint."""
    gallery = find_gallery([str(path) for path in searched])
    return retrieve(trained, [query], gallery, top=top, to=to, at=at, index_folder=trained.path.parent / "index")


def names(found: Retrieval) -> list[str]:
    return [hit.path.stem for hit in found.results[0].hits]


def embedded(trained: Trained) -> int:
    """How many items were embedded since the last call."""
    assert isinstance(trained.network, ColourAndPitch)
    count = trained.network.embedded.total()
    trained.network.embedded.clear()
    return count


def database(trained: Trained) -> Path:
    (file,) = (trained.path.parent / "index").glob("*.sqlite")
    return file


def test_a_sound_finds_pictures_and_a_picture_finds_sounds(embedder: Trained, photos: Path, sounds: Path) -> None:
    found = find(embedder, sounds / "low.wav", photos)
    assert names(found)[:2] == ["red", "dark red"]
    assert {hit.modality for hit in found.results[0].hits} == {Modality.VISUAL}
    found = find(embedder, photos / "blue.png", photos.parent)
    assert (names(found)[0], sorted(names(found))) == ("high", ["high", "low", "middle then low"])
    scores = [hit.score for hit in found.results[0].hits]
    assert scores == sorted(scores, reverse=True)
    assert found.results[0].to == Target.AUDIO


def test_the_best_half_second_of_a_sound_counts_and_its_time_is_told(
    embedder: Trained, photos: Path, sounds: Path
) -> None:
    (hit,) = find(embedder, photos / "red.png", sounds / "middle then low.wav").results[0].hits
    assert (hit.at, hit.score > 0.9) == (1.5, True)
    (hit,) = find(embedder, photos / "green.png", sounds / "middle then low.wav").results[0].hits
    assert (hit.at in (0.0, 0.5, 1.0), hit.score > 0.9) == (True, True)


def test_top_limits_files_not_half_seconds(embedder: Trained, photos: Path, sounds: Path) -> None:
    write_wav(sounds / "long low.wav", tone(10, LOW))
    found = names(find(embedder, photos / "red.png", sounds, top=3))
    assert sorted(found) == ["long low", "low", "middle then low"]
    assert len(names(find(embedder, photos / "red.png", sounds, top=2))) == 2


def test_a_video_that_is_found_twice_takes_one_place(embedder: Trained, photos: Path, tmp_path: Path) -> None:
    """Both modalities of one video are more similar to the query than anything else."""
    write_video(tmp_path / "films" / "best.mp4", [plain(RED, (64, 64))] * 10, sound=tone(1.1, LOW))
    write_video(tmp_path / "films" / "other.mp4", [plain(GREEN, (64, 64))] * 10, sound=tone(1.1, MIDDLE))
    assert names(find(embedder, photos / "red.png", tmp_path / "films", to=Target.ALL, top=2)) == ["best", "other"]


def test_a_copy_comes_first_and_the_query_itself_is_not_found(embedder: Trained, photos: Path, sounds: Path) -> None:
    """The loudest half second of this sound begins at 0.7 s, so the index has no half second that equals it."""
    quiet, loud = tone(0.7, MIDDLE, level=0.1), tone(0.6, LOW)
    query = write_wav(sounds / "query.wav", np.concatenate([quiet, loud, quiet]))
    shutil.copy(query, sounds / "copy.wav")
    found = find(embedder, query, photos.parent, to=Target.ALL)
    first = found.results[0].hits[0]
    assert (first.path.name, first.score, first.at) == ("copy.wav", 1.0, found.results[0].at)
    assert found.results[0].at == pytest.approx(0.7, abs=0.11)
    assert "query" not in names(found)
    shutil.copy(photos / "green.png", sounds / "copy.png")
    found = find(embedder, photos / "green.png", photos.parent, to=Target.VISUAL)
    assert (names(found)[0], found.results[0].hits[0].score) == ("copy", 1.0)
    assert "green" not in names(found)


def test_a_link_to_the_query_is_the_query(embedder: Trained, photos: Path) -> None:
    (photos / "link.png").symlink_to(photos / "red.png")
    assert "link" not in names(find(embedder, photos / "red.png", photos, to=Target.VISUAL))


def test_a_video_has_a_sound_and_pictures(embedder: Trained, photos: Path, tmp_path: Path) -> None:
    """Red, then green; its sound is high."""
    frames = [plain(RED, (64, 64))] * 10 + [plain(GREEN, (64, 64))] * 10
    video = write_video(tmp_path / "films" / "film.mp4", frames, sound=tone(2.1, HIGH))
    assert names(find(embedder, video, photos))[0] == "blue"
    found = find(embedder, photos / "green.png", video, to=Target.VISUAL).results[0].hits[0]
    assert (found.modality, found.at) == (Modality.VISUAL, 1.0)
    found = find(embedder, photos / "blue.png", video, to=Target.ALL).results[0].hits[0]
    assert found.modality is Modality.AUDIO
    # If sounds are searched, a video is represented by its pictures: all of them, or the one at a time.
    low, middle = (
        write_wav(tmp_path / "s" / "low.wav", tone(1, LOW)),
        write_wav(tmp_path / "s" / "mid.wav", tone(1, MIDDLE)),
    )
    assert find(embedder, video, low, to=Target.AUDIO).results[0].modality is Modality.VISUAL
    assert names(find(embedder, video, low, middle, to=Target.AUDIO, at=0.2))[0] == "low"
    assert names(find(embedder, video, low, middle, to=Target.AUDIO, at=1.4))[0] == "mid"


def test_a_video_with_a_silent_sound_is_represented_by_its_pictures(embedder: Trained, sounds: Path) -> None:
    video = write_video(sounds / "film.mp4", [plain(RED)] * 10, sound=np.zeros(44_100, np.float32))
    found = find(embedder, video, sounds)
    assert (found.results[0].modality, names(found)[0]) == (Modality.VISUAL, "low")


def test_silence_is_neither_a_query_nor_a_hit(embedder: Trained, photos: Path, sounds: Path) -> None:
    silence = write_wav(sounds / "silence.wav", np.zeros(44_100, np.float32))
    assert "silence" not in names(find(embedder, photos / "red.png", sounds))
    embedded(embedder)
    found = find(embedder, silence, photos)
    assert found.results[0].error == f"{silence}: is silent, so nothing can be compared with it"
    assert found.index is None
    find(embedder, photos / "red.png", sounds)
    assert embedded(embedder) == 1  # the query: that the sound is silent is in the index


def test_zero_and_not_finite_embeddings_are_similar_to_nothing(embedder: Trained, photos: Path, sounds: Path) -> None:
    black = write_jpg(photos / "black.png", plain((0, 0, 0)))
    found = find(embedder, sounds / "low.wav", photos)
    assert ("black" in names(found), found.index.files if found.index else 0) == (False, 5)
    assert "is zero or not finite" in find(embedder, black, sounds).results[0].error
    vectors = np.array([[3, 4], [0, 0], [np.nan, 1], [np.inf, 1], [1e30, 0], [1e-30, 0]], np.float32)
    assert normalise(vectors).tolist() == [
        [0.6000000238418579, 0.800000011920929],
        [0, 0],
        [0, 0],
        [0, 0],
        [1, 0],
        [1, 0],
    ]


def test_search_gives_the_best_per_file_in_order() -> None:
    rng = np.random.default_rng(0)
    query = normalise(rng.normal(size=(1, 8)))
    counts = rng.integers(1, 400, 200)
    parts = [normalise(rng.normal(size=(count, 8))) for count in counts]
    scores = [part @ query[0] for part in parts]
    blocks = [
        Block(
            [bytes([number]) for number in numbers],
            [tuple(Modality)[number % 2] for number in numbers],
            [int(counts[number]) for number in numbers],
            Embeddings(
                np.concatenate([np.arange(counts[number], dtype=np.float32) for number in numbers]),
                np.concatenate([parts[number] for number in numbers]),
            ),
        )
        for numbers in (range(90), range(90, 91), range(91, 200))
    ]
    (found,) = search(query, [[Modality.VISUAL]], blocks, 7)
    expected = sorted(range(1, 200, 2), key=lambda number: -scores[number].max())[:7]
    assert [candidate.content[0] for candidate in found] == expected
    assert [int(candidate.start) for candidate in found] == [scores[number].argmax() for number in expected]
    assert [candidate.score for candidate in found] == pytest.approx([scores[n].max() for n in expected], abs=1e-6)


@pytest.mark.parametrize("searched", [1, 40])
def test_blocks_have_what_was_saved(tmp_path: Path, searched: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A few contents are looked up, many are read in the order of the table."""
    monkeypatch.setattr("cmcgan_core.inference.retrieve.index.BLOCK", 10)
    rng = np.random.default_rng(0)
    saved = {
        bytes([number]): {
            modality: Embeddings(
                np.arange(number % 5 + 1, dtype=np.float32), normalise(rng.normal(size=(number % 5 + 1, 8)))
            )
            for modality in Modality
        }
        for number in range(45)
    }
    with open_index(tmp_path, "f" * 64) as index:
        index.save({}, saved)
        blocks = list(index.blocks(list(saved)[:searched]))
    read = {}
    for block in blocks:
        ends = np.cumsum(block.counts)
        for content, modality, count, end in zip(block.contents, block.modalities, block.counts, ends, strict=True):
            starts, vectors = (part[end - count : end] for part in block.embeddings)
            read[content, modality] = starts
            assert np.abs(vectors - saved[content][modality].vectors).max() < 0.0005
            assert starts.tolist() == saved[content][modality].starts.tolist()
    assert read.keys() == {(content, modality) for content in list(saved)[:searched] for modality in Modality}
    assert len(blocks) > searched / 5


def test_only_what_is_new_is_embedded(embedder: Trained, photos: Path, sounds: Path) -> None:
    query = sounds / "low.wav"
    find(embedder, query, photos)
    assert embedded(embedder) == 5  # with the query
    find(embedder, query, photos)
    assert embedded(embedder) == 1
    write_jpg(photos / "red.png", plain(BLUE, (20, 20)))  # changed
    write_jpg(photos / "new.png", plain((200, 0, 0)))
    found = find(embedder, query, photos)
    assert embedded(embedder) == 3
    assert names(found)[:2] == ["new", "dark red"]
    (photos / "deep").mkdir()
    (photos / "new.png").rename(photos / "deep" / "moved.png")
    shutil.copy(photos / "blue.png", photos / "deep" / "copy.png")
    found = find(embedder, query, photos)
    assert (embedded(embedder), names(found)[0]) == (1, "moved")


def test_a_file_that_has_gone_is_forgotten(embedder: Trained, photos: Path, sounds: Path) -> None:
    find(embedder, sounds / "low.wav", photos)
    (photos / "red.png").unlink()
    assert "red" not in names(find(embedder, sounds / "low.wav", photos))
    with sqlite3.connect(database(embedder)) as connection:
        for table in ("files", "embeddings"):
            assert connection.execute(f"SELECT count(*) FROM {table}").fetchone() == (3,)


def test_a_subfolder_and_a_pattern_use_the_same_index(embedder: Trained, photos: Path, sounds: Path) -> None:
    find(embedder, sounds / "low.wav", photos)
    embedded(embedder)
    assert sorted(names(find(embedder, sounds / "low.wav", Path(f"{photos}/*red.png")))) == ["dark red", "red"]
    assert embedded(embedder) == 1
    # One file by two names is one file.
    find(embedder, sounds / "low.wav", photos, photos / "deep" / ".." / "red.png", photos / "red.png")
    assert embedded(embedder) == 1
    # What a pattern leaves out has not gone.
    find(embedder, sounds / "low.wav", photos)
    assert embedded(embedder) == 1


def test_another_checkpoint_has_another_index(embedder: Trained, photos: Path, sounds: Path) -> None:
    find(embedder, sounds / "low.wav", photos)
    other = make_embedder(embedder.path.with_name("other.safetensors"))
    find(other, sounds / "low.wav", photos)
    assert embedded(other) == 5
    assert len(list((embedder.path.parent / "index").glob("*.sqlite"))) == 2


def test_a_bad_file_is_named_each_time_and_does_not_stop_the_others(
    embedder: Trained, photos: Path, sounds: Path
) -> None:
    for name in ("broken.png", "broken copy.png"):
        (photos / name).write_text("no picture")
    (photos / "dead.png").symlink_to(photos / "nowhere.png")
    for _ in range(2):
        found = find(embedder, sounds / "low.wav", photos, photos / "missing.png")
        assert found.index is not None
        assert sorted(fault.split(":")[0] for fault in found.index.faults) == [
            str(photos / name) for name in ("broken copy.png", "broken.png", "dead.png", "missing.png")
        ]
        assert (names(found)[0], found.index.files) == ("red", 4)
    (photos / "red.png").write_text("damaged later")
    found = find(embedder, sounds / "low.wav", photos)
    assert "red" not in names(found)


@pytest.mark.parametrize("damage", ["no database", "truncated", "changed", "other tables"])
def test_a_damaged_index_is_named_and_built_again(embedder: Trained, photos: Path, sounds: Path, damage: str) -> None:
    whole = find(embedder, sounds / "low.wav", photos)
    file = database(embedder)
    content = bytearray(file.read_bytes())
    if damage == "no database":
        file.write_bytes(b"no database " * 1000)
    elif damage == "truncated":
        file.write_bytes(content[: len(content) // 2])
    elif damage == "changed":
        with sqlite3.connect(file) as connection:
            connection.execute("UPDATE embeddings SET vectors = zeroblob(length(vectors))")
    else:
        file.unlink()
        with sqlite3.connect(file) as connection:
            connection.execute("CREATE TABLE embeddings (anything)")
    found = find(embedder, sounds / "low.wav", photos)
    assert found.results == whole.results
    assert found.index is not None
    assert [str(file) in note for note in found.index.notes] == [True]
    assert find(embedder, sounds / "low.wav", photos).index.notes == ()  # type: ignore[union-attr]


def test_a_folder_that_cannot_be_written_costs_only_time(embedder: Trained, photos: Path, sounds: Path) -> None:
    (embedder.path.parent / "index").write_text("not a folder")
    found = find(embedder, sounds / "low.wav", photos)
    assert found.index is not None
    assert names(found)[0] == "red"
    assert "cannot be written" in found.index.notes[0]
    assert "not kept" in found.index.notes[0]


def test_an_index_that_can_only_be_read_is_used(
    embedder: Trained, photos: Path, sounds: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    find(embedder, sounds / "low.wav", photos)
    embedded(embedder)

    def refuse(path: Path) -> None:
        raise sqlite3.OperationalError("attempt to write a readonly database")

    monkeypatch.setattr("cmcgan_core.inference.retrieve.index._connect", refuse)
    write_jpg(photos / "new.png", plain((200, 0, 0)))
    found = find(embedder, sounds / "low.wav", photos)
    assert found.index is not None
    assert (embedded(embedder), names(found)[0]) == (2, "new")
    assert "cannot be written (attempt to write a readonly database)" in found.index.notes[0]


@pytest.mark.skipif(os.geteuid() == 0, reason="root can write everything")
@pytest.mark.parametrize("part", ["folder", "file"])
def test_a_folder_or_a_file_that_cannot_be_written_is_noted(
    embedder: Trained, photos: Path, sounds: Path, part: str
) -> None:
    find(embedder, sounds / "low.wav", photos)
    file = database(embedder)
    (file if part == "file" else file.parent).chmod(0o500)
    embedded(embedder)
    found = find(embedder, sounds / "low.wav", photos)
    file.parent.chmod(0o700)
    assert found.index is not None
    assert (embedded(embedder), len(found.index.notes)) == (1, 1)


def test_names_need_not_be_text(embedder: Trained, photos: Path, sounds: Path) -> None:
    strange = photos / os.fsdecode(b"rouge \xe9\xff\n.png")
    (photos / "red.png").rename(strange)
    for count in (5, 1):
        assert find(embedder, sounds / "low.wav", photos).results[0].hits[0].path == strange
        assert embedded(embedder) == count


def test_an_interrupted_update_keeps_what_was_embedded(
    embedder: Trained, photos: Path, sounds: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cmcgan_core.inference.retrieve.embedding.BATCH", 2)

    def stop(progress: object) -> None:
        raise KeyboardInterrupt

    gallery, folder = find_gallery([str(photos)]), embedder.path.parent / "index"
    with pytest.raises(KeyboardInterrupt):
        retrieve(embedder, [sounds / "low.wav"], gallery, index_folder=folder, on_progress=stop)
    embedded(embedder)
    find(embedder, sounds / "low.wav", photos)
    assert embedded(embedder) == 1 + 3


@pytest.mark.slow
def test_a_killed_process_loses_nothing_and_disturbs_no_other(photos: Path, sounds: Path, tmp_path: Path) -> None:
    """Two processes build the same index; one of them is killed in the middle."""
    for number in range(60):
        write_jpg(photos / f"{number:03d}.png", plain((number + 5, 90, 20), (8, 8)))
    command = [sys.executable, str(Path(__file__).with_name("retrieve_fixtures.py"))]
    arguments = [str(sounds / "low.wav"), str(photos), str(tmp_path / "index")]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    processes = [
        subprocess.Popen([*command, *arguments], cwd=tmp_path, env=environment, stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    file = None
    while file is None or count_embeddings(file) < 10:
        file = next(iter((tmp_path / "index").glob("*.sqlite")), None)
        time.sleep(0.005)
    processes[0].send_signal(signal.SIGKILL)
    processes[0].wait()
    kept = count_embeddings(file)
    assert 10 <= kept < 64
    out, _ = processes[1].communicate()
    assert "faults=(), notes=()" in out
    assert count_embeddings(file) == 64
    with sqlite3.connect(file) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    trained = make_embedder(tmp_path / "slow.safetensors")
    find(trained, sounds / "low.wav", photos)
    assert embedded(trained) == 1


def count_embeddings(file: Path) -> int:
    try:
        with sqlite3.connect(f"{file.as_uri()}?mode=ro", uri=True) as connection:
            return int(connection.execute("SELECT count(*) FROM embeddings").fetchone()[0])
    except sqlite3.OperationalError:  # the tables do not exist yet
        return 0


def test_a_full_disk_is_named(tmp_path: Path) -> None:
    vectors = np.ones((10_000, 64), np.float32)

    def fill() -> None:
        with open_index(tmp_path / "index", "f" * 64) as index:
            index._connection.execute("PRAGMA max_page_count = 8")
            index.save({}, {b"content": {Modality.VISUAL: Embeddings(vectors[:, 0], vectors)}})

    with pytest.raises(DataError, match=r"cannot be used \(database or disk is full\); name another folder"):
        fill()


def test_what_cannot_be_searched_is_refused(embedder: Trained, photos: Path, sounds: Path) -> None:
    with pytest.raises(ConfigError, match="hold no sounds"):
        find(embedder, photos / "red.png", photos)
    with pytest.raises(ConfigError, match="holds no sound, picture or video"):
        find(embedder, photos / "red.png", Path(f"{photos}/*.txt"))
    with pytest.raises(ConfigError, match="top cannot be 0"):
        find(embedder, photos / "red.png", sounds, top=0)
    assert "lasts 1.00 s" in find(embedder, sounds / "low.wav", photos, at=7).results[0].error


class OnlyPictures(ColourAndPitch):
    embeds = (Modality.VISUAL,)


@pytest.mark.parametrize(
    ("network", "what"), [(OnlyPictures(), "embeds pictures"), (torch.nn.Linear(1, 1), "embeds nothing")]
)
def test_a_network_that_does_not_embed_both_is_refused(
    network: Embedder, what: str, photos: Path, sounds: Path, tmp_path: Path
) -> None:
    trained = make_embedder(tmp_path / "model.safetensors", network)
    with pytest.raises(CheckpointError, match=f"{what}.*cmcgan train DATA --preset cm-gans-small"):
        find(trained, sounds / "low.wav", photos)


def test_the_network_is_the_shipped_one_else_the_newest_run_that_embeds_both(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    device, shipped, box = torch.device("cpu"), tmp_path / "retrieval.safetensors", BOX / "last.safetensors"
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("cmcgan_core.inference.retrieve.embedding.SHIPPED", shipped)
    assert load_embedder(None, device).path == box
    for age, name in enumerate(("older", "newer", "pictures only")):
        run = Path("runs") / name
        run.mkdir(parents=True)
        if name == "pictures only":
            save_translator_to_sounds(run / "last.safetensors")
        else:
            shutil.copy(box, run / "last.safetensors")
        os.utime(run / "last.safetensors", (age, age))
    assert load_embedder(None, device).path == Path("runs/newer/last.safetensors")
    with pytest.raises(CheckpointError, match="holds a cmav, which embeds pictures, but not both"):
        load_embedder(Path("pictures only"), device)
    shutil.copy(box, shipped)
    assert load_embedder(None, device).path == shipped
    assert load_embedder(Path("older"), device).path == Path("runs/older/last.safetensors")


def save_translator_to_sounds(file: Path) -> None:
    """Save an untrained network that embeds pictures only."""
    config = load_config("i2s-small")
    network = METHODS.get("cmav").build_network(config, CLASSES, FeatureSettings())
    save_checkpoint(file, About(config, CLASSES, FeatureSettings(), 1, 1, "test", ""), network_tensors(network))


def test_embedding_in_batches_equals_embedding_alone(photos: Path, sounds: Path, tmp_path: Path) -> None:
    trained = load_checkpoint(BOX / "last.safetensors", torch.device("cpu"))
    (photos / "broken.png").write_text("no picture")
    files = sorted([*photos.iterdir(), *sounds.iterdir()])
    together = dict(embed_files(trained, files))
    for path in files:
        ((_, alone),) = embed_files(trained, [path])
        both = together[path]
        if isinstance(alone, Exception) or isinstance(both, Exception):
            assert str(alone) == str(both)
            continue
        for modality, (starts, vectors) in alone.items():
            assert starts.tolist() == pytest.approx(both[modality].starts.tolist(), nan_ok=True)
            assert np.allclose(vectors, both[modality].vectors, atol=1e-5)
