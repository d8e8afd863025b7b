"""Augmentation of pairs, for networks whose output must not depend on the room or the recording level."""

import torch
from torch import Tensor

from cmcgan_core.data.loader import Batch
from cmcgan_core.utils.tensors import send


def augment(batch: Batch, rng: torch.Generator) -> Batch:
    """Return a batch with the light of the pictures and the microphone of the sounds changed at random.

    Each picture gets its own contrast and brightness for each colour. Each spectrogram gets its own level and its own
    tilt over the bins. All pictures of a batch are shifted by the same amount, at most 1/12 of their side.
    """
    count, side, bands = len(batch.label), batch.visual.shape[-1], batch.audio.shape[-2]

    def draw(low: float, high: float, channels: int) -> Tensor:
        """Draw numbers (B, channels, 1, 1), uniform from `low` to `high`."""
        uniform = torch.rand(count, channels, 1, 1, generator=rng)
        return send(uniform * (high - low) + low, batch.visual.device)

    down, right = torch.randint(-(side // 12), side // 12 + 1, (2,), generator=rng).tolist()
    visual = (batch.visual * draw(0.5, 1.3, 3) + draw(-0.4, 0.4, 3)).clamp(-1, 1).roll((down, right), (2, 3))
    slope = torch.linspace(-1, 1, bands, device=batch.audio.device)[:, None]
    audio = (batch.audio + draw(-0.15, 0.15, 1) + draw(-0.15, 0.15, 1) * slope).clamp(-1, 1)
    return batch._replace(audio=audio, visual=visual)
