import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from conftest import CLASSES, Run, document_and_text, shapes_of
from PIL import Image
from test_training import interrupt_at
from torch import Tensor, nn

from cmcgan_core.checkpoint import load_checkpoint, read_tensors
from cmcgan_core.config import Config, NetworkConfig, load_config
from cmcgan_core.data.dataset import open_dataset
from cmcgan_core.data.loader import Batch
from cmcgan_core.errors import CheckpointError, ConfigError, Interrupted
from cmcgan_core.features.settings import FeatureSettings
from cmcgan_core.human_eval.draw import open_rated_model
from cmcgan_core.inference.classify import classify_files
from cmcgan_core.inference.onnx import export_onnx
from cmcgan_core.inference.sampling import SamplingOptions
from cmcgan_core.inference.translate import translate
from cmcgan_core.methods.cmav import CMAV
from cmcgan_core.modality import Direction, Modality
from cmcgan_core.nn.decoders import Generator
from cmcgan_core.nn.discriminators import MatchingDiscriminator
from cmcgan_core.nn.encoders import ClassifierEncoder
from cmcgan_core.nn.layers import count_parameters
from cmcgan_core.training.train import plan_run, train_run

PRESETS = ["s2i-c", "s2i-n", "s2i-a", "i2s"]
#: Settings that make training take seconds. The samples are useless.
TINY = [
    "network.width=0.0625",
    "network.picture_size=32",
    "network.bins=32",
    "network.frames=32",
    "judge=judge-tiny",
    "train.epochs=3",
    "options.encoder_epochs=2",
    "train.batch_size=16",
    "train.sample_every=1",
]


def tiny(preset: str, *settings: str) -> Config:
    return load_config(preset, settings=[*TINY, *settings])


def make(preset: str, *settings: str, size: int = 6) -> tuple[CMAV, Batch]:
    torch.manual_seed(0)
    method = CMAV(tiny(preset, *settings), CLASSES, FeatureSettings())
    label = torch.arange(size) % len(CLASSES)
    audio, visual = (torch.rand(size, m.channels, *method.config.network.size(m)) * 2 - 1 for m in Modality)
    return method, Batch(audio, visual, label, label, torch.arange(size) * 10_000)


def make_rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def changed_parts(module: nn.Module, before: Mapping[str, Tensor]) -> set[str]:
    """Return the names of the parts of a method whose parameters have changed."""
    changed = [name for name, value in module.named_parameters() if not torch.equal(value, before[name])]
    return {name.split(".")[1 if name.startswith("network") else 0] for name in changed}


def copy_parameters(module: nn.Module) -> dict[str, Tensor]:
    return {name: value.detach().clone() for name, value in module.named_parameters()}


@pytest.mark.parametrize(("layers", "last"), [(3, []), (4, [(16, 8, 8)])])
def test_the_sound_encoder_is_the_papers_classifier(layers: int, last: list[tuple[int, ...]]) -> None:
    encoder = ClassifierEncoder(1, (64, 64), NetworkConfig(layers=layers), [])
    shapes = shapes_of(encoder, (nn.Conv2d, nn.Linear), torch.rand(2, 1, 64, 64), "real")
    assert shapes == [(4, 32, 32), (8, 16, 16), (16, 8, 8), *last, (1024,), (128,), (64,)]
    assert [m.p for m in encoder.modules() if isinstance(m, nn.Dropout)] == pytest.approx([0.3, 0.2])


def test_the_picture_encoder_is_the_papers_classifier() -> None:
    encoder = ClassifierEncoder(3, (64, 64), NetworkConfig(layers=4), [])
    shapes = shapes_of(encoder, (nn.Conv2d, nn.Linear), torch.rand(2, 3, 64, 64), "real")
    assert shapes[:6] == [(16, 64, 64)] * 2 + [(32, 32, 32)] * 2 + [(64, 32, 32)] * 2
    assert shapes[6:] == [(1024,), (128,), (64,)]


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", [(64, 64), (33, 70), (128, 32)])
def test_encoders_take_any_size(channels: int, size: tuple[int, int]) -> None:
    encoder = ClassifierEncoder(channels, size, NetworkConfig(layers=4, width=0.125), [])
    assert encoder(torch.rand(2, channels, *size), "real").shape == (2, 64, 1, 1)


def test_another_number_of_layers_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"3 or 4 layers, not 7.*network\.encoder=conv"):
        ClassifierEncoder(1, (64, 64), NetworkConfig(), [])


@pytest.mark.parametrize("channels", [1, 3])
def test_generator_and_discriminator_have_the_papers_sizes(channels: int) -> None:
    network = load_config("s2i-c").network
    generator = Generator(channels, (64, 64), network, latent=10)
    shapes = shapes_of(generator, (nn.ConvTranspose2d,), torch.rand(2, 64), torch.rand(2, 10))
    assert generator.first.in_features == 74
    assert generator.start == (512, 4, 4)
    assert shapes == [(256, 8, 8), (128, 16, 16), (64, 32, 32), (channels, 64, 64)]
    discriminator = MatchingDiscriminator(channels, (64, 64), 1.0)
    features = discriminator.features(torch.rand(2, channels, 64, 64))
    assert features.shape == (2, 512, 4, 4)
    assert discriminator(features, torch.rand(2, 64)).shape == (2,)


@pytest.mark.parametrize("objective", ["classifier", "autoencoder"])
@pytest.mark.parametrize("preset", PRESETS)
def test_the_first_stage_trains_only_the_encoder(preset: str, objective: str) -> None:
    method, batch = make(preset, f"options.encoder_objective={objective}")
    before = copy_parameters(method)
    losses = method.pretrain_step(batch, method.optimizers(), make_rng())
    assert losses.keys() == {"encoder"}
    assert changed_parts(method, before) == {"encoder", "helper"}


@pytest.mark.parametrize("preset", PRESETS)
def test_the_second_stage_trains_only_generator_and_discriminator(preset: str) -> None:
    method, batch = make(preset)
    before = copy_parameters(method)
    losses = method.train_step(batch, method.optimizers(), make_rng())
    assert losses.keys() == {"discriminator", "adversarial"}
    assert changed_parts(method, before) == {"generator", "discriminator"}


def test_discriminator_and_generator_are_updated_in_turn() -> None:
    method, batch = make("s2i-c")
    code, before = method._frozen_code(batch), copy_parameters(method)
    fake = method._generate(code, batch, make_rng())
    optimizers = method.optimizers()
    loss = method.discriminator_loss(code, fake.detach(), batch, make_rng())
    loss.backward()
    optimizers["discriminator"].step()
    assert changed_parts(method, before) == {"discriminator"}
    before = copy_parameters(method)
    method.zero_grad()
    method.adversarial_loss(code, fake, batch).backward()
    for optimizer in optimizers.values():
        optimizer.step()
    assert changed_parts(method, before) == {"generator"}


def test_only_s2i_n_has_no_wrong_pairs() -> None:
    for preset, draws_wrong_pairs in (("s2i-c", True), ("s2i-n", False)):
        method, batch = make(preset)
        code = method._frozen_code(batch)
        with torch.no_grad():
            losses = {float(method.discriminator_loss(code, batch.visual, batch, make_rng(s))) for s in range(8)}
        assert (len(losses) > 1) == draws_wrong_pairs  # only the wrong partners are random here


def test_codes_have_no_dropout_while_the_generator_is_trained() -> None:
    method, batch = make("s2i-c")
    method.train()
    torch.testing.assert_close(method._frozen_code(batch), method._frozen_code(batch), rtol=0, atol=0)
    first, second = (float(method.encoder_loss(batch).detach()) for _ in range(2))
    assert first != second


@pytest.mark.parametrize("preset", ["s2i-c", "s2i-a"])
def test_an_encoder_can_overfit_a_batch(preset: str) -> None:
    method, batch = make(preset, "options.encoder_optimizer.learning_rate=0.003")
    optimizers = method.optimizers()
    losses = [float(method.pretrain_step(batch, optimizers, make_rng(step))["encoder"]) for step in range(100)]
    assert min(losses[-10:]) < losses[0] / 2


def test_the_generator_can_overfit_a_batch() -> None:
    rates = ["train.generator.learning_rate=0.002", "train.discriminator.learning_rate=0.0005"]
    method, batch = make("s2i-c", "network.picture_size=16", *rates, size=3)
    colours = torch.tensor([[1.0, -1.0, -1.0], [-1.0, 1.0, -1.0], [-1.0, -1.0, 1.0]])
    batch = batch._replace(visual=0.8 * colours[:, :, None, None].expand(-1, -1, 16, 16))
    optimizers = method.optimizers()
    for train_step, steps in ((method.pretrain_step, 60), (method.train_step, 150)):
        for step in range(steps):
            train_step(batch, optimizers, make_rng(step))
    output = method._generate(method._frozen_code(batch), batch, make_rng()).detach()
    assert float((output - batch.visual).mean(dim=(2, 3)).abs().mean()) < 0.2  # the classes differ by 1.6


@pytest.mark.parametrize(
    ("settings", "classes", "fault"),
    [
        ([], ("cello",), r"needs two classes.*options\.encoder_objective=autoencoder"),
        (["network.layers=6"], CLASSES, "3 or 4 layers, not 6"),
        (["loss_weights.direct=1"], CLASSES, "cmav has no loss direct"),
        (["loss_weights.adversarial=0"], CLASSES, "every loss of cmav has weight 0"),
    ],
)
def test_settings_that_contradict_one_another_are_refused(
    settings: list[str], classes: tuple[str, ...], fault: str
) -> None:
    with pytest.raises(ConfigError, match=fault):
        CMAV(tiny("s2i-c", *settings), classes, FeatureSettings())


@pytest.mark.parametrize("settings", [["options.encoder_epochs=3"], ["train.epochs=9", "train.steps=6"]])
def test_an_encoder_that_leaves_no_steps_to_the_generator_is_refused(prepared: Path, settings: list[str]) -> None:
    with pytest.raises(ConfigError, match=r"steps leave no step for the generator.*encoder_epochs"):
        # An epoch has three steps; the encoder gets two or three epochs.
        plan_run(tiny("s2i-c", *settings), open_dataset(prepared))


@pytest.mark.parametrize("preset", PRESETS)
def test_a_small_preset_differs_in_its_size_and_encoder_epochs(preset: str) -> None:
    paper, small = load_config(preset), load_config(f"{preset}-small")
    assert small.options == {**paper.options, "encoder_epochs": small.options["encoder_epochs"]}
    assert small.network == replace(paper.network, width=0.5)


@pytest.fixture(scope="module")
def runs(prepared: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Finished runs, one in each direction, by preset."""
    folders = {preset: tmp_path_factory.mktemp("cmav") / preset for preset in ("s2i-c", "i2s")}
    for preset, out in folders.items():
        train_run(tiny(preset), open_dataset(prepared), out)
    return folders


def test_pretraining_is_a_stage_of_the_run_and_of_its_log(runs: dict[str, Path]) -> None:
    log = [json.loads(line) for line in (runs["s2i-c"] / "metrics.jsonl").read_text().splitlines()]
    stages = {line["step"]: "encoder" in line for line in log if "validation" not in line}
    assert stages == {3: True, 6: True, 9: False}  # 48 pairs, batches of 16, two epochs of three
    assert [line["step"] for line in log if "validation" in line] == [9]
    assert [file.name for file in (runs["s2i-c"] / "samples").iterdir()] == ["epoch_0003.png"]


def test_a_resumed_run_equals_an_uninterrupted_one(prepared: Path, tmp_path: Path) -> None:
    config = tiny("s2i-c", "train.average=0.9", "train.final_learning_rate=0.1")
    train_run(config, open_dataset(prepared), tmp_path / "whole")
    for step in (2, 6, 7):  # in the first stage, at its end, in the second stage
        with pytest.raises(Interrupted, match=f"step {step} of"):
            train_run(config, open_dataset(prepared), tmp_path / "broken", resume=True, on_progress=interrupt_at(step))
    state = read_tensors(tmp_path / "broken" / "last.safetensors", "")
    train_run(config, open_dataset(prepared), tmp_path / "broken", resume=True)
    first, second = (read_tensors(tmp_path / name / "last.safetensors", "") for name in ("whole", "broken"))
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)
    # The averaged weights have the encoder that the generator was trained with, not an average of it.
    for name, weights in state.items():
        if name.startswith("network.encoder."):
            torch.testing.assert_close(weights, state[f"method.{name}"])


def test_a_run_has_one_direction_and_one_hop(runs: dict[str, Path]) -> None:
    trained = load_checkpoint(runs["s2i-c"] / "last.safetensors", torch.device("cpu"))
    output = translate(trained, Direction.A2V, torch.zeros(2, 1, 32, 32), SamplingOptions(samples=3))
    assert output.shape == (6, 3, 32, 32)
    with pytest.raises(CheckpointError, match="does a2v, not v2a; name another run"):
        translate(trained, Direction.V2A, torch.zeros(2, 3, 32, 32), SamplingOptions())
    with pytest.raises(CheckpointError, match="does not support 2 hops"):
        translate(trained, Direction.A2V, torch.zeros(2, 1, 32, 32), SamplingOptions(hops=2))


@pytest.mark.parametrize(
    ("preset", "table", "rows"), [("s2i-c", "S2I", {"V-A", "GV-A"}), ("i2s", "I2S", {"V-A", "GA-V"})]
)
def test_a_run_is_evaluated_in_its_direction(
    prepared: Path, runs: dict[str, Path], preset: str, table: str, rows: set[str], cmcgan: Run
) -> None:
    command = ["evaluate", prepared, "--checkpoint", runs[preset], "--latents", 2, "--quiet"]
    document, text = document_and_text(cmcgan, *command)
    assert document["table1"].keys() == document["quality"].keys() == {table}
    assert document["table1"][table].keys() == {"1"}
    assert document["quality"][table].keys() == {"1", "real"}
    assert {row for row in document["table2"] if " " not in row} == {"V", "A", *rows}
    assert {row for row in document["other_table2"]["retrained"] if " " not in row} == rows
    assert f"{table} direct *" in text
    assert {"S2I", "I2S"}.intersection(text.split()) == {table}


def test_a_run_completes_classifies_and_is_rated_in_its_direction(runs: dict[str, Path], tmp_path: Path) -> None:
    run = runs["s2i-c"]
    trained, classifier = (
        load_checkpoint(run / f"{n}.safetensors", torch.device("cpu")) for n in ("last", "classifier")
    )
    assert classifier.about.temperatures.keys() == {"V-A", "GV-A"}
    soundfile.write(tmp_path / "a.wav", np.sin(np.arange(22_050) / 10) / 2, 44_100)
    Image.new("RGB", (40, 40)).save(tmp_path / "a.png")
    classification = classify_files(trained, classifier, tmp_path / "a.wav", None, SamplingOptions())
    assert (classification.generated, classification.calibrated) == ("visual", True)
    with pytest.raises(CheckpointError, match="does a2v, not v2a; name another run"):
        classify_files(trained, classifier, None, tmp_path / "a.png", SamplingOptions())
    assert open_rated_model(run, seed=0).available("a") == ("picture",)
    assert open_rated_model(runs["i2s"], seed=0).available("a") == ("sound",)


def test_a_run_is_exported(runs: dict[str, Path], tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    exported = export_onnx(runs["i2s"] / "last.safetensors", Direction.V2A, tmp_path / "i2s.onnx")
    assert exported.hops == 1
    assert ("batch", 1, 32, 32) in exported.shapes.values()
    with pytest.raises(CheckpointError, match="does not support 2 hops"):
        export_onnx(runs["i2s"] / "last.safetensors", Direction.V2A, tmp_path / "i2s.onnx", hops=2)


def test_presets_of_the_papers_size_have_this_many_parameters() -> None:
    sizes = {p: count_parameters(CMAV(load_config(p), CLASSES, FeatureSettings()).network) for p in PRESETS}
    assert sizes["s2i-c"] == sizes["s2i-n"] == sizes["s2i-a"]
    assert round(sizes["s2i-c"] / 1e6, 1) == 6.1
    assert round(sizes["i2s"] / 1e6, 1) == 21.9


def test_a_squared_error_can_replace_the_discriminator() -> None:
    method, batch = make("s2i-a", "loss_weights.adversarial=0", "loss_weights.squared_error=1")
    before = copy_parameters(method)
    losses = method.train_step(batch, method.optimizers(), make_rng())
    assert losses.keys() == {"squared_error"}
    assert changed_parts(method, before) == {"generator"}
    fake = torch.zeros_like(batch.visual)
    by_hand = batch.visual.square().mean()
    torch.testing.assert_close(method.squared_error(torch.zeros(6, 64), fake, batch), by_hand)


def test_a_frozen_classifier_reads_the_class_of_generated_targets() -> None:
    method, batch = make("i2s", "loss_weights.class_of_generated=2")
    before = copy_parameters(method)
    losses = method.pretrain_step(batch, method.optimizers(), make_rng())
    assert losses.keys() == {"encoder", "target_classifier"}
    assert changed_parts(method, before) == {"encoder", "helper", "target_classifier"}
    before = copy_parameters(method)
    losses = method.train_step(batch, method.optimizers(), make_rng())
    assert losses.keys() == {"discriminator", "adversarial", "class_of_generated"}
    assert changed_parts(method, before) == {"generator", "discriminator"}
    assert method.target_classifier is not None
    logits = method.target_classifier({Modality.AUDIO: batch.audio})
    by_hand = -logits.log_softmax(dim=1)[torch.arange(6), batch.label].mean()
    torch.testing.assert_close(method.generated_class_loss(torch.zeros(6, 64), batch.audio, batch), by_hand)
