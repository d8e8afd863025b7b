"""Random numbers that depend on names alone: on no order, no process and no hash seed."""

import hashlib

import numpy as np


def make_rng(seed: int, *names: object) -> np.random.Generator:
    """A generator of its own for every seed and path of names, such as `(0, "violin", "piece", 7)`."""
    path = "/".join(map(str, (seed, *names)))
    return np.random.default_rng(int.from_bytes(hashlib.sha256(path.encode()).digest()[:8], "little"))
