"""Complete pairs: generate one modality from the other, as the dynamic multimodal classification network does.

Source: CMCGAN, "Dynamic Multimodal Classification Network", Figure 6. Labels are not used.
"""

from hashlib import sha256
from pathlib import Path

import torch

from cmcgan_core.checkpoint import Trained
from cmcgan_core.data.loader import Batch
from cmcgan_core.features.scaling import resize
from cmcgan_core.inference.translate import require_translator, to_network
from cmcgan_core.modality import REAL_PAIR, Direction
from cmcgan_core.nn.layers import to_channels_last
from cmcgan_core.utils.tensors import send


def fingerprint(checkpoint: Path) -> str:
    """Return the hash of a checkpoint file. A classifier stores the hash of the run that completed its training pairs.

    See `run_folder.About.completed_by`.
    """
    return sha256(checkpoint.read_bytes()).hexdigest()


class Completion:
    """Replaces pictures or sounds of pairs by outputs of a run.

    Args:
        generating: the run.

    Attributes:
        fingerprint: hash of its checkpoint.
        cases: the paper's names of the pairs that the run can produce: `REAL_PAIR`, and `Direction.completed` of each
            of its directions.

    Raises:
        CheckpointError: the run cannot translate.
    """

    def __init__(self, generating: Trained) -> None:
        self.generating = generating
        self.network = require_translator(generating)
        to_channels_last(self.network)
        self.fingerprint = fingerprint(generating.path)
        self._directions = {d.completed: d for d in Direction if d in self.network.directions}
        self.cases = (REAL_PAIR, *self._directions)

    def complete(self, batch: Batch, case: str, rng: torch.Generator) -> Batch:
        """Return the pairs of a case: one modality is real, the other is generated from it at the size of the real one.

        Args:
            batch: real pairs; the case `REAL_PAIR` returns them unchanged.
            case: one of `cases`.
            rng: draws one latent for each pair.
        """
        if case == REAL_PAIR:
            return batch
        direction = self._directions[case]
        maps = batch.maps()
        with torch.no_grad():
            source = to_network(self.generating, maps[direction.source])
            output = self.network.translate(direction, source, self.network.draw(len(source), rng))
            height, width = maps[direction.target].shape[-2:]
            output = resize(output, (height, width))
        return batch._replace(**{direction.target: output})

    def mix(self, batch: Batch, rng: torch.Generator) -> Batch:
        """Draw a case uniformly for every pair, and complete the pair with a new latent."""
        drawn = torch.randint(len(self.cases), batch.label.shape, generator=rng)
        mixed = batch._replace(audio=batch.audio.clone(), visual=batch.visual.clone())
        for number, case in enumerate(self.cases):
            items = (drawn == number).nonzero().flatten()
            if len(items):
                completed = self.complete(batch.select(items), case, rng)
                on_device = send(items, batch.label.device)
                mixed.audio[on_device], mixed.visual[on_device] = completed.audio, completed.visual
        return mixed
