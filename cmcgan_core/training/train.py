"""From a configuration and a prepared dataset to a trained run, ready to generate and to classify."""

from pathlib import Path

import torch

from cmcgan_core.config import Config
from cmcgan_core.errors import ConfigError
from cmcgan_core.methods import Translator
from cmcgan_core.nn.layers import count_parameters
from cmcgan_core.progress import OnProgress, silent
from cmcgan_core.training.classifiers import retrain_classifier
from cmcgan_core.training.run import Run, TrainResult, train
from cmcgan_core.utils.device import choose_device
from cmcgan_core.utils.schema import build
from cmcgan_core.utils.toml import read_toml


def train_run(
    config: Config,
    data: Path,
    out: Path,
    *,
    device: str = "auto",
    resume: bool = False,
    overwrite: bool = False,
    on_progress: OnProgress = silent,
) -> TrainResult:
    """Train into a run folder; on SIGINT or SIGTERM finish the step, save, and return.

    A run that generates gets a multimodal classifier beside it at the end, for `classify`: see `retrain_classifier`;
    not where there is one class only, and nothing to tell apart.

    Args:
        config: of the run.
        data: prepared dataset.
        out: run folder.
        device: see `choose_device`.
        resume: go on with the run in `out`, if there is one.
        overwrite: begin anew where `out` holds a run.
        on_progress: told after every step.

    Raises:
        ConfigError, DataError, CheckpointError: what is given does not fit.
        TrainingError: a loss is no longer finite, or the run folder cannot be written.
        KeyboardInterrupt: it was asked to stop while it trained the classifier; resuming goes on there.
    """
    run = Run(config, data, out, choose_device(device))
    result = train(run, resume=resume, overwrite=overwrite, on_progress=on_progress)
    if result.finished and isinstance(run.method.network, Translator) and len(run.method.classes) > 1:
        retrain_classifier(data, out, device=device, on_progress=on_progress)
    return result


def plan_run(config: Config, data: Path) -> dict[str, int]:
    """What a run would be: training pairs, steps, parameters; checks configuration and dataset as `train_run` does."""
    run = Run(config, data, Path(), torch.device("cpu"))
    return {
        "pairs": len(run.loader.items),
        "steps": run.steps,
        "parameters": count_parameters(run.method),
        "parameters to generate": count_parameters(run.method.network),
    }


def resume_config(out: Path) -> tuple[Config, Path]:
    """Configuration and dataset of a run folder.

    Raises:
        ConfigError: it is no run folder.
    """
    if not (out / "config.toml").is_file():
        raise ConfigError(f"{out} is not a run (no config.toml); start one with: cmcgan train DATA --out {out}")
    config = build(Config, read_toml(out / "config.toml"), str(out / "config.toml"))
    return config, Path(read_toml(out / "run.toml")["data"])
