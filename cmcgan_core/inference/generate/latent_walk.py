"""A latent walk: latents that are constant, or change slowly, so that a film changes without flicker."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from cmcgan_core.nn.capabilities import Translator


class LatentWalk:
    """Latents as a function of time: a spherical interpolation from one draw to the next.

    Between two draws a and b, the latent is cos(t) a + sin(t) b with t from 0 to a quarter turn. Like a and b it is
    distributed as N(0, 1). A linear interpolation would give latents that are too small, and outputs that are too
    similar.

    Args:
        network: the network that the latents are for.
        rng: draws the latents; the first draw equals that of a still picture.
        hops: number of subnetworks in a row, see `Translator.draw`.
        seconds: time from one draw to the next; 0 keeps the first draw.
    """

    def __init__(self, network: Translator, rng: torch.Generator, hops: int | None, seconds: float) -> None:
        self.network, self.rng, self.hops, self.seconds = network, rng, hops, seconds
        self._passed = 0  # finished steps between draws
        self._previous, self._next = self._draw(), self._draw()

    def at(self, times: Sequence[float]) -> Tensor:
        """Return the latents (H, N, Z) at N times in seconds. Times must not decrease, within and between calls."""
        return torch.cat([self._interpolate(time) for time in times], dim=1)

    def _draw(self) -> Tensor:
        return self.network.draw(1, self.rng, self.hops)

    def _interpolate(self, time: float) -> Tensor:
        """Return the latents (H, 1, Z) at one time."""
        position = time / self.seconds if self.seconds else 0.0
        while position >= self._passed + 1:
            self._previous, self._next, self._passed = self._next, self._draw(), self._passed + 1
        angle = (position - self._passed) * math.pi / 2
        return self._previous * math.cos(angle) + self._next * math.sin(angle)
