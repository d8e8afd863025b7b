import copy
import inspect
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from conftest import CLASSES, tiny_config
from torch import Tensor

from cmcgan_core.config import Config
from cmcgan_core.data.loader import Batch
from cmcgan_core.data.mismatch import wrong_partners
from cmcgan_core.errors import ConfigError
from cmcgan_core.features.settings import FeatureSettings
from cmcgan_core.methods.base import weighted_sum
from cmcgan_core.methods.cmcgan import CMCGAN, PATHS, SUBNETWORKS, Options, Outputs
from cmcgan_core.modality import Direction, Modality, source_of, target_of
from cmcgan_core.nn.losses import fake_loss, l1_loss, real_loss

BOTH_FAKES = "options.fakes=['direct', 'two-hop']"


def make(*settings: str, size: int = 6) -> tuple[CMCGAN, Batch]:
    torch.manual_seed(0)
    method = CMCGAN(tiny_config(*settings), CLASSES, FeatureSettings())
    label = torch.arange(size) % len(CLASSES)
    audio, visual = (torch.rand(size, m.channels, *method.config.network.size(m)) * 2 - 1 for m in Modality)
    return method, Batch(audio, visual, label, label, torch.zeros(size))


def make_rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def copy_parameters(module: torch.nn.Module) -> dict[str, Tensor]:
    return {name: value.detach().clone() for name, value in module.named_parameters()}


def changed_parameters(module: torch.nn.Module, before: dict[str, Tensor]) -> list[str]:
    return [name for name, value in module.named_parameters() if not torch.equal(value, before[name])]


def forward(method: CMCGAN, batch: Batch, seed: int = 0) -> tuple[Outputs, dict[str, Tensor]]:
    """Return the outputs of all subnetworks and paths, and their latents."""
    generators, rng = method.network, make_rng(seed)
    z = {r: generators.draw(len(batch.audio), rng, 1)[0].to(batch.audio.dtype) for r in (*SUBNETWORKS, *PATHS)}
    return generators(generators.encode(batch.maps()), z, list(PATHS)), z


def naive_outputs(method: CMCGAN, batch: Batch, z: dict[str, Tensor]) -> dict[str, Tensor]:
    """Run each path separately, as drawn in the paper's figure: every feature is computed again for each use."""
    g, real = method.network, batch.maps()
    maps = {}
    for path, (first, second) in PATHS.items():
        code = g.encoders[source_of(first)](real[source_of(first)], "real")
        maps[first] = g.decoders[target_of(first)](code, z[first], first)
        code = g.encoders[source_of(second)](maps[first], first)
        maps[path] = g.decoders[target_of(second)](code, z[path], path)
    return maps


def compute_gradients(module: torch.nn.Module, loss: Tensor) -> dict[str, Tensor]:
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
    batch = batch._replace(audio=batch.audio.double(), visual=batch.visual.double())
    outputs, z = forward(method, batch)
    weights = method.loss_weights
    shared = compute_gradients(
        method.network, weighted_sum(method.generator_losses(outputs, batch, make_rng()), weights)
    )

    maps = naive_outputs(method, batch, z)
    d, truth = method.discriminator, batch.maps()
    score: Callable[[Tensor, Tensor], Tensor] = lambda v, a: d(d.visual(v), d.audio(a))  # noqa: E731
    fake_audio = [maps[r] for r in ("v2a", "a2v2a", "v2v2a")]
    fake_visual = [maps[r] for r in ("a2v", "v2a2v", "a2a2v")]
    adversarial = sum(real_loss(score(batch.visual, fake)) / 3 for fake in fake_audio)
    adversarial += sum(real_loss(score(fake, batch.audio)) / 3 for fake in fake_visual)
    codes = {m: method.network.encoders[m](truth[m], "real").flatten(1) for m in Modality}
    losses = {
        "adversarial": adversarial,
        "consistency": sum(l1_loss(maps[r], truth[target_of(r)]) for r in PATHS),
        "direct": sum(l1_loss(maps[r], truth[target_of(r)]) for r in SUBNETWORKS),
        "class": sum(torch.nn.functional.cross_entropy(method.heads[m](codes[m]), batch.label) for m in codes),
    }
    assert_same(shared, compute_gradients(method.network, weighted_sum(losses, weights)))


def test_discriminator_gradient_equals_that_of_the_naive_step() -> None:
    method, batch = make(BOTH_FAKES)
    method.double()
    batch = batch._replace(audio=batch.audio.double(), visual=batch.visual.double())
    outputs, _ = forward(method, batch)
    shared = compute_gradients(method.discriminator, method.discriminator_loss(outputs, batch, make_rng(7)))

    rng, d, maps = make_rng(7), method.discriminator, outputs.maps
    wrong_audio, wrong_visual = (wrong_partners(batch.label, rng) for _ in range(2))
    v, a = batch.visual, batch.audio
    score: Callable[[Tensor, Tensor], Tensor] = lambda v, a: d(d.visual(v.detach()), d.audio(a.detach()))  # noqa: E731
    loss = (
        2 * real_loss(score(v, a)) + fake_loss(score(v, a[wrong_audio])) / 2 + fake_loss(score(v[wrong_visual], a)) / 2
    )
    loss = loss + sum(fake_loss(score(v, maps[r])) / 6 for r in ("v2a", "a2v2a", "v2v2a"))
    loss = loss + sum(fake_loss(score(maps[r], a)) / 6 for r in ("a2v", "v2a2v", "a2a2v"))
    assert_same(shared, compute_gradients(d, loss))


def test_discriminator_step_moves_only_the_discriminator() -> None:
    method, batch = make("loss_weights.consistency=0", "loss_weights.direct=0", "loss_weights.class=0")
    optimizers = method.optimizers()
    outputs, _ = forward(method, batch)
    before = copy_parameters(method)
    optimizers["discriminator"].zero_grad()
    method.discriminator_loss(outputs, batch, make_rng()).backward()
    optimizers["discriminator"].step()
    changed = changed_parameters(method, before)
    assert changed
    assert all(name.startswith("discriminator.") for name in changed)
    assert all(p.grad is None for p in method.network.parameters())


def test_generator_step_reaches_every_generator_and_not_the_discriminator() -> None:
    method, batch = make()
    outputs, _ = forward(method, batch)
    reached = compute_gradients(
        method, weighted_sum(method.generator_losses(outputs, batch, make_rng()), method.loss_weights)
    )
    assert not any(name.startswith("discriminator.") for name in reached)
    assert {name for name, _ in method.network.named_parameters(prefix="network")} <= reached.keys()
    assert all(p.requires_grad for p in method.discriminator.parameters())


def test_k_updates_the_generators_k_times() -> None:
    once, batch = make()
    thrice = copy.deepcopy(once)
    thrice.config = replace(thrice.config, train=tiny_config("train.generator_updates=3").train)
    counts = []
    for method in (once, thrice):
        optimizers = method.optimizers()
        method.train_step(batch, optimizers, make_rng())
        counts.append({n: int(next(iter(o.state.values()))["step"]) for n, o in optimizers.items()})
    assert counts == [{"discriminator": 1, "generator": 1}, {"discriminator": 1, "generator": 3}]


def test_without_adversarial_weight_the_discriminator_is_not_trained() -> None:
    method, batch = make("loss_weights.adversarial=0")
    before = copy_parameters(method.discriminator)
    losses = method.train_step(batch, method.optimizers(), make_rng())
    assert losses.keys() == {"consistency", "direct", "class"}
    assert not changed_parameters(method.discriminator, before)


def test_a_batch_can_be_overfitted() -> None:
    method, batch = make("loss_weights.adversarial=0")
    shade = (batch.label.float() - 1)[:, None, None, None] * 0.8
    batch = batch._replace(audio=torch.zeros_like(batch.audio) + shade, visual=torch.zeros_like(batch.visual) - shade)
    optimizers = method.optimizers()
    losses = [method.train_step(batch, optimizers, make_rng(i)) for i in range(40)]
    assert float(losses[-1]["consistency"]) < 0.65 * float(losses[0]["consistency"])
    assert float(losses[-1]["class"]) < 0.5 * float(losses[0]["class"])


def test_translation_equals_the_forward_pass() -> None:
    method, batch = make()
    method.eval()
    generators = method.network
    for hops, routes in ((1, ("a2v", "v2a", "a2a", "v2v")), (2, ("a2a2v", "v2v2a", "a2v2a", "v2a2v"))):
        for route in routes:
            start, end = source_of(route), target_of(route)
            source = batch.maps()[start]
            drawn = generators.draw(len(source), make_rng(3), hops)
            if start is end:
                output = generators.recover(start, source, drawn)
            else:
                output = generators.translate(Direction(f"{start.letter}2{end.letter}"), source, drawn)
            used = [PATHS[route][0], route] if hops == 2 else [route]
            z = dict(zip(used, drawn, strict=True))
            codes = generators.encode(batch.maps())
            torch.testing.assert_close(output, generators(codes, z, used[1:]).maps[route])


def test_generators_take_sounds_pictures_and_latents_but_no_labels() -> None:
    method, _ = make()
    generators = method.network
    assert list(inspect.signature(generators.encode).parameters) == ["maps"]
    assert list(inspect.signature(generators.forward).parameters) == ["codes", "z", "paths"]
    assert list(inspect.signature(generators.translate).parameters) == ["direction", "source", "z"]
    assert not any("head" in name or "label" in name for name in generators.state_dict())


def test_unknown_loss_names_are_refused_and_missing_ones_have_weight_0() -> None:
    config = Config(method="cmcgan", loss_weights={"adversarial": 1.0, "consistancy": 1.0})
    with pytest.raises(ConfigError, match="consistancy"):
        CMCGAN(config, CLASSES, FeatureSettings())
    method = CMCGAN(tiny_config(), CLASSES, FeatureSettings())
    assert method.loss_weights.keys() == CMCGAN.losses.keys()
    named = tiny_config().loss_weights
    assert method.loss_weights == {name: named.get(name, 0) for name in CMCGAN.losses}
    zeros = [f"loss_weights.{name}=0" for name in tiny_config().loss_weights]
    with pytest.raises(ConfigError, match=r"every loss of cmcgan has weight 0.*loss_weights\.adversarial=1"):
        CMCGAN(tiny_config(*zeros), CLASSES, FeatureSettings())


def test_preset_paper_has_the_papers_settings() -> None:
    from cmcgan_core.config import load_config

    config = load_config("paper")
    assert {n: w for n, w in config.loss_weights.items() if w} == {"adversarial": 1.0, "consistency": 1.0}
    assert not config.options.keys() - {"hops"}
    assert (config.train.batch_size, config.train.epochs, config.network.latent) == (64, 200, 100)
    assert (config.train.discriminator.name, config.train.generator.name) == ("sgd", "adam")
    assert config.train.discriminator.learning_rate == config.train.generator.learning_rate == 0.001
    assert config.train.discriminator.momentum == 0.9
    assert Options().fakes == ("direct", "two-hop")  # eq. 1 and 2: "the generated" samples are those of all four paths
    assert config.train.average == 0


def test_lcgan_has_no_paths_from_one_modality_to_the_other() -> None:
    from cmcgan_core.config import load_config

    assert load_config("lcgan").options["paths"] == ["v2a2v", "a2v2a"]
    capabilities = [
        (method.network.possible_hops, method.network.recovers)
        for method, _ in (
            make(),
            make("options.paths=['v2a2v', 'a2v2a']"),
            make("options.paths=[]", "loss_weights.consistency=0"),
        )
    ]
    by_route = [dict.fromkeys(Modality, hops) for hops in ((1, 2), (2,), ())]
    assert capabilities == [((1, 2), by_route[0]), ((1,), by_route[1]), ((1,), by_route[2])]


def test_with_drawn_paths_a_step_runs_one_path_to_each_modality() -> None:
    method, batch = make("options.draw_paths=true")
    taken = set()
    for seed in range(12):
        outputs = method._forward(batch, make_rng(seed))
        paths = [route for route in outputs.maps if route in PATHS]
        assert sorted(path[-1] for path in paths) == ["a", "v"]
        taken.update(paths)
    assert taken == set(PATHS)


def test_encoders_do_not_learn_classes_from_outputs_of_subnetworks() -> None:
    method, batch = make("loss_weights.class_of_generated=1", "options.paths=[]", "loss_weights.consistency=0")
    codes = {m: code.detach() for m, code in method.network.encode(batch.maps()).items()}
    outputs = method.network(
        codes, {s: method.network.draw(len(batch.audio), make_rng(), 1)[0] for s in SUBNETWORKS}, []
    )
    changed = compute_gradients(method, method.generated_class_loss(outputs, batch, make_rng()))
    assert changed
    assert all(name.startswith("network.decoders.") for name in changed)


def test_encoders_learn_classes_from_the_second_hop_of_a_path() -> None:
    method, batch = make("loss_weights.class_of_generated=1")
    outputs, _ = forward(method, batch)
    changed = compute_gradients(method, method.generated_class_loss(outputs, batch, make_rng()))
    assert any(name.startswith("network.encoders.") for name in changed)
    assert any(name.startswith("heads.") for name in changed)


def test_only_pairs_with_inferred_latents_are_compared_with_the_truth() -> None:
    method, batch = make("options.posterior=0.5", "loss_weights.latent=0.05")
    outputs, _ = forward(method, batch)
    first, last = outputs.maps["a2v"][:3], outputs.maps["a2v"][3:]
    shifted = Outputs({"a2v": torch.cat([first, last + 1])}, outputs.codes)
    loss, expected = method.direct_loss(shifted, batch, make_rng()), l1_loss(first, batch.visual[:3])
    torch.testing.assert_close(loss, expected)


def test_inferred_latents_depend_on_the_truth_and_drawn_latents_do_not() -> None:
    method, batch = make("options.posterior=0.5", "loss_weights.latent=0.05")
    codes = method.network.encode(batch.maps())
    other = {**codes, "visual": codes["visual"] + 1}
    drawn = method._draw_latents(["a2v"], batch, make_rng())["a2v"]
    differs = method._latent(codes, "a2v", drawn) != method._latent(other, "a2v", drawn)
    assert differs[:3].all()
    assert not differs[3:].any()


def test_augmentation_changes_the_inputs_and_not_the_truth() -> None:
    plain, batch = make("loss_weights.adversarial=0")
    augmenting = copy.deepcopy(plain)
    augmenting.options = replace(augmenting.options, augment=True)
    inputs = []
    augmenting.network.encode = lambda maps: (inputs.append(maps), plain.network.encode(maps))[1]  # type: ignore[method-assign]
    before = batch.audio.clone(), batch.visual.clone()
    augmenting._forward(batch, make_rng())
    assert not torch.equal(inputs[0][Modality.AUDIO], batch.audio)
    assert torch.equal(batch.audio, before[0])
    assert torch.equal(batch.visual, before[1])


@pytest.mark.parametrize(
    ("settings", "fault"),
    [
        (["options.hops=2", "options.paths=['v2a2v', 'a2v2a']"], "a2a2v and v2v2a"),
        (["options.paths=[]"], "consistency"),
        (["options.draw_paths=true", "options.paths=['v2a2v']"], "each modality"),
        (["options.fakes=[]"], "no fakes of one modality"),
        (["options.fakes=['two-hop']", "options.paths=['v2a2v']", "options.hops=1"], "no fakes of one modality"),
        (["options.posterior=0.5"], "loss_weights.latent"),
        (["options.posterior=0.5", "loss_weights.latent=1", "network.latent=0"], "latent vector"),
    ],
)
def test_settings_that_contradict_one_another_are_refused(settings: list[str], fault: str) -> None:
    with pytest.raises(ConfigError, match=fault):
        make(*settings)


def test_the_standard_loss_scores_realism_and_no_pairs() -> None:
    method, batch = make("options.adversarial='standard'")
    outputs = method._forward(batch, make_rng())

    def losses(outputs: Outputs, batch: Batch) -> list[Tensor]:
        return [term(outputs, batch, make_rng()) for term in (method.discriminator_loss, method.adversarial_loss)]

    # Which sound belongs to which picture makes no difference.
    flipped = {name: maps.flip(0) if name.endswith("a") else maps for name, maps in outputs.maps.items()}
    shuffled = losses(outputs._replace(maps=flipped), batch._replace(audio=batch.audio.flip(0)))
    torch.testing.assert_close(losses(outputs, batch), shuffled)
    score, by_hand = method.discriminator, torch.tensor(0.0)
    for modality in Modality:
        fake = torch.cat(method._fakes(outputs, modality))
        by_hand = by_hand - F.logsigmoid(score(modality, batch.maps()[modality])).mean()
        by_hand = by_hand - F.logsigmoid(-score(modality, fake)).mean()
    torch.testing.assert_close(losses(outputs, batch)[0], by_hand)


def test_one_latent_is_the_same_in_all_decodings_of_a_step() -> None:
    common, _ = make("options.one_latent=true")
    apart, batch = make()
    for method, same in ((common, True), (apart, False)):
        z = method._draw_latents(["a2v", "v2a"], batch, make_rng())
        assert torch.equal(z["a2v"], z["v2a"]) is same


@pytest.mark.parametrize(
    "settings",
    [
        ["options.paths=[]", "loss_weights.consistency=0"],
        ["options.paths=['v2a2v', 'a2v2a']"],
        ["network.latent=0"],
        ["network.layers=5"],
        ["network.layers=6", "network.upsampling='resize'"],
        ["options.adversarial='standard'"],
        ["options.adversarial='pairs'"],
        ["options.one_latent=true"],
        ["options.consistency='l1-sum'"],
    ],
)
def test_every_variant_of_the_paper_trains_and_translates(settings: list[str]) -> None:
    method, batch = make(*settings)
    before = copy_parameters(method.network)
    losses = method.train_step(batch, method.optimizers(), make_rng())
    assert all(loss.isfinite() for loss in losses.values())
    assert changed_parameters(method.network, before)
    generators, maps = method.network.eval(), batch.maps()
    for direction in Direction:
        source, target = maps[direction.source], maps[direction.target]
        assert generators.translate(direction, source, generators.draw(len(source), make_rng())).shape == target.shape
