"""A run in its folder: the loop, its checkpoints, its log.

A run folder holds `config.toml` (as resolved), `run.toml` (data, versions), `metrics.jsonl`, TensorBoard events where
TensorBoard is installed, `samples/*.png`, `last.safetensors` (to go on, and to use) and, where the dataset has a
validation split, `best.safetensors` (to use; lowest validation loss). A run that generates also gets
`classifier.safetensors` (to classify with), trained in the run folder `classifier/`.
"""

import copy
import math
import platform
import time
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from cmcgan_core import __version__, checkpoint
from cmcgan_core.checkpoint import About
from cmcgan_core.config import Config
from cmcgan_core.data.dataset import PairDataset
from cmcgan_core.data.loader import Batch, Loader, in_order, to_batch
from cmcgan_core.errors import CheckpointError, ConfigError, TrainingError
from cmcgan_core.inference.completion import Completion
from cmcgan_core.methods import make_method
from cmcgan_core.progress import OnProgress, Progress
from cmcgan_core.training.log import RunLog
from cmcgan_core.training.loop import Update, fit, memory_format_of, update_average
from cmcgan_core.utils.device import choose_device
from cmcgan_core.utils.files import explain_write_errors, write_text
from cmcgan_core.utils.signals import StopRequest
from cmcgan_core.utils.toml import dump_toml

#: Updates between two lines of the log.
LOG_EVERY = 10
#: Pairs of a sample grid.
GRID = 8
#: What a run writes that does not outlive it; patterns within its folder.
OWN_FILES = tuple(
    folder + name
    for folder in ("", "classifier/")
    for name in (
        "last.safetensors",
        "best.safetensors",
        "classifier.safetensors",
        ".*.safetensors.*.tmp",
        "metrics.jsonl",
        "samples/epoch_*.png",
        "events.out.tfevents.*",
    )
)


@dataclass(frozen=True)
class TrainResult:
    """What became of a run.

    Attributes:
        out: run folder.
        step: updates done.
        steps: updates planned.
        seconds: of this call.
        losses: means over the last log interval.
        best: lowest validation loss, or None without a validation split.
        finished: whether it came to its end and was not asked to stop, so that what comes after it is to be done too.
    """

    out: Path
    step: int
    steps: int
    seconds: float
    losses: dict[str, float]
    best: float | None
    finished: bool


class Run:
    """The state of a run in its folder.

    Args:
        config: of the run.
        data: prepared dataset.
        out: run folder.
        device: to train on.
        completion: see `fit`.

    Raises:
        ConfigError, DataError: configuration and dataset do not fit.
    """

    def __init__(
        self, config: Config, data: Path, out: Path, device: torch.device, completion: Completion | None = None
    ) -> None:
        self.config, self.data, self.out, self.device, self.completion = config, data, out, device, completion
        dataset = PairDataset(data, "train")
        self.loader = Loader(
            dataset, config.network, config.train.batch_size, config.seed, device, by=config.train.wrong_pairs
        )
        self.validation = PairDataset(data, "validation")
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.seed)
            self.method = make_method(config, dataset.classes, dataset.settings)
        self.method.to(device).train()
        self.method.to(memory_format=memory_format_of(config))  # type: ignore[call-overload]
        self.network = self.method.network
        if config.train.average:
            self.network = copy.deepcopy(self.network).eval().requires_grad_(False)
        self.optimizers = self.method.optimizers()
        epochs = max(config.train.epochs, math.ceil(config.train.least_steps / len(self.loader)))
        self.steps = config.train.steps or epochs * len(self.loader)
        if self.steps <= self.method.pretraining_epochs * len(self.loader):
            raise ConfigError(
                f"{self.steps} steps leave none to the generator, as its encoder is trained for "
                f"{self.method.pretraining_epochs} epochs of {len(self.loader)}; raise train.epochs or "
                "train.steps, or lower options.encoder_epochs"
            )
        self.step = 0
        self.best: float | None = None
        self.last = out / "last.safetensors"

    def begin(self) -> None:
        """Write the head of a new run; what an older run left is removed, and nothing else."""
        older = (self.out / "config.toml").exists()
        for pattern in OWN_FILES if older else ():
            for old in self.out.glob(pattern):
                old.unlink()
        about = {
            "data": str(self.data.resolve()),
            "device": str(self.device),
            "cmcgan": __version__,
            "torch": torch.__version__,
            "python": platform.python_version(),
        }
        write_text(self.out / "run.toml", dump_toml(about))
        write_text(self.out / "config.toml", dump_toml(self.config.to_dict()))

    def load(self) -> None:
        """Take up the state of `last.safetensors`."""
        about = checkpoint.read_about(self.last)
        if not fits(about, self.config, self.loader.dataset, self.completion):
            raise CheckpointError(
                f"{self.last} was trained with another configuration or dataset; begin anew with "
                "--overwrite, or name another --out"
            )
        checkpoint.load_training(self.last, self.method, self.network, self.optimizers)
        self.step, self.best = about.step, about.best

    def train(self, on_progress: OnProgress, stop: StopRequest) -> TrainResult:
        """From the step reached to the end, or to where it is asked to stop."""
        started = time.monotonic()
        given = "-".join(self.config.options.get("modalities", []))
        stage = f"training {self.config.preset or self.config.method} {given}".rstrip()
        losses: dict[str, float] = {}
        pending: list[dict[str, Tensor]] = []
        with RunLog(self.out, self.step) as log:
            for update in fit(self.method, self.optimizers, self.loader, self.steps, self.step, self.completion):
                self.step = update.step
                pending.append(update.losses)
                if self.config.train.average:
                    decay = 0.0 if self.method.pretraining else self.config.train.average
                    update_average(self.network, self.method.network, decay, update.step)
                ends_epoch = update.step % len(self.loader) == 0 or update.step == self.steps
                if stop.requested or ends_epoch or update.step % LOG_EVERY == 0:
                    losses, pending = self._means(pending), []
                    log.write(update.step, update.epoch, losses)
                if ends_epoch and self._is_due(update):
                    if not self.method.pretraining:
                        self._validate(log, update.epoch)
                    self.save()
                on_progress(Progress(stage, update.step, self.steps, "steps", losses))
                if stop.requested:
                    self.save()
                    break
        return TrainResult(
            self.out, self.step, self.steps, time.monotonic() - started, losses, self.best, finished=not stop.requested
        )

    def save(self) -> None:
        """Write `last.safetensors`."""
        if not all(bool(p.isfinite().all()) for p in self.method.parameters()):
            raise TrainingError(self._advice("weights are no longer finite"))
        tensors = checkpoint.training_tensors(self.method, self.network, self.optimizers)
        checkpoint.save_checkpoint(self.last, self._about(), tensors)

    def _about(self) -> About:
        dataset = self.loader.dataset
        name, content = dataset.about["name"], dataset.about.get("content", "")
        completed_by = self.completion.fingerprint if self.completion else ""
        return About(
            self.config,
            dataset.classes,
            dataset.settings,
            self.step,
            self.steps,
            name,
            content,
            self.best,
            completed_by,
        )

    def _is_due(self, update: Update) -> bool:
        return (update.epoch + 1) % self.config.train.sample_every == 0 or update.step == self.steps

    def _means(self, pending: list[dict[str, Tensor]]) -> dict[str, float]:
        means = {name: float(torch.stack([losses[name] for losses in pending]).mean()) for name in pending[0]}
        if bad := [name for name, value in means.items() if not math.isfinite(value)]:
            raise TrainingError(self._advice(f"the loss {bad[0]!r} is no longer finite"))
        return means

    def _advice(self, what: str) -> str:
        kept = f"the last good state is {self.last}" if self.last.exists() else "nothing was saved yet"
        return (
            f"step {self.step}: {what}; {kept}. Try a lower --set train.generator.learning_rate, or "
            "--set train.precision=float32"
        )

    def _validate(self, log: RunLog, epoch: int) -> None:
        """Draw the sample grid; score the validation split and keep the best."""
        shown = self.validation if len(self.validation) else self.loader.dataset
        self.network.eval()
        with torch.inference_mode():
            log.samples(epoch + 1, self.method.samples(self.network, self._some(shown), self._fixed()))
            if len(self.validation):
                score = self._validation_loss()
                if not math.isfinite(score):
                    raise TrainingError(self._advice("the validation loss is no longer finite"))
                log.write(self.step, epoch, {"validation": score})
                if self.best is None or score < self.best:
                    self.best = score
                    checkpoint.save_checkpoint(
                        self.out / "best.safetensors", self._about(), checkpoint.network_tensors(self.network)
                    )
        self.method.train()

    def _validation_loss(self) -> float:
        rng, total = self._fixed(), 0.0
        for batch in in_order(self.validation, self.config.network, self.config.train.batch_size, self.device):
            total += len(batch.label) * float(self.method.validation_loss(self.network, batch, rng))
        return total / len(self.validation)

    def _some(self, dataset: PairDataset) -> Batch:
        """Pairs spread evenly over a split, the same ones every time."""
        items = torch.linspace(0, len(dataset) - 1, min(GRID, len(dataset))).round().long().tolist()
        network, device = self.config.network, self.device
        return to_batch(dataset.read(items), network, dataset.settings, device)

    def _fixed(self) -> torch.Generator:
        return torch.Generator().manual_seed(self.config.seed)


def train(run: Run, *, resume: bool, overwrite: bool, on_progress: OnProgress) -> TrainResult:
    """Train a run to its end; on SIGINT or SIGTERM finish the step, save, and return.

    Args:
        run: in its folder.
        resume: go on with the run in that folder, if there is one.
        overwrite: begin anew where the folder holds a run.
        on_progress: told after every step.

    Raises:
        ConfigError, CheckpointError: the folder holds another run.
        TrainingError: a loss is no longer finite, or the folder cannot be written.
    """
    if not resume and not overwrite and (run.out / "config.toml").exists():
        raise ConfigError(
            f"{run.out} holds a run already; go on with it (--resume {run.out}), replace it "
            "(--overwrite), or name another --out"
        )
    # What takes another run's completion is trained by that run's command, in its folder.
    folder = run.out.parent if run.completion else run.out
    next_step = f"resume with: cmcgan train --resume {folder}"
    with explain_write_errors(folder, TrainingError, next_step), StopRequest() as stop:
        if resume and run.last.exists():
            run.load()
        else:
            run.begin()
        return run.train(on_progress, stop)


def train_once(
    config: Config, data: Path, out: Path, device: str, on_progress: OnProgress, completion: Completion | None = None
) -> Path:
    """The checkpoint of a finished run; it is trained, gone on with or begun anew as what is there demands.

    Raises:
        KeyboardInterrupt: it was asked to stop; the next call goes on where it left off.
    """
    last = out / "last.safetensors"
    about = checkpoint.read_about(last) if last.exists() else None
    known = about is not None and fits(about, config, PairDataset(data, "train"), completion)
    if about is not None and known and about.finished:
        return last
    run = Run(config, data, out, choose_device(device), completion)
    if not train(run, resume=known, overwrite=not known, on_progress=on_progress).finished:
        raise KeyboardInterrupt
    return last


def fits(about: About, config: Config, dataset: PairDataset, completion: Completion | None = None) -> bool:
    """Whether a checkpoint is of this configuration, of this dataset, split as it is now, and of this completion."""
    theirs = (about.config, about.classes, about.settings, about.content, about.completed_by)
    content, completed_by = dataset.about.get("content", ""), completion.fingerprint if completion else ""
    return theirs == (config, dataset.classes, dataset.settings, content, completed_by)
