import math

import pytest
import torch
import torch.nn.functional as F

from cmcgan_core.training.calibration import TEMPERATURES, fit_temperature


def test_a_fitted_temperature_makes_confidence_the_share_that_is_right() -> None:
    # Four items, all with the odds 4 : 1, three of them right. Each label counts 5 / 6, the other class 1 / 6, so the
    # first class gets (3 * 5 / 6 + 1 / 6) / 4 = 2 / 3: the best odds are 2 : 1, and T = log 4 / log 2.
    logits = torch.tensor([[math.log(4), 0.0]]).repeat(4, 1)
    label = torch.tensor([0, 0, 0, 1])
    assert fit_temperature(logits, label) == pytest.approx(2.0, abs=1e-6)


def test_the_more_items_are_all_right_the_more_confident_it_may_be() -> None:
    # Of 8 items with the odds 3 : 1, all right, 9 / 10 count as right: odds of 9 : 1, so T = log 3 / log 9.
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


def test_what_is_always_wrong_stays_within_bounds() -> None:
    logits = torch.tensor([[2.0, 0.0], [0.0, 2.0]])
    assert fit_temperature(logits, torch.tensor([1, 0])) == pytest.approx(TEMPERATURES[1])
