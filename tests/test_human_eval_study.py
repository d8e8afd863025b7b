"""Rating studies: drawing, blinding, order and durability."""

import sqlite3
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import soundfile
from human_eval_fixtures import PlainModel, join, make_study, rate_all, real_pairs
from PIL import Image

from cmcgan_core.errors import ConfigError, DataError
from cmcgan_core.human_eval.create import LEVEL_DBFS, create_study
from cmcgan_core.human_eval.draw import draw_evenly, draw_pairs, open_rated_model, write_pairs
from cmcgan_core.human_eval.pages import swap_preference
from cmcgan_core.human_eval.store import Store, draw_check_positions
from cmcgan_core.human_eval.study import StudyPlan, open_study


def test_files_do_not_reveal_the_model(tmp_path: Path) -> None:
    study = make_study(tmp_path / "study", checks_per_rater=2)
    media = sorted(study.media.iterdir())
    assert {path.name for path in media} == Store(study).media_names()
    assert all(len(path.stem) == 24 and int(path.stem, 16) >= 0 for path in media)
    assert {path.stat().st_mtime for path in media} == {0}
    assert {Image.open(path).size for path in media if path.suffix == ".png"} == {(32, 32)}
    levels = [soundfile.read(path)[0] for path in media if path.suffix == ".wav"]
    for sound in levels:
        assert 20 * np.log10(np.sqrt(np.mean(sound**2))) == pytest.approx(LEVEL_DBFS, abs=0.1)


def test_a_run_and_a_dataset_become_a_study(tiny_run: Path, prepared: Path, tmp_path: Path) -> None:
    pairs = draw_pairs(prepared, 2 + 4, seed=3)
    study = create_study(
        tmp_path / "study", StudyPlan("ast-aat", seed=3), pairs, {"tiny": open_rated_model(tiny_run, 3)}
    )
    items = [item for item, _ in Store(study).ratings_by_item()]
    assert Counter((item.model, item.modality) for item in items) == {
        (model, modality): 2 for model in ("ground truth", "tiny") for modality in ("picture", "sound")
    }
    assert "last.safetensors" in study.plan.models["tiny"]
    assert [pair.name for pair in draw_pairs(prepared, 6, seed=3)] == [pair.name for pair in pairs]
    assert [pair.name for pair in draw_pairs(prepared, 6, seed=4)] != [pair.name for pair in pairs]


def test_classes_take_turns_in_the_draw() -> None:
    labels = ["a"] * 50 + ["b"] * 3 + ["c"] * 2
    drawn = [labels[position] for position in draw_evenly(labels, 8, seed=0)]
    assert Counter(drawn) == {"a": 3, "b": 3, "c": 2}
    assert len(set(draw_evenly(labels, 55, seed=0))) == 55


def test_a_folder_of_samples_can_be_rated(tmp_path: Path) -> None:
    write_pairs(real_pairs(6), tmp_path / "pairs")
    for name in ("cello/p0", "flute/p1", "cello/p2"):
        target = tmp_path / "theirs" / f"{name}.jpg"
        target.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (50, 40), (200, 10, 10)).save(target)
    pairs = draw_pairs(tmp_path / "pairs", 6, seed=0)
    assert {pair.label for pair in pairs} == {"cello", "flute"}
    ordered = sorted(pairs, key=lambda pair: pair.name not in ("cello/p0", "flute/p1"))
    study = create_study(
        tmp_path / "study", StudyPlan("mos"), ordered, {"theirs": open_rated_model(tmp_path / "theirs", 0)}
    )
    items = [item for item, _ in Store(study).ratings_by_item() if item.model == "theirs"]
    assert {(item.pair, item.modality) for item in items} == {("cello/p0", "picture"), ("flute/p1", "picture")}


def test_errors_say_what_to_do(tmp_path: Path) -> None:
    study = make_study(tmp_path / "study")
    with pytest.raises(ConfigError, match="choose another --out"):
        make_study(study.root)
    with pytest.raises(DataError, match="cmcgan human-eval create"):
        open_study(tmp_path)
    with pytest.raises(DataError, match="at least 5 are needed"):
        make_study(tmp_path / "few", pairs=0)
    with pytest.raises(ConfigError, match="applies to pictures only"):
        make_study(tmp_path / "cmav", "cmav", modalities=("sound",))
    with pytest.raises(ConfigError, match="ground truth"):
        create_study(tmp_path / "name", StudyPlan("mos"), real_pairs(5), {"ground truth": PlainModel()})
    with pytest.raises(DataError, match="the same names as the pairs"):
        create_study(tmp_path / "none", StudyPlan("mos"), real_pairs(5), {"silent": PlainModel(modalities=())})
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=r"neither a run .* nor samples"):
        open_rated_model(tmp_path / "empty", 0)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["empty", "study"]  # no partial folder is left
    study.database.write_bytes(b"no database at all" * 100)
    with pytest.raises(DataError, match=r"study\.db cannot be used"):
        Store(study)
    study.database.unlink()
    with pytest.raises(DataError, match=r"has no study\.db"):
        open_study(study.root)


def test_items_are_rated_equally_often_and_in_each_raters_own_order(tmp_path: Path) -> None:
    store = Store(make_study(tmp_path / "study", per_rater=6, checks_per_rater=2))
    assert store.total == 8
    orders = []
    for _ in range(6):  # 18 items; 6 raters of 6 items each: every item twice
        rater = join(store)
        order: list[str] = []
        rate_all(store, rater, lambda item, order=order: order.append(f"{item.role} {item.model} {item.shown}") or 1)
        orders.append(order)
        assert sum(entry.startswith("check") for entry in order) == 2
        models = Counter(entry.split()[1] for entry in order if entry.startswith("rated"))
        assert max(models.values()) <= 4
        assert len(set(order)) == 8
    assert {count for _, count in store.ratings_by_item()} == {2}
    assert len({tuple(order) for order in orders}) == 6


def test_checks_are_spread_over_the_questions() -> None:
    plan = StudyPlan("mos", seed=1)
    for rater in ("r1", "r2", "r3"):
        first, second, third = draw_check_positions(plan, rater, total=30, checks=3)
        assert 0 <= first < 10 <= second < 20 <= third < 30


def test_an_answer_is_stored_once_even_if_sent_twice(tmp_path: Path) -> None:
    study = make_study(tmp_path / "study")
    store = Store(study)
    rater = join(store)

    def send(position: int, revision: int, value: int) -> bool:
        return store.add_answer(rater, position, revision, value, seconds=1.5, replays=0)

    assert send(0, 0, 2)
    assert not send(0, 0, 2)  # again
    assert not send(0, 0, 1)  # a second tab with another answer
    assert not send(3, 0, 1)  # ahead
    assert not send(1, 0, 7)  # not an answer of this design
    assert send(0, 1, 0)  # a correction of the last one
    assert send(1, 0, 1)
    assert not send(0, 2, 2)  # too late
    (answer,) = [answer for answer in store.answers() if answer.position == 0]
    assert (answer.value, answer.revisions) == (0, 2)
    rows = sqlite3.connect(study.database).execute("SELECT position, revision, value FROM answers ORDER BY 1, 2")
    assert rows.fetchall() == [(0, 0, 2), (0, 1, 0), (1, 0, 1)]


def test_a_rater_resumes_where_they_stopped(tmp_path: Path) -> None:
    study = make_study(tmp_path / "study")
    store = Store(study)
    token = store.add_rater("de")
    rater = store.find_rater(token)
    assert rater is not None
    store.add_answer(rater, 0, 0, 1, seconds=None, replays=0)
    open_task = store.next_task(rater)
    store.close()
    reopened = Store(study)
    assert reopened.find_rater(token) == rater
    assert reopened.next_task(rater) == open_task
    assert reopened.find_rater("guessed") is None
    assert token.encode() not in study.database.read_bytes()


def test_a_preference_does_not_depend_on_the_side(tmp_path: Path) -> None:
    study = make_study(tmp_path / "study", "pairwise", checks_per_rater=0, per_rater=18)
    store = Store(study)
    rater = join(store)
    sides = set()
    while (task := store.next_task(rater)) is not None:
        sides.add(task.swapped)
        button = 2 if task.swapped else 1  # always the item's first model
        value = swap_preference(study.design, task, button)
        store.add_answer(rater, task.position, 0, value, seconds=1, replays=0)
    assert sides == {True, False}
    assert {answer.value for answer in store.answers()} == {1}
    assert Counter(tuple(sorted((a.model, a.rival))) for a in store.answers()) == {
        ("alpha", "ground truth"): 6,
        ("beta", "ground truth"): 6,
        ("alpha", "beta"): 6,
    }


def test_a_rater_who_withdraws_is_deleted(tmp_path: Path) -> None:
    store = Store(make_study(tmp_path / "study"))
    leaves, stays = join(store), join(store)
    for rater in (leaves, stays):
        rate_all(store, rater, lambda item: 1)
    assert store.forget(leaves.id)
    assert {answer.rater for answer in store.answers()} == {stays.id}
    assert not store.forget(leaves.id)


def test_the_shipped_model_can_be_rated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert set(open_rated_model(Path("box"), 0).available("any pair")) == {"picture", "sound"}
