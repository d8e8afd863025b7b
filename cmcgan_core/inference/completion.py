"""Pairs whose one modality is generated from the other, as the dynamic multimodal classification network gets them.

Source: CMCGAN, "Dynamic Multimodal Classification Network", Figure 6. No label takes part.
"""

from hashlib import sha256
from pathlib import Path

import torch

from cmcgan_core.checkpoint import Trained
from cmcgan_core.data.loader import Batch
from cmcgan_core.features.scaling import resize
from cmcgan_core.inference.translate import require_translator, to_network

#: What the classifier may be given, by the paper's name, and the direction that fills in the modality that is missing.
CASES = {"V-A": None, "GV-A": "a2v", "GA-V": "v2a"}


def fingerprint(checkpoint: Path) -> str:
    """Hash of a checkpoint's file, by which a classifier knows the run that completed its pairs."""
    return sha256(checkpoint.read_bytes()).hexdigest()


class Completion:
    """What a run generates, in the place of the pictures or the sounds of pairs.

    Args:
        generating: the run.

    Attributes:
        fingerprint: hash of its checkpoint.
        cases: those of `CASES` that it can make.

    Raises:
        CheckpointError: it generates nothing.
    """

    def __init__(self, generating: Trained) -> None:
        self.generating = generating
        self.network = require_translator(generating)
        self.network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # a quarter faster on a CPU
        self.fingerprint = fingerprint(generating.path)
        self.cases = tuple(c for c, direction in CASES.items() if direction in (None, *self.network.directions))

    def complete(self, batch: Batch, case: str, rng: torch.Generator) -> Batch:
        """The pairs with one modality, or none, generated from the other, at the size of the real one."""
        direction = CASES[case]
        if direction is None:
            return batch
        source, missing = ("audio", "visual") if direction == "a2v" else ("visual", "audio")
        with torch.no_grad():
            given = to_network(self.generating, getattr(batch, source))
            made = self.network.translate(direction, given, self.network.draw(len(given), rng))
            made = resize(made, getattr(batch, missing).shape[-2:])
        return batch._replace(**{missing: made})

    def mix(self, batch: Batch, rng: torch.Generator) -> Batch:
        """For every pair a case drawn evenly; what is generated gets latents drawn afresh."""
        drawn = torch.randint(len(self.cases), batch.label.shape, generator=rng)
        mixed = batch._replace(audio=batch.audio.clone(), visual=batch.visual.clone())
        for number, case in enumerate(self.cases):
            items = (drawn == number).nonzero().flatten().to(batch.label.device)
            if len(items):
                made = self.complete(Batch(*(part[items] for part in batch)), case, rng)
                mixed.audio[items], mixed.visual[items] = made.audio, made.visual
        return mixed
