"""Training the paper's classifiers: the judges, kept with the dataset, and each run's own classifier.

Source: CMCGAN, "Dynamic Multimodal Classification Network". The paper trains on real pairs, and then replaces real
    inputs by generated ones. The judge of pairs does so. The classifier of a run is trained on real pairs and on pairs
    that the run completed, because these are its inputs when it is used.
"""

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from cmcgan_core.checkpoint import Trained, embedder_of, load_checkpoint, network_tensors, save_checkpoint
from cmcgan_core.config import Config, load_config
from cmcgan_core.data.dataset import PairDataset, PreparedDataset
from cmcgan_core.data.loader import in_order
from cmcgan_core.errors import TrainingError
from cmcgan_core.inference.completion import Completion
from cmcgan_core.modality import Modality
from cmcgan_core.nn.capabilities import Embedder
from cmcgan_core.nn.familiarity import Familiarity, familiarity_tensors, fit_familiarity
from cmcgan_core.progress import OnProgress, Progress, silent
from cmcgan_core.run_folder import RunFolder, read_about
from cmcgan_core.training.calibration import fit_temperature
from cmcgan_core.training.run import fits, train_once
from cmcgan_core.utils import distributed
from cmcgan_core.utils.device import choose_device
from cmcgan_core.utils.files import explain_write_errors

#: Pairs that are classified at once.
BATCH = 64
#: How often a classifier is validated and saved during its training.
CHECKS = 4
#: What a classifier of pairs concatenates, see `methods.classifier.Options`.
Fusion = Literal["codes", "inputs"]


def train_judge(
    dataset: PreparedDataset,
    modalities: Sequence[Modality],
    preset: str,
    *,
    fusion: Fusion = "codes",
    seed: int = 0,
    device: str = "auto",
    on_progress: OnProgress = silent,
) -> Path:
    """Train a classifier on the real training pairs of a dataset, once, and keep it with the dataset.

    Args:
        dataset: the dataset to train on.
        modalities: the inputs: pictures, sounds, or both. A classifier that concatenates the codes of both also
            classifies each modality alone.
        preset: preset of the classifier.
        fusion: see `methods.classifier.Options`.
        seed: seed of the training.
        device: see `choose_device`.
        on_progress: called after every step.

    Returns:
        Its checkpoint. If the content of the dataset has changed, an older classifier is replaced.

    Raises:
        Interrupted: a stop was requested; the next call resumes.
    """
    alone = len(modalities) > 1 and fusion == "codes"
    config = classifier_config(preset, modalities, dataset.split("train"), seed, alone=alone, fusion=fusion)
    return train_once(config, dataset, judge_folder(dataset, modalities, preset, seed, fusion), device, on_progress)


def judge_folder(
    dataset: PreparedDataset, modalities: Sequence[Modality], preset: str, seed: int, fusion: Fusion = "codes"
) -> Path:
    """Return the run folder of a judge, see `train_judge`."""
    inputs = "-concatenated" if fusion == "inputs" else ""
    return dataset.root / "judges" / f"{preset}-{'-'.join(modalities)}{inputs}-{seed}"


def train_run_classifier(
    dataset: PreparedDataset, run: Path, *, device: str = "auto", on_progress: OnProgress = silent
) -> Path:
    """Train the multimodal classifier of a run once, calibrate it, and keep it in the run's folder.

    Of every three training pairs, one stays real, one gets a generated picture, and one gets a generated sound.

    Args:
        dataset: the dataset that the run was trained on.
        run: folder of a finished run that generates.
        device: see `choose_device`.
        on_progress: called after every step.

    Returns:
        Its checkpoint, `classifier.safetensors`. If the dataset has a validation split, it has a temperature for each
        case, and statistics that tell which inputs are unlike the training data. If the run or the content of the
        dataset has changed, an older classifier is replaced.

    Raises:
        CheckpointError: the run has no checkpoint, or does not generate.
        Interrupted: a stop was requested; the next call resumes.
    """
    torch_device, folder = choose_device(device), RunFolder(run)
    completion = Completion(load_checkpoint(folder.last, torch_device))
    run_config = completion.generating.about.config
    config = classifier_config(run_config.judge, tuple(Modality), dataset.split("train"), run_config.seed)
    if distributed.first_decides(
        lambda: folder.classifier.exists() and fits(read_about(folder.classifier), config, dataset, completion)
    ):
        return folder.classifier
    checkpoint = train_once(config, dataset, run / "classifier", device, on_progress, completion)
    if not distributed.is_first():
        return folder.classifier
    trained = load_checkpoint(checkpoint, torch_device)
    temperatures = calibrate(trained, completion, dataset.split("validation"), on_progress)
    familiarity = learn_familiarity(trained, completion.generating, dataset, on_progress)
    with explain_write_errors(run, TrainingError, f"resume with: cmcgan train --resume {run}"):
        about = replace(trained.about, temperatures=temperatures)
        tensors = {**network_tensors(trained.network), **familiarity_tensors(familiarity)}
        save_checkpoint(folder.classifier, about, tensors)
        for copied in (checkpoint, RunFolder(checkpoint.parent).best):
            copied.unlink(missing_ok=True)
    return folder.classifier


def train_concatenation(
    dataset: PreparedDataset, generating: Trained, *, device: str = "auto", on_progress: OnProgress = silent
) -> Path:
    """Train a run's classifier of pairs again, once, on concatenated inputs; keep it in the run's folder.

    It is only for comparison with the run's own classifier, see `train_run_classifier`; so it is not calibrated.

    Args:
        dataset: the dataset that the run was trained on.
        generating: the run.
        device: see `choose_device`.
        on_progress: called after every step.

    Returns:
        Its checkpoint.

    Raises:
        Interrupted: a stop was requested; the next call resumes.
    """
    about, split = generating.about.config, dataset.split("train")
    config = classifier_config(about.judge, tuple(Modality), split, about.seed, fusion="inputs")
    folder = generating.path.parent / "concatenated"
    return train_once(config, dataset, folder, device, on_progress, Completion(generating))


def classifier_config(
    preset: str,
    modalities: Sequence[Modality],
    split: PairDataset,
    seed: int,
    *,
    alone: bool = False,
    fusion: Fusion = "codes",
) -> Config:
    """Load a preset for these modalities, with class weights that compensate for rare classes of the training split.

    The classifier is validated and saved `CHECKS` times during its training, because on a small dataset, where an epoch
    has few steps, validation would otherwise cost more than the training.

    Args:
        preset: preset of the classifier.
        modalities: the inputs.
        split: the training split.
        seed: seed of the training.
        alone: see `methods.classifier.Options`.
        fusion: likewise.
    """
    options: dict[str, Any] = {"modalities": [str(modality) for modality in modalities]}
    if alone:
        options["alone"] = True
    if fusion == "inputs":
        options["fusion"] = fusion
    counts = torch.bincount(split.labels, minlength=len(split.classes)).clamp_min(1)
    weights = [round(len(split) / (len(counts) * count), 2) for count in counts.tolist()]
    if set(weights) != {1.0}:
        options["class_weights"] = weights
    config = load_config(preset)
    steps_per_epoch = max(1, len(split) // config.train.batch_size)
    epochs = max(config.train.epochs, math.ceil(config.train.least_steps / steps_per_epoch))
    train = replace(config.train, sample_every=math.ceil(epochs / CHECKS))
    return replace(config, options=options, train=train, seed=seed)


def calibrate(
    classifier: Trained, completion: Completion, split: PairDataset, on_progress: OnProgress = silent
) -> dict[str, float]:
    """Fit a temperature for each case on held-out pairs; none if the split is empty."""
    if not len(split):
        return {}
    logits_by_case, label = classify_split(classifier, completion, split, on_progress)
    return {case: round(fit_temperature(logits, label), 4) for case, logits in logits_by_case.items()}


def learn_familiarity(
    classifier: Trained, generating: Trained, dataset: PreparedDataset, on_progress: OnProgress = silent
) -> dict[Modality, Familiarity]:
    """Learn where the codes of training pairs lie, for each modality that `embedder_of` has a network for.

    The threshold is fitted to the validation split; without one, nothing is learned.
    """
    training, validation = dataset.split("train"), dataset.split("validation")
    if not len(validation):
        return {}
    learned = {}
    for modality in Modality:
        if (embedder := embedder_of(modality, generating, classifier)) is not None:
            codes, held_out = (embed_split(embedder, modality, split, on_progress) for split in (training, validation))
            learned[modality] = fit_familiarity(codes, training.labels, held_out)
    return learned


def embed_split(trained: Trained, modality: Modality, split: PairDataset, on_progress: OnProgress = silent) -> Tensor:
    """Return the codes (N, D) of the real samples of a modality in a split."""
    assert isinstance(trained.network, Embedder)
    codes: list[Tensor] = []
    done = 0
    for batch in in_order(split, trained.about.config.network, BATCH, trained.device):
        with torch.inference_mode():
            codes.append(trained.network.embed(modality, batch.maps()[modality]).cpu())
        done += len(batch.label)
        on_progress(Progress(f"embedding {split.split} {modality.word}s", done, len(split), "pairs"))
    return torch.cat(codes)


def classify_split(
    classifier: Trained, completion: Completion, split: PairDataset, on_progress: OnProgress = silent
) -> tuple[dict[str, Tensor], Tensor]:
    """Classify all pairs of a split, in every case that the run can complete, with one latent per pair.

    Returns:
        Logits (N, classes) by case, and labels (N,).
    """
    network = classifier.about.config.network
    rng = torch.Generator().manual_seed(classifier.about.config.seed)
    outputs: dict[str, list[Tensor]] = {case: [] for case in completion.cases}
    done = 0
    for batch in in_order(split, network, BATCH, classifier.device):
        for case, logits in outputs.items():
            pairs = completion.complete(batch, case, rng)
            with torch.inference_mode():
                logits.append(classifier.network(pairs.maps()).cpu())
        done += len(batch.label)
        on_progress(Progress(f"classifying {split.split} pairs", done, len(split), "pairs"))
    return {case: torch.cat(logits) for case, logits in outputs.items()}, split.labels
