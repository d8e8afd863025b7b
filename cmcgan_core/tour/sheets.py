"""Sheets of samples that show how a training gets better."""

from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from cmcgan_core.data.loader import to_batch
from cmcgan_core.features.figures import draw_grid
from cmcgan_core.modality import Direction, Modality
from cmcgan_core.nn.capabilities import Translator
from cmcgan_core.training.run import Run
from cmcgan_core.utils.files import atomic_write

#: Sheets of a training, besides the one before the first step.
SHEETS = 8


def due_steps(steps: int) -> list[int]:
    """Return the steps after which a sheet is written; early ones lie closer together, as most is learnt early."""
    return sorted({0, *(max(1, round(steps * (number / SHEETS) ** 1.5)) for number in range(1, SHEETS + 1))})


def find_sheets(folder: Path) -> dict[int, Path]:
    """Return the sheets in the folder of a training by step, in order."""
    files = sorted((folder / "sheets").glob("step_*.png"))
    return {int(file.stem.removeprefix("step_")): file for file in files}


def real_sheet(folder: Path) -> Path:
    """Return the sheet with the real pictures and sounds in the folder of a training."""
    return folder / "sheets" / "real.png"


class SheetWriter:
    """Writes sheets of what a run makes of the middle pair of the first test recording of each class.

    A sheet has two rows, with a column for each class: pictures from sounds, and spectrograms from pictures.

    Args:
        run: the run, while it is trained.
        folder: the sheets are written to `sheets/` in it.
        seed: seed of the latents, which are the same on every sheet.
    """

    def __init__(self, run: Run, folder: Path, seed: int) -> None:
        self.run, self.folder, self.seed = run, folder, seed
        split = run.dataset.nonempty_split("test")
        middle = [_middle([i for i, pair in enumerate(split.pairs) if pair.label == label]) for label in split.classes]
        self.batch = to_batch(split.read(middle), run.config.network, split.settings, run.device)
        self.due = due_steps(run.steps)

    def write_if_due(self, step: int) -> bool:
        """Write the sheet after a step; return whether one was due."""
        if step not in self.due:
            return False
        maps = self.batch.maps()
        if not (real := real_sheet(self.folder)).exists():
            self._write(real, [maps[Modality.VISUAL], maps[Modality.AUDIO]])
        network = self.run.network
        assert isinstance(network, Translator)
        training = network.training
        network.eval()
        with torch.inference_mode():
            rows = [self._translate(network, direction, maps[direction.source]) for direction in Direction]
        network.train(training)
        self._write(self.folder / "sheets" / f"step_{step:06d}.png", rows)
        return True

    def _translate(self, network: Translator, direction: Direction, source: Tensor) -> Tensor:
        z = network.draw(1, torch.Generator().manual_seed(self.seed)).expand(-1, len(source), -1)
        return network.translate(direction, source, z.to(source.device))

    def _write(self, file: Path, rows: list[Tensor]) -> None:
        with atomic_write(file) as temporary:
            Image.fromarray(draw_grid(rows)).save(temporary, format="png")


def _middle(items: list[int]) -> int:
    return items[len(items) // 2]
