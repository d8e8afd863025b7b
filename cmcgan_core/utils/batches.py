"""Batches and selections of items."""

import itertools
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

Item = TypeVar("Item")


def in_batches(items: Iterable[Item], size: int) -> Iterator[list[Item]]:
    """Yield items in their order, `size` at a time; the last batch may be smaller."""
    iterator = iter(items)
    while batch := list(itertools.islice(iterator, size)):
        yield batch


def in_groups(items: Iterable[Item], key: Callable[[Item], str | None], size: int) -> Iterator[list[Item]]:
    """Yield groups of at most `size` consecutive items with the same key; an item whose key is None is alone."""
    for value, consecutive in itertools.groupby(items, key):
        yield from in_batches(consecutive, 1 if value is None else size)


def spread_evenly(total: int, count: int) -> list[int]:
    """Return `count` positions below `total`, spread evenly from the first to the last; all, if there are fewer."""
    count = min(count, total)
    return [round(i * (total - 1) / max(1, count - 1)) for i in range(count)]
