"""The paper's classifiers, trained once: judges beside a dataset; in a run's folder, one that knows what it generates.

Source: CMCGAN, "Dynamic Multimodal Classification Network". The paper trains on real pairs and substitutes generated
ones; a judge ("av") does so. The classifier of a run is trained on real pairs and on pairs that the run completed, as
that is what it is used with.
"""

from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from cmcgan_core import checkpoint
from cmcgan_core.checkpoint import Trained, load_checkpoint
from cmcgan_core.config import Config, load_config
from cmcgan_core.data.dataset import PairDataset
from cmcgan_core.data.loader import in_order
from cmcgan_core.errors import TrainingError
from cmcgan_core.inference.completion import Completion
from cmcgan_core.progress import OnProgress, Progress, silent
from cmcgan_core.training.calibration import fit_temperature
from cmcgan_core.training.run import fits, train_once
from cmcgan_core.utils.device import choose_device
from cmcgan_core.utils.files import explain_write_errors

#: Pairs that are asked about at once.
BATCH = 64


def train_classifier(
    data: Path, modalities: str, preset: str, *, seed: int = 0, device: str = "auto", on_progress: OnProgress = silent
) -> Path:
    """The classifier of a dataset for "a", "v" or "av"; trained on its training split once, then kept beside it.

    Returns:
        Its checkpoint. One of an earlier content of the dataset is replaced.

    Raises:
        KeyboardInterrupt: it was asked to stop; the next call goes on where it left off.
    """
    config = classifier_config(preset, modalities, PairDataset(data, "train"), seed)
    return train_once(config, data, data / "judges" / f"{preset}-{modalities}-{seed}", device, on_progress)


def retrain_classifier(data: Path, run: Path, *, device: str = "auto", on_progress: OnProgress = silent) -> Path:
    """The multimodal classifier of a run; trained once, calibrated on the validation split, kept in the run's folder.

    Of every three training pairs one stays real, of one the run fills in the picture, of one the sound.

    Args:
        data: prepared dataset that the run was trained on.
        run: folder of a finished run that generates.
        device: see `choose_device`.
        on_progress: told after every step.

    Returns:
        Its checkpoint, `classifier.safetensors`, with the temperatures of its cases where the dataset has a validation
        split. One of an earlier content of run or dataset is replaced.

    Raises:
        CheckpointError: the run has no checkpoint, or generates nothing.
        KeyboardInterrupt: it was asked to stop; the next call goes on where it left off.
    """
    on = choose_device(device)
    completion = Completion(load_checkpoint(run / "last.safetensors", on))
    of_run = completion.generating.about.config
    dataset = PairDataset(data, "train")
    config = classifier_config(of_run.judge, "av", dataset, of_run.seed)
    kept = run / "classifier.safetensors"
    if kept.exists() and fits(checkpoint.read_about(kept), config, dataset, completion):
        return kept
    trained = load_checkpoint(train_once(config, data, run / "classifier", device, on_progress, completion), on)
    temperatures = calibrate(trained, completion, PairDataset(data, "validation"), on_progress)
    with explain_write_errors(run, TrainingError, f"resume with: cmcgan train --resume {run}"):
        about = replace(trained.about, temperatures=temperatures)
        checkpoint.save_checkpoint(kept, about, checkpoint.network_tensors(trained.network))
    return kept


def classifier_config(preset: str, modalities: str, dataset: PairDataset, seed: int) -> Config:
    """A preset for "a", "v" or "av", with weights that let every class of a training split count alike."""
    options: dict[str, Any] = {"modalities": list(modalities)}
    counts = torch.bincount(dataset.labels, minlength=len(dataset.classes)).clamp_min(1)
    weights = [round(len(dataset) / (len(counts) * count), 2) for count in counts.tolist()]
    if set(weights) != {1.0}:
        options["class_weights"] = weights
    return replace(load_config(preset), options=options, seed=seed)


def calibrate(
    classifier: Trained, completion: Completion, dataset: PairDataset, on_progress: OnProgress = silent
) -> dict[str, float]:
    """Temperatures by case, fitted on a split that classifier and run were not trained on; none where it is empty."""
    if not len(dataset):
        return {}
    answered, label = answers(classifier, completion, dataset, on_progress)
    return {case: round(fit_temperature(logits, label), 4) for case, logits in answered.items()}


def answers(
    classifier: Trained, completion: Completion, dataset: PairDataset, on_progress: OnProgress = silent
) -> tuple[dict[str, Tensor], Tensor]:
    """What a multimodal classifier says of all pairs of a split.

    Returns:
        Logits (N, classes) by the cases that the run can make, one latent a pair; labels (N,).
    """
    network, device = classifier.about.config.network, next(classifier.network.parameters()).device
    rng = torch.Generator().manual_seed(classifier.about.config.seed)
    said: dict[str, list[Tensor]] = {case: [] for case in completion.cases}
    done = 0
    for batch in in_order(dataset, network, BATCH, device):
        for case, logits in said.items():
            pairs = completion.complete(batch, case, rng)
            with torch.inference_mode():
                logits.append(classifier.network(audio=pairs.audio, visual=pairs.visual).cpu())
        done += len(batch.label)
        on_progress(Progress(f"asking the classifier of {dataset.split} pairs", done, len(dataset), "pairs"))
    return {case: torch.cat(logits) for case, logits in said.items()}, dataset.labels
