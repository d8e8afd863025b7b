"""Measure one CMCGAN step that computes every shared feature once, and the step as drawn in the paper's figure.

Prints the seconds per step of both, measured in alternation, and their ratio. On the CPU these are CPU-seconds of one
thread. With `compile`, the first step is measured with compiled networks too, which are compiled before, for minutes.
Then prints what share of the device's speed each kind of step uses: its floating-point operations per second, divided
by those of a large matrix product that is measured too, in the number format of the step.

The preset's sizes and weights are used, with two exceptions. All paths are run. Of the losses that the paper does not
have, only two are used: the class loss on the codes of the inputs, and the loss on direct outputs.

usage: python benchmarks/train_step.py [PRESET] [BATCH] [DEVICE] [compile]      (small, 32 and cpu by default)
"""

import statistics
import sys
import time
from collections.abc import Callable, Mapping

import torch
from torch import Tensor
from torch.optim import Optimizer
from torch.utils.flop_counter import FlopCounterMode

from cmcgan_core.config import load_config
from cmcgan_core.data.loader import Batch, wrong_pairs
from cmcgan_core.features.settings import FeatureSettings
from cmcgan_core.methods.base import update, weighted_sum
from cmcgan_core.methods.cmcgan import CMCGAN, FAKES, PATHS, SUBNETWORKS, Outputs
from cmcgan_core.modality import Modality, source_of, target_of
from cmcgan_core.nn.losses import joint_discriminator_loss, joint_generator_loss
from cmcgan_core.training.compiled import compile_networks

CLASSES = tuple("abcdefghijklm")
#: Alternations of the two steps that are measured, after one to warm up.
ROUNDS = 7
#: Side of the square matrices whose product is measured, by the type of the device.
SIDE = {"cpu": 1024, "cuda": 8192}
#: Settings that run all paths and leave out most losses that the paper does not have.
ALL_PATHS = (
    "options.draw_paths=false",
    "options.augment=false",
    "options.posterior=0",
    "loss_weights.latent=0",
    "loss_weights.class_of_generated=0",
)


def naive_forward(method: CMCGAN, batch: Batch, rng: torch.Generator) -> Outputs:
    """Run every path from its input to its output, and share nothing between paths."""
    generators, real = method.network, batch.maps()
    z = {route: generators.draw(len(batch.label), rng, 1)[0].to(batch.audio.device) for route in (*SUBNETWORKS, *PATHS)}
    maps: dict[str, Tensor] = {}
    codes: dict[str, Tensor] = {}
    for path, (first, second) in PATHS.items():
        source, middle, target = source_of(first), target_of(first), target_of(second)
        codes[source] = generators.encoders[source](real[source], "real")
        maps[first] = generators.decoders[middle](codes[source], z[first], first)
        maps[path] = generators.decoders[target](generators.encoders[middle](maps[first], first), z[path], path)
    return Outputs(maps, codes)


def naive_step(
    method: CMCGAN, batch: Batch, optimizers: Mapping[str, Optimizer], rng: torch.Generator
) -> dict[str, Tensor]:
    """Update the discriminator, with a separate score for each pair; run all paths again, and update the generators."""
    visual, audio = batch.visual, batch.audio
    with torch.no_grad():
        outputs = naive_forward(method, batch, rng)
    wrong_audio, wrong_visual = (wrong_pairs(batch, "class", rng) for _ in range(2))
    loss = joint_discriminator_loss(
        rvra=score(method, visual, audio),
        rvwa=score(method, visual, audio[wrong_audio]),
        wvra=score(method, visual[wrong_visual], audio),
        rvfa=torch.cat([score(method, visual, fake) for fake in fakes(method, outputs, Modality.AUDIO)]),
        fvra=torch.cat([score(method, fake, audio) for fake in fakes(method, outputs, Modality.VISUAL)]),
    )
    update(optimizers["discriminator"], loss)
    outputs = naive_forward(method, batch, rng)
    losses = {
        "adversarial": joint_generator_loss(
            rvfa=torch.cat([score(method, visual, fake) for fake in fakes(method, outputs, Modality.AUDIO)]),
            fvra=torch.cat([score(method, fake, audio) for fake in fakes(method, outputs, Modality.VISUAL)]),
        ),
        "consistency": method.consistency_loss(outputs, batch, rng),
        "direct": method.direct_loss(outputs, batch, rng),
        "class": method.class_loss(outputs, batch, rng),
    }
    update(optimizers["generator"], weighted_sum(losses, method.loss_weights))
    return losses


def score(method: CMCGAN, visual: Tensor, audio: Tensor) -> Tensor:
    """Score pairs of maps (B, C, H, W): logits (B,)."""
    discriminator = method.discriminator
    logits: Tensor = discriminator(
        discriminator.features(Modality.VISUAL, visual), discriminator.features(Modality.AUDIO, audio)
    )
    return logits


def fakes(method: CMCGAN, outputs: Outputs, modality: Modality) -> list[Tensor]:
    """Return the outputs of a modality that the discriminator gets as fakes."""
    routes = [route for kind in method.options.fakes for route in FAKES[kind] if target_of(route) is modality]
    return [outputs.maps[route] for route in routes]


def measure_seconds(step: Callable[[], object], device: torch.device) -> float:
    """Run a step, and return its seconds: CPU-seconds on the CPU, seconds by the clock on other devices."""
    clock = time.process_time if device.type == "cpu" else time.perf_counter
    started = clock()
    step()
    if device.type == "cuda":
        torch.cuda.synchronize()
    return clock() - started


def count_operations(step: Callable[[], object]) -> int:
    """Run a step, and count the floating-point operations of its convolutions and matrix products."""
    with FlopCounterMode(display=False) as counter:
        step()
    return counter.get_total_flops()


def measure_matmul_speed(device: torch.device, dtype: torch.dtype) -> float:
    """Measure the floating-point operations per second of a large matrix product; the fastest of several rounds."""
    side = SIDE[device.type]
    left, right = (torch.randn(side, side, device=device, dtype=dtype) for _ in range(2))
    seconds = [measure_seconds(lambda: left @ right, device) for _ in range(ROUNDS + 1)]
    return 2 * side**3 / min(seconds[1:])


def find_dtype(method: CMCGAN, batch: Batch) -> torch.dtype:
    """Return the number format of the step's convolutions and matrix products."""
    kind = batch.audio.device.type
    with method.autocast(batch):
        return torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else torch.float32


def make_method_and_batch(preset: str, batch_size: int, device: torch.device) -> tuple[CMCGAN, Batch]:
    """Make CMCGAN with fresh weights, and a batch of noise."""
    method = CMCGAN(load_config(preset, settings=ALL_PATHS), CLASSES, FeatureSettings()).to(device)
    method.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    label = torch.arange(batch_size) % len(CLASSES)
    audio, visual = (
        torch.rand(batch_size, m.channels, *method.config.network.size(m), device=device) * 2 - 1 for m in Modality
    )
    visual = visual.contiguous(memory_format=torch.channels_last)
    return method, Batch(audio, visual, label.to(device), label, torch.zeros(batch_size))


def main(preset: str = "small", batch_size: str = "32", device_name: str = "cpu", compiled: str = "") -> None:
    """Print the seconds per step of each kind, the ratio of the first two, and the shares of the device's speed."""
    torch.set_num_threads(1)
    device = torch.device(device_name)
    method, batch = make_method_and_batch(preset, int(batch_size), device)
    optimizers = method.optimizers()
    steps: dict[str, Callable[[], object]] = {
        "shared": lambda: method.train_step(batch, optimizers, torch.Generator().manual_seed(0)),
        "naive": lambda: naive_step(method, batch, optimizers, torch.Generator().manual_seed(0)),
    }
    operations = {name: count_operations(step) for name, step in steps.items()}
    if compiled:
        fast, _ = make_method_and_batch(preset, int(batch_size), device)
        compile_networks(fast)
        fast_optimizers = fast.optimizers()
        steps["compiled"] = lambda: fast.train_step(batch, fast_optimizers, torch.Generator().manual_seed(0))
        operations["compiled"] = operations["shared"]  # the counter does not see compiled operations
    times: dict[str, list[float]] = {name: [] for name in steps}
    for number in range(ROUNDS + 1):
        for name, step in steps.items():
            spent = measure_seconds(step, device)
            if number:
                times[name].append(spent)
    ratios = [naive / shared for naive, shared in zip(times["naive"], times["shared"], strict=True)]
    print(f"{preset}, batch {batch_size}, {device}, torch {torch.__version__}, {ROUNDS} rounds (median, min-max)")
    for name, values in {**times, "naive / shared": ratios}.items():
        print(f"  {name:15} {statistics.median(values):.3f}  {min(values):.3f}-{max(values):.3f}")
    dtype = find_dtype(method, batch)
    peak = measure_matmul_speed(device, dtype)
    print(f"  a matrix product in {dtype}: {peak / 1e12:.3f} TFLOP/s")
    for name, count in operations.items():
        speed = count / statistics.median(times[name])
        per_pair = count / int(batch_size) / 1e9
        print(f"  {name:15} {per_pair:.2f} GFLOP per pair, {speed / 1e12:.3f} TFLOP/s, share {speed / peak:.3f}")


if __name__ == "__main__":
    main(*sys.argv[1:])
