"""Which recordings are for training, which for validation, which for the test: by group, never by window."""

import random
from collections import Counter
from collections.abc import Sequence

from cmcgan_core.data.prepare.recording import Recording

#: The splits in the order of a ratio, which is the order in which a class is served too.
SPLITS = ("train", "validation", "test")


def assign_splits(recordings: Sequence[Recording], ratio: tuple[float, float, float], seed: int) -> list[str]:
    """The split of each recording: its own where it has one, else one drawn for its group.

    Of the n groups that hold a class, the test split gets a share of `ratio`, at least one where n >= 2; then
    validation, at least one where n >= 3; the rest trains. Groups are served in random order, those with the rarest
    class first. A group goes where its classes lack the largest part of their shares; but where it is the last one
    that holds a class, it goes to a split that would else have nothing of that class. So the shares are met exactly
    where every group holds one class, and nearly where groups hold several, as pieces of several players do.

    Args:
        recordings: of all classes.
        ratio: shares of train, validation and test.
        seed: of the order.
    """
    groups: dict[str, set[str]] = {}
    for recording in recordings:
        if recording.split is None:
            groups.setdefault(group_of(recording), set()).add(recording.label)
    sizes = Counter(label for labels in groups.values() for label in labels)
    shares = {label: _shares(size, ratio) for label, size in sizes.items()}
    left = Counter(sizes)
    order = random.Random(f"{seed} splits").sample(sorted(groups), len(groups))
    chosen: dict[str, str] = {}
    lacking = {label: Counter(shares[label]) for label in sizes}
    for group in sorted(order, key=lambda group: min(sizes[label] for label in groups[group])):
        labels = groups[group]
        ending = [label for label in labels if left[label] == 1]
        empty = [s for s in SPLITS if any(shares[c][s] and lacking[c][s] == shares[c][s] for c in ending)]
        parts = {s: sum(lacking[c][s] / max(shares[c][s], 1) for c in labels) for s in SPLITS}
        chosen[group] = empty[0] if empty else max(SPLITS, key=lambda split: parts[split])
        for label in labels:
            lacking[label][chosen[group]] -= 1
            left[label] -= 1
    return [recording.split or chosen[group_of(recording)] for recording in recordings]


def group_of(recording: Recording) -> str:
    """The name of the recordings that must share its split."""
    return recording.group or recording.id


def _shares(groups: int, ratio: tuple[float, float, float]) -> dict[str, int]:
    """How many of a class's groups each split is to get."""
    _, validation, test = (share / sum(ratio) for share in ratio)
    tests = min(max(1, round(groups * test)), groups - 1) if test and groups >= 2 else 0
    validations = min(max(1, round(groups * validation)), groups - tests - 1) if validation and groups >= 3 else 0
    return {"train": groups - validations - tests, "validation": validations, "test": tests}
