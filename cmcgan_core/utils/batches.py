"""Batches and selections of items."""

import itertools
from collections.abc import Iterable, Iterator
from typing import TypeVar

Item = TypeVar("Item")


def in_batches(items: Iterable[Item], size: int) -> Iterator[list[Item]]:
    """Yield items in their order, `size` at a time; the last batch may be smaller."""
    iterator = iter(items)
    while batch := list(itertools.islice(iterator, size)):
        yield batch


def spread_evenly(total: int, count: int) -> list[int]:
    """Return `count` positions below `total`, spread evenly from the first to the last; all, if there are fewer."""
    count = min(count, total)
    return [round(i * (total - 1) / max(1, count - 1)) for i in range(count)]
