"""A training step never waits for the device: it only puts work on the device's queue.

The steps run on torch's meta device. Its tensors have no values, so reading one on the host is an error, as `item`,
`tolist`, `bool` or `cpu` do. On a GPU, these wait until the GPU has finished all its work. `tests/test_gpu.py` checks
the same with CUDA's own detector, which also finds copies from memory that is not pinned.
"""

from itertools import islice
from pathlib import Path

import pytest
import torch
from conftest import tiny_config
from test_cm_gans import tiny as tiny_cm_gans
from test_cmav import tiny as tiny_cmav
from torch import Tensor

from cmcgan_core.checkpoint import load_checkpoint
from cmcgan_core.config import load_config
from cmcgan_core.data.dataset import open_dataset
from cmcgan_core.data.loader import Batch
from cmcgan_core.inference.completion import Completion
from cmcgan_core.methods.cmcgan import CMCGAN, Outputs
from cmcgan_core.training.run import Run

META = torch.device("meta")
RECIPES = {
    "all that is not in the paper": tiny_config(
        "options.augment=true",
        "options.draw_paths=true",
        "options.posterior=0.5",
        "loss_weights.latent=0.01",
        "train.average=0.99",
        "loss_weights.class_of_generated=1",
        "loss_weights.direct=1",
    ),
    "all paths, SGD": tiny_config("train.discriminator.name=sgd", "train.generator_updates=2"),
    "standard loss": tiny_config("options.adversarial=standard"),
    "wrong pairs by pose": tiny_config("train.wrong_pairs=pose"),
    "S2I-C": tiny_cmav("s2i-c"),
    "S2I-A": tiny_cmav("s2i-a"),
    "I2S": tiny_cmav("i2s"),
    "CM-GANs": tiny_cm_gans(),
    "classifier": load_config("judge-tiny"),
}


@pytest.mark.parametrize("name", RECIPES)
def test_a_step_never_waits_for_the_device(prepared: Path, tmp_path: Path, name: str) -> None:
    run = Run(RECIPES[name], open_dataset(prepared), tmp_path, META)
    first = run.pretraining_steps
    for done, last in ((0, first), (first, first + 2)):
        assert len(list(islice(run.fit(done, last), 2))) == min(last, 2)


def test_a_step_on_completed_pairs_never_waits_for_the_device(prepared: Path, tiny_run: Path, tmp_path: Path) -> None:
    completion = Completion(load_checkpoint(tiny_run / "last.safetensors", META))
    run = Run(RECIPES["classifier"], open_dataset(prepared), tmp_path, META, completion)
    assert next(run.fit(0, 1)).step == 1


def test_a_loss_that_reads_a_value_is_found(prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = Run(RECIPES["all paths, SGD"], open_dataset(prepared), tmp_path, META)

    def class_loss(method: CMCGAN, outputs: Outputs, batch: Batch, rng: torch.Generator) -> Tensor:
        loss = CMCGAN.class_loss(method, outputs, batch, rng)
        return loss if float(loss.detach()) < 10 else loss / 10

    monkeypatch.setitem(run.method.losses, "class", class_loss)
    with pytest.raises(RuntimeError, match="meta"):
        next(run.fit(0, 1))
