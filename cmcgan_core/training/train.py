"""From a configuration and a prepared dataset to a trained run that can generate and classify."""

from pathlib import Path

import torch

from cmcgan_core.checkpoint import RunFolder
from cmcgan_core.config import Config
from cmcgan_core.data.dataset import PreparedDataset
from cmcgan_core.errors import ConfigError, TrainingError
from cmcgan_core.nn.capabilities import Translator
from cmcgan_core.nn.layers import count_parameters
from cmcgan_core.progress import OnProgress, silent
from cmcgan_core.training.classifiers import train_run_classifier
from cmcgan_core.training.run import Run, TrainResult, train
from cmcgan_core.utils.device import choose_device
from cmcgan_core.utils.files import RUN_AGAIN, claimed
from cmcgan_core.utils.schema import build
from cmcgan_core.utils.toml import read_toml


def train_run(
    config: Config,
    dataset: PreparedDataset,
    out: Path,
    *,
    device: str = "auto",
    resume: bool = False,
    overwrite: bool = False,
    on_progress: OnProgress = silent,
) -> TrainResult:
    """Train into a run folder.

    While it trains in the main thread, SIGINT and SIGTERM let it finish the step, save, and raise `Interrupted`. At the
    end, a run that generates also gets a multimodal classifier for `classify`, see `train_run_classifier`, unless the
    dataset has a single class.

    Args:
        config: configuration of the run.
        dataset: the dataset to train on.
        out: run folder.
        device: see `choose_device`.
        resume: resume the run in `out`, if there is one.
        overwrite: replace the run in `out`, if there is one.
        on_progress: called after every step.

    Raises:
        ConfigError, DataError, CheckpointError: the arguments do not fit together.
        TrainingError: a loss or a weight has grown without limit, or the run folder cannot be written, or another
            process trains in it.
        Interrupted: a stop was requested; `resume` continues there.
    """
    run = Run(config, dataset, out, choose_device(device))
    with claimed(out, TrainingError, RUN_AGAIN):
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


def resume_config(out: Path) -> tuple[Config, Path]:
    """Read the configuration and the path of the dataset of a run folder.

    Raises:
        ConfigError: it is not a run folder, or `config.toml` or `run.toml` is damaged.
    """
    folder = RunFolder(out)
    if not folder.config.is_file():
        raise ConfigError(f"{out} is not a run (no config.toml); start one with: cmcgan train DATA --out {out}")
    config = build(Config, read_toml(folder.config), str(folder.config))
    data = read_toml(folder.info).get("data")
    if not isinstance(data, str) or not data:
        raise ConfigError(
            f"{folder.info} names no dataset, so it is damaged; start again with: cmcgan train DATA --out {out} "
            "--overwrite"
        )
    return config, Path(data)
