import math

import pytest
import torch
import torch.nn.functional as F

from cmcgan_core.training.calibration import TEMPERATURES, fit_temperature


def test_a_fitted_temperature_by_hand() -> None:
    # Four items, all with odds of 4 : 1, three of them correct. Each label counts 5 / 6, the other class 1 / 6, so the
    # first class gets (3 * 5 / 6 + 1 / 6) / 4 = 2 / 3. The best odds are 2 : 1, so T = log 4 / log 2.
    logits = torch.tensor([[math.log(4), 0.0]]).repeat(4, 1)
    label = torch.tensor([0, 0, 0, 1])
    assert fit_temperature(logits, label) == pytest.approx(2.0, abs=1e-6)


def test_more_correct_items_allow_a_higher_confidence() -> None:
    # 8 items with odds of 3 : 1, all correct, count as 9 / 10 correct. The best odds are 9 : 1, so T = log 3 / log 9.
    for items, temperature in ((8, 0.5), (25, math.log(3) / math.log(26))):
        logits = torch.tensor([[math.log(3), 0.0]]).repeat(items, 1)
        assert fit_temperature(logits, torch.zeros(items, dtype=torch.long)) == pytest.approx(temperature, abs=1e-6)


def test_a_fitted_temperature_is_the_best_one() -> None:
    rng = torch.Generator().manual_seed(0)
    label = torch.randint(5, (200,), generator=rng)
    logits = 4 * torch.randn(200, 5, generator=rng) + 3 * F.one_hot(label, 5)
    best = fit_temperature(logits, label)
    for other in (1.0, 0.9 * best, 1.1 * best):
        assert F.cross_entropy(logits / best, label) < F.cross_entropy(logits / other, label)


def test_the_temperature_of_wrong_predictions_is_bounded() -> None:
    logits = torch.tensor([[2.0, 0.0], [0.0, 2.0]])
    assert fit_temperature(logits, torch.tensor([1, 0])) == pytest.approx(TEMPERATURES[1])
