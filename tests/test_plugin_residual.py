"""The first example plugin: a run is trained with its encoder and its loss, in a process that may crash."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from cmcgan_core.nn.layers import to_channels_last

#: Trains a layer, prepared as a run prepares its networks, until memory that was overwritten would be noticed.
TRAIN_LAYER = """
import sys
import torch
from torch import nn
from cmcgan_core.nn.layers import to_channels_last

channels, side, stride = map(int, sys.argv[1:])
layer = nn.Conv2d(channels, 8, 1, stride=stride)
to_channels_last(layer)
for _ in range(60):
    maps = torch.rand(16, channels, side, side).contiguous(memory_format=torch.channels_last).requires_grad_()
    layer(maps).square().mean().backward()
    other = [torch.rand(7 + size) for size in range(50)]
"""


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


@pytest.mark.parametrize("side", [32, 33])
def test_a_strided_pointwise_convolution_stays_the_same_function(side: int) -> None:
    layer, maps = nn.Conv2d(3, 8, 1, stride=(2, 3)), torch.rand(2, 3, side, side)
    expected = layer(maps)
    to_channels_last(layer)
    to_channels_last(layer)  # a network may be prepared twice
    torch.testing.assert_close(layer(maps), expected)


@pytest.mark.parametrize(("channels", "side", "stride"), [(3, 64, 2), (2, 16, 4)])
def test_a_strided_pointwise_convolution_of_few_channels_does_not_crash(channels: int, side: int, stride: int) -> None:
    finished = run("-c", TRAIN_LAYER, channels, side, stride)
    assert finished.returncode == 0, finished.stderr


def test_a_run_is_trained_with_the_plugins_encoder_and_loss(prepared: Path, tmp_path: Path) -> None:
    settings = ("network.encoder=residual", "options.consistency=smooth_l1", "train.epochs=1", "network.frames=32")
    changes = [word for setting in settings for word in ("--set", setting)]
    finished = run("-m", "cmcgan_cli", "train", prepared, "--preset", "tiny", *changes, "--out", tmp_path / "run")
    assert finished.returncode == 0, finished.stderr
    assert (tmp_path / "run" / "last.safetensors").is_file()
