"""One CMCGAN step with every shared feature computed once, against the step as the paper's figure draws it.

Prints seconds a step of both, in turns, and their ratio; on the CPU these are CPU-seconds of one thread.

Whatever the preset says otherwise, all paths are taken and the losses that the paper does not have are left out, but
for those on codes and on direct outputs.

usage: python benchmarks/train_step.py [PRESET] [BATCH] [DEVICE]
"""

import statistics
import sys
import time
from collections.abc import Callable

import torch
from torch import Tensor

from cmcgan_core.config import load_config
from cmcgan_core.data.loader import Batch
from cmcgan_core.data.mismatch import wrong_partners
from cmcgan_core.features.settings import FeatureSettings
from cmcgan_core.methods.base import update, weighted_sum
from cmcgan_core.methods.cmcgan import CMCGAN, FAKES, PATHS, SUBNETWORKS, Outputs
from cmcgan_core.nn.losses import joint_discriminator_loss, joint_generator_loss

CLASSES = tuple("abcdefghijklm")
ALL_PATHS = (
    "options.draw_paths=false",
    "options.augment=false",
    "options.posterior=0",
    "loss_weights.latent=0",
    "loss_weights.class_of_generated=0",
)


def naive_forward(method: CMCGAN, batch: Batch, rng: torch.Generator) -> Outputs:
    """Every path from its input to its output, nothing shared."""
    g, real = method.generators, {"a": batch.audio, "v": batch.visual}
    z = {route: g.draw(len(batch.audio), rng, 1)[0].to(batch.audio.device) for route in (*SUBNETWORKS, *PATHS)}
    maps, codes = {}, {}
    for path, (first, second) in PATHS.items():
        codes[first[0]] = g.encoders[first[0]](real[first[0]], "real")
        maps[first] = g.decoders[first[-1]](codes[first[0]], z[first], first)
        maps[path] = g.decoders[second[-1]](g.encoders[second[0]](maps[first], first), z[path], path)
    return Outputs(maps, codes)


def naive_step(
    method: CMCGAN, batch: Batch, optimizers: dict[str, torch.optim.Optimizer], rng: torch.Generator
) -> None:
    """Forward pass, discriminator pair by pair, update; then all of it again for the generators."""
    d, v, a = method.discriminator, batch.visual, batch.audio

    def score(visual: Tensor, audio: Tensor) -> Tensor:
        return d(d.visual(visual), d.audio(audio))

    def fakes(outputs: Outputs, modality: str) -> list[Tensor]:
        return [outputs.maps[route] for kind in method.options.fakes for route in FAKES[kind][modality]]

    with torch.no_grad():
        outputs = naive_forward(method, batch, rng)
    wrong_audio, wrong_visual = (wrong_partners(batch.label, rng) for _ in range(2))
    loss = joint_discriminator_loss(
        rvra=score(v, a),
        rvwa=score(v, a[wrong_audio]),
        wvra=score(v[wrong_visual], a),
        rvfa=torch.cat([score(v, fake) for fake in fakes(outputs, "a")]),
        fvra=torch.cat([score(fake, a) for fake in fakes(outputs, "v")]),
    )
    update(optimizers["discriminator"], loss)
    outputs = naive_forward(method, batch, rng)
    losses = {
        "adversarial": joint_generator_loss(
            rvfa=torch.cat([score(v, fake) for fake in fakes(outputs, "a")]),
            fvra=torch.cat([score(fake, a) for fake in fakes(outputs, "v")]),
        ),
        "consistency": method._distances(outputs, batch, tuple(PATHS)),
        "direct": method._distances(outputs, batch, SUBNETWORKS),
        "class": method.class_loss(outputs, batch),
    }
    update(optimizers["generator"], weighted_sum(losses, method.config.loss_weights))


def seconds(work: Callable[[], object], device: torch.device) -> float:
    clock = time.process_time if device.type == "cpu" else time.perf_counter
    started = clock()
    work()
    if device.type == "cuda":
        torch.cuda.synchronize()
    return clock() - started


def main(preset: str = "small", batch_size: str = "32", device_name: str = "cpu", rounds: int = 7) -> None:
    torch.set_num_threads(1)
    device = torch.device(device_name)
    method = (
        CMCGAN(load_config(preset, settings=ALL_PATHS), CLASSES, FeatureSettings())
        .to(device)
        .to(memory_format=torch.channels_last)
    )
    sizes, n = method.sizes(), int(batch_size)
    label = torch.arange(n, device=device) % len(CLASSES)
    audio, visual = (torch.rand(n, c, *sizes[m], device=device) * 2 - 1 for m, c in (("a", 1), ("v", 3)))
    batch = Batch(audio, visual.contiguous(memory_format=torch.channels_last), label, torch.zeros(n))
    optimizers = method.optimizers()
    steps = {
        "shared": lambda: method.train_step(batch, optimizers, torch.Generator().manual_seed(0)),
        "naive": lambda: naive_step(method, batch, optimizers, torch.Generator().manual_seed(0)),
    }
    times: dict[str, list[float]] = {name: [] for name in steps}
    for turn in range(rounds + 1):
        for name, step in steps.items():
            spent = seconds(step, device)
            if turn:  # the first turn warms up
                times[name].append(spent)
    ratios = [naive / shared for naive, shared in zip(times["naive"], times["shared"], strict=True)]
    print(f"{preset}, batch {n}, {device}, torch {torch.__version__}, {rounds} turns (median, min-max)")
    for name, values in {**times, "naive / shared": ratios}.items():
        print(f"  {name:15} {statistics.median(values):.3f}  {min(values):.3f}-{max(values):.3f}")


if __name__ == "__main__":
    main(*sys.argv[1:])
