"""A training that has diverged, data that are no numbers, and two processes in one folder are named at once."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import tiny_config, write_dataset
from test_locks import hold

from cmcgan_core.config import load_config
from cmcgan_core.data.dataset import open_dataset
from cmcgan_core.data.prepare.parts import PartLog, _read_audible
from cmcgan_core.data.prepare.recording import RawPair, Recording, SourceOptions
from cmcgan_core.data.prepare.shards import check
from cmcgan_core.errors import ConfigError, DataError, TrainingError
from cmcgan_core.run_folder import resume_config
from cmcgan_core.training.classifiers import train_judge
from cmcgan_core.training.log import read_log
from cmcgan_core.training.run import train_once
from cmcgan_core.training.train import train_run
from cmcgan_core.utils.files import claimed

#: Settings that make the training diverge; the second has losses that stay finite, the third one short epochs.
DIVERGING = [
    ["train.generator.learning_rate=1e6"],
    ["train.generator.learning_rate=1e6", "train.discriminator.learning_rate=1e6"],
    ["train.generator.learning_rate=1e6", "network.layers=3", "network.width=0.02", "train.batch_size=48"],
    ["train.generator.learning_rate=1e20", "train.epochs=1"],
    ["train.generator.name='sgd'", "train.generator.learning_rate=1e8"],
]


@pytest.mark.parametrize("settings", DIVERGING, ids=str)
def test_divergence_is_named_before_samples_are_drawn(prepared, tmp_path, settings):
    out = tmp_path / "run"
    with pytest.raises(TrainingError, match=r"step \d+: the (loss|weight|statistic) .*Try a lower --set"):
        train_run(tiny_config(*settings), open_dataset(prepared), out)
    assert not list(out.glob("*.safetensors"))
    assert not (out / "samples").exists()


@pytest.mark.parametrize("preset", ["judge-tiny", "s2i-c-small", "cm-gans-small"])
def test_divergence_of_other_methods_is_named(prepared, tmp_path, preset):
    slow = [] if preset == "judge-tiny" else ["options.encoder_epochs=1", "network.picture_size=32"]
    rates = ["train.generator.learning_rate=1e6", "train.discriminator.learning_rate=1e6"]
    config = load_config(preset, settings=[*slow, *rates, "train.epochs=3", "train.batch_size=24"])
    with pytest.raises(TrainingError, match="Try a lower --set"):
        train_once(config, open_dataset(prepared), tmp_path / "run", "cpu", lambda _: None)
    assert not list((tmp_path / "run").glob("samples/*"))


def damage(data: Path) -> str:
    """Make the sound of one training pair not a number; return the pair's id."""
    file = data / "shards" / "00000.spectrograms.npy"
    spectrograms = np.load(file)
    spectrograms[5, 3, 7] = np.nan
    np.save(file, spectrograms)
    return open_dataset(data).pairs[5].id


def test_data_that_are_no_numbers_are_named_with_their_pair(tmp_path):
    data = write_dataset(tmp_path / "data")
    pair = damage(data)
    with pytest.raises(DataError, match=f"pair {pair} of .* not numbers.*cmcgan prepare --check"):
        train_run(tiny_config(), open_dataset(data), tmp_path / "run")
    assert any("not numbers" in fault and pair in fault for fault in check(data))


def test_sounds_that_are_no_numbers_are_skipped_when_preparing():
    class Source:
        def read_pairs(self, recording, options):
            for start, value in ((0.0, 0.5), (0.5, np.nan), (1.0, np.inf)):
                yield RawPair(start, np.full(22_050, value, np.float32), np.zeros((128, 128, 3), np.uint8), "a.wav", "")

    log = PartLog()
    kept = list(_read_audible(Source(), Recording("a", "flute"), SourceOptions(), -60.0, log))
    assert [pair.start for pair in kept] == [0.0]
    expected = [f"has values that are not numbers at {at} s" for at in (0.5, 1)]
    assert [skipped.reason for skipped in log.skipped] == expected


@pytest.mark.parametrize(
    "setting",
    [
        "train.generator.momentum=1.0",
        "train.discriminator.momentum=1",
        f"train.steps={10**30}",
        f"train.steps={10**12}",
        f"train.epochs={'9' * 5000}",
        f"train.batch_size=0x{'f' * 9000}",
        "train.generator.learning_rate=nan",
        "train.generator.learning_rate=inf",
        "loss_weights.class=nan",
        "network.width=1e9",
        f"network.latent={10**15}",
        f"seed={10**20}",
        "options=" + "[" * 5000,
        "options=" + "{a=" * 40 + "1" + "}" * 40,
        "train" + ".a" * 5000 + "=1",
    ],
    ids=lambda setting: setting[:40],
)
def test_settings_without_sense_are_a_sentence(setting):
    with pytest.raises(ConfigError) as error:
        load_config("tiny", settings=[setting])
    assert len(str(error.value)) < 400


def test_two_trainings_in_one_folder_are_refused(prepared, tmp_path, cmcgan):
    out = tmp_path / "run"
    out.mkdir()
    process = hold(out / ".lock")
    code, _, said = cmcgan("train", prepared, "--preset", "tiny", "--out", out, "--quiet")
    assert code == 1
    assert f"another process is at work in {out}" in " ".join(said.split())
    assert not (out / "metrics.jsonl").exists()
    process.kill()
    process.wait()
    with claimed(out, TrainingError, "go on"), pytest.raises(TrainingError, match="when it has ended, go on"):
        claimed(out, TrainingError, "go on").__enter__()
    assert (out / ".lock").exists()
    train_run(tiny_config("train.epochs=1"), open_dataset(prepared), out)  # a lock that is left blocks nobody


def test_a_judge_in_a_folder_where_another_process_is_at_work_is_refused(tmp_path):
    dataset = open_dataset(write_dataset(tmp_path / "data"))
    folder = tmp_path / "data" / "judges" / "judge-tiny-visual-0"
    folder.mkdir(parents=True)
    process = hold(folder / ".lock")
    with pytest.raises(TrainingError, match="another process is at work in"):
        train_judge(dataset, ["visual"], "judge-tiny")
    process.communicate("")


@pytest.mark.parametrize("line", ['{"step": 1, "epoch": }', '{"step": "1"}', '{"epoch": 0}', '{"step": 1, "a": []}'])
def test_a_damaged_log_is_named_with_its_line(tmp_path, line):
    file = tmp_path / "metrics.jsonl"
    file.write_text(f'{{"step": 1, "epoch": 0}}\n{line}\n{{"step": 2, "ep')
    with pytest.raises(TrainingError, match=r"metrics\.jsonl, line 2 is damaged .*remove the line"):
        read_log(file)


@pytest.mark.parametrize("text", ["", "data = 7\n", "data = ''\n", "data = [[", "\0"])
def test_a_damaged_run_toml_is_named(tiny_run, tmp_path, text):
    (tmp_path / "config.toml").write_bytes((tiny_run / "config.toml").read_bytes())
    (tmp_path / "run.toml").write_text(text)
    with pytest.raises(ConfigError, match=r"run\.toml"):
        resume_config(tmp_path)


@pytest.mark.slow
def test_training_a_second_time_while_the_first_is_at_work_leaves_the_first_run_whole(prepared, tmp_path):
    command = [
        sys.executable,
        "-m",
        "cmcgan_cli",
        "train",
        str(prepared),
        "--preset",
        "tiny",
        "--quiet",
        "--out",
        "run",
    ]
    both = [
        subprocess.Popen([*command, "--seed", str(seed)], cwd=tmp_path, stderr=subprocess.PIPE, text=True)
        for seed in (1, 2)
    ]
    said = [process.communicate(timeout=120)[1] for process in both]
    assert sorted(process.returncode for process in both) == [0, 1], said
    steps = [(record["step"], "validation" in record) for record in read_log(tmp_path / "run" / "metrics.jsonl")]
    assert len(set(steps)) == len(steps)
