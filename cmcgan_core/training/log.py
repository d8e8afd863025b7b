"""The log of a run: `metrics.jsonl`, TensorBoard events if TensorBoard is installed, and sample grids if Pillow is."""

import importlib.util
import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from cmcgan_core.checkpoint import RunFolder
from cmcgan_core.features import figures
from cmcgan_core.utils.files import atomic_write, write_text


class RunLog:
    """The log of a run; a context manager.

    Args:
        folder: folder of the run.
        step: number of steps that were done before. Records of later steps, which an interrupted run wrote, are
            removed, so that no step is logged twice.
    """

    def __init__(self, folder: RunFolder, step: int) -> None:
        self.out = folder.path
        self.file = folder.log
        kept = [record for record in read_log(self.file) if record["step"] <= step]
        write_text(self.file, "".join(f"{json.dumps(record)}\n" for record in kept))
        self.board = _tensorboard(folder.path, step)
        self.started, self.started_cpu = time.monotonic(), time.process_time()

    def __enter__(self) -> "RunLog":
        return self

    def __exit__(self, *exception: object) -> None:
        if self.board:
            self.board.close()

    def write(self, step: int, epoch: int, values: Mapping[str, float]) -> None:
        """Append a record; it is on disk when this returns."""
        clocks = {
            "seconds": round(time.monotonic() - self.started, 2),
            "cpu_seconds": round(time.process_time() - self.started_cpu, 2),
        }
        record = {"step": step, "epoch": epoch, **clocks, **values}
        with self.file.open("a", encoding="utf-8") as log:
            log.write(json.dumps(record) + "\n")
        if self.board:
            for name, value in values.items():
                self.board.add_scalar(f"loss/{name}", value, step)

    def samples(self, epoch: int, rows: Mapping[str, Tensor]) -> None:
        """Write a sample grid, for example `samples/epoch_0001.png`; without Pillow, do nothing."""
        if not rows or importlib.util.find_spec("PIL") is None:
            return
        from PIL import Image

        sheet = figures.draw_grid(rows.values())
        with atomic_write(self.out / "samples" / f"epoch_{epoch:04d}.png") as temporary:
            Image.fromarray(sheet).save(temporary, format="png")
        if self.board:
            self.board.add_image("samples", sheet, epoch, dataformats="HWC")


def read_log(file: Path) -> list[dict[str, Any]]:
    """Read the records of a `metrics.jsonl`; none if it is missing. A last line that a crash cut short is left out."""
    if not file.exists():
        return []
    lines = file.read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines if line.startswith("{") and line.endswith("}")]


def _tensorboard(out: Path, step: int) -> Any:
    """Open TensorBoard's event file; None if TensorBoard is not installed."""
    if importlib.util.find_spec("tensorboard") is None:
        return None
    from torch.utils.tensorboard import SummaryWriter

    return SummaryWriter(str(out), purge_step=step + 1 if step else None)
