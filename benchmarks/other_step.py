"""Compare a CMCGAN step with that of the one other public implementation in PyTorch that we know, at 128 x 128 pixels.

The other one is https://github.com/excitohe/VAMG, commit 3693a9e. It has a separate network for each encoder and
decoder of a subnetwork, gives the class to the decoders, and resizes spectrograms to 128 x 128. It normalises single
values (its codes are 1 x 1), which PyTorch refuses today, so that check is switched off; the costs stay the same. Ours
is the preset `paper`. Both get a batch of as many pairs of noise. Prints the floating-point operations of the
convolutions and matrix products of a step, per pair, and the CPU-seconds of a step on one thread, measured in
alternation.

usage: git clone https://github.com/excitohe/VAMG
       python benchmarks/other_step.py VAMG [BATCH]       (8 by default)
"""

import statistics
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor
from torch.nn import functional
from train_step import ROUNDS, count_operations, make_method_and_batch, measure_seconds

CPU = torch.device("cpu")
#: Learning rate of the other implementation's optimizers; it has no effect on the costs.
LEARNING_RATE = 2e-4


def other_step(folder: Path, batch_size: int) -> Callable[[], None]:
    """Return a function that takes a step as the `train` of the other implementation's `runner.py` does."""
    sys.path.insert(0, str(folder))
    import model

    generators, discriminator = model.CMC_G(), model.CMC_D()
    optimizers = [
        torch.optim.Adam(network.parameters(), LEARNING_RATE, (0.9, 0.99)) for network in (generators, discriminator)
    ]
    with patch.object(Tensor, "cuda", lambda tensor: tensor):  # its losses always put two constants on a GPU
        losses = model.CMCLoss(None)
    image, wrong_image = torch.rand(2, batch_size, 3, 128, 128) * 2 - 1
    audio, wrong_audio = torch.rand(2, batch_size, 1, 128, 128) * 2 - 1
    label, noise = torch.rand(batch_size, 13), torch.rand(batch_size, 100)
    real = {"real_image": image, "real_audio": audio}

    @patch.object(functional, "_verify_spatial_size", lambda size: None)
    def step() -> None:
        outputs = generators(image, audio, label, noise)
        for optimizer, detach in zip(reversed(optimizers), (True, False), strict=True):
            optimizer.zero_grad()
            scores = discriminator(image, audio, wrong_image, wrong_audio, outputs, detach=detach)
            terms: dict[str, Any] = losses.optim_D(scores) if detach else losses.optim_G(outputs, scores, real)
            sum(terms.values()).backward()
            optimizer.step()

    return step


def our_step(batch_size: int) -> Callable[[], object]:
    """Return a function that takes a step of the preset `paper`."""
    method, batch = make_method_and_batch("paper", batch_size, CPU)
    optimizers = method.optimizers()
    return lambda: method.train_step(batch, optimizers, torch.Generator().manual_seed(0))


def main(folder: str, batch_size: str = "8") -> None:
    """Print the operations and the CPU-seconds of both, and their ratios."""
    torch.set_num_threads(1)
    pairs = int(batch_size)
    steps = {"ours": our_step(pairs), "other": other_step(Path(folder), pairs)}
    operations = {name: count_operations(step) / pairs for name, step in steps.items()}
    times: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(ROUNDS):
        for name, step in steps.items():
            times[name].append(measure_seconds(step, CPU))
    ratios = [other / ours for ours, other in zip(times["ours"], times["other"], strict=True)]
    print(f"batch {pairs}, one thread, torch {torch.__version__}, {ROUNDS} rounds (median, min-max)")
    for name, values in {**times, "other / ours": ratios}.items():
        print(f"  {name:12} {statistics.median(values):.3f}  {min(values):.3f}-{max(values):.3f}")
    for name, count in operations.items():
        print(f"  {name:12} {count / 1e9:.1f} GFLOP per pair")


if __name__ == "__main__":
    main(*sys.argv[1:])
