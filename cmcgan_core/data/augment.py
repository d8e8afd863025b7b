"""."""

import torch
from torch import Tensor

from cmcgan_core.data.loader import Batch


def augment(batch: Batch, rng: torch.Generator) -> Batch:
    """The batch in other light, through other microphones, and moved by up to a twelfth of the picture.

    Each picture gets its own contrast and brightness by colour, each spectrogram its own level and its own tilt over
    the bands; all are moved alike.
    """
    count, side, bands = len(batch.label), batch.visual.shape[-1], batch.audio.shape[-2]

    def draw(low: float, high: float, channels: int) -> Tensor:
        drawn = torch.rand(count, channels, 1, 1, generator=rng) * (high - low) + low
        return drawn.to(batch.visual.device)

    down, right = torch.randint(-(side // 12), side // 12 + 1, (2,), generator=rng).tolist()
    visual = (batch.visual * draw(0.5, 1.3, 3) + draw(-0.4, 0.4, 3)).clamp(-1, 1).roll((down, right), (2, 3))
    slope = torch.linspace(-1, 1, bands, device=batch.audio.device)[:, None]
    audio = (batch.audio + draw(-0.15, 0.15, 1) + draw(-0.15, 0.15, 1) * slope).clamp(-1, 1)
    return batch._replace(audio=audio, visual=visual)
