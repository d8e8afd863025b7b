"""The examples in CONTRIBUTING.md run without errors."""

import re
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import CLASSES, tiny_config

from cmcgan_core.config import load_config
from cmcgan_core.data.dataset import open_dataset
from cmcgan_core.data.loader import Batch
from cmcgan_core.data.prepare.pipeline import prepare
from cmcgan_core.data.prepare.recording import SourceOptions
from cmcgan_core.features.settings import FeatureSettings
from cmcgan_core.methods.cmcgan import CMCGAN
from cmcgan_core.modality import Modality
from cmcgan_core.nn.decoders import DECODERS

TEXT = (Path(__file__).parents[1] / "CONTRIBUTING.md").read_text(encoding="utf-8")


def run_example(name: str) -> dict[str, Any]:
    """Run the code block of that name, and return its variables."""
    (code,) = re.findall(rf"```python {name}\n(.*?)```", TEXT, flags=re.DOTALL)
    namespace: dict[str, Any] = {}
    exec(code, namespace)
    return namespace


def random_batch(size: int = 6) -> Batch:
    network = tiny_config().network
    audio, visual = (torch.rand(size, m.channels, *network.size(m)) * 2 - 1 for m in Modality)
    label = torch.arange(size) % len(CLASSES)
    return Batch(audio, visual, label, label, torch.zeros(size))


def test_the_loss_term_is_trained_on_where_it_has_a_weight() -> None:
    colour_cmcgan = run_example("loss")["ColourCMCGAN"]
    for weight, names in ((0, set()), (1, {"colour"})):
        method = colour_cmcgan(tiny_config(f"loss_weights.colour={weight}"), CLASSES, FeatureSettings())
        losses = method.train_step(random_batch(), method.optimizers(), torch.Generator().manual_seed(0))
        assert losses.keys() & {"colour"} == names
    assert colour_cmcgan(tiny_config(), CLASSES, FeatureSettings()).loss_weights["colour"] == 0


def test_the_source_is_prepared(tmp_path: Path) -> None:
    prepare(tmp_path, tmp_path / "data", run_example("source")["Noise"](), SourceOptions(), workers=1)
    dataset = open_dataset(tmp_path / "data")
    assert (dataset.classes, len(dataset.pairs)) == (("pink", "white"), 80)


def test_the_decoder_is_trained(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(DECODERS.builtins, "linear", run_example("decoder")["LinearDecoder"])
    method = CMCGAN(load_config("tiny", settings=["network.decoder=linear"]), CLASSES, FeatureSettings())
    losses = method.train_step(random_batch(), method.optimizers(), torch.Generator().manual_seed(0))
    assert all(loss.isfinite() for loss in losses.values())
    assert any("layer" in name for name, _ in method.network.decoders.named_parameters())
