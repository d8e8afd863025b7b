"""A run in its folder: it trains, validates, logs, saves and resumes.

A run folder holds `config.toml` (the resolved configuration), `run.toml` (dataset, device, versions), `metrics.jsonl`,
what loggers write (by default TensorBoard's events), `samples/*.png`, `last.safetensors` (to use the run, and to resume
it until it is finished) and, if the dataset has a validation split, `best.safetensors` (to use the run; lowest
validation loss). A run that generates also gets `classifier.safetensors`, the classifier that `cmcgan classify` uses.
It is trained in the run folder `classifier/`.
"""

import copy
import itertools
import math
import platform
import time
import warnings
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError
from torch import Tensor, nn
from torch.profiler import profile

from cmcgan_core import __version__
from cmcgan_core.checkpoint import load_training, network_tensors, save_checkpoint, training_tensors
from cmcgan_core.config import Config
from cmcgan_core.data.dataset import PairDataset, PreparedDataset
from cmcgan_core.data.loader import Batch, Loader, in_order, to_batch
from cmcgan_core.errors import CheckpointError, ConfigError, Interrupted, TrainingError
from cmcgan_core.methods import make_method
from cmcgan_core.nn.layers import to_channels_last
from cmcgan_core.progress import OnProgress, Progress
from cmcgan_core.run_folder import About, RunFolder, read_about
from cmcgan_core.training.compiled import compile_networks
from cmcgan_core.training.folder import replaced_files
from cmcgan_core.training.log import NoLog, RunLog, is_falling, read_log
from cmcgan_core.training.loggers import LoggedRun, Loggers, Warn
from cmcgan_core.training.loop import PairCompleter, Update, fit, update_average
from cmcgan_core.training.profile import require_steps, step_profiler
from cmcgan_core.utils import distributed
from cmcgan_core.utils.batches import spread_evenly
from cmcgan_core.utils.device import choose_device
from cmcgan_core.utils.files import RUN_AGAIN, claimed, error_reason, explain_write_errors, write_text
from cmcgan_core.utils.signals import StopRequest
from cmcgan_core.utils.tensors import is_finite
from cmcgan_core.utils.toml import dump_toml

#: Steps between two lines of the log.
LOG_EVERY = 10
#: Largest number of validations of a run. Each also draws a sample grid and saves the state.
VALIDATIONS = 12
#: Seconds after which the state is saved, if no validation saved it.
SAVE_EVERY = 600.0
#: Losses and weights above these mean that the training has diverged. Losses are at most thousands, weights at most
#: hundreds, so that runs with other units have room.
LARGEST_LOSS, LARGEST_WEIGHT = 1e9, 1e5
#: Pairs in a sample grid.
GRID = 8


@dataclass(frozen=True)
class TrainResult:
    """A finished run.

    Attributes:
        out: run folder.
        steps: number of training steps.
        seconds: duration of this call.
        losses: means over the last log interval, by name.
        best: lowest validation loss, or None without a validation split.
        falling: whether the losses were still falling clearly at the end, see `log.is_falling`.
    """

    out: Path
    steps: int
    seconds: float
    losses: dict[str, float]
    best: float | None
    falling: bool


class Run:
    """The state of a run in its folder.

    Args:
        config: configuration of the run.
        dataset: the dataset to train on.
        out: run folder.
        device: device to train on.
        completer: see `fit`.
        loggers: see `Loggers`.
        warn: see `Loggers`.
        profiled: whether to write a profile of some steps, see `profile.step_profiler`.

    Raises:
        ConfigError, DataError: configuration and dataset do not fit.
    """

    def __init__(
        self,
        config: Config,
        dataset: PreparedDataset,
        out: Path,
        device: torch.device,
        completer: PairCompleter | None = None,
        *,
        loggers: Sequence[str] | None = None,
        warn: Warn = warnings.warn,
        profiled: bool = False,
    ) -> None:
        self.loggers, self.warn, self.profiled = loggers, warn, profiled
        self.config, self.dataset, self.device, self.completer = config, dataset, device, completer
        self.folder = RunFolder(out)
        self.loader = Loader(
            dataset.split("train"),
            config.network,
            config.train.batch_size,
            config.seed,
            device,
            by=config.train.wrong_pairs,
            part=distributed.rank(),
            parts=distributed.process_count(),
        )
        self.validation = dataset.split("validation")
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.seed)
            self.method = make_method(config, dataset.classes, dataset.settings)
        self.method.to(device).train()
        to_channels_last(self.method)
        self.optimizers = self.method.optimizers()
        self.pretraining_steps, self.steps = self._plan_steps()
        #: The network that the run is used with: the trained one, or its moving average.
        self.network: nn.Module = self.method.network
        if config.train.average:
            self.network = copy.deepcopy(self.network).eval().requires_grad_(False)
        if config.train.compile:
            compile_networks(self.method)
        self.step = 0
        self.best: float | None = None

    def start(self) -> None:
        """Write the configuration of a new run, and remove only the files of an older run from the folder."""
        if self.folder.config.exists():
            for old in replaced_files(self.folder.path):
                old.unlink()
        info = {
            "data": str(self.dataset.root.resolve()),
            "device": str(self.device),
            "cmcgan": __version__,
            "torch": torch.__version__,
            "python": platform.python_version(),
        }
        write_text(self.folder.info, dump_toml(info))
        write_text(self.folder.config, dump_toml(self.config.to_dict()))

    def load(self) -> None:
        """Load the state of `last.safetensors`."""
        last = self.folder.last
        about = read_about(last)
        if not fits(about, self.config, self.dataset, self.completer):
            raise CheckpointError(
                f"{last} was trained with another configuration or dataset; restart the run with --overwrite, or "
                "choose another --out"
            )
        if not about.finished:
            load_training(last, self.method, self.network, self.optimizers)
        self.step, self.best = about.step, about.best

    def train(self, on_progress: OnProgress, stop: StopRequest) -> TrainResult:
        """Train from the current step to the end; a finished run stays as it is.

        Raises:
            Interrupted: a stop was requested; the state is saved.
        """
        started = time.monotonic()
        losses = self._train_steps(on_progress, stop) if self.step < self.steps else {}
        distributed.wait_for_all()  # until the first process has saved
        falling = is_falling(read_log(self.folder.log), self.method.loss_weights, self.steps)
        return TrainResult(self.folder.path, self.steps, time.monotonic() - started, losses, self.best, falling)

    def _train_steps(self, on_progress: OnProgress, stop: StopRequest) -> dict[str, float]:
        """Train all steps that are left, and return the means of the losses over the last log interval."""
        modalities = "-".join(self.config.options.get("modalities", []))
        stage = f"training {self.config.preset or self.config.method} {modalities}".rstrip()
        losses: dict[str, float] = {}
        pending: list[dict[str, Tensor]] = []
        saved = time.monotonic()
        on_progress(Progress(stage, self.step, self.steps, "steps"))
        with (
            RunLog(self.folder, self.step, self._open_loggers()) if distributed.is_first() else NoLog() as log,
            self._open_profiler() as profiler,
        ):
            for update in self.fit(self.step, self.steps):
                self.step = update.step
                if profiler:
                    profiler.step()
                pending.append(update.losses)
                if self.network is not self.method.network:
                    decay = 0.0 if self.step <= self.pretraining_steps else self.config.train.average
                    update_average(self.network, self.method.network, decay, self.step)
                due = self._is_due(update)
                stopping, late = distributed.any_process(stop.requested, time.monotonic() - saved > SAVE_EVERY)
                if stopping or due or update.step % LOG_EVERY == 0:
                    losses, pending = self._means(pending), []
                    self._require_sane_weights()
                    log.write(update.step, update.epoch, losses)
                if due and update.step > self.pretraining_steps:
                    self._validate(log, update.epoch)
                if due or late:
                    self.save()
                    saved = time.monotonic()
                on_progress(Progress(stage, update.step, self.steps, "steps", losses))
                if any(distributed.any_process(stop.requested)):
                    self.save()
                    distributed.wait_for_all()
                    raise Interrupted(f"stopped at step {self.step} of {self.steps}; {self.folder.path} is saved")
        return losses

    def _open_loggers(self) -> Loggers:
        config = {"data": str(self.dataset.root.resolve()), "device": str(self.device), **self.config.to_dict()}
        return Loggers(LoggedRun(self.folder.path, config, self.step), self.loggers, self.warn)

    def _open_profiler(self) -> AbstractContextManager[profile | None]:
        """Return the profiler of this process, or None."""
        return step_profiler(self.folder.path) if self.profiled and distributed.is_first() else nullcontext()

    def fit(self, done: int, steps: int) -> Iterator[Update]:
        """Train from step `done` to step `steps`, see `loop.fit`."""
        return fit(
            self.method, self.optimizers, self.loader, steps, done, self.completer, pretraining=self.pretraining_steps
        )

    def save(self) -> None:
        """Write `last.safetensors`; the training state is left out of a finished run, because nothing resumes it.

        Of several processes, only the first one writes.
        """
        self._require_sane_weights()
        distributed.average_buffers(self.method, self.network)
        if not distributed.is_first():
            return
        if self.step == self.steps:
            tensors = network_tensors(self.network)
        else:
            tensors = training_tensors(self.method, self.network, self.optimizers)
        save_checkpoint(self.folder.last, self._about(), tensors)

    def _plan_steps(self) -> tuple[int, int]:
        """Return the number of steps at the start that train only a part of the networks, and the number of all steps.

        If `least_steps` adds epochs, it adds as large a share to the pretraining.
        """
        train, per_epoch = self.config.train, len(self.loader)
        epochs = train.epochs if train.steps else max(train.epochs, math.ceil(train.least_steps / per_epoch))
        pretraining = self.method.pretraining_epochs * epochs // train.epochs * per_epoch
        steps = train.steps or epochs * per_epoch
        if steps <= pretraining:
            raise ConfigError(
                f"{steps} steps leave no step for the generator: the encoder is trained for "
                f"{pretraining // per_epoch} epochs of {per_epoch} steps; raise train.epochs or train.steps, or "
                "lower options.encoder_epochs"
            )
        return pretraining, steps

    def _about(self) -> About:
        return About(
            config=self.config,
            classes=self.dataset.classes,
            settings=self.dataset.settings,
            step=self.step,
            steps=self.steps,
            data=self.dataset.name,
            content=self.dataset.content,
            best=self.best,
            completed_by=self.completer.fingerprint if self.completer else "",
        )

    def _is_due(self, update: Update) -> bool:
        """Return whether to validate and save after this step: the last one, or the last one of some epochs."""
        per_epoch = len(self.loader)
        epochs = math.ceil(self.steps / per_epoch)
        every = max(self.config.train.sample_every, math.ceil(epochs / VALIDATIONS))
        return update.step == self.steps or update.step % (every * per_epoch) == 0

    def _means(self, pending: list[dict[str, Tensor]]) -> dict[str, float]:
        """Average each loss over the steps that have it, and over the processes.

        Raises:
            TrainingError: a loss is not finite, or above `LARGEST_LOSS`.
        """
        values: dict[str, list[Tensor]] = {}
        for name, loss in itertools.chain.from_iterable(losses.items() for losses in pending):
            values.setdefault(name, []).append(loss)
        over_steps = {name: torch.stack(of_steps).mean() for name, of_steps in values.items()}
        distributed.average(list(over_steps.values()))
        means = {name: float(mean) for name, mean in over_steps.items()}
        if bad := [name for name, value in means.items() if not abs(value) <= LARGEST_LOSS]:
            raise TrainingError(self._advice(f"the loss {bad[0]!r} {_describe(means[bad[0]])}"))
        return means

    def _require_sane_weights(self) -> None:
        """Raise a `TrainingError` if a weight or a statistic is not finite, or a weight is above `LARGEST_WEIGHT`."""
        weights = {name: weight.detach() for name, weight in self.method.named_parameters() if weight.numel()}
        largest = torch.stack([weight.abs().amax().float() for weight in weights.values()]).tolist() if weights else []
        for name, value in zip(weights, largest, strict=True):
            if not value <= LARGEST_WEIGHT:
                raise TrainingError(self._advice(f"the weight {name!r} {_describe(value)}"))
        statistics = {name: buffer for name, buffer in self.method.named_buffers() if buffer.is_floating_point()}
        # One sum of all needs one wait for the device; only if it is not finite, each statistic is looked at.
        if not statistics or is_finite(torch.stack([buffer.sum().float() for buffer in statistics.values()])):
            return
        for name, buffer in statistics.items():
            if not is_finite(buffer):
                raise TrainingError(self._advice(f"the statistic {name!r} is no longer finite"))

    def _advice(self, fault: str) -> str:
        last = self.folder.last
        kept = f"the last good state is {last}" if last.exists() else "nothing was saved yet"
        return (
            f"step {self.step}: {fault}; {kept}. Try a lower --set train.generator.learning_rate, or "
            "--set train.precision=float32"
        )

    def _validate(self, log: RunLog | NoLog, epoch: int) -> None:
        """Compute the validation loss, save the checkpoint if it is the best, and write a sample grid.

        Of several processes, only the first one does this.
        """
        distributed.average_buffers(self.method, self.network)
        if not distributed.is_first():
            return
        shown = self.validation if len(self.validation) else self.loader.dataset
        self.network.eval()
        with torch.inference_mode():
            if len(self.validation):
                score = self._validation_loss()
                if not abs(score) <= LARGEST_LOSS:
                    raise TrainingError(self._advice(f"the validation loss {_describe(score)}"))
                log.write(self.step, epoch, {"validation": score})
                if self.best is None or score < self.best:
                    self.best = score
                    save_checkpoint(self.folder.best, self._about(), network_tensors(self.network))
            samples = self.method.samples(self.network, self._grid_batch(shown), self._fixed_rng())
            log.samples(self.step, epoch + 1, samples)
        self.method.train()

    def _validation_loss(self) -> float:
        """Average the method's validation loss over the validation split."""
        rng, total = self._fixed_rng(), 0.0
        for batch in in_order(self.validation, self.config.network, self.config.train.batch_size, self.device):
            total += len(batch.label) * float(self.method.validation_loss(self.network, batch, rng))
        return total / len(self.validation)

    def _grid_batch(self, split: PairDataset) -> Batch:
        """Return the pairs of the sample grid: spread evenly over a split, and the same every time."""
        items = spread_evenly(len(split), GRID)
        return to_batch(split.read(items), self.config.network, split.settings, self.device)

    def _fixed_rng(self) -> torch.Generator:
        return torch.Generator().manual_seed(self.config.seed)


def _describe(value: float) -> str:
    """Return what is wrong with a number of a training that has diverged, as the end of a sentence."""
    return f"has grown to {value:.0e}" if math.isfinite(value) else "is no longer finite"


def train(run: Run, *, resume: bool, overwrite: bool, on_progress: OnProgress) -> TrainResult:
    """Train a run to its end. On SIGINT or SIGTERM, finish the step, save, and raise `Interrupted`.

    Args:
        run: the run to train.
        resume: resume the run in that folder, if there is one.
        overwrite: replace the run in that folder, if there is one.
        on_progress: called after every step.

    Raises:
        ConfigError, CheckpointError: the folder holds another run, or too few steps are left for a profile.
        TrainingError: a loss is no longer finite, or the folder cannot be written.
        Interrupted: a stop was requested; resuming continues there, or at the last checkpoint if the run cannot be
            saved.
    """
    folder = run.folder
    if not resume and not overwrite and distributed.first_decides(folder.config.exists):
        raise ConfigError(_describe_run(folder))
    # A classifier of completed pairs is trained by the command of the run that completes them, in that run's folder.
    out = folder.path.parent if run.completer else folder.path
    next_step = f"resume with: cmcgan train --resume {out}"
    with explain_write_errors(out, TrainingError, next_step), StopRequest() as stop:
        if resumes := resume and distributed.first_decides(folder.last.exists):
            run.load()
        if run.profiled and run.step < run.steps:
            require_steps(run.steps - run.step)  # before an older run is replaced
        if not resumes and distributed.is_first():
            run.start()
        try:
            return run.train(on_progress, stop)
        except (OSError, SafetensorError, TrainingError) as error:
            if not stop.requested:
                raise
            # A study would take it for a run that has failed, and train the next one.
            raise Interrupted(
                f"stopped at step {run.step} of {run.steps}; {error_reason(error)}, so the steps since the last "
                "checkpoint are lost"
            ) from error


def _describe_run(folder: RunFolder) -> str:
    """Return why a run cannot begin in the folder of another one, and what to do."""
    if folder.last.exists() and read_about(folder.last).finished:
        return f"{folder.path} holds a finished run; replace it (--overwrite), or choose another --out"
    return (
        f"{folder.path} holds a run already; resume it (--resume {folder.path}), replace it (--overwrite), or choose "
        "another --out"
    )


def claim_run(out: Path) -> AbstractContextManager[None]:
    """Keep other trainings out of a folder. Of the processes that train together, the first one holds the lock."""
    return claimed(out, TrainingError, RUN_AGAIN) if distributed.is_first() else nullcontext()


def train_once(
    config: Config,
    dataset: PreparedDataset,
    out: Path,
    device: str,
    on_progress: OnProgress,
    completer: PairCompleter | None = None,
) -> Path:
    """Train, resume or restart a run, depending on what its folder holds; do nothing if it is finished.

    Returns:
        The last checkpoint of the finished run.

    Raises:
        Interrupted: a stop was requested; the next call resumes.
        TrainingError: as `train`, or another process is at work in the folder.
    """
    last = RunFolder(out).last

    def find() -> About | None:
        about = read_about(last) if last.exists() else None
        return about if about and fits(about, config, dataset, completer) else None

    if distributed.first_decides(lambda: (found := find()) is not None and found.finished):
        return last
    run = Run(config, dataset, out, choose_device(device), completer)
    with claim_run(out):
        resume = distributed.first_decides(lambda: find() is not None)  # another process may have trained since
        train(run, resume=resume, overwrite=not resume, on_progress=on_progress)
    return last


def fits(about: About, config: Config, dataset: PreparedDataset, completer: PairCompleter | None = None) -> bool:
    """Return whether a checkpoint is of this configuration, this content of this dataset, and this completer."""
    theirs = (about.config, about.classes, about.settings, about.content, about.completed_by)
    completed_by = completer.fingerprint if completer else ""
    return theirs == (config, dataset.classes, dataset.settings, dataset.content, completed_by)
