import math
import re
import tomllib
from pathlib import Path

import pytest

from cmcgan_core.config import Config, load_config, preset_names
from cmcgan_core.errors import ConfigError
from cmcgan_core.features.settings import FeatureSettings
from cmcgan_core.methods import make_method
from cmcgan_core.utils.schema import build
from cmcgan_core.utils.toml import dump_toml


@pytest.mark.parametrize("preset", preset_names())
def test_every_preset_is_valid_and_survives_a_round_trip(preset: str) -> None:
    config = load_config(preset)
    assert config.preset == preset
    assert build(Config, tomllib.loads(dump_toml(config.to_dict())), "round trip") == config


@pytest.mark.parametrize("preset", preset_names())
def test_every_preset_makes_a_method(preset: str) -> None:
    assert make_method(load_config(preset, settings=["network.width=0.0625"]), ("a", "b"), FeatureSettings())


def test_settings_override_the_file_which_overrides_the_preset(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text('seed = 5\n[train]\nepochs = 7\nbatch_size = 9\n[train.generator]\nname = "sgd"\n')
    config = load_config("small", file, ["train.epochs=8", "network.encoder=residual", "options.fakes=['direct']"])
    assert (config.seed, config.train.epochs, config.train.batch_size) == (5, 8, 9)
    assert config.train.generator.name == "sgd"
    assert config.train.generator.learning_rate == load_config("small").train.generator.learning_rate
    assert config.network.encoder == "residual"
    assert config.options["fakes"] == ["direct"]


def test_epochs_that_are_set_replace_the_floor_of_steps(tmp_path: Path) -> None:
    assert load_config("small").train.least_steps == 600
    file = tmp_path / "mine.toml"
    file.write_text("[train]\nepochs = 2\n")
    assert load_config("small", file).train.least_steps == 1
    assert load_config("small", settings=["train.epochs=2"]).train.least_steps == 1
    settings = ["train.epochs=2", "train.least_steps=50", "train.batch_size=8"]
    assert load_config("small", settings=settings).train.least_steps == 50


@pytest.mark.parametrize(
    ("setting", "meant"),
    [
        ("epochs=1", "train.epochs"),
        ("latent=10", "network.latent"),
        ("train.learning_rate=1", "train.generator.learning_rate or train.discriminator.learning_rate"),
        ("learning_rate=1", "train.generator.learning_rate or train.discriminator.learning_rate"),
    ],
)
def test_a_setting_without_its_table_is_recognised(setting: str, meant: str) -> None:
    with pytest.raises(ConfigError) as fault:
        load_config("small", settings=[setting])
    assert f"{setting.partition('=')[0]}: is not a known setting (did you mean {meant}?)" in str(fault.value)


def test_all_faults_are_reported_at_once() -> None:
    settings = ["train.epoch=3", "train.batch_size=1", "network.width='wide'", "train.precision='half'", "seed=true"]
    with pytest.raises(ConfigError) as fault:
        load_config("small", settings=settings)
    message = str(fault.value)
    for line in (
        "train.epoch: is not a known setting (did you mean epochs?)",
        "train.batch_size: should be at least 2, not 1",
        "network.width: should be a number, not 'wide'",
        "train.precision: should be one of 'auto', 'float32', 'bfloat16', not 'half'",
        "seed: should be a whole number, not True",
    ):
        assert line in message


@pytest.mark.parametrize(
    ("table", "fault"),
    [
        ({"train": 3}, "train: should be a table"),
        ({"train": {"generator": {"learning_rate": 0}}}, "train.generator.learning_rate: should be greater than 0"),
        ({"train": {"average": 1.5}}, "train.average: should be at most"),
        ({"loss_weights": {"class": "much"}}, "loss_weights.class: should be a number"),
        ({"loss_weights": {"class": float("inf")}}, "loss_weights.class: should be finite"),
        ({"network": {"picture_size": 256}}, "network.picture_size: should be at most 128"),
        ({"seed": 2**40}, "seed: should be at most"),
    ],
)
def test_a_fault_is_reported_with_the_name_of_the_setting(table: dict[str, object], fault: str) -> None:
    with pytest.raises(ConfigError, match=fault):
        build(Config, table, "test")


def test_another_method_drops_the_options_and_losses_of_the_preset() -> None:
    config = load_config(
        "tiny", settings=["method=classifier", "loss_weights.class=1", "options.modalities=['visual']"]
    )
    assert config.loss_weights == {"class": 1}
    assert make_method(config, ("a", "b"), FeatureSettings())


def test_unknown_preset_names_the_known_ones() -> None:
    with pytest.raises(ConfigError, match=r"'smal' \(did you mean small\?\).*paper") as caught:
        load_config("smal")
    assert not re.search("judge|tiny", str(caught.value)), "nobody trains the presets of judges and tests by hand"


def test_a_setting_without_equals_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"train\.epochs=10"):
        load_config("small", settings=["train.epochs"])


def test_a_file_that_is_not_toml_is_named(tmp_path: Path) -> None:
    (tmp_path / "bad.toml").write_text("epochs: 3")
    with pytest.raises(ConfigError, match=r"bad\.toml is not TOML"):
        load_config("small", tmp_path / "bad.toml")
    with pytest.raises(ConfigError, match=r"none\.toml cannot be read"):
        load_config("small", tmp_path / "none.toml")


def test_options_are_checked_by_the_method() -> None:
    config = load_config("tiny", settings=["options.hop=1"])
    with pytest.raises(ConfigError, match=r"hop: is not a known setting \(did you mean hops\?\)"):
        make_method(config, ("a", "b"), FeatureSettings())


@pytest.mark.parametrize(
    "table",
    [
        {"name": 'with "quotes", \\ and ünïcode\n', "flag": True, "n": 3, "x": 0.1, "small": 1e-30, "list": ["a", "b"]},
        {"outer": {"inner key": {"deep": [1, 2]}, "after": 1}, "last": "x"},
        {"empty": {}, "none": []},
        {"inf": math.inf, "low": [-math.inf, 1.0]},
    ],
)
def test_written_toml_reads_back(table: dict[str, object]) -> None:
    assert tomllib.loads(dump_toml(table)) == table


def test_not_a_number_is_written_as_toml() -> None:
    assert dump_toml({"x": math.nan}) == "x = nan\n"
    assert math.isnan(tomllib.loads(dump_toml({"x": math.nan}))["x"])
