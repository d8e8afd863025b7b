"""Rating studies: drawing, blinding, order and durability."""

import shutil
import sqlite3
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
from human_eval_fixtures import PlainModel, join, make_study, rate_all, real_pairs
from PIL import Image

from cmcgan_core.errors import ConfigError, DataError
from cmcgan_core.human_eval.create import LEVEL_DBFS, create_study
from cmcgan_core.human_eval.draw import draw_evenly, draw_pairs, open_rated_model, write_pairs
from cmcgan_core.human_eval.pages import swap_preference, task_files
from cmcgan_core.human_eval.store import Store, StudyItem, draw_check_positions
from cmcgan_core.human_eval.study import StudyPlan, open_study
from cmcgan_core.human_eval.summary import summarise, summarise_models_so_far


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


@pytest.mark.parametrize("design", ["ast-aat", "pairwise"])
def test_no_two_files_of_a_rater_can_be_linked(tmp_path: Path, design: str) -> None:
    pairs = [replace(pair, sound=pair.sound[: 4410 - 300 * number]) for number, pair in enumerate(real_pairs(9))]
    plan = StudyPlan(design, per_rater=40, checks_per_rater=4)
    study = create_study(tmp_path / "study", plan, pairs, {"alpha": PlainModel(40), "beta": PlainModel(28)})
    # One size for all pictures and one for all sounds: neither lengths nor ETags, which are made of the size, differ.
    for suffix in (".png", ".wav"):
        assert len({path.stat().st_size for path in study.media.glob(f"*{suffix}")}) == 1
    assert study.plan.sound_seconds == (4410 - 300 * 8) / 44_100
    with Store(study) as store:
        examples = store.examples()
        for _ in range(4):
            items: list[StudyItem] = []
            rate_all(store, join(store), lambda item, items=items: items.append(item) or design == "pairwise")
            seen = [*examples, *items]
            sources = {study.medium(item.source).read_bytes() for item in seen}
            candidates = {study.medium(name).read_bytes() for item in seen for name in (item.shown, item.other) if name}
            assert not sources & candidates  # where both directions are asked, a real half is both
            directions = {(item.pair, item.modality) for item in items}
            assert {modality for _, modality in directions} == {"picture", "sound"}
            assert len(directions) == len({pair for pair, _ in directions})
            assert len(items) == store.total


def test_the_order_of_preloading_does_not_tell_the_candidates_apart(tmp_path: Path) -> None:
    with Store(make_study(tmp_path / "study", "pairwise")) as store:
        task = store.next_task(join(store))
    assert task is not None
    exchanged = replace(task, item=replace(task.item, shown=task.item.other, other=task.item.shown))
    assert task_files(exchanged) == task_files(task)


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
    for _ in range(6):  # 18 items; 6 raters of 6 items each: every item about twice
        rater = join(store)
        order: list[str] = []
        rate_all(store, rater, lambda item, order=order: order.append(f"{item.role} {item.model} {item.shown}") or 1)
        orders.append(order)
        assert sum(entry.startswith("check") for entry in order) == 2
        models = Counter(entry.split()[1] for entry in order if entry.startswith("rated"))
        assert max(models.values()) <= 4
        assert len(set(order)) == 8
    counts = [count for _, count in store.ratings_by_item()]
    assert (sum(counts), max(counts) - min(counts) <= 2) == (36, True)
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
        ("alpha", "ground truth"): 3,
        ("beta", "ground truth"): 3,
        ("alpha", "beta"): 3,
    }


def test_the_file_of_a_closed_study_holds_every_answer(tmp_path: Path) -> None:
    study = make_study(tmp_path / "study")
    reader = sqlite3.connect(study.database)  # another program has the database open
    assert reader.execute("SELECT count(*) FROM answers").fetchone() == (0,)
    with Store(study) as store:
        rate_all(store, join(store), lambda item: 1)
    assert count_in_file(study.database, tmp_path / "copy.db") == store.total
    reader.close()


def count_in_file(database: Path, copy: Path) -> int:
    """Return how many answers the file of a database holds, without its write-ahead log."""
    shutil.copyfile(database, copy)
    connection = sqlite3.connect(copy)
    (count,) = connection.execute("SELECT count(*) FROM answers").fetchone()
    connection.close()
    return int(count)


def test_a_backup_of_an_open_study_holds_every_answer_so_far(tmp_path: Path) -> None:
    study = make_study(tmp_path / "study")
    backup = tmp_path / "backups" / "monday.db"
    with Store(study) as store, Store(study) as another:
        rate_all(store, join(store), lambda item: 1)
        another.back_up(backup)
        rate_all(store, join(store), lambda item: 2)
        with pytest.raises(DataError, match="the study's own database; choose another --out"):
            another.back_up(study.root / ".." / "study" / "study.db")
        with pytest.raises(DataError, match="cannot be written"):
            another.back_up(study.media)
    assert [path.name for path in backup.parent.iterdir()] == ["monday.db"]
    shutil.copyfile(backup, study.database)  # as the documentation says
    with Store(study) as restored:
        assert {answer.value for answer in restored.answers()} == {1}
        assert len(restored.answers()) == restored.total


def test_answers_that_arrive_together_share_a_commit(tmp_path: Path) -> None:
    with Store(make_study(tmp_path / "study")) as store:
        raters = [join(store) for _ in range(5)]
        statements: list[str] = []
        store._writer.set_trace_callback(statements.append)
        with ThreadPoolExecutor(len(raters) + 1) as threads:
            with store._writing:  # as while another commit waits for the disk
                waiting = [
                    threads.submit(store.add_answer, rater, 0, 0, 1, seconds=None, replays=0) for rater in raters
                ]
                broken = threads.submit(store._commit, lambda: store._write("INSERT INTO raters VALUES (1)"))
                while len(store._waiting) < len(raters) + 1:
                    time.sleep(0.001)
            assert all(future.result() for future in waiting)
            with pytest.raises(sqlite3.OperationalError):
                broken.result()
        assert statements.count("COMMIT") == 1
        assert [answer.rater for answer in store.answers()] != []
        assert {answer.rater for answer in store.answers()} == {rater.id for rater in raters}


def test_an_answer_is_not_acknowledged_if_it_cannot_be_written(tmp_path: Path) -> None:
    with Store(make_study(tmp_path / "study")) as store:
        rater = join(store)
        pages = store._writer.execute("PRAGMA page_count").fetchone()[0]
        store._writer.execute(f"PRAGMA max_page_count = {pages}")  # as on a full disk

        def fill_disk() -> None:
            rate_all(store, rater, lambda item: 1)
            for _ in range(1000):
                join(store)

        with pytest.raises(sqlite3.OperationalError, match="full"):
            fill_disk()
        store._writer.execute("PRAGMA max_page_count = 100000")
        rate_all(store, rater, lambda item: 1)
        assert len(store.answers()) == store.total


def test_a_question_costs_the_same_with_few_and_with_many_answers(tmp_path: Path) -> None:
    with Store(make_study(tmp_path / "study")) as store:
        store._writer.execute("PRAGMA synchronous=OFF")  # this test is about queries, not about the disk

        def count_steps() -> int:
            """Return how many steps SQLite takes for all questions of a rater."""
            steps = [0]
            for connection in (store._writer, store._reader):
                connection.set_progress_handler(lambda: steps.__setitem__(0, steps[0] + 1) or 0, 10)
            rate_all(store, join(store), lambda item: 1)
            for connection in (store._writer, store._reader):
                connection.set_progress_handler(None, 0)
            return steps[0]

        first = count_steps()
        for _ in range(60):
            rate_all(store, join(store), lambda item: 1)
        assert count_steps() < 1.1 * first


def test_the_number_of_ratings_of_an_item_is_kept(tmp_path: Path) -> None:
    study = make_study(tmp_path / "study")
    with Store(study) as store:
        leaves, stays = join(store), join(store)
        for rater in (leaves, stays):
            rate_all(store, rater, lambda item: 1)
        store.add_answer(stays, store.total - 1, 1, 0, seconds=1.0, replays=0)  # a correction
        store.forget(leaves.id)
        rated = [answer for answer in store.answers() if answer.role == "rated"]
        assert sum(count for _, count in store.ratings_by_item()) == len(rated)
    with Store(study):  # checks the numbers
        pass
    with sqlite3.connect(study.database) as connection:
        connection.execute("UPDATE items SET ratings = ratings + 1 WHERE id = 1")
    connection.close()
    with pytest.raises(DataError, match="the number of ratings of an item is wrong"):
        Store(study)


@pytest.mark.parametrize("design", ["ast-aat", "pairwise"])
def test_the_means_of_a_running_study_are_those_of_the_report(tmp_path: Path, design: str) -> None:
    study = make_study(tmp_path / "study", design, checks_per_rater=0)  # so the report excludes nobody
    values = study.design.values
    with Store(study) as store:
        for number in range(3):
            rate_all(store, join(store), lambda item, n=number: values[(n + len(item.model)) % len(values)])
        running = summarise_models_so_far(study, store.count_values())
        assert running == [
            (row.model, row.modality, row.measure, row.answers, pytest.approx(row.mean))
            for row in summarise(study, store).rows
        ]


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
