"""Loggers: TensorBoard, Weights & Biases, MLflow and those of plugins. They get what `metrics.jsonl` gets.

A logger never stops a training: one that fails is named once, and is not used any more.
"""

import importlib.util
import os
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from cmcgan_core.errors import ConfigError
from cmcgan_core.registry import Registry
from cmcgan_core.utils.files import error_reason, write_text
from cmcgan_core.utils.schema import flatten
from cmcgan_core.utils.toml import dump_toml, read_toml

#: The file in a run folder that holds the names of the run's loggers, and what each one calls the run.
FILE = "loggers.toml"
#: The project of Weights & Biases and the experiment of MLflow, unless their own environment variables name another.
PROJECT = "cmcgan"

#: Called with a sentence when a logger fails.
Warn = Callable[[str], object]


@dataclass(frozen=True)
class LoggedRun:
    """What a logger is told about a run when the training starts or resumes.

    Attributes:
        folder: folder of the run.
        config: its settings, with the folder of the dataset as `data` and the device as `device`.
        step: number of steps that were done before.
        id: the `Logger.id` of this run when it was logged before, or "".
    """

    folder: Path
    config: Mapping[str, Any]
    step: int
    id: str = ""


class Logger(Protocol):
    """Passes the log of a run on.

    Every method may raise any exception; the logger is then not used any more.

    Attributes:
        id: what finds the run again when it is resumed; "" if nothing is needed.
    """

    id: str

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Log figures of a step, for example {"loss/direct": 0.5}."""

    def image(self, step: int, name: str, pixels: NDArray[np.uint8]) -> None:
        """Log a picture (height, width, 3)."""

    def finish(self, *, complete: bool) -> None:
        """End the log; `complete` is False if the training was stopped or has failed."""


class LoggerClass(Protocol):
    """A class of loggers: the kind of part in `LOGGERS`.

    Attributes:
        package: the package that it imports; "" if that is certainly installed.
    """

    package: str

    def __call__(self, run: LoggedRun) -> Logger:
        """Open the log of a run, or continue it."""
        ...


class TensorBoard:
    """Event files in the run folder."""

    package = "tensorboard"
    id = ""

    def __init__(self, run: LoggedRun) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self.writer: Any = SummaryWriter(str(run.folder), purge_step=run.step + 1 if run.step else None)

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Write scalars."""
        for name, value in values.items():
            self.writer.add_scalar(name, value, step)

    def image(self, step: int, name: str, pixels: NDArray[np.uint8]) -> None:
        """Write a picture."""
        self.writer.add_image(name, pixels, step, dataformats="HWC")

    def finish(self, *, complete: bool) -> None:
        """Close the file."""
        self.writer.close()


class WandB:
    """A run of Weights & Biases. Its own environment variables choose the server, the project and the mode."""

    package = "wandb"

    def __init__(self, run: LoggedRun) -> None:
        import wandb

        self.run: Any = wandb.init(
            project=os.environ.get("WANDB_PROJECT", PROJECT),
            name=run.folder.resolve().name,
            id=run.id or None,
            resume="allow",
            dir=str(run.folder),
            settings={"console": "off"},  # it would write over the progress bar
        )
        self.run.config.update(dict(run.config), allow_val_change=True)
        # wandb's own step may not go back, as that of a run that was killed and resumed does.
        self.run.define_metric("step")
        self.run.define_metric("*", step_metric="step")
        self.id = str(self.run.id)

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Log figures."""
        self.run.log({"step": step, **values})

    def image(self, step: int, name: str, pixels: NDArray[np.uint8]) -> None:
        """Log a picture."""
        import wandb

        self.run.log({"step": step, name: wandb.Image(pixels)})

    def finish(self, *, complete: bool) -> None:
        """Send the rest, and mark the run as finished or failed."""
        self.run.finish(exit_code=0 if complete else 1)


class MLflow:
    """A run of MLflow. MLflow's own environment variables choose the server and the experiment."""

    package = "mlflow"

    def __init__(self, run: LoggedRun) -> None:
        from mlflow import MlflowClient

        self.client: Any = MlflowClient()
        if run.id:
            self.client.update_run(run.id, status="RUNNING")
            self.id = run.id
            return
        name = os.environ.get("MLFLOW_EXPERIMENT_NAME", PROJECT)
        experiment = self.client.get_experiment_by_name(name)
        experiment_id = experiment.experiment_id if experiment else self.client.create_experiment(name)
        self.id = str(self.client.create_run(experiment_id, run_name=run.folder.resolve().name).info.run_id)
        for key, value in flatten(run.config).items():
            self.client.log_param(self.id, key, value)

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Log figures."""
        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        self.client.log_batch(self.id, metrics=[Metric(name, value, now, step) for name, value in values.items()])

    def image(self, step: int, name: str, pixels: NDArray[np.uint8]) -> None:
        """Log a picture as a file of the run."""
        self.client.log_image(self.id, pixels, f"{name}/step_{step:07d}.png")

    def finish(self, *, complete: bool) -> None:
        """Mark the run as finished or killed."""
        self.client.set_terminated(self.id, "FINISHED" if complete else "KILLED")


#: Loggers by name; plugins add to them.
LOGGERS: Registry[LoggerClass] = Registry(
    "cmcgan.loggers", {"tensorboard": TensorBoard, "wandb": WandB, "mlflow": MLflow}
)


def require_loggers(names: Iterable[str]) -> None:
    """Check that loggers exist and that their packages are installed.

    Raises:
        PluginError: there is no such logger.
        ConfigError: its package is missing.
    """
    for name in names:
        package = LOGGERS.get(name).package
        if package and importlib.util.find_spec(package) is None:
            source = f"'cmcgan[{name}]'" if name in LOGGERS.builtins else package
            raise ConfigError(f"the log {name} needs {package}; install it with: pip install {source}")


class Loggers:
    """The loggers of a run.

    Args:
        run: the run; its `id` is not used.
        names: names in `LOGGERS`. None: those of the run when it was logged before, else TensorBoard if it is
            installed.
        warn: called with a sentence when a logger fails.
    """

    def __init__(self, run: LoggedRun, names: Sequence[str] | None, warn: Warn) -> None:
        self.warn = warn
        self.opened: dict[str, Logger] = {}
        file = run.folder / FILE
        ids = {name: str(known) for name, known in read_toml(file).items()} if file.exists() else _default_ids()
        if names is not None:
            ids = {name: ids.get(name, "") for name in names}
        for name, known in ids.items():
            try:
                require_loggers([name])
                self.opened[name] = LOGGERS.get(name)(LoggedRun(run.folder, run.config, run.step, known))
            except Exception as error:  # services and plugins may raise anything
                self._give_up(name, error)
        write_text(file, dump_toml(ids | {name: logger.id for name, logger in self.opened.items()}))

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """See `Logger.scalars`."""
        self._call_each(lambda logger: logger.scalars(step, values))

    def image(self, step: int, name: str, pixels: NDArray[np.uint8]) -> None:
        """See `Logger.image`."""
        self._call_each(lambda logger: logger.image(step, name, pixels))

    def finish(self, *, complete: bool) -> None:
        """See `Logger.finish`."""
        self._call_each(lambda logger: logger.finish(complete=complete))

    def _call_each(self, action: Callable[[Logger], None]) -> None:
        """Call each logger that has not failed."""
        for name, logger in list(self.opened.items()):
            try:
                action(logger)
            except Exception as error:
                self._give_up(name, error)

    def _give_up(self, name: str, error: Exception) -> None:
        """Use a logger no more, and say so."""
        self.opened.pop(name, None)
        reason = " ".join(error_reason(error).split())
        self.warn(f"the log {name} failed ({reason}); the training continues without it, and metrics.jsonl is complete")


def _default_ids() -> dict[str, str]:
    """Return the loggers of a run that was not logged before, if none are named."""
    return {"tensorboard": ""} if importlib.util.find_spec("tensorboard") else {}
