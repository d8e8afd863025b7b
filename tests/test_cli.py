import inspect
import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
from conftest import Run, tiny_config
from media_fixtures import plain, write_jpg, write_video
from PIL import Image

from cmcgan_cli import console
from cmcgan_cli.__main__ import interrupt
from cmcgan_core.checkpoint import Trained
from cmcgan_core.errors import CheckpointError, Interrupted
from cmcgan_core.progress import Progress
from cmcgan_core.utils.toml import dump_toml

COMMANDS = [
    "demo",
    "app",
    "prepare",
    "train",
    "generate",
    "classify",
    "retrieve",
    "evaluate",
    "compare",
    "runs",
    "study",
    "export",
    "export-data",
    "plugins",
    "doctor",
]


@pytest.fixture
def run(cmcgan: Run) -> Run:
    """Call `cmcgan` with arguments."""
    return cmcgan


@pytest.fixture
def media(tmp_path: Path) -> dict[str, Path]:
    soundfile.write(tmp_path / "ton é.wav", 0.3 * np.sin(np.arange(44_100) / 10), 44_100)
    Image.new("RGB", (90, 60), (40, 180, 30)).save(tmp_path / "player.png")
    (tmp_path / "broken.wav").write_text("no sound at all")
    return {"sound": tmp_path / "ton é.wav", "picture": tmp_path / "player.png", "broken": tmp_path / "broken.wav"}


@pytest.mark.parametrize("command", COMMANDS)
def test_help_shows_an_example(run: Run, command: str) -> None:
    code, out, _ = run(command, "--help")
    assert code == 0
    assert "Example" in out
    assert f"cmcgan {command}" in out


@pytest.mark.parametrize("group", [[], ["runs"], ["human-eval"]], ids=str)
def test_lists_of_commands_cut_nothing_off(run: Run, group: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    out = run(*group, "--help")[1].partition("Commands:")[2]
    assert out
    assert "..." not in out
    assert max(map(len, out.splitlines())) <= 80


#: Swallows every exception while another module is imported, as torch does.
SWALLOWING = "import signal\ntry:\n    signal.raise_signal(signal.SIGINT)\nexcept BaseException:\n    pass\n"


def test_an_interrupt_while_a_library_is_imported_ends_the_command(tmp_path: Path) -> None:
    (tmp_path / "typer.py").write_text(SWALLOWING)
    environment = {**os.environ, "PYTHONPATH": f"{tmp_path}{os.pathsep}{Path(__file__).parents[1]}"}
    result = subprocess.run(
        [sys.executable, "-m", "cmcgan_cli", "--version"],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a background job ignores it
    )
    assert (result.returncode, result.stdout, result.stderr) == (130, "", "")


def test_an_interrupt_is_handled_as_usual_when_nothing_is_imported() -> None:
    frame = inspect.currentframe()
    with pytest.raises(KeyboardInterrupt):
        interrupt(signal.SIGINT, frame)


def test_help_loads_neither_torch_nor_media_libraries() -> None:
    heavy = ["torch", "torchaudio", "librosa", "av", "soundfile", "PIL", "numpy", "cmcgan_residual"]
    for arguments in (["--help"], ["train", "--help"], ["prepare", "--help"]):
        code = (
            f"import sys; sys.argv = ['cmcgan', *{arguments}]\nfrom cmcgan_cli.app import main\n"
            f"try: main()\nexcept SystemExit: pass\n"
            f"print('LOADED', [m for m in {heavy} if m in sys.modules])"
        )
        result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        assert result.stdout.splitlines()[-1] == "LOADED []"


def test_version(run: Run) -> None:
    from cmcgan_core import __version__

    for words in (["--version"], ["-V"], ["version"]):
        assert run(*words) == (0, f"cmcgan {__version__}\n", "")


def test_results_are_named_after_a_link_and_not_after_its_target(
    run: Run, prepared: Path, media: dict[str, Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("link").symlink_to(prepared)
    for data in ("link", "./link/"):
        plan = json.loads(run("train", data, "--preset", "tiny", "--dry-run", "--json")[1])
        assert plan["out"] == "runs/link-tiny"
    monkeypatch.chdir(prepared)
    assert json.loads(run("train", ".", "--preset", "tiny", "--dry-run", "--json")[1])["out"] == (
        f"runs/{prepared.name}-tiny"
    )


def test_help_is_a_command_too(run: Run) -> None:
    assert run("help") == run("--help")
    assert run("help", "train") == run("train", "--help")
    assert run("help", "human-eval", "serve") == run("human-eval", "serve", "--help")
    assert run("help", "trian")[0] == 2


def test_common_settings_of_a_training_have_their_own_options(
    run: Run, prepared: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    command = ["train", prepared, "--preset", "tiny", "--dry-run", "--json"]
    code, out, _ = run(*command, "--epochs", 7, "--batch-size", 5, "--lr", 0.002, "--name", "mine")
    plan = json.loads(out)
    train = plan["config"]["train"]
    assert (code, plan["out"]) == (0, "runs/mine")
    assert (train["epochs"], train["batch_size"]) == (7, 5)
    assert train["generator"]["learning_rate"] == train["discriminator"]["learning_rate"] == 0.002
    for wrong, fault in (
        (["--name", "a/b"], "a/b"),
        (["--name", "a", "--out", "b"], "--name or --out, not both"),
        (["--epochs", 0], "0 is not in the range"),
    ):
        code, _, err = run(*command, *wrong)
        assert code == 2
        assert fault in err


@pytest.mark.parametrize("arguments", [["no-such-command"], ["train"], ["generate"], ["train", "--epochs", "3"]])
def test_a_wrong_command_line_exits_with_2(run: Run, arguments: list[str]) -> None:
    code, out, err = run(*arguments)
    assert (code, out) == (2, "")
    assert "cmcgan" in err


def test_an_expected_error_is_one_line_that_names_the_next_command(run: Run, tmp_path: Path) -> None:
    code, out, err = run("train", tmp_path)
    assert (code, out) == (1, "")
    assert err.startswith(f"error: {tmp_path} is not a prepared dataset")
    assert f"cmcgan prepare {tmp_path}\n" in err
    assert "Traceback" not in err
    (tmp_path / ".parts").mkdir()  # an interrupted prepare has left it
    assert f"cmcgan prepare SOURCE --out {tmp_path}" in run("train", tmp_path)[2]


def test_results_go_to_stdout_and_notes_to_stderr(
    run: Run, tiny_run: Path, media: dict[str, Path], tmp_path: Path
) -> None:
    code, out, err = run("generate", "--from", media["sound"], "--out", tmp_path / "made", "--checkpoint", tiny_run)
    assert code == 0
    assert out == f"{tmp_path / 'made' / 'ton é.png'}\n"
    unlike = "is unlike the training data, so it may show none of the classes"
    assert err == f"model: {tiny_run / 'last.safetensors'}\n{media['sound']}: {unlike}\n"
    code, out, err = run("generate", "-f", media["picture"], "-o", tmp_path / "made", "-c", tiny_run, "--quiet")
    assert (code, err) == (0, "")
    assert len(out.splitlines()) == 3


def test_a_bad_input_is_reported_and_the_others_are_used(
    run: Run, tiny_run: Path, media: dict[str, Path], tmp_path: Path
) -> None:
    inputs = [a for name in ("broken", "sound", "picture") for a in ("--from", media[name])]
    code, out, err = run("generate", *inputs, "--out", tmp_path / "made", "-c", tiny_run, "--json", "--seed", 4)
    assert code == 1
    assert "broken.wav" in err
    lines = [json.loads(line) for line in out.splitlines()]
    assert [line["input"] for line in lines] == [str(media[name]) for name in ("broken", "sound", "picture")]
    assert all(line["seed"] == 4 and Path(line["outputs"][0]).exists() for line in lines[1:])
    assert [line["class"] in ("cello", "flute", "tuba") for line in lines] == [False, True, True]
    assert "broken.wav" in lines[0]["error"]
    assert (lines[0]["outputs"], lines[1]["error"]) == ([], None)
    code, out, _ = run("generate", *inputs[2:], "--out", tmp_path / "made", "-c", tiny_run, "--json")
    assert code == 0
    assert all(json.loads(line)["skipped"] for line in out.splitlines())


def test_classify_reports_the_generated_modality(run: Run, tiny_run: Path, media: dict[str, Path]) -> None:
    code, out, _ = run("classify", "--from", media["sound"], "-c", tiny_run, "--json")
    result = json.loads(out)
    assert (code, result["given"], result["generated"]) == (0, ["audio"], "visual")
    code, out, _ = run("classify", "--from", media["sound"], "--from", media["picture"], "-c", tiny_run)
    assert code == 0
    assert out.startswith("sound and picture given\n")


def test_classify_shows_three_classes_of_a_video_and_prints_all_as_json(
    run: Run, tiny_run: Path, tmp_path: Path
) -> None:
    video = write_video(tmp_path / "player.mp4", [plain((200, 0, 0))] * 11)
    code, out, err = run("classify", "--from", video, "-c", tiny_run)
    assert code == 0
    assert out.startswith("picture given; sound filled in by the generator\n")
    assert "mean over 3 half seconds; probabilities calibrated on the validation split" in err
    code, out, err = run("classify", "--from", video, "-c", tiny_run, "--json", "--quiet")
    result = json.loads(out)
    assert (code, err) == (0, "")
    assert (result["given"], result["generated"], result["chunks"], result["calibrated"]) == (
        ["visual"],
        "audio",
        3,
        True,
    )
    assert result["confidence"] == result["probabilities"][result["label"]] == max(result["probabilities"].values())


def test_evaluate_prints_the_papers_figures_next_to_ours(
    run: Run, prepared: Path, tiny_run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    code, out, err = run("evaluate", prepared, "-c", tiny_run, "--latents", 2, "--confusion", "--by-class")
    text = " ".join(out.split())
    assert code == 0
    assert all(figure in out for figure in ("0.7661", "0.5189", "0.7556", "0.1117", "0.9861", "GV-A noise", "ceiling"))
    assert max(map(len, out.splitlines())) <= 100
    for label in (
        "S2I two hops",
        "I2S CMCGAN (paper)",
        "2nd judge",
        "retrained",
        "log-spectral distance, dB",
        "3 tuba",
        "S2I by class",
    ):
        assert label in out, "a label is missing, or broken over two lines"
    assert re.search(r"GV-A is (below|within|above) the interval of V-A; A alone has \d\.\d{3}; GA-V is", text)
    assert "12 test pairs of 3 recordings, 2 latents each, seeds 0 to 1" in err
    assert "Fréchet distances are too large" in text
    assert "% of the pairs of the paper's 200 epochs" in err


def test_evaluate_prints_everything_as_json(run: Run, prepared: Path, tiny_run: Path) -> None:
    code, out, _ = run("evaluate", prepared, "-c", tiny_run, "--json")
    result = json.loads(out)
    assert code == 0
    assert result["paper"]["table2"]["V"] == 0.9531
    assert 0 <= result["table1"]["S2I"]["2"]["test"]["micro"] <= 1
    assert result["seeds"]["latents"] == [0, 1, 2, 3]


def test_train_dry_run_prints_the_plan_and_does_not_train(run: Run, prepared: Path, tmp_path: Path) -> None:
    out_dir = tmp_path / "run"
    code, out, _ = run("train", prepared, "--preset", "tiny", "--seed", 3, "--out", out_dir, "--dry-run", "--json")
    plan = json.loads(out)
    assert (code, plan["pairs"], plan["steps"], plan["config"]["seed"]) == (0, 48, 6, 3)
    assert not out_dir.exists()


def test_train_writes_a_run_and_names_the_next_command(run: Run, prepared: Path, tmp_path: Path) -> None:
    out_dir = tmp_path / "run"
    arguments = ["train", prepared, "--preset", "tiny", "--set", "train.epochs=1", "--out", out_dir]
    code, out, err = run(*arguments)
    assert code == 0
    assert f"{out_dir}  3 steps" in out
    assert f"next: cmcgan evaluate {prepared} --checkpoint {out_dir}" in err
    assert "3 steps of 16 pairs, out of 48" in err
    assert "the losses were still falling" in err
    assert "--set train.steps=6" in err
    code, _, err = run(*arguments)
    assert code == 1
    assert f"{out_dir} holds a finished run; replace it (--overwrite)" in err
    code, out, _ = run("train", "--resume", out_dir, "--json")
    assert (code, json.loads(out)["steps"]) == (0, 3)
    assert run("train", prepared, "--resume", out_dir)[0] == 2


def test_brackets_in_names_are_printed_as_they_are(run: Run, prepared: Path, tmp_path: Path) -> None:
    out_dir = tmp_path / "a [b] [/c]"
    code, out, _ = run("train", prepared, "--preset", "tiny", "--set", "train.epochs=1", "--out", out_dir)
    assert code == 0
    assert str(out_dir) in out


def test_generate_dry_run_prints_the_outputs_and_writes_nothing(
    run: Run, media: dict[str, Path], tmp_path: Path
) -> None:
    inputs = [a for name in ("broken", "sound", "picture") for a in ("--from", media[name])]
    code, out, _ = run("generate", *inputs, "--out", tmp_path / "made", "--dry-run")
    assert code == 1, "one input is broken"
    assert run("generate", *inputs[1::2], "--out", tmp_path / "made", "--dry-run")[1] == out, "without --from"
    assert out.splitlines()[1] == f"{media['sound']} -> {tmp_path / 'made' / 'ton é.png'}"
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize("command", ["generate", "classify", "retrieve"])
def test_an_input_is_named_with_or_without_an_option(run: Run, command: str, tmp_path: Path) -> None:
    searched = ["--in", write_jpg(tmp_path / "a.jpg", plain((9, 9, 9)))] if command == "retrieve" else []
    for words in ([tmp_path / "none.wav"], ["--from", tmp_path / "none.wav"]):
        code, _, err = run(command, *words, *searched)
        assert (code, "none.wav: no such file" in err) == (1, True)
    code, _, err = run(command, *searched)
    assert code == 2
    assert "name a sound, a picture, a video, a folder or a pattern" in err


def test_a_dry_run_fails_where_the_command_would(run: Run, prepared: Path, media: dict[str, Path]) -> None:
    for words in (["generate", media["sound"]], ["train", prepared, "--preset", "tiny"]):
        code, out, err = run(*words, "--dry-run", "--device", "gpu")
        assert (code, out) == (1, "")
        assert "gpu" in err
    assert run("generate", media["sound"], "--dry-run", "--checkpoint", "none")[0] == 1


def test_equal_names_in_two_folders_keep_their_folders(
    run: Run, tiny_run: Path, media: dict[str, Path], tmp_path: Path
) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        shutil.copy(media["sound"], tmp_path / folder / "x.wav")
    inputs = ["-f", tmp_path / "a" / "x.wav", "-f", tmp_path / "b" / "x.wav"]
    code, out, _ = run("generate", *inputs, "--out", tmp_path / "made", "-c", tiny_run)
    assert (code, out) == (0, f"{tmp_path}/made/a/x.png\n{tmp_path}/made/b/x.png\n")


def test_doctor_reports_a_package_that_does_not_load(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    from cmcgan_core import doctor

    def broken() -> None:
        raise ImportError("libavcodec.so: undefined symbol")

    monkeypatch.setattr(doctor, "_av", broken)
    code, out, _ = run("doctor", "--json")
    (finding,) = [f for f in json.loads(out) if f["name"] == "av"]
    assert code == 1
    assert "undefined symbol" in finding["fault"]


def test_doctor_prints_a_line_for_each_fault_and_none_for_optional_packages(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    from cmcgan_core import doctor

    monkeypatch.setenv("COLUMNS", "80")
    installed = doctor.importlib.util.find_spec
    lacking = {"librosa", "tensorboard", "wandb", "mlflow", "matplotlib", "onnxruntime"}
    monkeypatch.setattr(doctor.importlib.util, "find_spec", lambda name: None if name in lacking else installed(name))
    code, out, _ = run("doctor")
    assert (code, "to fix it" in out) == (0, False)
    assert out.count("not installed") >= len(lacking)
    lacking.add("soundfile")
    code, out, _ = run("doctor")
    assert code == 1
    assert out.endswith("soundfile: needed for sound files; to fix it: pip install soundfile\n")


def test_box_is_the_shipped_model_and_dot_slash_box_a_folder(
    run: Run, media: dict[str, Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from cmcgan_core.inference.model import load

    monkeypatch.chdir(tmp_path)
    Path("box").mkdir()
    assert run("generate", media["sound"], "-c", "box", "--dry-run")[0] == 0
    code, _, err = run("generate", media["sound"], "-c", "./box", "--dry-run")
    assert (code, f"{tmp_path}/box has no last.safetensors" in err) == (1, True)
    assert load("box").classes
    with pytest.raises(CheckpointError, match="has no last"):
        load("./box")
    code, _, err = run("generate", media["sound"], "-c", "", "--dry-run")
    assert (code, "an empty name is no file or folder" in err) == (2, True)


def test_an_unfinished_model_is_named_with_its_step(trained: Trained, capsys: pytest.CaptureFixture[str]) -> None:
    console.note_model(replace(trained, about=replace(trained.about, step=2, steps=9)), quiet=False)
    assert capsys.readouterr().err == f"model: {trained.path} (step 2 of 9)\n"


def test_runs_are_resumed_and_rated_by_their_names(
    run: Run, tiny_run: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from cmcgan_core.human_eval.draw import RatedCheckpoint, open_rated_model

    monkeypatch.chdir(tmp_path)
    shutil.copytree(tiny_run, "runs/mine")
    code, out, _ = run("train", "--resume", "mine", "--json")
    assert (code, json.loads(out)["out"]) == (0, "runs/mine")
    _, out, err = run("train", "--resume", "mine")
    assert "runs/mine  was finished before, after" in out
    assert "train longer" not in err
    assert isinstance(open_rated_model(Path("mine"), seed=0), RatedCheckpoint)


def test_tables_fit_80_columns() -> None:
    from rich.console import Console

    from cmcgan_cli.tables.cells import new_table

    shown = Console(width=80, file=io.StringIO(), force_terminal=False)
    figures = ["0.333 [.05 .95]", "0.361 [.11 .92]", "1.000 [.98 1.00]"]
    table = new_table("Table 1", "", "train", "test", "balanced", "2nd judge")
    table.add_row("S2I CMCGAN (paper)", "0.9105", *figures)
    wide = new_table("Log", "setting", "value")
    wide.add_row("data", "x" * 200)
    shown.print(table)
    shown.print(wide)
    text = shown.file.getvalue()
    assert all(figure in text for figure in figures)
    assert text.count("x") == 200
    assert max(map(len, text.splitlines())) <= 80
    for file in (Path(__file__).parents[1] / "cmcgan_cli").rglob("*.py"):
        assert file.name == "cells.py" or not re.search(r"\bTable\(", file.read_text()), file


def test_plugins_lists_the_installed_parts(run: Run) -> None:
    code, out, _ = run("plugins", "--check", "--json")
    assert code == 0
    assert {"cmcgan.encoders", "cmcgan.losses", "cmcgan.commands"} <= {p["group"] for p in json.loads(out)}
    assert run("parameters", "tiny", "--encoder", "residual")[1].startswith("sound encoder 'residual'")


def test_doctor_reports_a_torchaudio_that_does_not_fit(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    from cmcgan_core import doctor

    def import_module(name: str) -> None:
        raise OSError("libcudart.so.12: cannot open shared object file")

    monkeypatch.setattr(doctor.importlib, "import_module", import_module)
    code, out, _ = run("doctor", "--json")
    (finding,) = [f for f in json.loads(out) if f["name"] == "torchaudio"]
    assert code == 1
    assert "libcudart" in finding["fault"]
    assert "torchaudio>=2.11,<2.12" in finding["fix"]


def test_the_rate_of_a_stage_counts_from_where_it_was_resumed_or_restarted(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    on_progress, lines = console._lines(every=0), []
    # Resumed after 40 steps, at ten steps a second; then another run with the same title, at five a second.
    for now, done in ((0.0, 40), (2.0, 60), (6.0, 100), (10.0, 10), (14.0, 30)):
        monkeypatch.setattr(console.time, "monotonic", lambda now=now: now)
        on_progress(Progress("training small", done, 100))
        lines.append(capsys.readouterr().err)
    assert "10 steps/s, 4 s left" in lines[1]
    assert "5 steps/s, 14 s left" in lines[4]


def test_progress_prints_no_time_left_past_the_end_and_no_exponents(monkeypatch: pytest.MonkeyPatch) -> None:
    draw, lines = console._lines(every=0), []
    clock = iter(range(10))
    monkeypatch.setattr(console.time, "monotonic", lambda: next(clock))
    monkeypatch.setattr(console, "note", lines.append)
    for done in (0, 4000, 4100):
        draw(Progress("reading", done, 4050, "pairs", {"pairs": 1140.0}))
    assert lines[1] == "reading: 4000/4050 pairs, 0 s left pairs 1140"
    assert lines[2] == "reading: 4100/4050 pairs, 2050 pairs/s pairs 1140"
    assert [console._number(value) for value in (0.12345, 99.96, 999.7, -1140.2)] == ["0.123", "100", "1000", "-1140"]


@pytest.mark.skipif(sys.platform != "linux", reason="other systems' file names are Unicode")
def test_a_file_name_that_is_not_utf8_gives_valid_json(media: dict[str, Path], tmp_path: Path) -> None:
    import os

    name = os.fsencode(tmp_path) + b"/t\xffn.wav"
    media["sound"].rename(os.fsdecode(name))
    command = [sys.executable, "-m", "cmcgan_cli", "generate", "--from", name, "--checkpoint", "box", "--json"]
    result = subprocess.run([*command, "--out", tmp_path / "made"], capture_output=True, check=False)
    assert result.returncode == 0
    assert os.fsencode(json.loads(result.stdout.decode("ascii"))["input"]) == name


@pytest.mark.parametrize(
    ("options", "hint"), [([], "the same command resumes"), (["--overwrite"], "without --overwrite resumes")]
)
def test_an_interrupted_tour_says_how_to_resume(
    cmcgan: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, options: list[str], hint: str
) -> None:
    def stop(*_: object, **__: object) -> None:
        raise Interrupted("stopped at step 3 of 9")

    monkeypatch.setattr("cmcgan_core.tour.run_demo", stop)
    code, _, errors = cmcgan("demo", "--out", tmp_path, *options)
    assert code == 130
    assert "stopped at step 3 of 9" in errors
    assert hint in errors


def test_a_training_that_was_stopped_before_it_began_is_not_resumed(
    run: Run, prepared: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("cmcgan_core.training.train.train_run", interrupt)
    command = ["train", prepared, "--preset", "tiny", "--out", tmp_path / "run"]
    code, _, err = run(*command)
    assert (code, "--resume" in err) == (130, False)
    assert "stopped; nothing was saved; run the same command again" in err
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "config.toml").write_text(dump_toml(tiny_config().to_dict()))
    (tmp_path / "run" / "run.toml").write_text(dump_toml({"data": str(prepared)}))
    assert f"resume with: cmcgan train --resume {tmp_path / 'run'}" in run(*command)[2]
    assert "--resume" not in run(*command, "--seed", 7, "--overwrite")[2]  # the folder holds another run
