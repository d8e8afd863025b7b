"""The losses of the papers, as pure functions.

The functions take logits. The papers' scores are S = sigmoid(logit). The papers maximise log-likelihoods; these
functions return the negatives, to be minimised.
"""

from collections.abc import Callable

import torch.nn.functional as F
from torch import Tensor

from cmcgan_core.registry import Registry


def joint_discriminator_loss(rvra: Tensor, rvwa: Tensor, wvra: Tensor, rvfa: Tensor, fvra: Tensor) -> Tensor:
    """Compute the discriminator's joint corresponding adversarial loss, -L_D; a scalar.

    Source: CMCGAN, eq. 1. The real pair counts twice because it is part of both L_Dw and L_Df. Each argument is
        averaged separately and may have its own number of items, because there may be several kinds of fakes.

    Args:
        rvra: logits (n,) of pairs of a real picture and a real sound.
        rvwa: logits of pairs of a real picture and a sound of a wrong class.
        wvra: logits of pairs of a picture of a wrong class and a real sound.
        rvfa: logits of pairs of a real picture and a fake sound.
        fvra: logits of pairs of a fake picture and a real sound.
    """
    matching = real_loss(rvra) + (fake_loss(rvwa) + fake_loss(wvra)) / 2
    realism = real_loss(rvra) + (fake_loss(rvfa) + fake_loss(fvra)) / 2
    return matching + realism


def pair_discriminator_loss(rvra: Tensor, rvfa: Tensor, fvra: Tensor) -> Tensor:
    """Compute the discriminator's loss without wrong pairs, L_Df of eq. 1 alone; a scalar.

    Not in the paper, whose "standard adversarial loss" (Figure 5) scores realism only. Arguments as in
    `joint_discriminator_loss`.
    """
    return real_loss(rvra) + (fake_loss(rvfa) + fake_loss(fvra)) / 2


def matching_discriminator_loss(right: Tensor, wrong: Tensor, fake: Tensor) -> Tensor:
    """Compute the loss of CMAV's discriminator; a scalar.

    Source: CMAV (Chen et al. 2017): maximise log S_r + (log(1 - S_w) + log(1 - S_f)) / 2, as in GAN-CLS (Reed et al.
        2016).

    Args:
        right: logits (n,) of real targets, each with the code of its own source.
        wrong: logits of real targets, each with the code of a source that it does not belong to.
        fake: logits of generated targets, each with the code that it was generated from.
    """
    return real_loss(right) + (fake_loss(wrong) + fake_loss(fake)) / 2


def plain_discriminator_loss(right: Tensor, fake: Tensor) -> Tensor:
    """Compute the same without wrong pairs, as in CMAV's S2I-N; a scalar.

    Source: CMAV: maximise log S_r + log(1 - S_f). CMCGAN's "standard adversarial loss" (Figure 5), which optimises
        realism only, is this loss for pictures and for sounds.
    """
    return real_loss(right) + fake_loss(fake)


def joint_generator_loss(rvfa: Tensor, fvra: Tensor) -> Tensor:
    """Compute the generators' adversarial loss, -L_G: low if fakes are scored as real and matching; a scalar.

    Source: CMCGAN, eq. 2, in the non-saturating form that is printed. Arguments as in `joint_discriminator_loss`.
    """
    return real_loss(rvfa) + real_loss(fvra)


def real_loss(logits: Tensor) -> Tensor:
    """Return the mean of -log S over logits (n,), a scalar: low if all are scored as real."""
    return F.softplus(-logits).mean()


def fake_loss(logits: Tensor) -> Tensor:
    """Return the mean of -log(1 - S) over logits (n,), a scalar: low if all are scored as fake."""
    return F.softplus(logits).mean()


def kl_divergence(mean: Tensor, log_variance: Tensor) -> Tensor:
    """Compute the divergence of N(mean, variance) from N(0, 1), in nats: summed over Z, averaged over B; a scalar.

    Source: Kingma and Welling, "Auto-Encoding Variational Bayes" (2014), appendix B.
    """
    return ((mean**2 + log_variance.exp() - 1 - log_variance) / 2).sum(dim=1).mean()


def l1_loss(generated: Tensor, target: Tensor) -> Tensor:
    """Compute the L1 distance of maps (B, C, H, W) to their ground truth; a scalar.

    Source: CMCGAN, eq. 3, one of its four terms. It averages over all values, so its weight does not depend on the
        size.
    """
    return F.l1_loss(generated, target)


def l1_sum_loss(generated: Tensor, target: Tensor) -> Tensor:
    """Compute the L1 distance summed over the values of a map, averaged over the maps (B, C, H, W); a scalar.

    Source: CMCGAN, eq. 3, read literally as a norm. The paper does not say whether it sums or averages.
    """
    return F.l1_loss(generated, target, reduction="sum") / len(generated)


#: Distances that may replace the L1 of eq. 3, by name; plugins add to them.
LOSSES: Registry[Callable[[Tensor, Tensor], Tensor]] = Registry("cmcgan.losses", {"l1": l1_loss, "l1-sum": l1_sum_loss})
