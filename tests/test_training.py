import json
import os
import signal
import subprocess
import sys
import time
import warnings
from contextlib import suppress
from pathlib import Path

import pytest
import torch
from conftest import CLASSES, tiny_config, write_dataset

from cmcgan_cli.console import find_run
from cmcgan_core import checkpoint
from cmcgan_core.checkpoint import load_checkpoint, read_tensors
from cmcgan_core.config import Config, load_config
from cmcgan_core.data.dataset import open_dataset
from cmcgan_core.errors import CheckpointError, ConfigError, Interrupted, TrainingError
from cmcgan_core.methods.cmcgan import CMCGAN
from cmcgan_core.modality import Modality
from cmcgan_core.progress import Progress, silent
from cmcgan_core.run_folder import BOX, find_checkpoint, read_about, resume_config
from cmcgan_core.training import run as run_module
from cmcgan_core.training.classifiers import train_judge
from cmcgan_core.training.log import is_falling, read_log
from cmcgan_core.training.loop import cosine
from cmcgan_core.training.run import Run, train, train_once
from cmcgan_core.training.train import plan_run, train_run


def interrupt_at(step: int):
    """Return an `on_progress` that sends this process a SIGINT after a step."""

    def on_progress(progress: Progress) -> None:
        if progress.done == step:
            os.kill(os.getpid(), signal.SIGINT)

    return on_progress


def test_a_run_folder_has_the_documented_files(tiny_run: Path) -> None:
    config, data = resume_config(tiny_run)
    assert config == tiny_config()
    assert (data / "dataset.toml").exists()
    log = [json.loads(line) for line in (tiny_run / "metrics.jsonl").read_text().splitlines()]
    assert log[-1]["step"] == 6  # 48 pairs, batches of 16, 2 epochs
    assert {"discriminator", "adversarial", "consistency", "direct", "class"} <= log[0].keys()
    assert any("validation" in line for line in log)
    assert len(list((tiny_run / "samples").glob("*.png"))) == 2
    assert list(tiny_run.glob("events.out.tfevents.*"))
    about = read_about(tiny_run / "last.safetensors")
    assert (about.config, about.classes, about.step, about.data) == (config, CLASSES, 6, "bands")
    assert read_about(tiny_run / "best.safetensors").best == about.best


def test_a_resumed_run_equals_an_uninterrupted_one(prepared: Path, tmp_path: Path) -> None:
    config = tiny_config("train.epochs=3", "train.generator_updates=2")
    whole = train_run(config, open_dataset(prepared), tmp_path / "whole")
    for step in (2, 3, 7):  # in the middle of an epoch, at the end of one, in the last one
        with pytest.raises(Interrupted, match=f"step {step} of"):
            train_run(config, open_dataset(prepared), tmp_path / "broken", resume=True, on_progress=interrupt_at(step))
    ended = train_run(config, open_dataset(prepared), tmp_path / "broken", resume=True)
    assert ended.best == whole.best
    first, second = (read_tensors(tmp_path / name / "last.safetensors", "") for name in ("whole", "broken"))
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)
    validated = []
    for name in ("whole", "broken"):
        log = [json.loads(line) for line in (tmp_path / name / "metrics.jsonl").read_text().splitlines()]
        assert [line["step"] for line in log] == sorted(line["step"] for line in log)
        validated.append([(line["step"], line["validation"]) for line in log if "validation" in line])
    assert len(validated[0]) == 3
    assert validated[0] == validated[1]


def test_sigterm_ends_a_run_with_a_checkpoint(prepared: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    command = [sys.executable, "-m", "cmcgan_cli", "train", str(prepared), "--preset", "tiny", "--out", str(out)]
    process = subprocess.Popen([*command, "--set", "train.epochs=5000"], stderr=subprocess.PIPE, text=True)
    log = out / "metrics.jsonl"
    while process.poll() is None and not (log.exists() and log.read_text()):
        time.sleep(0.1)
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert f"resume with: cmcgan train --resume {out}" in errors
    assert read_about(out / "last.safetensors").step > 0


def test_another_seed_gives_another_model(prepared: Path, tmp_path: Path) -> None:
    weights = []
    for seed in (0, 0, 1):
        out = tmp_path / f"{len(weights)}"
        train_once(tiny_config("train.epochs=1", f"seed={seed}"), open_dataset(prepared), out, "cpu", silent)
        weights.append(read_tensors(out / "last.safetensors", "network."))
    same = [all(torch.equal(weights[0][n], other[n]) for n in other) for other in weights[1:]]
    assert same == [True, False]


def interrupted(config: Config, data: Path, out: Path) -> Path:
    """Train a run for two steps, and return its checkpoint, which has the training state."""
    with pytest.raises(Interrupted):
        train_run(config, open_dataset(data), out, on_progress=interrupt_at(2))
    return out / "last.safetensors"


def test_a_checkpoint_is_used_with_the_averaged_weights(prepared: Path, tmp_path: Path) -> None:
    last = interrupted(tiny_config(), prepared, tmp_path / "run")
    raw = read_tensors(last, "method.network.")
    used = load_checkpoint(last, torch.device("cpu")).network.state_dict()
    weight = "encoders.audio.convolutions.0.weight"
    assert not torch.equal(raw[weight], used[weight])
    assert torch.equal(raw["encoders.audio.norms.0.running_mean"], used["encoders.audio.norms.0.running_mean"])


def test_a_finished_run_is_not_replaced_without_overwrite(tiny_run: Path, prepared: Path) -> None:
    with pytest.raises(ConfigError) as refused:
        train_run(tiny_config(), open_dataset(prepared), tiny_run)
    assert str(refused.value) == f"{tiny_run} holds a finished run; replace it (--overwrite), or choose another --out"


def test_an_unfinished_run_is_not_replaced_without_overwrite(prepared: Path, tmp_path: Path) -> None:
    config = tiny_config()
    with pytest.raises(Interrupted):
        train_run(config, open_dataset(prepared), tmp_path / "run", on_progress=interrupt_at(2))
    with pytest.raises(ConfigError, match="resume it"):
        train_run(config, open_dataset(prepared), tmp_path / "run")


def test_resuming_with_other_settings_is_refused(tiny_run: Path, prepared: Path) -> None:
    with pytest.raises(CheckpointError, match="another configuration"):
        train_run(tiny_config("train.epochs=9"), open_dataset(prepared), tiny_run, resume=True)


def test_a_loss_that_is_not_finite_stops_the_run_and_the_error_suggests_a_setting(
    prepared: Path, tmp_path: Path
) -> None:
    config = tiny_config("loss_weights.consistency=1e39", "train.epochs=4")
    with pytest.raises(TrainingError, match=r"no longer finite.*nothing was saved yet.*learning_rate"):
        train_run(config, open_dataset(prepared), tmp_path / "run")


def test_a_classifier_is_trained_once(prepared: Path) -> None:
    path = train_judge(open_dataset(prepared), [Modality.VISUAL], "judge-tiny")
    written = path.stat().st_mtime_ns
    assert train_judge(open_dataset(prepared), [Modality.VISUAL], "judge-tiny") == path
    assert path.stat().st_mtime_ns == written
    assert read_about(path).config.options == {"modalities": ["visual"]}


def test_a_classifier_of_an_earlier_content_is_replaced(tmp_path: Path) -> None:
    data = write_dataset(tmp_path / "data")
    path = train_judge(open_dataset(data), [Modality.AUDIO], "judge-tiny")
    written = path.read_bytes()
    about = (data / "dataset.toml").read_text()
    (data / "dataset.toml").write_text('content = "other"\n' + about)
    assert train_judge(open_dataset(data), [Modality.AUDIO], "judge-tiny") == path
    assert path.read_bytes() != written
    assert read_about(path).content == "other"


def test_a_run_is_not_resumed_on_a_dataset_that_was_prepared_again(tmp_path: Path) -> None:
    data = write_dataset(tmp_path / "data")
    config = tiny_config("train.epochs=1")
    train_run(config, open_dataset(data), tmp_path / "run")
    (data / "dataset.toml").write_text('content = "other"\n' + (data / "dataset.toml").read_text())
    with pytest.raises(CheckpointError, match="dataset"):
        train_run(config, open_dataset(data), tmp_path / "run", resume=True)


def test_a_new_run_removes_the_files_of_an_older_one(prepared: Path, tmp_path: Path) -> None:
    config = tiny_config("train.epochs=1")
    train_run(config, open_dataset(prepared), tmp_path / "run")
    (tmp_path / "run" / ".last.safetensors.x.tmp").touch()
    (tmp_path / "run" / "mine.safetensors").touch()
    with pytest.raises(Interrupted):
        train_run(config, open_dataset(prepared), tmp_path / "run", overwrite=True, on_progress=interrupt_at(1))
    left = {path.name for path in (tmp_path / "run").rglob("*") if path.suffix in (".safetensors", ".tmp", ".png")}
    assert left == {"last.safetensors", "mine.safetensors"}


def test_a_finished_run_keeps_only_what_using_it_needs(prepared: Path, tiny_run: Path) -> None:
    files = sorted(file.relative_to(tiny_run).as_posix() for file in tiny_run.rglob("*.safetensors"))
    assert files == ["best.safetensors", "classifier.safetensors", "last.safetensors"]
    assert not read_tensors(tiny_run / "last.safetensors", "optimizer")
    written = (tiny_run / "last.safetensors").stat().st_mtime_ns
    again = train_run(tiny_config(), open_dataset(prepared), tiny_run, resume=True)
    assert (again.steps, again.losses) == (6, {})
    assert (tiny_run / "last.safetensors").stat().st_mtime_ns == written
    assert len(list(tiny_run.glob("events.out.tfevents.*"))) == 1


def test_a_run_of_many_short_epochs_validates_twelve_times(prepared: Path, tmp_path: Path) -> None:
    config = tiny_config("train.batch_size=48", "train.epochs=30", "train.average=0", "network.width=0.01")
    train_once(config, open_dataset(prepared), tmp_path, "cpu", silent)
    epochs = [*range(3, 31, 3)]  # 30 epochs of one step: every third
    assert [file.name for file in sorted(tmp_path.glob("samples/*.png"))] == [f"epoch_{n:04d}.png" for n in epochs]
    assert [line["step"] for line in read_log(tmp_path / "metrics.jsonl") if "validation" in line] == epochs


def test_a_long_time_without_a_validation_ends_in_a_save(
    prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_module, "SAVE_EVERY", 0.0)
    saved = []

    def on_progress(progress: Progress) -> None:
        if progress.done:
            saved.append(read_about(tmp_path / "last.safetensors").step)

    train_once(tiny_config("train.steps=3"), open_dataset(prepared), tmp_path, "cpu", on_progress)
    assert saved == [1, 2, 3]


@pytest.mark.parametrize(
    ("totals", "falling"),
    [
        # Ten records of ten steps each. The first fifth has the mean 20, the middle one (steps 50 and 60) and the last
        # one the means that follow.
        ([22, 18, 15, 14, 12, 10, 10, 10, 9, 9], True),  # 11, 9: 2 of 11
        ([22, 18, 15, 14, 10.5, 10.5, 10, 10, 10, 10], False),  # 10.5, 10: 0.5 of 10
        ([22, 18, 15, 14, 11, 11, 10, 10, 12, 12], False),  # 11, 12
        ([10, 10, 10, 10, 10, 10, 10, 10, 10, 10], False),
    ],
)
def test_losses_fall_if_a_tenth_of_their_fall_came_late(totals: list[float], falling: bool) -> None:
    records = [{"step": 10 * (i + 1), "direct": t / 2, "discriminator": 9 - i} for i, t in enumerate(totals)]
    records.insert(5, {"step": 50, "validation": 0.1})
    assert is_falling(records, {"direct": 2.0, "class": 1.0}, 100) is falling


def test_a_run_without_a_record_in_every_fifth_is_too_short() -> None:
    assert is_falling([{"step": 10, "direct": 1.0}], {"direct": 1.0}, 10)
    assert not is_falling([{"step": 10, "loss": 1.0}], {}, 10)  # the method has no weighted losses to judge by


def test_a_finished_run_has_a_classifier(tiny_run: Path) -> None:
    assert read_about(tiny_run / "classifier.safetensors").config.options == {"modalities": ["audio", "visual"]}


def test_a_folder_that_cannot_be_written_is_named(prepared: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(TrainingError, match=r"file.* cannot be written"):
        train_run(tiny_config(), open_dataset(prepared), tmp_path / "file" / "run")


def test_a_full_disk_keeps_the_saved_checkpoint(
    prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tiny_config("train.epochs=2")
    with pytest.raises(Interrupted):
        train_run(config, open_dataset(prepared), tmp_path / "run", on_progress=interrupt_at(3))

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoint, "save_file", full)
    with pytest.raises(TrainingError, match=r"no space left on device.*--resume"):
        train_run(config, open_dataset(prepared), tmp_path / "run", resume=True)
    monkeypatch.undo()
    assert read_about(tmp_path / "run" / "last.safetensors").step == 3
    train_run(config, open_dataset(prepared), tmp_path / "run", resume=True)
    assert read_about(tmp_path / "run" / "last.safetensors").finished


def test_a_plan_counts_pairs_steps_and_parameters(prepared: Path) -> None:
    plan = plan_run(load_config("paper", settings=["train.batch_size=16"]), open_dataset(prepared))
    assert (plan["pairs"], plan["steps"]) == (48, 3 * 200)
    assert round(plan["parameters to generate"] / 1e6, 2) == 59.47


def test_a_small_dataset_gets_more_epochs(prepared: Path) -> None:
    for least, steps in ((1, 6), (6, 6), (7, 9)):  # 48 pairs, batches of 16, 2 epochs
        assert plan_run(tiny_config(f"train.least_steps={least}"), open_dataset(prepared))["steps"] == steps


def test_a_run_with_a_number_of_steps_ends_within_an_epoch(prepared: Path, tmp_path: Path) -> None:
    config = tiny_config("train.steps=4")  # an epoch has three
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    for out, on_progress in ((whole, silent), (parts, interrupt_at(2)), (parts, silent)):
        with suppress(Interrupted):
            run = Run(config, open_dataset(prepared), out, torch.device("cpu"))
            train(run, resume=True, overwrite=False, on_progress=on_progress)
    assert read_about(parts / "last.safetensors").finished
    assert [file.name for file in sorted(whole.glob("samples/*.png"))] == ["epoch_0001.png", "epoch_0002.png"]
    expected, resumed = (read_tensors(out / "last.safetensors", "") for out in (whole, parts))
    assert all(torch.equal(tensor, resumed[name]) for name, tensor in expected.items())


def test_a_stop_in_the_last_step_prevents_the_training_of_the_classifier(prepared: Path, tmp_path: Path) -> None:
    with pytest.raises(Interrupted, match="step 2 of 2"):
        train_run(tiny_config("train.steps=2"), open_dataset(prepared), tmp_path, on_progress=interrupt_at(2))
    assert not (tmp_path / "classifier.safetensors").exists()
    with pytest.raises(Interrupted):
        train_once(tiny_config("train.steps=2"), open_dataset(prepared), tmp_path / "once", "cpu", interrupt_at(2))


def test_a_stop_that_cannot_be_saved_is_still_a_stop(
    prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoint, "save_file", full)
    with pytest.raises(Interrupted, match=r"stopped at step 1 of 6; no space left on device, so the steps since"):
        train_run(tiny_config(), open_dataset(prepared), tmp_path / "run", on_progress=interrupt_at(1))


def test_a_loss_without_discriminator_trains_without_warnings(prepared: Path) -> None:
    config = tiny_config("loss_weights.adversarial=0", "train.final_learning_rate=0.5", "train.steps=2")
    run = Run(config, open_dataset(prepared), Path(), torch.device("cpu"))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        updates = list(run.fit(0, 2))
    assert ["discriminator" in update.losses for update in updates] == [False, False]
    rates = {name: optimizer.param_groups[0]["lr"] for name, optimizer in run.optimizers.items()}
    assert rates["generator"] == config.train.generator.learning_rate * cosine(0.5, 0.5)


def test_the_learning_rate_follows_a_cosine() -> None:
    assert cosine(0, 0.02) == 1
    assert cosine(0.5, 0.02) == pytest.approx(0.51)
    assert cosine(1, 0.02) == pytest.approx(0.02)
    assert cosine(0.7, 1.0) == 1


@pytest.mark.parametrize("damage", ["missing", "cut", "text", "foreign"])
def test_a_damaged_checkpoint_is_named(tiny_run: Path, tmp_path: Path, damage: str) -> None:
    file = tmp_path / "last.safetensors"
    if damage == "cut":
        file.write_bytes((tiny_run / "last.safetensors").read_bytes()[:5000])
    elif damage == "text":
        file.write_text("no checkpoint at all")
    elif damage == "foreign":
        from safetensors.torch import save_file

        save_file({"weight": torch.zeros(1)}, file)
    with pytest.raises(CheckpointError, match=r"last\.safetensors"):
        load_checkpoint(file, torch.device("cpu"))


def test_a_pickle_is_never_loaded(tmp_path: Path) -> None:
    file = tmp_path / "last.safetensors"
    torch.save({"weight": torch.zeros(1)}, file)
    with pytest.raises(CheckpointError, match="not a cmcgan checkpoint"):
        load_checkpoint(file, torch.device("cpu"))


def test_the_newest_run_is_the_default(tmp_path: Path, tiny_run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert find_run(None) == find_checkpoint(Path("box")) == BOX / "last.safetensors"
    # The run of a demonstration is newer, but never taken, also if its folder is below runs/.
    demonstrations = ("cmcgan-demo/training/run", "runs/demo/training/run", "runs/training/run")
    for place, age in (("runs/old", 100), ("runs/new", 10), *((place, 1) for place in demonstrations)):
        file = tmp_path / place / "last.safetensors"
        file.parent.mkdir(parents=True)
        file.touch()
        os.utime(file, (time.time() - age,) * 2)
    assert find_run(None) == Path("runs/new/last.safetensors")
    assert find_checkpoint(tiny_run) == tiny_run / "last.safetensors"
    assert find_checkpoint(Path("old")) == Path("runs/old/last.safetensors")
    with pytest.raises(CheckpointError, match="has no last"):
        find_checkpoint(tmp_path)


def test_no_weight_is_stored_twice(prepared: Path, tmp_path: Path) -> None:
    names = read_tensors(interrupted(tiny_config("train.average=0"), prepared, tmp_path / "plain"), "")
    assert not any(name.startswith("method.network.") for name in names)
    averaged = read_tensors(interrupted(tiny_config(), prepared, tmp_path / "averaged"), "")
    for tensors in (names, averaged):
        weights = [t for name, t in tensors.items() if name.endswith(".weight") and t.ndim > 1]
        assert len({t.numpy().tobytes() for t in weights}) == len(weights)


def test_a_checkpoint_loads_after_its_method_got_other_losses(tiny_run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = load_checkpoint(tiny_run / "last.safetensors", torch.device("cpu")).network.state_dict()
    monkeypatch.setattr(CMCGAN, "losses", {"brand new": CMCGAN.direct_loss})
    monkeypatch.setattr(CMCGAN, "__init__", None)  # loading builds the network only
    after = load_checkpoint(tiny_run / "last.safetensors", torch.device("cpu")).network.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)
