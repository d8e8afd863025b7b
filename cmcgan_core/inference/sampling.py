"""The options of random samples. The command line imports this module, so it does not import torch."""

from dataclasses import dataclass

from cmcgan_core.errors import ConfigError


@dataclass(frozen=True)
class SamplingOptions:
    """How outputs are sampled.

    Attributes:
        samples: number of outputs for each input, each with its own latents.
        seed: seed of the latents and of the initial phases of Griffin-Lim. Sample i uses seed + i.
        hops: see `methods.cmcgan.Options.hops`; None is the checkpoint's own number.
        at: start of the half second of a sound that is used, in seconds; None is its loudest half second.

    Raises:
        ConfigError: `samples` or `hops` is out of range.
    """

    samples: int = 1
    seed: int = 0
    hops: int | None = None
    at: float | None = None

    def __post_init__(self) -> None:
        if self.samples < 1:
            raise ConfigError(f"samples cannot be {self.samples}; take 1 or more")
        if self.hops not in (None, 1, 2):
            raise ConfigError(f"hops cannot be {self.hops}; take 1 or 2")
