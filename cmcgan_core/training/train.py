"""From a configuration and a prepared dataset to a trained run that can generate and classify."""

import warnings
from collections.abc import Sequence
from pathlib import Path

import torch

from cmcgan_core.config import Config
from cmcgan_core.data.dataset import PreparedDataset
from cmcgan_core.nn.capabilities import Translator
from cmcgan_core.nn.layers import count_parameters
from cmcgan_core.progress import OnProgress, silent
from cmcgan_core.training.classifiers import train_run_classifier
from cmcgan_core.training.loggers import Warn, require_loggers
from cmcgan_core.training.run import Run, TrainResult, claim_run, train
from cmcgan_core.utils import distributed
from cmcgan_core.utils.device import choose_device


def train_run(
    config: Config,
    dataset: PreparedDataset,
    out: Path,
    *,
    device: str = "auto",
    resume: bool = False,
    overwrite: bool = False,
    loggers: Sequence[str] | None = None,
    warn: Warn = warnings.warn,
    profiled: bool = False,
    on_progress: OnProgress = silent,
) -> TrainResult:
    """Train into a run folder.

    While it trains in the main thread, SIGINT and SIGTERM let it finish the step, save, and raise `Interrupted`. At the
    end, a run that generates also gets a multimodal classifier for `classify`, see `train_run_classifier`, unless the
    dataset has a single class.

    If torchrun has started several processes, they train together: each computes a part of every batch, and the first
    one writes the files.

    Args:
        config: configuration of the run.
        dataset: the dataset to train on.
        out: run folder.
        device: see `choose_device`.
        resume: resume the run in `out`, if there is one.
        overwrite: replace the run in `out`, if there is one.
        loggers: names of loggers, see `loggers.LOGGERS`. None: those that the run had when it was stopped, else
            TensorBoard if it is installed.
        warn: called with a sentence when a logger fails; the training continues.
        profiled: whether to write a profile of some steps into the run folder, see `profile.step_profiler`.
        on_progress: called after every step.

    Raises:
        ConfigError, DataError, CheckpointError: the arguments do not fit together, or the package of a logger is
            missing.
        TrainingError: a loss or a weight has grown without limit, or the run folder cannot be written, or another
            process trains in it.
        Interrupted: a stop was requested; `resume` continues there.
    """
    require_loggers(loggers or ())
    with distributed.process_group():
        run = Run(config, dataset, out, choose_device(device), loggers=loggers, warn=warn, profiled=profiled)
        with claim_run(out):
            result = train(run, resume=resume, overwrite=overwrite, on_progress=on_progress)
            if isinstance(run.method.network, Translator) and len(dataset.classes) > 1:
                train_run_classifier(dataset, out, device=device, on_progress=on_progress)
    return result


def plan_run(config: Config, dataset: PreparedDataset) -> dict[str, int]:
    """Check configuration and dataset as `train_run` does, and count training pairs, steps and parameters."""
    run = Run(config, dataset, Path(), torch.device("cpu"))
    return {
        "pairs": len(run.loader.items),
        "steps": run.steps,
        "parameters": count_parameters(run.method),
        "parameters to generate": count_parameters(run.method.network),
    }
