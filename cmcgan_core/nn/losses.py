"""Every loss of the papers as a pure function.

Logits stand for the scores S of the papers: S = sigmoid(logit). The papers maximise log-likelihoods; here their
negatives are minimised.
"""

from collections.abc import Callable

import torch.nn.functional as F
from torch import Tensor

from cmcgan_core.registry import Registry


def joint_discriminator_loss(rvra: Tensor, rvwa: Tensor, wvra: Tensor, rvfa: Tensor, fvra: Tensor) -> Tensor:
    """-L_D of the joint corresponding adversarial loss; a scalar.

    Source: CMCGAN, eq. 1. The real pair counts twice, as it stands in both L_Dw and L_Df. Each logit tensor may have
    its own number of items (several kinds of fakes); each is averaged.

    Args:
        rvra: logits (n,) of real picture, real sound.
        rvwa: of real picture, sound of a wrong class.
        wvra: of picture of a wrong class, real sound.
        rvfa: of real picture, fake sound.
        fvra: of fake picture, real sound.
    """
    matching = real_loss(rvra) + (fake_loss(rvwa) + fake_loss(wvra)) / 2
    realism = real_loss(rvra) + (fake_loss(rvfa) + fake_loss(fvra)) / 2
    return matching + realism


def standard_discriminator_loss(rvra: Tensor, rvfa: Tensor, fvra: Tensor) -> Tensor:
    """-L_D without wrong pairs; a scalar.

    Source: the "standard adversarial loss" that CMCGAN's Figure 5 compares with: L_Df of eq. 1 alone. Arguments as in
    `joint_discriminator_loss`.
    """
    return real_loss(rvra) + (fake_loss(rvfa) + fake_loss(fvra)) / 2


def matching_discriminator_loss(right: Tensor, wrong: Tensor, fake: Tensor) -> Tensor:
    """Negative of what the discriminator of one direction maximises; a scalar.

    Source: CMAV (Chen et al. 2017), log S_r + (log(1 - S_w) + log(1 - S_f)) / 2, as GAN-CLS (Reed et al. 2016).

    Args:
        right: logits (n,) of real targets, each with the code of its own source.
        wrong: of real targets, each with the code of a source that it does not belong to.
        fake: of generated targets, each with the code that it was generated from.
    """
    return real_loss(right) + (fake_loss(wrong) + fake_loss(fake)) / 2


def plain_discriminator_loss(right: Tensor, fake: Tensor) -> Tensor:
    """The same without wrong pairs, log S_r + log(1 - S_f), as in CMAV's S2I-N; a scalar."""
    return real_loss(right) + fake_loss(fake)


def joint_generator_loss(rvfa: Tensor, fvra: Tensor) -> Tensor:
    """-L_G, which rewards fakes that pass for real and matching; a scalar.

    Source: CMCGAN, eq. 2 (the non-saturating form, as printed). Arguments as in `joint_discriminator_loss`.
    """
    return real_loss(rvfa) + real_loss(fvra)


def real_loss(logits: Tensor) -> Tensor:
    """Mean of -log S."""
    return F.softplus(-logits).mean()


def fake_loss(logits: Tensor) -> Tensor:
    """Mean of -log(1 - S)."""
    return F.softplus(logits).mean()


def kl_divergence(mean: Tensor, log_variance: Tensor) -> Tensor:
    """Divergence of N(mean, variance) from N(0, 1): nats, summed over latents (B, Z), mean of the pairs; a scalar.

    Source: Kingma and Welling, "Auto-Encoding Variational Bayes" (2014), appendix B.
    """
    return ((mean**2 + log_variance.exp() - 1 - log_variance) / 2).sum(dim=1).mean()


def l1_loss(generated: Tensor, target: Tensor) -> Tensor:
    """L1 distance of (B, C, H, W) to its ground truth; a scalar.

    Source: CMCGAN, eq. 3, one of its four terms. Averages over values, so that a weight does not depend on the size.
    """
    return F.l1_loss(generated, target)


#: Distances that may stand for the L1 of eq. 3, by name; plugins add to them.
LOSSES: Registry[Callable[[Tensor, Tensor], Tensor]] = Registry("cmcgan.losses", {"l1": l1_loss})
