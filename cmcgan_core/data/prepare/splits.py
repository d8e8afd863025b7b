"""Assign recordings to the splits. Recordings are never divided, and the recordings of a group share a split."""

import random
from collections import Counter
from collections.abc import Sequence

from cmcgan_core.data.prepare.recording import Recording

#: The splits in the order of a ratio. In a tie, a group goes to the first.
SPLITS = ("train", "validation", "test")


def assign_splits(recordings: Sequence[Recording], ratio: tuple[float, float, float], seed: int) -> list[str]:
    """Return the split of each recording: the one that its source fixes, else the one drawn for its group.

    If n groups contain a class, the target of the test split is its share of `ratio`, at least one group if n >= 2. The
    target of validation is its share, at least one group if n >= 3. The rest is for training. Groups are assigned in
    random order, those with the rarest class first. Assign each group to the split that is furthest below target for
    its classes. Exception: the last group containing a class goes to a split that would otherwise have none of it. The
    targets are met exactly if every group contains one class, and approximately if groups contain several, like pieces
    with several players.

    Args:
        recordings: the recordings of all classes.
        ratio: the shares of train, validation and test.
        seed: the seed of the order of the groups.
    """
    groups: dict[str, set[str]] = {}
    for recording in recordings:
        if recording.split is None:
            groups.setdefault(_group_name(recording), set()).add(recording.label)
    sizes = Counter(label for labels in groups.values() for label in labels)
    targets = {label: _target_counts(size, ratio) for label, size in sizes.items()}
    missing = {label: dict(counts) for label, counts in targets.items()}
    unassigned = Counter(sizes)
    order = random.Random(f"{seed} splits").sample(sorted(groups), len(groups))
    chosen: dict[str, str] = {}
    for group in sorted(order, key=lambda group: min(sizes[label] for label in groups[group])):
        labels = sorted(groups[group])
        last = [label for label in labels if unassigned[label] == 1]
        split = _find_empty_split(last, targets, missing) or _furthest_below_target(labels, targets, missing)
        chosen[group] = split
        for label in labels:
            missing[label][split] -= 1
            unassigned[label] -= 1
    return [recording.split or chosen[_group_name(recording)] for recording in recordings]


def _group_name(recording: Recording) -> str:
    """Return the name of the group of recordings that share the split of this one."""
    return recording.group or recording.id


def _target_counts(groups: int, ratio: tuple[float, float, float]) -> dict[str, int]:
    """Return how many groups of a class each split should get.

    Args:
        groups: the number of groups that contain the class.
        ratio: the shares of train, validation and test.
    """
    _, validation, test = (share / sum(ratio) for share in ratio)
    tests = min(max(1, round(groups * test)), groups - 1) if test and groups >= 2 else 0
    validations = min(max(1, round(groups * validation)), groups - tests - 1) if validation and groups >= 3 else 0
    return {"train": groups - validations - tests, "validation": validations, "test": tests}


def _find_empty_split(
    labels: Sequence[str], targets: dict[str, dict[str, int]], missing: dict[str, dict[str, int]]
) -> str | None:
    """Return the first split that should have groups of one of these classes and has none yet, or None.

    Args:
        labels: the classes whose last group is being assigned.
        targets: how many groups each split should get, by class.
        missing: how many groups each split is below its target, by class.
    """
    for split in SPLITS:
        if any(targets[label][split] and missing[label][split] == targets[label][split] for label in labels):
            return split
    return None


def _furthest_below_target(
    labels: Sequence[str], targets: dict[str, dict[str, int]], missing: dict[str, dict[str, int]]
) -> str:
    """Return the split that is furthest below target for these classes, as a sum of fractions of the targets.

    Args:
        labels: the classes of the group that is being assigned.
        targets: how many groups each split should get, by class.
        missing: how many groups each split is below its target, by class.
    """
    return max(SPLITS, key=lambda split: sum(missing[label][split] / max(targets[label][split], 1) for label in labels))
