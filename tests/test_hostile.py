"""Hostile and damaged files: each mutant loads, or raises one of the project's errors, and takes no time.

The mutants of a checkpoint, a dataset, a rating study and a run folder are drawn at random from a fixed seed.
`CMCGAN_MUTANTS` sets their number for each of the four (default 50); `CMCGAN_MUTANTS_SEED` draws others.
"""

import json
import os
import random
import shutil
import time
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tomli_w
import torch
from conftest import write_dataset
from human_eval_fixtures import join, make_study, rate_all
from safetensors.torch import save_file
from test_checkpoint import parts
from test_checkpoint import write as write_checkpoint

from cmcgan_core.checkpoint import load_checkpoint
from cmcgan_core.config import load_config
from cmcgan_core.data.dataset import open_dataset
from cmcgan_core.data.prepare.shards import check
from cmcgan_core.errors import CmcganError, DataError
from cmcgan_core.experiments.recipes import load_study
from cmcgan_core.human_eval.export import export_answers
from cmcgan_core.human_eval.store import Store
from cmcgan_core.human_eval.study import open_study
from cmcgan_core.human_eval.summary import summarise_models_so_far
from cmcgan_core.run_folder import RunFolder, resume_config
from cmcgan_core.training.log import is_falling, read_log
from cmcgan_core.utils.toml import dump_toml

MUTANTS = int(os.environ.get("CMCGAN_MUTANTS", "50"))
SEED = int(os.environ.get("CMCGAN_MUTANTS_SEED", "0"))
#: Seconds of computation that a mutant may take; good files take less than 0.1 s.
PATIENCE = 5.0
#: Values that replace others in documents.
ODD_VALUES: list[Any] = [
    None,
    True,
    False,
    0,
    -1,
    1,
    2**31,
    2**63,
    -(2**63),
    10**30,
    10**400,
    0.0,
    -0.5,
    1e-320,
    1e300,
    float("nan"),
    float("inf"),
    -float("inf"),
    "",
    "x",
    "../x",
    "/x",
    "\0",
    "a\nb",
    "x" * 10_000,
    "\u2028",
    [],
    [[]],
    [1, "a"],
    ["a", "a"],
    {},
    {"a": 1},
    {"": {}},
    [[[[[[[[1]]]]]]]],
]
#: TOML text that replaces a line.
ODD_LINES = [
    "x = " + "[" * 3000,
    "x = " + "9" * 5000,
    "x = 0x" + "f" * 5000,
    "[" + "a." * 3000 + "a]",
    "= 1",
    'x = "',
    "\0",
    "x = 1\nx = 2",
    "[[rows]]",
    "features = 7",
    "format = 2024-01-01",
    "classes = {}",
    "pairs = nan",
    "seconds = inf",
]


def mutate_document(document: Any, rng: random.Random) -> Any:
    """Return a document in which one value at a random place is replaced, removed or added."""
    places: list[tuple[Any, Any]] = []

    def walk(part: Any) -> None:
        for key in list(part) if isinstance(part, dict) else range(len(part)):
            places.append((part, key))
            if isinstance(part[key], dict | list):
                walk(part[key])

    copied = json.loads(json.dumps(document))
    walk(copied)
    part, key = rng.choice(places)
    action = rng.random()
    if action < 0.15:
        del part[key]
    elif action < 0.25 and isinstance(part, dict):
        part[rng.choice(["x", "", "config", "é", "a.b"])] = rng.choice(ODD_VALUES)
    else:
        part[key] = rng.choice(ODD_VALUES)
    return copied


def mutate_bytes(file: Path, rng: random.Random) -> None:
    """Flip some bytes of a file, cut it, empty it, or write a piece of it twice."""
    data = bytearray(file.read_bytes())
    action, place = rng.random(), rng.randrange(max(1, len(data)))
    if action < 0.6:
        # Headers are where programs believe what they read, so they are hit more often.
        end = len(data) if rng.random() < 0.5 else min(len(data), 4096)
        for _ in range(rng.choice([1, 1, 2, 8, 64])):
            data[rng.randrange(end)] = rng.randrange(256)
    elif action < 0.8:
        data = data[:place]
    elif action < 0.9:
        data[place:place] = data[place : place + rng.randrange(1, 200)]
    else:
        data = bytearray(rng.choice([b"", b"\0" * len(data), b"\xff" * 100]))
    file.write_bytes(data)


def mutate_toml(file: Path, rng: random.Random) -> None:
    """Replace a value, a line or bytes of a TOML file."""
    if rng.random() < 0.25:
        mutate_bytes(file, rng)
    elif rng.random() < 0.4:
        lines = file.read_text().splitlines()
        lines[rng.randrange(len(lines))] = rng.choice(ODD_LINES)
        file.write_text("\n".join(lines))
    else:
        changed = mutate_document(tomllib.loads(file.read_text()), rng)
        try:
            file.write_text(dump_toml(changed))
        except (TypeError, ValueError, AttributeError, UnicodeError):  # not possible in TOML
            file.write_text(tomli_w.dumps({"x": 1}))


def survive(use: Callable[[], object], what: str) -> None:
    """Use a mutant; anything but success or one of the project's errors fails the test."""
    started = time.process_time()
    try:
        use()
    except CmcganError as error:
        message = str(error)
        assert message, what
        assert len(message) < 5000, f"{what}: {message[:200]}"
    assert time.process_time() - started < PATIENCE, what


def each(name: str) -> list[Any]:
    """Return the parameters of a test: the mutants' rngs by number, in groups that share their preparation."""
    return [
        pytest.param(range(first, min(first + 20, MUTANTS)), id=f"{name}-{first}") for first in range(0, MUTANTS, 20)
    ]


def rng_of(name: str, number: int) -> random.Random:
    return random.Random(f"{SEED} {name} {number}")


@pytest.mark.parametrize("numbers", each("checkpoint"))
def test_checkpoints(tmp_path: Path, numbers: range) -> None:
    good = write_checkpoint(tmp_path / "good.safetensors")
    document, tensors = parts(good)
    file = tmp_path / "mutant.safetensors"
    for number in numbers:
        rng = rng_of("checkpoint", number)
        action = rng.random()
        if action < 0.55:
            save_file(tensors, file, metadata={"cmcgan": json.dumps(mutate_document(document, rng))})
        elif action < 0.75:
            save_file(mutate_tensors(tensors, rng), file, metadata={"cmcgan": json.dumps(document)})
        else:
            shutil.copy(good, file)
            mutate_bytes(file, rng)
        survive(lambda: load_checkpoint(file, torch.device("cpu")), f"checkpoint {number}")


def mutate_tensors(tensors: dict[str, torch.Tensor], rng: random.Random) -> dict[str, torch.Tensor]:
    """Replace, remove or add a tensor."""
    name = rng.choice(sorted(tensors))
    tensor = tensors[name]
    odd = [
        tensor[:0].clone(),
        tensor.double() if tensor.is_floating_point() else tensor.float(),
        tensor.bool(),
        tensor.to(torch.bfloat16),
        torch.full_like(tensor, -1),
        tensor[None].clone(),
        torch.zeros(()),
        torch.full(tensor.shape, float("nan")),
        torch.full(tensor.shape, 3e38),
    ]
    changed = {**tensors, rng.choice([name, "network.x", "familiarity.audio.threshold"]): rng.choice(odd)}
    if rng.random() < 0.2:
        del changed[name]
    return changed


@pytest.mark.parametrize("numbers", each("dataset"))
def test_datasets(tmp_path: Path, numbers: range, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("conftest.COUNTS", {"train": 2, "validation": 1, "test": 1})
    good = write_dataset(tmp_path / "good")
    for number in numbers:
        data, rng = tmp_path / f"{number}", rng_of("dataset", number)
        shutil.copytree(good, data)
        action = rng.random()
        if action < 0.45:
            mutate_toml(data / "dataset.toml", rng)
        elif action < 0.7:
            mutate_index(data / "index.csv", rng)
        else:
            mutate_shard(rng.choice(sorted((data / "shards").iterdir())), rng)

        def use(data: Path = data) -> None:
            dataset = open_dataset(data)
            for split in ("train", "test"):
                pairs = dataset.split(split)
                pairs.read(list(range(len(pairs))))

        survive(use, f"dataset {number}")
        survive(lambda data=data: check(data), f"dataset {number}")
        shutil.rmtree(data)


def mutate_index(file: Path, rng: random.Random) -> None:
    """Replace a cell, or bytes, of an index."""
    if rng.random() < 0.4:
        mutate_bytes(file, rng)
        return
    rows = [line.split(",") for line in file.read_text().splitlines()]
    row = rng.choice(rows)
    odd = ["nan", "inf", "1e400", "-1", "", '"', "../x", "\0", "9" * 5000, "1_0", "\u0663", "é", "\r", "1e18"]
    row[rng.randrange(len(row))] = rng.choice(odd)
    file.write_text("\n".join(map(",".join, rows)) + "\n")


def mutate_shard(file: Path, rng: random.Random) -> None:
    """Give a shard another type, shape or header, or damage its bytes."""
    if rng.random() < 0.5:
        mutate_bytes(file, rng)
        return
    array = np.load(file)
    with file.open("wb") as out:
        if rng.random() < 0.3:
            header = rng.choice(
                [
                    "{'descr': '|u1', 'fortran_order': False, 'shape': (10**9, 10**9)}",
                    "{'descr': '<f2', 'fortran_order': False, 'shape': (99999999999999999999, 3)}",
                    "{'descr': '<f2', 'fortran_order': False, 'shape': (-1, 3)}",
                    "(" * 200,
                    "{" + "'a': " * 50,
                    "{'descr': [('a', '<f2')], 'fortran_order': False, 'shape': (69, 128, 44)}",
                    "{'descr': '|O', 'fortran_order': False, 'shape': (69,)}",
                ]
            ).encode()
            out.write(b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + array.tobytes()[:1000])
        else:
            odd = [array.astype(np.float32), array[:-1], array.reshape(-1), array.astype(">i8"), array[..., :0]]
            np.save(out, rng.choice([*odd, np.full_like(array, np.nan if array.dtype == np.float16 else 0)]))


@pytest.fixture(scope="module")
def rated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A rating study with some answers, in one file."""
    study = make_study(tmp_path_factory.mktemp("study") / "study", per_rater=4)
    with Store(study) as store:
        for value in (0, 2):
            rate_all(store, join(store), lambda _item, value=value: value)
    return study.root


@pytest.mark.parametrize("numbers", each("study"))
def test_rating_studies(tmp_path: Path, rated: Path, numbers: range) -> None:
    for number in numbers:
        root, rng = tmp_path / f"{number}", rng_of("study", number)
        shutil.copytree(rated, root)
        if rng.random() < 0.3:
            mutate_toml(root / "study.toml", rng)
        elif rng.random() < 0.5:
            mutate_bytes(root / "study.db", rng)
        else:
            mutate_database(root / "study.db", rng)

        def use(root: Path = root) -> None:
            study = open_study(root)
            store = Store(study)
            try:
                export_answers(store, "csv")
                summarise_models_so_far(study, store.count_values())
                assert store.examples()
                assert store.ratings_by_item()
                rater = join(store)
                assert store.next_task(rater)
                assert store.upcoming_task(rater) or store.total == 1
            finally:
                store.close()

        survive(use, f"study {number}")
        shutil.rmtree(root)


@pytest.mark.parametrize("column", ["items.pair", "items.label", "raters.id"])
def test_a_text_in_a_database_that_is_not_utf_8_is_named(tmp_path: Path, rated: Path, column: str) -> None:
    import sqlite3

    root = shutil.copytree(rated, tmp_path / "study")
    table, name = column.split(".")
    connection = sqlite3.connect(root / "study.db")
    connection.execute(f"UPDATE {table} SET {name} = CAST(X'63ff' AS TEXT) WHERE rowid = 1")
    connection.commit()
    connection.close()
    with pytest.raises(DataError, match=r"study\.db cannot be used \(Could not decode to UTF-8|refers to another"):
        Store(open_study(root))


def mutate_database(file: Path, rng: random.Random) -> None:
    """Change a value, remove rows, or change the tables of a database."""
    import sqlite3

    connection = sqlite3.connect(file)
    table = rng.choice(["items", "items", "raters", "assignments", "answers", "answers", "secrets"])
    columns = [row[1] for row in connection.execute(f"PRAGMA table_info({table})")]
    odd = [
        -1,
        0,
        99,
        2**62,
        1e300,
        -1e300,
        float("inf"),
        "",
        "x",
        "../x",
        b"\xff\xfe",
        "x" * 9999,
        "example x",
        "check",
    ]
    statement = rng.choice(
        [f"UPDATE {table} SET {rng.choice(columns)} = ? WHERE rowid = (SELECT max(rowid) FROM {table})"] * 8
        + [f"UPDATE {table} SET {rng.choice(columns)} = ?"] * 2
        + [f"DELETE FROM {table} WHERE ? IS NOT NULL", f"ALTER TABLE {table} RENAME TO other"]
    )
    try:
        connection.execute(statement, (rng.choice(odd),) if "?" in statement else ())
        connection.commit()
    except sqlite3.Error:
        pass  # the database refuses this change
    finally:
        connection.close()


@pytest.mark.parametrize("numbers", each("run"))
def test_run_folders_configurations_and_studies(tmp_path: Path, numbers: range) -> None:
    folder = RunFolder(tmp_path)
    config = dump_toml(load_config("small").to_dict())
    recipe = (
        'title = "t"\nseconds = 5\nseeds = [0]\nset = ["train.batch_size=8"]\n[rows.a]\npreset = "tiny"\nset = []\n'
    )
    log = "".join(json.dumps({"step": n, "epoch": 0, "seconds": 0.5, "class": 1 / n}) + "\n" for n in range(1, 20))
    for number in numbers:
        rng = rng_of("run", number)
        files = {
            folder.config: config,
            folder.info: 'data = "prepared"\ndevice = "cpu"\n',
            tmp_path / "s.toml": recipe,
            folder.log: log,
        }
        for file, text in files.items():
            file.write_text(text)
        changed = rng.choice([*files, folder.config])
        mutate_bytes(changed, rng) if changed == folder.log else mutate_toml(changed, rng)
        survive(lambda: resume_config(tmp_path), f"run {number}")
        survive(lambda: load_config("tiny", folder.config), f"run {number}")
        survive(lambda: load_study(tmp_path / "s.toml"), f"run {number}")
        survive(lambda: is_falling(read_log(folder.log), {"class": 1.0}, 20), f"run {number}")
