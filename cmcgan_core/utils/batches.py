"""."""

import itertools
from collections.abc import Iterable, Iterator
from typing import TypeVar

Item = TypeVar("Item")


def in_batches(items: Iterable[Item], size: int) -> Iterator[list[Item]]:
    """Items in their order, `size` at a time; the last batch may be smaller."""
    left = iter(items)
    while batch := list(itertools.islice(left, size)):
        yield batch
