"""Checkpoints are checked before they are believed: their metadata, the shapes of their weights, and their values."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from cmcgan_core.checkpoint import _load_optimizer, load_checkpoint, network_tensors, save_checkpoint
from cmcgan_core.config import Config, load_config
from cmcgan_core.errors import CheckpointError
from cmcgan_core.features.settings import FeatureSettings
from cmcgan_core.inference.dynamic_classifier import DynamicClassifier
from cmcgan_core.inference.sampling import SamplingOptions
from cmcgan_core.methods import METHODS
from cmcgan_core.modality import Modality
from cmcgan_core.nn.common import _count_features
from cmcgan_core.nn.encoders import ENCODERS
from cmcgan_core.run_folder import BOX, About, read_about

CPU = torch.device("cpu")
CLASSES = ("cello", "flute", "tuba")


def write(path: Path, preset: str = "judge-tiny", **values: object) -> Path:
    """Write a checkpoint with random weights."""
    torch.manual_seed(0)
    config, settings = load_config(preset), FeatureSettings()
    network = METHODS.get(config.method).build_network(config, CLASSES, settings)
    about = About(config, CLASSES, settings, step=2, steps=2, data="data", content="abc", **values)
    save_checkpoint(path, about, network_tensors(network))
    return path


def parts(path: Path) -> tuple[dict, dict[str, torch.Tensor]]:
    """Return the metadata and the tensors of a checkpoint."""
    with safe_open(path, framework="pt") as file:
        return json.loads(file.metadata()["cmcgan"]), {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118


def rewrite(path: Path, document: object, tensors: dict[str, torch.Tensor]) -> Path:
    text = document if isinstance(document, str) else json.dumps(document)
    save_file(tensors, path, metadata={"cmcgan": text})
    return path


@pytest.fixture
def good(tmp_path) -> Path:
    return write(tmp_path / "good.safetensors")


def test_a_good_checkpoint_has_the_weights_that_were_saved(good):
    _, tensors = parts(good)
    network = load_checkpoint(good, CPU).network
    assert {f"network.{name}" for name in network.state_dict()} == set(tensors)
    for name, tensor in network.state_dict().items():
        assert torch.equal(tensor, tensors[f"network.{name}"])
        assert not tensor.is_meta
    assert all(parameter.requires_grad for parameter in network.parameters())


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_weights_that_are_not_finite_are_named(good, value):
    document, tensors = parts(good)
    name = "network.head.weight" if "network.head.weight" in tensors else min(tensors)
    tensors[name].view(-1)[0] = value
    with pytest.raises(CheckpointError, match=f"{re.escape(name)} has values that are not finite.*cmcgan train DATA"):
        load_checkpoint(rewrite(good, document, tensors), CPU)


def test_variances_below_zero_are_named(good):
    document, tensors = parts(good)
    name = next(name for name in tensors if name.endswith("running_var"))
    tensors[name].fill_(-1)
    with pytest.raises(CheckpointError, match="variances below 0"):
        load_checkpoint(rewrite(good, document, tensors), CPU)


@pytest.mark.parametrize("value", [0, 0.0, -1.0, 1e-300, 1e300, float("nan"), float("inf"), 10**400, "1", None, True])
def test_temperatures_that_cannot_divide_are_refused(good, value):
    document, tensors = parts(good)
    document["temperatures"] = {"V-A": value}
    with pytest.raises(CheckpointError, match=r"temperatures|64 bits"):
        read_about(rewrite(good, document, tensors))


@pytest.mark.parametrize("text", ["", "7", "null", "[]", '"a"', "{", "[" * 100_000, '{"a":' * 100_000, "1" * 5000])
def test_metadata_that_is_no_object_is_refused(good, text):
    _, tensors = parts(good)
    with pytest.raises(CheckpointError, match="is not a cmcgan checkpoint, or is damaged"):
        read_about(rewrite(good, text, tensors))


@pytest.mark.parametrize(
    "change",
    [
        {"classes": "abc"},
        {"classes": []},
        {"classes": ["cello", "cello", "tuba"]},
        {"classes": ["../x", "flute", "tuba"]},
        {"classes": [1, 2, 3]},
        {"step": -1},
        {"step": "2"},
        {"steps": 10**30},
        {"data": None},
        {"settings": {"seconds": float("nan")}},
        {"settings": {"sample_rate": 0}},
        {"settings": {"hop_length": 0}},
        {"settings": {"min_level": 30.0}},
        {"settings": {"picture_size": 10**9}},
        {"config": {"method": "classifier", "network": {"width": 1e9}}},
        {"config": []},
        {"extra": 1},
    ],
    ids=str,
)
def test_metadata_of_wrong_types_or_sizes_is_refused(good, change):
    document, tensors = parts(good)
    with pytest.raises(CheckpointError, match="is not a cmcgan checkpoint, or is damaged"):
        read_about(rewrite(good, {**document, **change}, tensors))


def test_options_that_a_method_does_not_have_are_a_fault_of_the_checkpoint(good):
    document, tensors = parts(good)
    document["config"]["options"] = {"modalities": []}
    with pytest.raises(CheckpointError, match=r"describes no network that can be built .*modalities"):
        load_checkpoint(rewrite(good, document, tensors), CPU)


@pytest.mark.parametrize("damage", ["missing", "more", "shape", "type"])
def test_weights_that_do_not_fit_are_named(good, damage):
    document, tensors = parts(good)
    name = next(name for name in tensors if name.endswith("weight"))
    if damage == "missing":
        del tensors[name]
    elif damage == "more":
        name = "network.other"
        tensors[name] = torch.zeros(1)
    else:
        tensors[name] = tensors[name][:1].clone() if damage == "shape" else tensors[name].long()
    with pytest.raises(CheckpointError, match=f"do not fit its configuration: {re.escape(name)} is"):
        load_checkpoint(rewrite(good, document, tensors), CPU)


#: Loads a checkpoint that claims to be large, and prints how much memory that took, in MB.
MEASURE = """
import resource, sys, torch
from pathlib import Path
from cmcgan_core.checkpoint import load_checkpoint
from cmcgan_core.errors import CheckpointError
def peak(): return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
before = peak()
try:
    load_checkpoint(Path(sys.argv[1]), torch.device("cpu"))
except CheckpointError as error:
    print(peak() - before, error)
"""


@pytest.mark.parametrize("preset", ["tiny", "cm-gans-small"])
def test_a_checkpoint_that_claims_a_large_network_needs_no_memory(tmp_path, preset):
    file = write(tmp_path / "large.safetensors", preset)
    document, tensors = parts(file)
    document["config"]["network"]["width"] = 15.0
    rewrite(file, document, tensors)
    done = subprocess.run([sys.executable, "-c", MEASURE, str(file)], capture_output=True, text=True, check=True)
    taken, message = done.stdout.split(" ", 1)
    assert "do not fit its configuration" in message
    assert float(taken) < 150


def test_weights_that_are_too_large_to_compute_with_are_named(good, tmp_path):
    document, tensors = parts(good)
    for tensor in tensors.values():
        if tensor.is_floating_point():
            tensor.abs_().add_(1).clamp_(1, 2).mul_(1e38)
    classifier = load_checkpoint(rewrite(good, document, tensors), CPU)
    generating = load_checkpoint(write(tmp_path / "tiny.safetensors", "tiny"), CPU)
    maps = {m: torch.ones(1, m.channels, *classifier.about.config.network.size(m)) for m in Modality}
    with pytest.raises(CheckpointError, match=r"good\.safetensors computes values that are not finite"):
        DynamicClassifier(generating, classifier, SamplingOptions()).predict(maps)


@pytest.mark.parametrize("preset", ["tiny", "judge-tiny", "judge-tiny-resnet", "cm-gans-small", "s2i-c-small"])
def test_networks_are_built_without_memory_and_get_their_weights(tmp_path, preset):
    file = write(tmp_path / "a.safetensors", preset)
    _, tensors = parts(file)
    state = load_checkpoint(file, CPU).network.state_dict()
    assert all(torch.equal(tensor, tensors[f"network.{name}"]) for name, tensor in state.items())


class PluginNetwork(torch.nn.Module):
    """A network with tensors that no checkpoint has, which reads a value while it is built."""

    def __init__(self, rates: bool) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(2, 2)
        self.window = torch.arange(3.0)
        self.register_buffer("table", torch.arange(4.0), persistent=False)
        self.rates = torch.linspace(0, 1, 3).tolist() if rates else []


@pytest.mark.parametrize("rates", [False, True])
def test_networks_of_plugins_keep_the_tensors_that_they_compute(tmp_path, monkeypatch, rates):
    class Plugin:
        @staticmethod
        def build_network(config, classes, settings):
            return PluginNetwork(rates)

    monkeypatch.setitem(METHODS.builtins, "plugin", Plugin)
    network = PluginNetwork(rates)
    about = About(Config(method="plugin"), CLASSES, FeatureSettings(), 1, 1, "data", "")
    save_checkpoint(tmp_path / "a.safetensors", about, network_tensors(network))
    loaded = load_checkpoint(tmp_path / "a.safetensors", CPU).network
    assert torch.equal(loaded.layer.weight, network.layer.weight)
    assert torch.equal(loaded.window, network.window)
    assert torch.equal(loaded.table, network.table)


@pytest.mark.parametrize("name", ["conv", "resnet", "cmav"])
@pytest.mark.parametrize("modality", Modality)
def test_encoders_state_the_number_of_their_features(name, modality):
    network = load_config("tiny", settings=["network.layers=4"]).network
    encoder = ENCODERS.get(name)(modality.channels, network.size(modality), network, ["real"])
    stated = _count_features(encoder, modality, network)
    del encoder.feature_count
    assert stated == _count_features(encoder, modality, network)


@pytest.mark.parametrize("damage", ["missing", "shape", "type"])
def test_statistics_of_codes_that_do_not_fit_are_named(tmp_path, damage):
    document, tensors = parts(BOX / "classifier.safetensors")
    names = [name for name in tensors if name.startswith("familiarity.")]
    name = next(name for name in names if name.endswith("means"))
    if damage == "missing":
        del tensors[name]
    else:
        tensors[name] = tensors[name][:, 1:].clone() if damage == "shape" else tensors[name].float()
    with pytest.raises(CheckpointError, match=r"is damaged \(familiarity"):
        load_checkpoint(rewrite(tmp_path / "a.safetensors", document, tensors), CPU)


@pytest.mark.parametrize("damage", ["name", "index", "shape", "incomplete"])
def test_states_of_optimizers_that_belong_to_no_parameter_are_named(damage):
    layer = torch.nn.Linear(3, 2)
    optimizer = torch.optim.Adam(layer.parameters())
    layer(torch.ones(1, 3)).sum().backward()
    optimizer.step()
    state = optimizer.state_dict()["state"]
    good = {f"{index}.{key}": value for index, values in state.items() for key, value in values.items()}
    _load_optimizer(optimizer, good)
    moved = good.pop("1.exp_avg")
    bad = {"name": {"x": moved}, "index": {"9.exp_avg": moved}, "shape": {"1.exp_avg": moved[:1]}, "incomplete": {}}
    with pytest.raises(ValueError, match=r"belongs to no parameter|is incomplete"):
        _load_optimizer(optimizer, {**good, **bad[damage]})
