"""The paper's classifiers, trained once: judges beside a dataset."""

import shutil
from dataclasses import replace
from pathlib import Path

from cmcgan_core import checkpoint
from cmcgan_core.config import load_config
from cmcgan_core.data.dataset import PairDataset
from cmcgan_core.device import choose_device
from cmcgan_core.files import atomic_write
from cmcgan_core.progress import OnProgress, silent
from cmcgan_core.runs import Run, fits, train


def train_classifier(
    data: Path, modalities: str, preset: str, *, seed: int = 0, device: str = "auto", on_progress: OnProgress = silent
) -> Path:
    """The classifier of a dataset for "a", "v" or "av"; trained on its training split once, then kept beside it.

    Returns:
        Its checkpoint. One of an earlier content of the dataset is replaced.

    Raises:
        KeyboardInterrupt: it was asked to stop; the next call goes on where it left off.
    """
    config = replace(load_config(preset), options={"modalities": list(modalities)}, seed=seed)
    out = data / "judges" / f"{preset}-{modalities}-{seed}"
    last = out / "last.safetensors"
    about = checkpoint.read_about(last) if last.exists() else None
    known = about is not None and fits(about, config, PairDataset(data, "train"))
    if about is not None and known and about.finished:
        return last
    run = Run(config, data, out, choose_device(device))
    if not train(run, resume=known, overwrite=not known, on_progress=on_progress).finished:
        raise KeyboardInterrupt
    return last


def keep_classifier(classifier: Path, run: Path) -> None:
    """Put a copy of a dataset's multimodal classifier into a run folder, so that the folder is enough by itself."""
    with atomic_write(run / "classifier.safetensors") as temporary:
        shutil.copyfile(classifier, temporary)
