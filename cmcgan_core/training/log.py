"""The log of a run: `metrics.jsonl`, sample grids if Pillow is installed, and loggers such as TensorBoard."""

import importlib.util
import json
import time
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any

from cmcgan_core.errors import TrainingError
from cmcgan_core.run_folder import RunFolder
from cmcgan_core.utils.files import atomic_write, write_text
from cmcgan_core.utils.schema import parse_json

if TYPE_CHECKING:
    from torch import Tensor

    from cmcgan_core.training.loggers import Loggers

#: What a record of the log has besides figures.
CLOCKS = {"step", "epoch", "seconds", "cpu_seconds"}
#: Where the fifths of a run begin that `is_falling` compares.
FIFTHS = (0.0, 0.4, 0.8)
#: Share of the whole fall of the losses that comes after the middle fifth if they still fall clearly. Three runs of
#: `small` had 0.26 (14 steps), 0.08 (200 steps) and 0.05 (1,600 steps).
LATE_FALL = 0.1


class RunLog:
    """The log of a run; a context manager.

    Args:
        folder: folder of the run.
        step: number of steps that were done before. Records of later steps, which an interrupted run wrote, are
            removed, so that no step is logged twice.
        loggers: get everything too.
    """

    def __init__(self, folder: RunFolder, step: int, loggers: "Loggers") -> None:
        self.out = folder.path
        self.file = folder.log
        self.loggers = loggers
        kept = [record for record in read_log(self.file) if record["step"] <= step]
        write_text(self.file, "".join(f"{json.dumps(record)}\n" for record in kept))
        self.started, self.started_cpu = time.monotonic(), time.process_time()

    def __enter__(self) -> "RunLog":
        return self

    def __exit__(self, kind: type[BaseException] | None, *exception: object) -> None:
        self.loggers.finish(complete=kind is None)

    def write(self, step: int, epoch: int, values: Mapping[str, float]) -> None:
        """Append a record; it is on disk when this returns."""
        clocks = {
            "seconds": round(time.monotonic() - self.started, 2),
            "cpu_seconds": round(time.process_time() - self.started_cpu, 2),
        }
        record = {"step": step, "epoch": epoch, **clocks, **values}
        with self.file.open("a", encoding="utf-8") as log:
            log.write(json.dumps(record) + "\n")
        self.loggers.scalars(step, {f"loss/{name}": value for name, value in values.items()})

    def samples(self, step: int, epoch: int, rows: Mapping[str, "Tensor"]) -> None:
        """Write a sample grid, for example `samples/epoch_0001.png`; without Pillow, do nothing."""
        if not rows or importlib.util.find_spec("PIL") is None:
            return
        from PIL import Image

        from cmcgan_core.features import figures

        sheet = figures.draw_grid(rows.values())
        with atomic_write(self.out / "samples" / f"epoch_{epoch:04d}.png") as temporary:
            Image.fromarray(sheet).save(temporary, format="png")
        self.loggers.image(step, "samples", sheet)


class NoLog:
    """Takes the place of `RunLog` in a process that writes no files."""

    def __enter__(self) -> "NoLog":
        return self

    def __exit__(self, *exception: object) -> None:
        pass

    def write(self, step: int, epoch: int, values: Mapping[str, float]) -> None:
        """Do nothing; see `RunLog.write`."""

    def samples(self, step: int, epoch: int, rows: Mapping[str, "Tensor"]) -> None:
        """Do nothing; see `RunLog.samples`."""


def read_log(file: Path) -> list[dict[str, Any]]:
    """Read the records of a `metrics.jsonl`; none if it is missing. A last line that a crash cut short is left out.

    Raises:
        TrainingError: a line is damaged.
    """
    if not file.exists():
        return []
    lines = file.read_bytes().splitlines()
    complete = [(n, line) for n, line in enumerate(lines, 1) if line.startswith(b"{") and line.endswith(b"}")]
    return [_parse_record(file, number, line) for number, line in complete]


def _parse_record(file: Path, number: int, line: bytes) -> dict[str, Any]:
    """Return a record of the log.

    Raises:
        TrainingError: it is not JSON, or has values that are not numbers.
    """
    try:
        record = parse_json(line)
        if type(record.get("step")) is not int or any(type(value) not in (int, float) for value in record.values()):
            raise ValueError("its values are not numbers")
    except ValueError as error:
        raise TrainingError(
            f"{file}, line {number} is damaged ({error}); remove the line, then run the same command again"
        ) from error
    return record


def training_seconds(log: Sequence[Mapping[str, float]], clock: str = "seconds") -> float | None:
    """Return the time that a run's log accounts for, summed over all resumptions; None if the log has no such clock.

    A clock of the log restarts whenever the run is resumed; that shows as a smaller number of seconds.

    Args:
        log: records of the run.
        clock: "seconds", or "cpu_seconds".
    """
    if not log or clock not in log[0]:
        return None
    seconds = [record[clock] for record in log]
    ends = [before for before, after in pairwise(seconds) if after < before]
    return float(sum(ends) + seconds[-1])


def is_falling(records: Sequence[Mapping[str, float]], weights: Mapping[str, float], steps: int) -> bool:
    """Return whether the losses of a finished run were still falling clearly at its end.

    The weighted sum of the losses is averaged over the first, the middle and the last fifth of the steps after the
    pretraining. The losses fall clearly if more than `LATE_FALL` of the fall from the first to the last fifth came
    after the middle one. (The last two fifths alone say little, because the learning rate goes down at the end.) A run
    that is too short to have a record in each of these fifths counts as falling.

    Args:
        records: records of the log.
        weights: weight of each loss, see `Config.loss_weights`; without weights the answer is False.
        steps: number of steps of the run.
    """
    totals = {
        record["step"]: sum(weights[name] * record[name] for name in weights if name in record)
        for record in records
        if any(name in record for name in weights)
    }
    begin = min(totals, default=0)  # the steps of a pretraining have other losses
    length = steps - begin
    fifths = [[totals[s] for s in totals if first * length <= s - begin <= (first + 0.2) * length] for first in FIFTHS]
    if begin == steps or not all(fifths):
        return bool(weights)
    first, middle, last = map(fmean, fifths)
    return middle - last > LATE_FALL * (first - last)
