"""Random number generators that depend on names only: not on order, process or hash seed."""

import hashlib

import numpy as np


def make_rng(seed: int, *names: object) -> np.random.Generator:
    """Return the random number generator of a seed and a path of names, such as `(0, "violin", "piece", 7)`."""
    path = "/".join(map(str, (seed, *names)))
    return np.random.default_rng(int.from_bytes(hashlib.sha256(path.encode()).digest()[:8], "little"))
