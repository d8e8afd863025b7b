"""The commands of `cmcgan human-eval`, from samples to the report, and the terminal mode."""

import csv
import io
import json
import os
import re
import socket
import sqlite3
import subprocess
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import typer
from conftest import Run
from human_eval_fixtures import PlainModel, join, make_study, rate_all, real_pairs
from PIL import Image

from cmcgan_cli.human_eval import human_eval
from cmcgan_cli.human_eval_terminal import picture_blocks
from cmcgan_core.human_eval.create import create_study
from cmcgan_core.human_eval.designs import DESIGNS, RATED_MODALITIES
from cmcgan_core.human_eval.draw import write_pairs
from cmcgan_core.human_eval.store import Store
from cmcgan_core.human_eval.study import PAGE_TEXTS, StudyPlan, open_study

SUBCOMMANDS = ("create", "inputs", "serve", "report", "export", "backup", "forget", "power")


@pytest.fixture
def run(cmcgan: Run) -> Run:
    """Call `cmcgan human-eval` with arguments."""
    return partial(cmcgan, "human-eval")


@pytest.mark.parametrize("command", SUBCOMMANDS)
def test_help_shows_an_example(run: Run, command: str) -> None:
    code, out, _ = run(command, "--help")
    assert code == 0
    assert "Example" in out
    assert f"cmcgan human-eval {command}" in out


def test_help_loads_no_web_framework() -> None:
    code = (
        "import sys; sys.argv = ['cmcgan', 'human-eval', '--help']\nfrom cmcgan_cli.app import main\n"
        "try: main()\nexcept SystemExit: pass\n"
        "print([m for m in ('torch', 'numpy', 'starlette', 'uvicorn', 'jinja2', 'krippendorff') if m in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize(
    ("option", "choices"),
    [
        ("design", list(DESIGNS)),
        ("modality", [*RATED_MODALITIES, "both"]),
        ("language", PAGE_TEXTS.languages()),
    ],
)
def test_options_list_exactly_the_names_of_the_core(run: Run, option: str, choices: list[str]) -> None:
    command = typer.main.get_command(human_eval).commands["create"]
    (parameter,) = (parameter for parameter in command.params if parameter.name == option)
    assert sorted(parameter.type.choices) == sorted(choices)
    assert "|".join(parameter.type.choices) in run("create", "--help")[1]
    code, _, err = run("create", "DATA", "--model", "RUN", f"--{option}", "best")
    assert (code, "'best' is not one of" in err) == (2, True)


def test_from_samples_to_the_report(run: Run, tmp_path: Path) -> None:
    write_pairs(real_pairs(7), tmp_path / "real")
    code, out, _ = run("inputs", tmp_path / "real", "--pairs", 3, "--out", tmp_path / "pairs")
    assert (code, "7 pairs: 3 to rate, the others for examples" in out) == (0, True)
    for picture in (tmp_path / "pairs").rglob("*.png"):
        target = tmp_path / "theirs" / picture.relative_to(tmp_path / "pairs")
        target.parent.mkdir(parents=True, exist_ok=True)
        Image.open(picture).rotate(90).save(target)
    study = tmp_path / "study"
    code, out, err = run(
        "create",
        tmp_path / "pairs",
        "-m",
        tmp_path / "theirs",
        "--design",
        "cmav",
        "--pairs",
        3,
        "--checks",
        1,
        "--out",
        study,
    )
    assert (code, "6 items, 7 for each rater" in out, "human-eval serve" in err) == (0, True, True)
    store = Store(open_study(study))
    for _ in range(2):
        rate_all(store, join(store), lambda item: {"theirs": 1, "noise": 0}.get(item.model, 3))
    code, out, _ = run("report", study, "--json", "--html", tmp_path / "report.html", "--quiet")
    rows = {row["model"]: row["mean"] for row in json.loads(out)["rows"]}
    assert rows == {"ground truth": 3.0, "theirs": 1.0}
    assert "theirs" in (tmp_path / "report.html").read_text(encoding="utf-8")
    code, out, _ = run("report", study)
    assert code == 0
    for text in ("S2I-C", "1.810", "agreement", "1.000", "0 of 2 failed"):
        assert text in out
    code, out, _ = run("export", study)
    table = list(csv.DictReader(io.StringIO(out)))
    assert len(table) == 14
    assert json.loads(run("export", study, "--json")[1])[0]["value"] == int(table[0]["value"])
    code, out, _ = run("forget", study, table[0]["rater"])
    assert code == 0
    assert len(store.answers()) == 7


def test_cells_of_a_csv_file_are_no_formulas(run: Run, tmp_path: Path) -> None:
    names = ("=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "plain")
    pairs = [
        replace(pair, name=f"{name}{number}", label=name)
        for number, pair in enumerate(real_pairs(10))
        for name in [names[number % len(names)]]
    ]
    create_study(tmp_path / "study", StudyPlan("mos", checks_per_rater=0), pairs, {"=HYPERLINK(1)": PlainModel()})
    with Store(open_study(tmp_path / "study")) as store:
        rate_all(store, join(store), lambda item: 3)
    code, out, _ = run("export", tmp_path / "study")
    rows = list(csv.reader(io.StringIO(out)))
    assert (code, len(rows)) == (0, 13)
    assert not any(cell.startswith(("=", "+", "-", "@", "\t", "\r")) for row in rows for cell in row)
    assert {"'=1+1", "plain"} < {cell for row in rows for cell in row}
    exported = json.loads(run("export", tmp_path / "study", "--json")[1])
    assert {row["label"] for row in exported} == set(names)  # a program gets the names as they are


def test_a_backup_is_one_file(run: Run, tmp_path: Path) -> None:
    study = make_study(tmp_path / "study")
    with Store(study) as store:
        rate_all(store, join(store), lambda item: 1)
        code, out, _ = run("backup", study.root, "--out", tmp_path / "copy.db")
        assert (code, out.strip()) == (0, str(tmp_path / "copy.db"))
        code, _, err = run("backup", study.root, "--out", study.database)
        assert (code, "choose another --out" in err.replace("\n", " ")) == (1, True)
        stored = sqlite3.connect(tmp_path / "copy.db").execute("SELECT count(*) FROM answers").fetchone()
        assert stored == (store.total,)


def test_power_prints_the_number_of_raters(run: Run) -> None:
    assert run("power", 0.7, 0.6, "--items", 10, "--spread", 0)[:2] == (0, "38 raters\n")
    assert "no number of raters" in run("power", 0.5, 0.5)[1]


def test_a_port_that_is_taken_is_named_before_any_address_is_printed(run: Run, tmp_path: Path) -> None:
    make_study(tmp_path / "study")
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        code, out, err = run("serve", tmp_path / "study", "--port", port)
    assert (code, out) == (1, "")
    assert err == f"error: port {port} cannot be used (address already in use); choose another --port\n"


def test_public_needs_codes(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CMCGAN_ACCESS_CODE", raising=False)
    make_study(tmp_path / "study")
    for options in (
        [],
        ["--access-code", "cello-4711"],
        ["--admin-token", "x" * 16],
        ["--access-code", "abc", "--admin-token", "x" * 16],
    ):
        for kind in ("--public", "--proxy"):
            code, _, err = run("serve", tmp_path / "study", kind, *options)
            assert (code, "--access-code of 6" in err, kind in err) == (2, True, True)


def test_errors_name_the_next_command(run: Run, tmp_path: Path) -> None:
    code, out, err = run("report", tmp_path)
    assert (code, out) == (1, "")
    assert "cmcgan human-eval create" in err
    assert run("create", tmp_path, "-m", tmp_path, "--design", "best")[0] == 2
    assert run("create", tmp_path, "-m", "a=x", "-m", "a=y")[0] == 2
    make_study(tmp_path / "study")
    code, _, err = run("forget", tmp_path / "study", "nobody")
    assert (code, "cmcgan human-eval export" in err.replace("\n", " ")) == (2, True)


def test_a_picture_becomes_blocks_of_colour(tmp_path: Path) -> None:
    picture = np.zeros((4, 4, 3), dtype=np.uint8)
    picture[0] = (255, 0, 0)
    picture[1] = (0, 0, 255)
    Image.fromarray(picture).save(tmp_path / "a.png")
    rows = picture_blocks(tmp_path / "a.png", 4)
    assert rows == [[((255, 0, 0), (0, 0, 255))] * 4, [((0, 0, 0), (0, 0, 0))] * 4]


def test_a_rater_in_a_terminal_stops_and_resumes(tmp_path: Path) -> None:
    study = make_study(tmp_path / "study", per_rater=3, checks_per_rater=1)
    # The input ends after the last line, as when a connection is lost.
    output = run_terminal(study.root, "y\n" + "\n" * 4 + "1\nb\n3\n2\nr\n9\n")
    key = output.split("--resume ")[1].split()[0]
    assert "▀" in output
    assert str(study.media) in output  # Over ssh, the path of a sound is printed instead of playing it.
    assert [answer.value for answer in Store(study).answers()] == [2, 1]
    output = run_terminal(study.root, "1\n1\n", "--resume", key)
    assert "Question 3 of 4" in output
    assert [(a.value, a.revisions) for a in Store(study).answers()] == [(2, 2), (1, 1), (0, 1), (0, 1)]
    assert Store(study).answers()[0].rater in output


def test_the_terminal_speaks_the_language_of_the_study(tmp_path: Path) -> None:
    study = make_study(tmp_path / "study", per_rater=3, checks_per_rater=1, language="de")
    assert run_terminal(study.root, "n\n").endswith("[j/N]: ")
    output = run_terminal(study.root, "j\n" + "\n" * 4 + "1\n")
    assert "r  noch einmal abspielen, b  zurück" in output
    assert "weiter mit: cmcgan human-eval serve" in output
    assert not re.search(r"replay|back|Enter|resume with|\by\b", output.replace("--resume", ""))


def run_terminal(root: Path, typed: str, *options: str) -> str:
    """Run the terminal mode over ssh with this input, and return its output."""
    command = [sys.executable, "-m", "cmcgan_cli", "human-eval", "serve", str(root), "--terminal", *options]
    environment = {**os.environ, "SSH_CONNECTION": "here there", "COLUMNS": "100"}
    result = subprocess.run(command, input=typed, capture_output=True, text=True, env=environment, check=False)
    assert result.returncode in (0, 130), result.stderr
    return result.stdout


def test_everything_except_the_server_works_without_a_web_framework() -> None:
    code = (
        "import sys; sys.modules['starlette'] = sys.modules['uvicorn'] = sys.modules['krippendorff'] = None\n"
        "from cmcgan_core.human_eval import create, draw, export, pages, report, store, study, summary\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
