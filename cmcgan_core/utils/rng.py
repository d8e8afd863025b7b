"""Seeds that are derived from a run's seed and a counter."""


def derive_seed(seed: int, index: int) -> int:
    """Return a seed for step or epoch `index` of a run: each index gets another seed, the same in every call."""
    return (seed * 1_000_003 + index) % 2**63
