import pytest
import torch

from cmcgan_core.metrics import accuracy, balanced_accuracy, confusion_matrix

LABEL = torch.tensor([0, 0, 0, 0, 1, 1, 3])
PREDICTED = torch.tensor([0, 0, 0, 1, 1, 0, 3])


def test_confusion_matrix_by_hand() -> None:
    expected = [[3, 1, 0, 0], [1, 1, 0, 0], [0, 0, 0, 0], [0, 0, 0, 1]]
    assert confusion_matrix(PREDICTED, LABEL, 4).tolist() == expected


def test_accuracies_by_hand() -> None:
    assert accuracy(PREDICTED, LABEL) == pytest.approx(5 / 7)
    assert balanced_accuracy(PREDICTED, LABEL, 4) == pytest.approx((3 / 4 + 1 / 2 + 1) / 3)


def test_balanced_accuracy_does_not_reward_the_frequent_class() -> None:
    assert balanced_accuracy(torch.zeros(7, dtype=torch.long), LABEL, 4) == pytest.approx(1 / 3)
