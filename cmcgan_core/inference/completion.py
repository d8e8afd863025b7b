"""Completing pairs: one modality is generated from the other, as the dynamic multimodal classification network needs.

Source: CMCGAN, "Dynamic Multimodal Classification Network", Figure 6. No label takes part.
"""

from hashlib import sha256
from pathlib import Path

import torch

from cmcgan_core.checkpoint import Trained
from cmcgan_core.data.loader import Batch
from cmcgan_core.features.scaling import resize
from cmcgan_core.inference.translate import require_translator, to_network
from cmcgan_core.modality import Direction

#: Inputs of the classifier by the paper's name, and the direction that generates the missing modality.
CASES = {"V-A": None, **{direction.completed: direction for direction in Direction}}


def fingerprint(checkpoint: Path) -> str:
    """Return the hash of a checkpoint's file; a classifier keeps that of the run which completed its training pairs."""
    return sha256(checkpoint.read_bytes()).hexdigest()


class Completion:
    """Replaces pictures or sounds of pairs by what a run generates.

    Args:
        generating: the run.

    Attributes:
        fingerprint: hash of its checkpoint.
        cases: names of the `CASES` that the run can complete.

    Raises:
        CheckpointError: the run does not generate.
    """

    def __init__(self, generating: Trained) -> None:
        self.generating = generating
        self.network = require_translator(generating)
        self.network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # a quarter faster on a CPU
        self.fingerprint = fingerprint(generating.path)
        self.cases = tuple(c for c, direction in CASES.items() if direction in (None, *self.network.directions))

    def complete(self, batch: Batch, case: str, rng: torch.Generator) -> Batch:
        """Generate the missing modality of a case from the other one, at the size of the real one."""
        direction = CASES[case]
        if direction is None:
            return batch
        maps = batch.maps()
        with torch.no_grad():
            source = to_network(self.generating, maps[direction.source])
            output = self.network.translate(direction, source, self.network.draw(len(source), rng))
            height, width = maps[direction.target].shape[-2:]
            output = resize(output, (height, width))
        return batch._replace(**{direction.target: output})

    def mix(self, batch: Batch, rng: torch.Generator) -> Batch:
        """Draw a case for every pair, uniformly, and complete it with fresh latents."""
        drawn = torch.randint(len(self.cases), batch.label.shape, generator=rng)
        mixed = batch._replace(audio=batch.audio.clone(), visual=batch.visual.clone())
        for number, case in enumerate(self.cases):
            items = (drawn == number).nonzero().flatten().to(batch.label.device)
            if len(items):
                completed = self.complete(Batch(*(part[items] for part in batch)), case, rng)
                mixed.audio[items], mixed.visual[items] = completed.audio, completed.visual
        return mixed
