"""Evaluations, kept beside the judges of a dataset: what was judged already in the same way is not judged again.

An evaluation is known by all that decides its figures: the bytes of the checkpoint, of the classifiers that judge it
and of the dataset's index (which has a checksum of every pair), what it was asked for, and the code. A run that is
trained on, a judge that is trained anew or an update of cmcgan therefore leads to a new evaluation.
"""

import json
from contextlib import suppress
from dataclasses import asdict, replace
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any

import torch

from cmcgan_core.checkpoint import find_checkpoint, read_about
from cmcgan_core.completion import fingerprint
from cmcgan_core.config import build
from cmcgan_core.device import choose_device
from cmcgan_core.errors import ConfigError
from cmcgan_core.evaluate import Evaluation, evaluate
from cmcgan_core.files import write_text
from cmcgan_core.progress import OnProgress, silent


def evaluate_once(
    run: Path | None, data: Path, *, split: str = "test", latents: int = 4, seed: int = 0, device: str = "auto",
    on_progress: OnProgress = silent,
) -> Evaluation:  # fmt: skip
    """What `evaluate` finds, by all judges; as it was found before, where nothing that decides it has changed.

    Args and errors are those of `evaluate`.
    """
    checkpoint = find_checkpoint(run)
    asked = {"split": split, "latents": latents, "seed": seed, "device": choose_device(device).type}
    if (kept := _read(_file(checkpoint, data, asked))) is not None:
        return replace(kept, checkpoint=str(checkpoint), data=str(data))
    found = evaluate(checkpoint, data, split=split, latents=latents, seed=seed, device=device, on_progress=on_progress)
    # Its name is found anew, as the judges may have been trained just now. A dataset that cannot be written to can be
    # evaluated as long as its judges are there.
    with suppress(OSError):
        write_text(_file(checkpoint, data, asked), json.dumps(asdict(found), indent=1) + "\n")
    return found


def _file(checkpoint: Path, data: Path, asked: dict[str, Any]) -> Path:
    """Where the evaluation is kept that all this decides."""
    judge = read_about(checkpoint).config.judge
    of_run = [file for file in [checkpoint.parent / "classifier.safetensors"] if file.is_file()]
    judges = sorted(file for name in (f"{judge}*/*", "pose-*") for file in data.glob(f"judges/{name}.safetensors"))
    index = [file for file in (data / "dataset.toml", data / "index.csv") if file.is_file()]
    decisive = {
        **asked,
        "files": [fingerprint(file) for file in (checkpoint, *of_run, *judges, *index)],
        "code": _code(),
        "torch": torch.__version__,
    }
    return data / "evaluations" / f"{sha256(json.dumps(decisive).encode()).hexdigest()[:32]}.json"


@cache
def _code() -> str:
    """Hash of this package's own code."""
    package = Path(__file__).parent
    return sha256(b"".join(file.read_bytes() for file in sorted(package.rglob("*.py")))).hexdigest()


def _read(file: Path) -> Evaluation | None:
    """An evaluation that was kept; None where there is none, or a damaged one."""
    try:
        return build(Evaluation, json.loads(file.read_text(encoding="utf-8")), str(file))
    except (OSError, ValueError, ConfigError):
        return None
