"""Every metric as a pure function; `docs/evaluation.md` says which figure is made of which.

Shapes: N items; C channels, H, W size of a map (of a spectrogram H is its bands, W its frames); D values of a code.
Maps are in [-1, 1].
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from cmcgan_core.features.settings import FeatureSettings

#: Draws of a bootstrap.
DRAWS = 2000
#: Rows of a matrix of all pairs of items that are computed at a time.
ROWS = 1000


def accuracy(predicted: Tensor, label: Tensor) -> float:
    """Share of class indices (N,) that equal the labels (N,); in [0, 1]."""
    return float((predicted == label).float().mean())


def confusion_matrix(predicted: Tensor, label: Tensor, classes: int) -> Tensor:
    """Counts (classes, classes): row the label, column what was predicted."""
    return torch.bincount(label * classes + predicted, minlength=classes**2).reshape(classes, classes)


def balanced_accuracy(predicted: Tensor, label: Tensor, classes: int) -> float:
    """Mean over the classes that occur of the share of each that is right; in [0, 1].

    Unlike `accuracy` it does not reward a model for the classes that happen to be frequent.
    """
    matrix = confusion_matrix(predicted, label, classes).double()
    occurs = matrix.sum(dim=1) > 0
    return float((matrix.diagonal()[occurs] / matrix.sum(dim=1)[occurs]).mean())


def bootstrap_interval(
    right: Tensor, recording: Tensor, label: Tensor | None = None, *, seed: int = 0
) -> tuple[float, float] | None:
    """95 % interval of an accuracy, by drawing recordings with replacement.

    The pairs of a recording resemble each other, so recordings are drawn, not pairs: the percentile interval of the
    cluster bootstrap (Davison and Hinkley, "Bootstrap Methods", 1997). It covers which recordings were held out, not
    the randomness of the training.

    Args:
        right: how right each item is (N,), 0 to 1 (a share, where several latents were judged).
        recording: number of each item's recording (N,).
        label: class indices (N,) for the balanced accuracy (of a draw, over the classes that it holds); None for the
            accuracy over all items.
        seed: of the draws.

    Returns:
        Its lower and upper end, or None where there are fewer than two recordings.
    """
    _, recording = torch.unique(recording, return_inverse=True)
    groups, label = int(recording.max()) + 1, torch.zeros_like(recording) if label is None else label
    if groups < 2:
        return None
    cells = torch.zeros(2, groups, int(label.max()) + 1, dtype=torch.float64)
    for cell, values in zip(cells, (right.double(), torch.ones(len(right), dtype=torch.float64)), strict=True):
        cell.index_put_((recording, label), values, accumulate=True)
    rng = torch.Generator().manual_seed(seed)
    drawn = torch.randint(groups, (DRAWS, groups), generator=rng)
    times = torch.zeros(DRAWS, groups, dtype=torch.float64)
    times.scatter_add_(1, drawn, torch.ones_like(times))
    shares = (times @ cells[0]) / (times @ cells[1])
    low, high = shares.nanmean(dim=1).quantile(torch.tensor([0.025, 0.975], dtype=torch.float64)).tolist()
    return low, high


def frechet_distance(generated: Tensor, real: Tensor) -> float:
    """Squared Fréchet distance between the normal distributions with the features' means and covariances; 0 or more.

    Source: Heusel et al. 2017 ("FID"), here on a judge's codes (N, D) instead of Inception's. It needs well over D
    items on each side, as covariances of fewer have no full rank, and is too high by an amount that shrinks with their
    count: with D = 64 take 500 at least, compare at equal counts only, and read it beside the distance between two
    sets of real items. Its scale is the judge's, so two judges' distances do not compare.
    """
    generated, real = generated.double(), real.double()
    root = _square_root(generated.T.cov())
    cross = torch.linalg.eigvalsh(root @ real.T.cov() @ root).clamp_min(0).sqrt().sum()
    traces = generated.var(dim=0).sum() + real.var(dim=0).sum()
    return float((generated.mean(dim=0) - real.mean(dim=0)).square().sum() + traces - 2 * cross)


def _square_root(covariance: Tensor) -> Tensor:
    values, vectors = torch.linalg.eigh(covariance)
    root: Tensor = (vectors * values.clamp_min(0).sqrt()) @ vectors.T
    return root


def kernel_distance(generated: Tensor, real: Tensor) -> float:
    """Unbiased squared maximum mean discrepancy of features (N, D) under the kernel (x.y / D + 1)^3.

    Source: Binkowski et al. 2018 ("KID"), here on a judge's codes. Around 0, so also below, where both sides have one
    distribution, whatever the counts (two items a side at least).
    """
    generated, real = generated.double(), real.double()
    within = [
        (_kernel_sum(x, x) - _kernel(x.square().sum(dim=1), x.shape[1]).sum()) / (len(x) * (len(x) - 1))
        for x in (generated, real)
    ]
    return float(sum(within) - 2 * _kernel_sum(generated, real) / (len(generated) * len(real)))


def _kernel_sum(x: Tensor, y: Tensor) -> Tensor:
    return torch.stack([_kernel(rows @ y.T, y.shape[1]).sum() for rows in torch.split(x, ROWS)]).sum()


def _kernel(product: Tensor, size: int) -> Tensor:
    return (product / size + 1) ** 3


def high_frequency_energy(maps: Tensor) -> Tensor:
    """Energy above half the Nyquist frequency of maps (N, C, H, W), a value of the map on average; (N,).

    What is above 1/4 cycle a pixel (a band, a frame) in radius in the two-dimensional Fourier transform; the mean of a
    map is at zero frequency and so does not count. The ratio of the means over generated and over real maps is below 1
    where generated ones are blurred, above 1 where they are noisy or checkered.
    """
    height, width = maps.shape[-2:]
    down, across = torch.fft.fftfreq(height)[:, None], torch.fft.fftfreq(width)[None, :]
    high = (down.square() + across.square() > 1 / 16).to(maps.device)
    energy = torch.fft.fft2(maps).abs().square() / (height * width) ** 2
    of_each: Tensor = (energy * high).sum(dim=(-1, -2)).mean(dim=1)
    return of_each


def l1_distance(generated: Tensor, real: Tensor) -> Tensor:
    """Mean absolute difference of maps (N, C, H, W); (N,), 0 to 2."""
    return (generated - real).abs().flatten(1).mean(dim=1)


def ssim(generated: Tensor, real: Tensor) -> Tensor:
    """Structural similarity of maps (N, C, H, W), both sides 11 or longer; (N,), -1 to 1 (the same).

    Source: Wang et al. 2004: Gaussian window of 11 x 11 with standard deviation 1.5, K1 = 0.01, K2 = 0.03, range 2; the
    mean over the positions where the whole window lies inside the map, and over channels.
    """
    offsets = torch.arange(11, device=real.device, dtype=real.dtype) - 5
    profile = (-offsets.square() / (2 * 1.5**2)).exp()
    window = (profile[:, None] * profile / profile.sum() ** 2).expand(real.shape[1], 1, 11, 11)

    def blurred(maps: Tensor) -> Tensor:
        return F.conv2d(maps, window, groups=maps.shape[1])

    mean_x, mean_y = blurred(generated), blurred(real)
    variances = blurred(generated.square()) - mean_x.square() + blurred(real.square()) - mean_y.square()
    covariance = blurred(generated * real) - mean_x * mean_y
    c1, c2 = (0.01 * 2) ** 2, (0.03 * 2) ** 2
    luminance = (2 * mean_x * mean_y + c1) / (mean_x.square() + mean_y.square() + c1)
    return (luminance * (2 * covariance + c2) / (variances + c2)).flatten(1).mean(dim=1)


def log_spectral_distance(generated: Tensor, real: Tensor, settings: FeatureSettings) -> Tensor:
    """Difference of spectrograms (N, 1, M, T) in decibels: root mean square over bands, mean over frames; (N,).

    Source: Gray and Markel 1976, here over mel bands. What both have below `min_level` was clipped, so counts as equal.
    """
    decibels = (generated - real) * (settings.max_level - settings.min_level) / 2
    return decibels.square().mean(dim=-2).sqrt().flatten(1).mean(dim=1)


def diversity(maps: Tensor) -> float:
    """How much maps (N, ...) differ: standard deviation of each of their values over N of them, then the mean; >= 0.

    Over the latents of one source it says how much z matters, over the real items of one class how much it could. With
    N = 4 it is 8 % too low on average, with 10 3 % (normal values).
    """
    return float(maps.std(dim=0).mean())


def within_class_correlation(x: Tensor, y: Tensor, label: Tensor) -> float | None:
    """Pearson's r between two values (N,) after each lost the mean of its class; -1 to 1, None where one is constant.

    What the class alone tells (a tuba is low) does not count.
    """
    x, y = _centred(x, label), _centred(y, label)
    norm = x.norm() * y.norm()
    return float(x @ y / norm) if norm > 1e-9 else None


def retrieval(query: Tensor, key: Tensor, label: Tensor, recording: Tensor) -> tuple[float, float] | None:
    """Precision at 1 and mean average precision of finding the class of codes among codes of real items, by cosine.

    Args:
        query: codes of what was generated from each of N pairs (N, D).
        key: codes of the pairs' real items (N, D); those of the recording that a query was made from are left out.
        label: class of each pair (N,).
        recording: number of each pair's recording (N,).

    Returns:
        Both in [0, 1], means over the queries whose class another recording has; None where there is no such query.
    """
    key, columns = F.normalize(key, dim=1), torch.arange(1, len(key) + 1)
    first, average = [], []
    for rows in torch.split(torch.arange(len(query)), ROWS):
        other = recording[rows, None] != recording[None]
        similarity = (F.normalize(query[rows], dim=1) @ key.T).masked_fill(~other, -torch.inf)
        order = similarity.argsort(dim=1, descending=True, stable=True)
        right = (other & (label[rows, None] == label[None])).gather(1, order)
        right = right[right.any(dim=1)].double()
        first.append(right[:, 0])
        average.append((right.cumsum(dim=1) / columns * right).sum(dim=1) / right.sum(dim=1))
    found = torch.cat(first)
    return (float(found.mean()), float(torch.cat(average).mean())) if len(found) else None


def _centred(values: Tensor, label: Tensor) -> Tensor:
    values = values.double()
    sums = torch.zeros(int(label.max()) + 1, dtype=values.dtype).index_add_(0, label, values)
    return values - (sums / torch.bincount(label).clamp_min(1))[label]
