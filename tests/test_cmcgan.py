import copy
import inspect
from collections.abc import Callable

import pytest
import torch
from conftest import CLASSES, tiny_config
from torch import Tensor

from cmcgan_core.config import Config
from cmcgan_core.data.dataset import Batch, wrong_partners
from cmcgan_core.data.features import FeatureSettings
from cmcgan_core.errors import ConfigError
from cmcgan_core.losses import l1_loss, says_fake, says_real
from cmcgan_core.methods.base import weighted_sum
from cmcgan_core.methods.cmcgan import CMCGAN, PATHS, SUBNETWORKS

BOTH_FAKES = "options.fakes=['direct', 'two-hop']"


def make(*settings: str, size: int = 6) -> tuple[CMCGAN, Batch]:
    torch.manual_seed(0)
    method = CMCGAN(tiny_config(*settings), CLASSES, FeatureSettings())
    sizes = method.sizes()
    label = torch.arange(size) % len(CLASSES)
    return method, Batch(torch.rand(size, 1, *sizes["a"]) * 2 - 1, torch.rand(size, 3, *sizes["v"]) * 2 - 1, label)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def state(module: torch.nn.Module) -> dict[str, Tensor]:
    return {name: value.detach().clone() for name, value in module.named_parameters()}


def moved(module: torch.nn.Module, before: dict[str, Tensor]) -> list[str]:
    return [name for name, value in module.named_parameters() if not torch.equal(value, before[name])]


def naive_outputs(method: CMCGAN, batch: Batch, z: dict[str, Tensor]) -> dict[str, Tensor]:
    """Each path by itself, every feature computed again for each use, as the paper's figure draws them."""
    g, real = method.generators, {"a": batch.audio, "v": batch.visual}
    maps = {}
    for path, (first, second) in PATHS.items():
        between = g.decoders[first[-1]](g.encoders[first[0]](real[first[0]], "real"), z[first], first)
        maps[first] = between
        maps[path] = g.decoders[second[-1]](g.encoders[second[0]](between, first), z[path], path)
    return maps


def gradients(module: torch.nn.Module, loss: Tensor) -> dict[str, Tensor]:
    module.zero_grad()
    loss.backward()
    return {n: p.grad.clone() for n, p in module.named_parameters() if p.grad is not None}


def assert_same(mine: dict[str, Tensor], theirs: dict[str, Tensor]) -> None:
    assert mine.keys() == theirs.keys()
    for name, gradient in mine.items():
        scale = theirs[name].abs().max().clamp_min(1e-3)
        assert float((gradient - theirs[name]).abs().max() / scale) < 1e-5, name


def test_generator_gradient_equals_that_of_the_naive_step() -> None:
    method, batch = make(BOTH_FAKES)
    method.double()
    batch = Batch(batch.audio.double(), batch.visual.double(), batch.label)
    z = {k: v.double() for k, v in method.generators.draw_latents(batch.audio, seeded()).items()}
    outputs = method.generators(batch.audio, batch.visual, z)
    weights = method.config.loss_weights
    shared = gradients(method.generators, weighted_sum(method.generator_losses(outputs, batch), weights))

    maps = naive_outputs(method, batch, z)
    d, truth = method.discriminator, {"a": batch.audio, "v": batch.visual}
    score: Callable[[Tensor, Tensor], Tensor] = lambda v, a: d(d.visual(v), d.audio(a))  # noqa: E731
    fake_audio = [maps[r] for r in ("v2a", "a2v2a", "v2v2a")]
    fake_visual = [maps[r] for r in ("a2v", "v2a2v", "a2a2v")]
    adversarial = sum(says_real(score(batch.visual, fake)) / 3 for fake in fake_audio)
    adversarial += sum(says_real(score(fake, batch.audio)) / 3 for fake in fake_visual)
    codes = {m: method.generators.encoders[m](truth[m], "real").flatten(1) for m in truth}
    losses = {
        "adversarial": adversarial,
        "consistency": sum(l1_loss(maps[r], truth[r[-1]]) for r in PATHS),
        "direct": sum(l1_loss(maps[r], truth[r[-1]]) for r in SUBNETWORKS),
        "class": sum(torch.nn.functional.cross_entropy(method.heads[m](codes[m]), batch.label) for m in codes),
    }
    assert_same(shared, gradients(method.generators, weighted_sum(losses, weights)))


def test_discriminator_gradient_equals_that_of_the_naive_step() -> None:
    method, batch = make(BOTH_FAKES)
    outputs = method.generators(batch.audio, batch.visual, method.generators.draw_latents(batch.audio, seeded()))
    shared = gradients(method.discriminator, method.discriminator_loss(outputs, batch, seeded(7)))

    generator, d, maps = seeded(7), method.discriminator, outputs.maps
    wrong_audio, wrong_visual = (wrong_partners(batch.label, generator) for _ in range(2))
    v, a = batch.visual, batch.audio
    score: Callable[[Tensor, Tensor], Tensor] = lambda v, a: d(d.visual(v.detach()), d.audio(a.detach()))  # noqa: E731
    loss = (
        2 * says_real(score(v, a)) + says_fake(score(v, a[wrong_audio])) / 2 + says_fake(score(v[wrong_visual], a)) / 2
    )
    loss = loss + sum(says_fake(score(v, maps[r])) / 6 for r in ("v2a", "a2v2a", "v2v2a"))
    loss = loss + sum(says_fake(score(maps[r], a)) / 6 for r in ("a2v", "v2a2v", "a2a2v"))
    assert_same(shared, gradients(d, loss))


def test_discriminator_step_moves_only_the_discriminator() -> None:
    method, batch = make("loss_weights.consistency=0", "loss_weights.direct=0", "loss_weights.class=0")
    optimizers = method.optimizers()
    outputs = method.generators(batch.audio, batch.visual, method.generators.draw_latents(batch.audio, seeded()))
    before = state(method)
    optimizers["discriminator"].zero_grad()
    method.discriminator_loss(outputs, batch, seeded()).backward()
    optimizers["discriminator"].step()
    changed = moved(method, before)
    assert changed
    assert all(name.startswith("discriminator.") for name in changed)
    assert all(p.grad is None for p in method.generators.parameters())


def test_generator_step_leaves_the_discriminator_alone_and_reaches_every_generator() -> None:
    method, batch = make()
    outputs = method.generators(batch.audio, batch.visual, method.generators.draw_latents(batch.audio, seeded()))
    gradients_of = gradients(method, weighted_sum(method.generator_losses(outputs, batch), method.config.loss_weights))
    assert not any(name.startswith("discriminator.") for name in gradients_of)
    assert {name for name, _ in method.generators.named_parameters(prefix="generators")} <= gradients_of.keys()
    assert all(p.requires_grad for p in method.discriminator.parameters())


def test_k_updates_the_generators_k_times() -> None:
    once, batch = make()
    thrice = copy.deepcopy(once)
    thrice.config = Config(**{**thrice.config.__dict__, "train": tiny_config("train.generator_updates=3").train})
    counts = []
    for method in (once, thrice):
        optimizers = method.optimizers()
        method.train_step(batch, optimizers, seeded())
        counts.append({n: int(next(iter(o.state.values()))["step"]) for n, o in optimizers.items()})
    assert counts == [{"discriminator": 1, "generator": 1}, {"discriminator": 1, "generator": 3}]


def test_without_adversarial_weight_the_discriminator_rests() -> None:
    method, batch = make("loss_weights.adversarial=0")
    before = state(method.discriminator)
    losses = method.train_step(batch, method.optimizers(), seeded())
    assert losses.keys() == {"consistency", "direct", "class"}
    assert not moved(method.discriminator, before)


def test_a_batch_can_be_overfitted() -> None:
    method, batch = make("loss_weights.adversarial=0")
    shade = (batch.label.float() - 1)[:, None, None, None] * 0.8
    batch = batch._replace(audio=torch.zeros_like(batch.audio) + shade, visual=torch.zeros_like(batch.visual) - shade)
    optimizers = method.optimizers()
    losses = [method.train_step(batch, optimizers, seeded(i)) for i in range(40)]
    assert float(losses[-1]["consistency"]) < 0.65 * float(losses[0]["consistency"])
    assert float(losses[-1]["class"]) < 0.5 * float(losses[0]["class"])


def test_translation_equals_the_forward_pass() -> None:
    method, batch = make()
    method.eval()
    generators = method.generators
    for hops, routes in ((1, ("a2v", "v2a")), (2, ("a2a2v", "v2v2a"))):
        for route in routes:
            direction, source = f"{route[0]}2{route[-1]}", batch.audio if route[0] == "a" else batch.visual
            made = generators.translate(direction, source, seeded(3), hops)
            z, generator = generators.draw_latents(source, seeded(9)), seeded(3)
            for used in [PATHS[route][0], route] if hops == 2 else [route]:
                z[used] = generators.draw_latent(source, generator)
            torch.testing.assert_close(made, generators(batch.audio, batch.visual, z).maps[route])


def test_generators_take_sounds_pictures_and_latents_but_no_labels() -> None:
    method, _ = make()
    generators = method.generators
    assert list(inspect.signature(generators.forward).parameters) == ["audio", "visual", "z"]
    assert list(inspect.signature(generators.translate).parameters) == ["direction", "source", "generator", "hops"]
    assert not any("head" in name or "label" in name for name in generators.state_dict())


def test_loss_names_and_weights_must_be_the_same_words() -> None:
    config = Config(method="cmcgan", loss_weights={"adversarial": 1.0, "consistancy": 1.0})
    with pytest.raises(ConfigError, match="consistancy"):
        CMCGAN(config, CLASSES, FeatureSettings())


def test_the_papers_preset_is_the_papers() -> None:
    from cmcgan_core.config import load_config

    config = load_config("paper")
    assert config.loss_weights == {"adversarial": 1.0, "consistency": 1.0, "direct": 0.0, "class": 0.0}
    assert (config.train.batch_size, config.train.epochs, config.network.latent) == (64, 200, 100)
    assert (config.train.discriminator.name, config.train.generator.name) == ("sgd", "adam")
    assert config.train.discriminator.learning_rate == config.train.generator.learning_rate == 0.001
    assert config.train.average == 0
