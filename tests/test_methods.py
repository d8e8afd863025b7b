"""The loop, the run and the checkpoint take any method: one without optimizers, one whose losses come and go."""

import json
from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
from conftest import Run, tiny_config
from torch import Tensor
from torch.optim import Optimizer

from cmcgan_core.checkpoint import load_checkpoint, network_tensors, read_tensors, save_checkpoint
from cmcgan_core.config import Config
from cmcgan_core.data.dataset import open_dataset
from cmcgan_core.data.loader import Batch
from cmcgan_core.errors import CheckpointError, Interrupted
from cmcgan_core.features.settings import FeatureSettings
from cmcgan_core.methods import METHODS, Method
from cmcgan_core.modality import Modality
from cmcgan_core.nn.capabilities import Embedder
from cmcgan_core.progress import Progress, silent
from cmcgan_core.run_folder import RunFolder
from cmcgan_core.training import run as runs
from cmcgan_core.training.run import train_once
from cmcgan_core.utils.signals import StopRequest


class CentredPixels(Embedder):
    """Embeds items as the mean of their pixels, minus the mean over the training items. It has buffers only."""

    embeds = tuple(Modality)

    def __init__(self) -> None:
        super().__init__()
        for modality in Modality:
            self.register_buffer(f"{modality}_mean", torch.zeros(modality.channels))

    def embed(self, modality: Modality, maps: Tensor) -> Tensor:
        values: Tensor = maps.mean(dim=(2, 3)) - getattr(self, f"{modality}_mean")
        return values.mean(dim=1, keepdim=True)


class CountingMethod(Method[CentredPixels]):
    """Moves the means towards those of each batch, without gradients; every second step has another loss too."""

    def __init__(self, config: Config, classes: tuple[str, ...], settings: FeatureSettings) -> None:
        super().__init__(config, classes, settings)
        self.register_buffer("count", torch.zeros((), dtype=torch.long))

    @classmethod
    def build_network(cls, config: Config, classes: tuple[str, ...], settings: FeatureSettings) -> CentredPixels:
        return CentredPixels()

    def optimizers(self) -> dict[str, Optimizer]:
        return {}

    def train_step(self, batch: Batch, optimizers: Mapping[str, Optimizer], rng: torch.Generator) -> dict[str, Tensor]:
        self.count += 1
        for modality, maps in batch.maps().items():
            getattr(self.network, f"{modality}_mean").lerp_(maps.mean(dim=(0, 2, 3)), 0.5)
        even = {"even": torch.tensor(2.0)} if not int(self.count) % 2 else {}
        return {"always": torch.tensor(float(self.count)), **even}

    def validation_loss(self, network: CentredPixels, batch: Batch, rng: torch.Generator) -> Tensor:
        return network.embed(Modality.VISUAL, batch.visual).abs().mean()


@pytest.fixture
def counting(monkeypatch: pytest.MonkeyPatch) -> Config:
    """The configuration of a run of `CountingMethod`: three epochs of three steps."""
    monkeypatch.setitem(METHODS.builtins, "counting", CountingMethod)
    return tiny_config("method=counting", "train.average=0.9", "train.epochs=3")


def test_a_method_without_weights_and_optimizers_is_trained_resumed_and_evaluated(
    counting: Config, prepared: Path, tmp_path: Path, cmcgan: Run
) -> None:
    dataset = open_dataset(prepared)
    whole = train_once(counting, dataset, tmp_path / "whole", "cpu", silent)
    assert resume_at(4, counting, prepared, tmp_path / "broken") == read_all(whole)
    assert load_checkpoint(whole, torch.device("cpu")).device == torch.device("cpu")
    code, out, _ = cmcgan("evaluate", prepared, "--checkpoint", whole, "--json", "--quiet", "--device", "cpu")
    assert code == 0
    assert json.loads(out)["retrieval"] is None  # a test recording for each class, so nothing can be retrieved


def test_a_loss_is_averaged_over_the_steps_that_have_it(
    counting: Config, prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runs, "LOG_EVERY", 4)
    train_once(counting, open_dataset(prepared), tmp_path, "cpu", silent)
    log = [json.loads(line) for line in RunFolder(tmp_path).log.read_text().splitlines()]
    losses = {record["step"]: (record["always"], record.get("even")) for record in log if "always" in record}
    assert losses == {3: (2, 2), 4: (4, 2), 6: (5.5, 2), 8: (7.5, 2), 9: (9, None)}


def test_optimizers_without_momentum_are_resumed(prepared: Path, tmp_path: Path) -> None:
    plain = [f"train.{part}.{what}" for part in ("generator", "discriminator") for what in ("name=sgd", "momentum=0")]
    config = tiny_config(*plain, "train.average=0", "train.epochs=2")
    whole = train_once(config, open_dataset(prepared), tmp_path / "whole", "cpu", silent)
    assert resume_at(2, config, prepared, tmp_path / "broken") == read_all(whole)


def test_a_checkpoint_to_use_is_not_resumed(counting: Config, prepared: Path, tmp_path: Path) -> None:
    run = runs.Run(counting, open_dataset(prepared), tmp_path, torch.device("cpu"))
    run.start()
    stop = StopRequest()
    stop.requested = True
    with pytest.raises(Interrupted):
        run.train(silent, stop)
    trained = load_checkpoint(RunFolder(tmp_path).last, torch.device("cpu"))
    save_checkpoint(RunFolder(tmp_path).last, trained.about, network_tensors(trained.network))
    run = runs.Run(counting, open_dataset(prepared), tmp_path, torch.device("cpu"))
    with pytest.raises(CheckpointError, match="no training state"):
        run.load()


def resume_at(step: int, config: Config, data: Path, out: Path) -> dict[str, list[float]]:
    """Stop a run after a step, resume it in a new object, and return the tensors of its checkpoint."""
    run = runs.Run(config, open_dataset(data), out, torch.device("cpu"))
    run.start()
    stop = StopRequest()

    def stop_at(progress: Progress) -> None:
        stop.requested = progress.done == step

    with pytest.raises(Interrupted):
        run.train(stop_at, stop)
    return read_all(train_once(config, open_dataset(data), out, "cpu", silent))


def read_all(checkpoint: Path) -> dict[str, list[float]]:
    """Return all tensors of a checkpoint as comparable values."""
    return {name: tensor.flatten().tolist() for name, tensor in read_tensors(checkpoint, "").items()}
