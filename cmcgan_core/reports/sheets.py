"""Sheets of samples: held-out pairs by column, what several recipes make of them by row, as PNG."""

from collections.abc import Sequence
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from cmcgan_core.checkpoint import load_checkpoint
from cmcgan_core.data.dataset import PairDataset
from cmcgan_core.data.loader import to_batch
from cmcgan_core.evaluation.compare import Group
from cmcgan_core.evaluation.outputs import TABLE_NAMES
from cmcgan_core.features import figures
from cmcgan_core.inference.translate import SamplingOptions, draw_latents, require_translator, translate_maps
from cmcgan_core.reports.samples import HOPS, typical
from cmcgan_core.utils.device import choose_device
from cmcgan_core.utils.files import atomic_write


def write_sheets(groups: Sequence[Group], data: Path, out: Path, *, seed: int = 0, device: str = "auto") -> list[Path]:
    """Write `S2I.png` and `I2S.png`, as far as any recipe goes that way: each recipe's first run, one latent.

    Args:
        groups: the recipes.
        data: prepared dataset.
        out: folder.
        seed: of the latents, as in `cmcgan generate --seed`.
        device: see `choose_device`.

    Returns:
        What was written.
    """
    written = []
    for direction, name in TABLE_NAMES.items():
        having = [group for group in groups if name in group.figures["table1"]]
        if having:
            with atomic_write(out / f"{name}.png") as temporary:
                sheet = figures.draw_labelled_grid(_rows(having, data, direction, seed, device))
                Image.fromarray(sheet).save(temporary, format="png")
            written.append(out / f"{name}.png")
    return written


def _rows(groups: Sequence[Group], data: Path, direction: str, seed: int, device: str) -> list[tuple[str, Tensor]]:
    """The given and the real maps (B, C, H, W), then what each recipe makes of them, with their names."""
    dataset = PairDataset(data, groups[0].entries[0].evaluation.split)
    stored = dataset.read(typical(dataset))
    rows: list[tuple[str, Tensor]] = []
    for group in groups:
        trained = load_checkpoint(group.entries[0].path, choose_device(device))
        batch = to_batch(stored, trained.about.config.network, dataset.settings, choose_device(device))
        given, real = (batch.audio, batch.visual) if direction == "a2v" else (batch.visual, batch.audio)
        if not rows:
            rows = [("given", given), ("real", real)]
        for hops in group.figures["table1"][TABLE_NAMES[direction]]:
            (z,) = draw_latents(trained, direction, SamplingOptions(seed=seed, hops=int(hops)))
            name = group.name if hops == "1" else f"{group.name}, {HOPS[hops]}"
            rows.append((name, translate_maps(trained, direction, given, z)))
        if direction[-1] in (network := require_translator(trained)).recovers:
            z = network.draw(1, torch.Generator().manual_seed(seed), hops=2).expand(-1, len(real), -1)
            with torch.inference_mode():
                rows.append((f"{group.name}, recovered", network.recover(direction[-1], real, z)))
    return rows
