from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from conftest import CLASSES
from test_training import interrupt_at
from torch import Tensor, nn

from cmcgan_core.checkpoint import load_checkpoint, read_tensors
from cmcgan_core.config import Config, load_config
from cmcgan_core.data.dataset import open_dataset
from cmcgan_core.data.loader import Batch
from cmcgan_core.errors import ConfigError, Interrupted
from cmcgan_core.features.settings import FeatureSettings
from cmcgan_core.methods.cm_gans import CMGANs
from cmcgan_core.modality import Modality
from cmcgan_core.nn.common import CommonNetwork
from cmcgan_core.nn.encoders import ENCODERS, read_features
from cmcgan_core.training.run import Run
from cmcgan_core.training.train import train_run

SOUND, PICTURE = Modality.AUDIO, Modality.VISUAL
#: Settings that make training take seconds.
TINY = [
    "network.width=0.0625",
    "network.picture_size=32",
    "network.frames=16",
    "options.hidden=16",
    "options.common=8",
    "options.encoder_epochs=2",
    "judge=judge-tiny",
    "train.epochs=4",
    "train.batch_size=16",
]


def tiny(*settings: str) -> Config:
    return load_config("cm-gans", settings=[*TINY, *settings])


def make(*settings: str, size: int = 6) -> tuple[CMGANs, Batch]:
    torch.manual_seed(0)
    method = CMGANs(tiny("options.augment=false", *settings), CLASSES, FeatureSettings())
    label = torch.arange(size) % len(CLASSES)
    audio, visual = (torch.rand(size, m.channels, *method.config.network.size(m)) * 2 - 1 for m in Modality)
    return method, Batch(audio, visual, label, label, torch.arange(size) * 10_000)


def rng() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def copy_parameters(module: nn.Module) -> dict[str, Tensor]:
    return {name: value.detach().clone() for name, value in module.named_parameters()}


def changed_parts(module: nn.Module, before: Mapping[str, Tensor]) -> set[str]:
    """Return the names of the parts of a method whose parameters have changed."""
    changed = [name for name, value in module.named_parameters() if not torch.equal(value, before[name])]
    return {name.split(".")[1 if name.startswith("network") else 0] for name in changed}


@pytest.mark.parametrize(("modality", "values"), [(PICTURE, 1024), (SOUND, 512)])
def test_the_features_have_the_size_of_the_design(modality: Modality, values: int) -> None:
    network = load_config("cm-gans").network
    encoder = ENCODERS.get("conv")(modality.channels, network.size(modality), network, ["real"]).eval()
    maps = torch.rand(2, modality.channels, *network.size(modality))
    features = read_features(encoder, maps, "real")
    assert features.shape == (2, values)
    last = encoder._apply_layer(-1, features.reshape(2, 256, 2, -1), "real")
    torch.testing.assert_close(last, encoder(maps, "real"))


def test_the_features_of_an_encoder_without_the_method_are_its_codes() -> None:
    class Plain(nn.Module):
        def forward(self, maps: Tensor, route: str) -> Tensor:
            return maps.mean(dim=(2, 3), keepdim=True)

    torch.testing.assert_close(read_features(Plain(), torch.ones(2, 3, 4, 4), "real"), torch.ones(2, 3))


@pytest.mark.parametrize("name", ["conv", "resnet", "cmav"])
def test_the_last_layer_of_every_encoder_reads_its_features(name: str) -> None:
    config = tiny(f"network.encoder={name}", *(["network.layers=4"] if name == "cmav" else []))
    network = CommonNetwork(config.network, 16, 8, 3, shared=True).eval()
    for modality in Modality:
        maps = torch.rand(2, modality.channels, *config.network.size(modality))
        assert read_features(network.front_ends[modality], maps, "real").shape == (2, network.sizes[modality])


def test_both_modalities_train_the_one_shared_layer() -> None:
    method, batch = make()
    assert list(method.network.last) == ["shared"]
    for modality in Modality:
        method.zero_grad()
        method.network.embed(modality, batch.maps()[modality]).square().sum().backward()
        gradient = method.network.last["shared"].weight.grad
        assert gradient is not None
        assert gradient.abs().sum() > 0
    apart, _ = make("options.shared=false")
    assert list(apart.network.last) == ["audio", "visual"]


def linear_discriminators(method: CMGANs) -> None:
    """Replace the discriminators by sums of the values that they read."""

    class Sum(nn.Module):
        def forward(self, *read: Tensor) -> Tensor:
            return sum((part.sum(dim=1, keepdim=True) for part in read), start=torch.zeros(1))

    for modality in Modality:
        method.intra[modality], method.inter[modality] = Sum(), Sum()


@pytest.mark.parametrize("mismatch", ["features", "published"])
def test_the_discriminator_loss_by_hand(mismatch: str) -> None:
    method, batch = make(f"options.mismatch={mismatch}", "loss_weights.intra=3", "loss_weights.inter=2")
    linear_discriminators(method)
    method.eval()
    x = {m: method.network.read(m, maps) for m, maps in batch.maps().items()}
    wrong = torch.tensor([1, 2, 0, 4, 5, 3])
    total = torch.tensor(0.0)
    for m in Modality:
        own, other = method.network.represent(m, x[m]), method.network.represent(m.other, x[m.other])
        decoded, score = method.decoders[m](own), x[m].sum(dim=1)
        intra = -F.logsigmoid(score).mean() - F.logsigmoid(-decoded.sum(dim=1)).mean()
        right = own.sum(dim=1) + score
        crossed = other.sum(dim=1) + score
        mismatched = (own if mismatch == "features" else own[wrong]).sum(dim=1) + score[wrong]
        inter = -F.logsigmoid(right).mean() - (F.logsigmoid(-crossed).mean() + F.logsigmoid(-mismatched).mean()) / 2
        total = total + 3 * intra + 2 * inter
    torch.testing.assert_close(method.discriminator_loss(x, wrong), total)


def test_the_generator_losses_by_hand() -> None:
    method, batch = make()
    linear_discriminators(method)
    method.eval()
    x = {m: method.network.read(m, maps) for m, maps in batch.maps().items()}
    c = {m: method.network.represent(m, features) for m, features in x.items()}
    decoded = {m: method.decoders[m](common) for m, common in c.items()}
    losses = method.generator_losses(x, batch.label)
    # The representation of a sound is to pass for that of the picture, beside the picture's features; and the reverse.
    inter = -sum(F.logsigmoid(c[m].sum(dim=1) + x[m.other].sum(dim=1)).mean() for m in Modality)
    torch.testing.assert_close(losses["inter"], inter)
    torch.testing.assert_close(losses["intra"], -sum(F.logsigmoid(decoded[m].sum(dim=1)).mean() for m in Modality))
    logs = [method.network.head(c[m]).log_softmax(dim=1)[torch.arange(6), batch.label].mean() for m in Modality]
    torch.testing.assert_close(losses["class"], -logs[0] - logs[1])
    errors = [(decoded[m] - x[m]).square().mean() for m in Modality]
    torch.testing.assert_close(losses["reconstruction"], errors[0] + errors[1])
    torch.testing.assert_close(losses["correspondence"], (c[SOUND] - c[PICTURE]).square().mean())


def test_each_step_moves_its_own_parts() -> None:
    method, batch = make()
    method.train()
    optimizers, before = method.optimizers(), copy_parameters(method)
    method.pretrain_step(batch, optimizers, rng())
    assert changed_parts(method, before) == {"front_ends", "code_heads"}
    before = copy_parameters(method)
    method.train_step(batch, optimizers, rng())
    assert changed_parts(method, before) == {"first", "last", "norms", "head", "decoders", "intra", "inter"}


def test_the_generators_are_updated_k_times_and_the_discriminators_once() -> None:
    method, batch = make("train.generator_updates=3")
    optimizers = method.optimizers()
    counts = dict.fromkeys(optimizers, 0)
    for name, optimizer in optimizers.items():
        optimizer.register_step_post_hook(lambda *_, name=name: counts.__setitem__(name, counts[name] + 1))
    method.train_step(batch, optimizers, rng())
    assert counts == {"encoder": 0, "discriminator": 1, "generator": 3}


def test_the_statistics_of_frozen_front_ends_stay() -> None:
    method, batch = make()
    method.train()
    before = {name: value.clone() for name, value in method.network.front_ends.named_buffers()}
    method.train_step(batch, method.optimizers(), rng())
    for name, value in method.network.front_ends.named_buffers():
        assert torch.equal(value, before[name]), name


def test_an_unknown_loss_is_an_error() -> None:
    with pytest.raises(ConfigError, match="has no loss consistency"):
        make("loss_weights.consistency=1")


def test_a_run_resumes_to_the_bit_and_embeds(prepared: Path, tmp_path: Path) -> None:
    dataset = open_dataset(prepared)
    whole = train_run(tiny(), dataset, tmp_path / "whole")
    with pytest.raises(Interrupted):
        train_run(tiny(), dataset, tmp_path / "parts", on_progress=interrupt_at(8))
    train_run(tiny(), dataset, tmp_path / "parts", resume=True)
    first, second = (read_tensors(tmp_path / name / "last.safetensors", "network.") for name in ("whole", "parts"))
    assert all(torch.equal(first[name], second[name]) for name in first)
    trained = load_checkpoint(whole.out / "last.safetensors", torch.device("cpu"))
    assert isinstance(trained.network, CommonNetwork)
    assert trained.network.embed(SOUND, torch.rand(2, 1, 128, 16)).shape == (2, 8)


def test_more_epochs_by_least_steps_lengthen_the_pretraining_too(prepared: Path) -> None:
    dataset, out, cpu = open_dataset(prepared), Path(), torch.device("cpu")
    plain = Run(tiny(), dataset, out, cpu)
    longer = Run(tiny("train.least_steps=48"), dataset, out, cpu)
    assert (plain.pretraining_steps, plain.steps) == (6, 12)
    assert (longer.pretraining_steps, longer.steps) == (24, 48)
