"""Sheets of samples as PNG: a column for each held-out pair, a row for what each recipe generates from them."""

from collections.abc import Sequence
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from cmcgan_core.checkpoint import load_checkpoint
from cmcgan_core.data.dataset import PreparedDataset
from cmcgan_core.data.loader import to_batch
from cmcgan_core.evaluation.compare import Group
from cmcgan_core.evaluation.labels import kind_label, recovery_label
from cmcgan_core.features import figures
from cmcgan_core.inference.sampling import SamplingOptions
from cmcgan_core.inference.translate import draw_latents, require_translator, translate_maps
from cmcgan_core.modality import Direction
from cmcgan_core.reports.samples import typical_items
from cmcgan_core.utils.device import choose_device
from cmcgan_core.utils.files import atomic_write


def write_sheets(
    groups: Sequence[Group], dataset: PreparedDataset, out: Path, *, seed: int = 0, device: str = "auto"
) -> list[Path]:
    """Write `S2I.png` and `I2S.png`, for the directions that a recipe has: the first run of each recipe, one latent.

    Args:
        groups: the recipes.
        dataset: the dataset that they were evaluated on.
        out: folder of the sheets.
        seed: seed of the latents, as in `cmcgan generate --seed`.
        device: see `choose_device`.

    Returns:
        The files.
    """
    written = []
    for direction in Direction:
        translating = [group for group in groups if direction in group.figures.table1]
        if translating:
            file = out / f"{direction.table_name}.png"
            with atomic_write(file) as temporary:
                sheet = figures.draw_labelled_grid(_rows(translating, dataset, direction, seed, device))
                Image.fromarray(sheet).save(temporary, format="png")
            written.append(file)
    return written


def _rows(
    groups: Sequence[Group], dataset: PreparedDataset, direction: Direction, seed: int, device: str
) -> list[tuple[str, Tensor]]:
    """Return named rows of maps (B, C, H, W): sources, real targets, then the maps that each recipe generates."""
    split = dataset.split(groups[0].entries[0].evaluation.split)
    stored = split.read(typical_items(split))
    rows: list[tuple[str, Tensor]] = []
    for group in groups:
        trained = load_checkpoint(group.entries[0].path, choose_device(device))
        maps = to_batch(stored, trained.about.config.network, split.settings, trained.device).maps()
        source, real = maps[direction.source], maps[direction.target]
        if not rows:
            rows = [("given", source), ("real", real)]
        for hops in group.figures.table1[direction]:
            (z,) = draw_latents(trained, direction, SamplingOptions(seed=seed, hops=int(hops)))
            name = group.name if hops == "1" else f"{group.name}, {kind_label(hops)}"
            rows.append((name, translate_maps(trained, direction, source, z)))
        network = require_translator(trained)
        for count in network.recovers.get(direction.target, ()):
            z = network.draw(1, torch.Generator().manual_seed(seed), count).expand(-1, len(real), -1)
            name = f"{group.name}, {recovery_label(str(count), direction.target)}"
            with torch.inference_mode():
                rows.append((name, network.recover(direction.target, real, z)))
    return rows
