"""Latents that are held, or that move slowly, so that a film changes without flickering."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from cmcgan_core.nn.capabilities import Translator


class LatentWalk:
    """Latents by time: one draw turns into the next as the hand of a clock does, by a quarter.

    Between two draws a and b lie cos(t) a + sin(t) b, which are of N(0, 1) as a and b are; on a straight line between
    them z would be too small, and what is made of it too much alike.

    Args:
        network: that the latents are for.
        rng: draws them; the first draw is that of a still.
        hops: see `Translator.draw`.
        seconds: from one draw to the next; 0 holds the first.
    """

    def __init__(self, network: Translator, rng: torch.Generator, hops: int | None, seconds: float) -> None:
        self.network, self.rng, self.hops, self.seconds = network, rng, hops, seconds
        self._passed = 0
        self._from, self._to = self._draw(), self._draw()

    def at(self, times: Sequence[float]) -> Tensor:
        """Latents (H, N, Z) at N times in seconds, rising, from one call to the next too."""
        return torch.cat([self._one(time) for time in times], dim=1)

    def _draw(self) -> Tensor:
        return self.network.draw(1, self.rng, self.hops)

    def _one(self, time: float) -> Tensor:
        place = time / self.seconds if self.seconds else 0.0
        while place >= self._passed + 1:
            self._from, self._to, self._passed = self._to, self._draw(), self._passed + 1
        angle = (place - self._passed) * math.pi / 2
        return self._from * math.cos(angle) + self._to * math.sin(angle)
