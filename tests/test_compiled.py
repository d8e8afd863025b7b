"""Tests of `train.compile`."""

from functools import partialmethod
from pathlib import Path

import pytest
import torch
from conftest import tiny_config

from cmcgan_core.data.dataset import open_dataset
from cmcgan_core.training.run import Run


@pytest.mark.slow
def test_compiled_networks_learn_the_same(prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # This backend traces the passes as the default one does, but needs no compiler, and no minutes.
    compile_module = torch.nn.Module.compile
    monkeypatch.setattr(torch.nn.Module, "compile", partialmethod(compile_module, backend="aot_eager"))
    found = []
    for compiled in ("false", "true"):
        config = tiny_config("train.steps=4", f"train.compile={compiled}", "train.average=0.9")
        run = Run(config, open_dataset(prepared), tmp_path / compiled, torch.device("cpu"))
        with torch._dynamo.config.patch(fail_on_recompile_limit_hit=True):
            losses = [{name: float(loss) for name, loss in update.losses.items()} for update in run.fit(0, 4)]
        found.append((losses, dict(run.method.state_dict())))
    (losses, weights), (compiled_losses, compiled_weights) = found
    for ours, theirs in zip(losses, compiled_losses, strict=True):
        assert theirs == pytest.approx(ours, rel=1e-3)
    assert compiled_weights.keys() == weights.keys()
    for name, weight in weights.items():
        torch.testing.assert_close(compiled_weights[name], weight, rtol=0, atol=5e-3, msg=name)
