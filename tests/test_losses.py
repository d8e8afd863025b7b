from math import log

import pytest
import torch

from cmcgan_core.nn.losses import (
    LOSSES,
    joint_discriminator_loss,
    joint_generator_loss,
    kl_divergence,
    l1_loss,
    matching_discriminator_loss,
    pair_discriminator_loss,
    plain_discriminator_loss,
)


def logit(*scores: float) -> torch.Tensor:
    return torch.tensor([log(s / (1 - s)) for s in scores], dtype=torch.float64)


def test_joint_discriminator_loss_of_equation_1_by_hand() -> None:
    loss = joint_discriminator_loss(rvra=logit(0.8), rvwa=logit(0.3), wvra=logit(0.4), rvfa=logit(0.1), fvra=logit(0.2))
    matching = log(0.8) + (log(0.7) + log(0.6)) / 2
    realism = log(0.8) + (log(0.9) + log(0.8)) / 2
    assert float(loss) == pytest.approx(-(matching + realism))


def test_pair_discriminator_loss_by_hand_has_no_wrong_pairs() -> None:
    loss = pair_discriminator_loss(rvra=logit(0.8), rvfa=logit(0.1), fvra=logit(0.2))
    assert float(loss) == pytest.approx(-(log(0.8) + (log(0.9) + log(0.8)) / 2))


def test_matching_discriminator_loss_of_cmav_by_hand() -> None:
    loss = matching_discriminator_loss(right=logit(0.8, 0.5), wrong=logit(0.3), fake=logit(0.1))
    assert float(loss) == pytest.approx(-((log(0.8) + log(0.5)) / 2 + (log(0.7) + log(0.9)) / 2))
    assert float(plain_discriminator_loss(logit(0.8), logit(0.1))) == pytest.approx(-(log(0.8) + log(0.9)))


def test_kl_divergence_from_the_normal_distribution_by_hand() -> None:
    # The first item has mean 3 and variance 1 (4.5 nats); the second has mean 0 and variances 1 and 4 (0 and
    # 1.5 - log 2 nats).
    mean = torch.tensor([[3.0, 0.0], [0.0, 0.0]])
    log_variance = torch.tensor([[0.0, 0.0], [0.0, log(4)]])
    assert float(kl_divergence(mean, log_variance)) == pytest.approx((4.5 + 1.5 - log(2)) / 2)


def test_several_kinds_of_fakes_are_averaged() -> None:
    loss = joint_discriminator_loss(
        rvra=logit(0.5), rvwa=logit(0.5), wvra=logit(0.5), rvfa=logit(0.5, 0.9), fvra=logit(0.5)
    )
    assert float(loss) == pytest.approx(-(3 * log(0.5) + (log(0.5) + (log(0.5) + log(0.1)) / 2) / 2))


def test_joint_generator_loss_of_equation_2_by_hand() -> None:
    assert float(joint_generator_loss(logit(0.25), logit(0.5))) == pytest.approx(-(log(0.25) + log(0.5)))


def test_generator_loss_is_lower_if_fakes_are_scored_as_real() -> None:
    assert joint_generator_loss(logit(0.9), logit(0.9)) < joint_generator_loss(logit(0.1), logit(0.1))


def test_losses_stay_finite_at_extreme_logits() -> None:
    extreme = torch.tensor([-1e4, 1e4])
    assert joint_discriminator_loss(extreme, extreme, extreme, extreme, extreme).isfinite()


def test_l1_averages_over_values() -> None:
    assert float(l1_loss(torch.zeros(2, 1, 3, 3), torch.full((2, 1, 3, 3), 0.5))) == pytest.approx(0.5)
    assert LOSSES.get("l1") is l1_loss


def test_the_l1_may_be_summed_over_the_values_of_a_map() -> None:
    generated, target = torch.zeros(2, 1, 2, 2), torch.tensor([1.0, 2.0])[:, None, None, None].expand(2, 1, 2, 2)
    assert LOSSES.get("l1-sum")(generated, target) == pytest.approx((4 * 1 + 4 * 2) / 2)
    assert LOSSES.get("l1")(generated, target) == pytest.approx(1.5)
