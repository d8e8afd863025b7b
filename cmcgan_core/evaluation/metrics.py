"""Metrics as pure functions. `docs/evaluation.md` defines every figure of an evaluation.

Shapes: N items; C channels, H, W size of a map (of a spectrogram: bands and frames); D values of a code. Maps are in
[-1, 1].
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from cmcgan_core.features.settings import FeatureSettings

#: Number of draws of a bootstrap.
DRAWS = 2000
#: Length of a frame of `periodicity` in seconds: more than two periods of the lowest pitch.
FRAME_SECONDS = 0.093
#: Shortest and longest period of a pitch, in seconds: 2000 Hz and 40 Hz.
PERIODS = (0.0005, 0.025)
#: Power below which a frame is silent: -60 dBFS.
AUDIBLE_POWER = 1e-6
#: Largest number of rows, and of cells, of a matrix of all pairs of items that are computed at once. So the memory does
#: not grow with the number of items. Results of the parts go into tensors that were allocated before the first part:
#: tensors that are kept between the large ones of each part would fragment the memory.
ROWS, CELLS = 1000, 1_000_000


def accuracy(predicted: Tensor, label: Tensor) -> float:
    """Return the share of class indices (N,) that equal the labels (N,), 0 to 1."""
    return float((predicted == label).float().mean())


def confusion_matrix(predicted: Tensor, label: Tensor, classes: int) -> Tensor:
    """Count class indices (N,): (classes, classes); the row is the label, the column the prediction."""
    return torch.bincount(label * classes + predicted, minlength=classes**2).reshape(classes, classes)


def balanced_accuracy(predicted: Tensor, label: Tensor, classes: int) -> float:
    """Return the mean of the accuracies by class, over the classes that occur, 0 to 1.

    Unlike `accuracy`, it does not reward a network that prefers frequent classes.
    """
    matrix = confusion_matrix(predicted, label, classes).double()
    occurs = matrix.sum(dim=1) > 0
    return float((matrix.diagonal()[occurs] / matrix.sum(dim=1)[occurs]).mean())


def bootstrap_interval(
    right: Tensor, recording: Tensor, label: Tensor | None = None, *, seed: int = 0
) -> tuple[float, float] | None:
    """Return the 95 % interval of an accuracy, by drawing recordings with replacement.

    The pairs of a recording resemble each other, so recordings are drawn, not pairs: this is the percentile interval of
    the cluster bootstrap (Davison and Hinkley, "Bootstrap Methods", 1997). It covers the choice of the held-out
    recordings, not the randomness of the training.

    Args:
        right: how right each item is (N,), 0 to 1 (a share, if several latents were judged).
        recording: number of each item's recording (N,).
        label: class indices (N,) for the balanced accuracy (of a draw: over the classes in it); None for the accuracy
            over all items.
        seed: seed of the draws.

    Returns:
        The lower and the upper end; None if there are fewer than two recordings.
    """
    label = torch.zeros_like(recording) if label is None else label
    right = right.double()
    sums = _sum_draws(torch.stack([right, torch.ones_like(right)]), recording, label, seed)
    return None if sums is None else _middle_95_percent((sums[0] / sums[1]).nanmean(dim=1))


def correlation_interval(
    x: Tensor, y: Tensor, label: Tensor, recording: Tensor, *, seed: int = 0
) -> tuple[float, float] | None:
    """Return the 95 % interval of `within_class_correlation`, by drawing recordings, see `bootstrap_interval`.

    Args:
        x: values of the items (N,).
        y: other values of the items (N,).
        label: class indices (N,).
        recording: number of each item's recording (N,).
        seed: seed of the draws.

    Returns:
        The lower and the upper end; None if there are fewer than two recordings.
    """
    x, y = x.double(), y.double()
    sums = _sum_draws(torch.stack([torch.ones_like(x), x, y, x * x, y * y, x * y]), recording, label, seed)
    if sums is None:
        return None
    n, x, y, xx, yy, xy = sums
    n = n.clamp_min(1)  # a draw may have no item of a class
    covariance, *variances = ((product - a * b / n).sum(1) for product, a, b in ((xy, x, y), (xx, x, x), (yy, y, y)))
    return _middle_95_percent(covariance / (variances[0] * variances[1]).sqrt())


def _sum_draws(values: Tensor, recording: Tensor, label: Tensor, seed: int) -> Tensor | None:
    """Draw recordings with replacement, and sum values of items (V, N) by draw and class.

    Returns:
        Sums (V, `DRAWS`, classes); None if there are fewer than two recordings.
    """
    _, recording = torch.unique(recording, return_inverse=True)
    groups = int(recording.max()) + 1
    if groups < 2:
        return None
    cells = torch.zeros(len(values), groups, int(label.max()) + 1, dtype=torch.float64)
    for cell, of_items in zip(cells, values, strict=True):
        cell.index_put_((recording, label), of_items, accumulate=True)
    rng = torch.Generator().manual_seed(seed)
    sums = torch.empty(len(values), DRAWS, cells.shape[-1], dtype=torch.float64)
    for draws in _split_rows(torch.arange(DRAWS), groups):
        drawn = torch.randint(groups, (len(draws), groups), generator=rng)
        times = torch.zeros(len(draws), groups, dtype=torch.float64)
        times.scatter_add_(1, drawn, torch.ones_like(times))
        sums[:, draws] = times @ cells
    return sums


def _middle_95_percent(values: Tensor) -> tuple[float, float]:
    """Return the 2.5 % and the 97.5 % quantile of the values that are numbers."""
    low, high = values.nanquantile(torch.tensor([0.025, 0.975], dtype=torch.float64)).tolist()
    return low, high


def frechet_distance(generated: Tensor, real: Tensor) -> float:
    """Return the squared Fréchet distance between normal distributions fitted to features (N, D); 0 or more.

    Source: Heusel et al. 2017 ("FID"); here on a judge's codes instead of Inception's. Each side needs many more items
    than D, because covariances of fewer items have no full rank. It is too high by an amount that shrinks with the
    count: with D = 64 use at least 500 items, compare at equal counts only, and read it next to the distance between
    two sets of real items. Its scale depends on the judge, so distances by different judges cannot be compared.
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
    """Return the unbiased squared maximum mean discrepancy of features (N, D) under the kernel (x.y / D + 1)^3.

    Source: Binkowski et al. 2018 ("KID"); here on a judge's codes. If both sides have the same distribution, its
    expectation is 0 at any count (at least two items on each side), so it may be negative.
    """
    generated, real = generated.double(), real.double()
    within = [
        (_kernel_sum(x, x) - _kernel(x.square().sum(dim=1), x.shape[1]).sum()) / (len(x) * (len(x) - 1))
        for x in (generated, real)
    ]
    return float(sum(within) - 2 * _kernel_sum(generated, real) / (len(generated) * len(real)))


def _kernel_sum(x: Tensor, y: Tensor) -> Tensor:
    parts = _split_rows(x, len(y))
    sums = torch.empty(len(parts), dtype=x.dtype)
    for number, rows in enumerate(parts):
        sums[number] = _kernel(rows @ y.T, y.shape[1]).sum()
    return sums.sum()


def _kernel(product: Tensor, size: int) -> Tensor:
    return (product / size + 1) ** 3


def _split_rows(rows: Tensor, columns: int) -> tuple[Tensor, ...]:
    """Split the rows (N, ...) of a matrix with this number of columns into parts of bounded size."""
    return torch.split(rows, max(1, min(ROWS, CELLS // max(1, columns))))


def high_frequency_energy(maps: Tensor) -> Tensor:
    """Return the energy above half the Nyquist frequency of maps (N, C, H, W), as a mean per value of the map; (N,).

    It sums the energy above a radius of 1/4 cycle per pixel (band, frame) in the two-dimensional Fourier transform. The
    mean of a map is at frequency zero, so it does not count. The ratio of the means over generated and over real maps
    is below 1 for blurred maps, and above 1 for maps with noise or checkerboard artefacts.
    """
    height, width = maps.shape[-2:]
    down, across = torch.fft.fftfreq(height)[:, None], torch.fft.fftfreq(width)[None, :]
    high = (down.square() + across.square() > 1 / 16).to(maps.device)
    power = torch.fft.fft2(maps).abs().square() / (height * width) ** 2
    energy: Tensor = (power * high).sum(dim=(-1, -2)).mean(dim=1)
    return energy


def l1_distance(generated: Tensor, real: Tensor) -> Tensor:
    """Return the mean absolute difference of maps (N, C, H, W); (N,), 0 to 2."""
    return (generated - real).abs().flatten(1).mean(dim=1)


def ssim(generated: Tensor, real: Tensor) -> Tensor:
    """Return the structural similarity of maps (N, C, H, W), both sides at least 11; (N,), -1 to 1 (equal maps).

    Source: Wang et al. 2004: Gaussian window of 11 x 11 with standard deviation 1.5, K1 = 0.01, K2 = 0.03, range 2; the
    mean over channels and over the positions where the whole window lies inside the map.
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
    """Return the difference of spectrograms (N, 1, M, T) in decibels; (N,).

    It is the root mean square over the bands, averaged over the frames. Source: Gray and Markel 1976; here over
    the bands of the representation. Levels below `min_level` were clipped, so they count as equal.
    """
    decibels = (generated - real) * (settings.max_level - settings.min_level) / 2
    return decibels.square().mean(dim=-2).sqrt().flatten(1).mean(dim=1)


def diversity(maps: Tensor) -> Tensor:
    """Return how much K versions of N maps (K, N, ...) differ: the mean standard deviation of their values; (N,).

    Over the latents of one source it measures how much z changes the output. Over the real items of one class it
    measures how much the class varies. It is too low by 8 % on average with K = 4, by 3 % with K = 10 (normally
    distributed values).
    """
    return maps.std(dim=0).flatten(1).mean(dim=1)


def within_class_correlation(x: Tensor, y: Tensor, label: Tensor) -> float | None:
    """Return Pearson's r between two values (N,) minus their class means, -1 to 1; None if either is constant.

    So information that the class alone gives (a tuba is low) does not count.
    """
    x, y = centred_by_class(x, label), centred_by_class(y, label)
    norm = x.norm() * y.norm()
    return float(x @ y / norm) if norm > 1e-9 else None


def centred_by_class(values: Tensor, label: Tensor) -> Tensor:
    """Subtract from values (N,) the mean of their class; (N,), in double precision."""
    values = values.double()
    sums = torch.zeros(int(label.max()) + 1, dtype=values.dtype).index_add_(0, label, values)
    return values - (sums / torch.bincount(label).clamp_min(1))[label]


@dataclass(frozen=True)
class Ranking:
    """How well a ranking finds items of the right class; means over the queries, 0 to 1.

    Attributes:
        recall: recall at k by k: the share of queries with an item of the right class among the first k.
        mean_average_precision: mean of the queries' average precisions.
    """

    recall: dict[str, float]
    mean_average_precision: float


class Items(NamedTuple):
    """What is known about N items of one gallery. No network reads it."""

    label: Tensor  #: class indices (N,)
    recording: Tensor  #: number of each item's recording (N,)


class QueryScores(NamedTuple):
    """How well a gallery is ranked, by query: Q queries that have an item of their class in the gallery."""

    query: Tensor  #: positions of these queries (Q,)
    hits: Tensor  #: whether an item of the right class is among the first k (Q, ranks)
    precision: Tensor  #: average precision over all ranks (Q,)


def retrieval(
    query: Tensor, key: Tensor, label: Tensor, recording: Tensor, ranks: Sequence[int] = (1,)
) -> Ranking | None:
    """Rank the codes of real items by their cosine to each query, and score the ranks of the items of its class.

    The items of the query's own recording are left out.

    Args:
        query: codes of N pairs (N, D): of generated items, or of the items of the other modality.
        key: codes of the pairs' real items (N, D).
        label: class of each pair (N,).
        recording: number of each pair's recording (N,).
        ranks: the k of recall at k. Recall at 1 equals precision at 1.

    Returns:
        Means over the queries whose class occurs in another recording; None if there are none.
    """
    items = Items(label, recording)
    scores = score_queries(query, key, items, items, ranks)
    return _ranking(scores.hits, scores.precision, ranks)


def score_queries(
    query: Tensor, gallery: Tensor, of_query: Items, of_gallery: Items, ranks: Sequence[int] = (1,)
) -> QueryScores:
    """Rank a gallery by the cosine to each query, and score the ranks of the items of the query's class.

    The items of the query's own recording are left out.

    Args:
        query: codes (N, D).
        gallery: codes (G, D).
        of_query: classes and recordings of the queries.
        of_gallery: classes and recordings of the gallery.
        ranks: the k of recall at k.
    """
    gallery, columns = F.normalize(gallery, dim=1), torch.arange(1, len(gallery) + 1)
    known = torch.zeros(len(query), dtype=torch.bool)
    hits = torch.zeros(len(query), len(ranks), dtype=torch.float64)
    precision = torch.zeros(len(query), dtype=torch.float64)
    for rows in _split_rows(torch.arange(len(query)), len(gallery)):
        other = of_query.recording[rows, None] != of_gallery.recording[None]
        similarity = (F.normalize(query[rows], dim=1) @ gallery.T).masked_fill(~other, -torch.inf)
        order = similarity.argsort(dim=1, descending=True, stable=True)
        right = (other & (of_query.label[rows, None] == of_gallery.label[None])).gather(1, order)
        known[rows] = right.any(dim=1)
        right = right.double()
        hits[rows] = torch.stack([right[:, :rank].amax(dim=1) for rank in ranks], dim=1)
        precision[rows] = (right.cumsum(dim=1) / columns * right).sum(dim=1) / right.sum(dim=1)
    return QueryScores(known.nonzero().flatten(), hits[known], precision[known])


def partner_ranks(query: Tensor, gallery: Tensor, recording: Tensor) -> Tensor:
    """Return the share (N,) of the items of other recordings that are ranked before each query's own partner.

    0 is the best rank, and chance is 0.5. Items as similar as the partner count half.

    Args:
        query: codes of N items (N, D).
        gallery: codes (N, D) of the items of the other modality; item i is the partner of query i.
        recording: number of each pair's recording (N,).
    """
    gallery = F.normalize(gallery, dim=1)
    shares = torch.empty(len(query))
    for rows in _split_rows(torch.arange(len(query)), len(gallery)):
        similarity = F.normalize(query[rows], dim=1) @ gallery.T
        own = similarity[torch.arange(len(rows)), rows][:, None]
        other = recording[rows, None] != recording[None]
        better, equal = (other & (similarity > own)).sum(dim=1), (other & (similarity == own)).sum(dim=1)
        shares[rows] = (better + equal / 2) / other.sum(dim=1).clamp_min(1)
    return shares


def retrieval_by_chance(label: Tensor, recording: Tensor, ranks: Sequence[int] = (1,)) -> Ranking | None:
    """Return what `retrieval` returns on average if every query ranks the items at random; the arguments are the same.

    With r right items among n: recall at k is 1 - C(n - r, k) / C(n, k); the average precision is
    s + (1 - s) H_n / n, where s = (r - 1) / (n - 1) and H_n is the n-th harmonic number.
    """
    n = (len(label) - _count_equal(recording)).double()
    both = torch.unique(torch.stack([label, recording]), dim=1, return_inverse=True)[1]
    r = (_count_equal(label) - _count_equal(both)).double()
    n, r = n[r > 0], r[r > 0]
    harmonic = (1 / torch.arange(1, len(label) + 1, dtype=torch.float64)).cumsum(dim=0)
    share = (r - 1) / (n - 1).clamp_min(1)
    precisions = share + (1 - share) * harmonic[n.long() - 1] / n
    hits = [1 - _draws_that_miss(n, r, rank) for rank in ranks]
    return _ranking(torch.stack(hits, dim=1), precisions, ranks)


def _count_equal(values: Tensor) -> Tensor:
    """Return how many items have the value of each item (N,), itself included; (N,)."""
    _, position, counts = torch.unique(values, return_inverse=True, return_counts=True)
    equal: Tensor = counts[position]
    return equal


def _draws_that_miss(n: Tensor, r: Tensor, rank: int) -> Tensor:
    """Return the share of draws of `rank` from n items that contain none of r items: C(n - r, rank) / C(n, rank)."""
    share = torch.ones_like(n)
    for drawn in range(rank):
        share *= ((n - r - drawn) / (n - drawn).clamp_min(1)).clamp_min(0)
    return share


def _ranking(hits: Tensor, precisions: Tensor, ranks: Sequence[int]) -> Ranking | None:
    """Average hits (Q, ranks) and average precisions (Q,) over Q queries."""
    if not len(hits):
        return None
    recall = {str(rank): float(share) for rank, share in zip(ranks, hits.mean(dim=0), strict=True)}
    return Ranking(recall, float(precisions.mean()))


def periodicity(waveforms: Tensor, sample_rate: int) -> Tensor:
    """Measure how periodic sounds are: near 1 for a tone with clear harmonics, near 0 for noise.

    It is the highest peak of the normalised autocorrelation of a frame, at lags of `PERIODS` after the autocorrelation
    was negative for the first time; the median over the frames of a sound that are not silent.

    Args:
        waveforms: waveforms (N, L), at least one frame long.
        sample_rate: sample rate, Hz.

    Returns:
        Values (N,) from 0 to 1; NaN for a sound without an audible frame.
    """
    size = round(FRAME_SECONDS * sample_rate)
    shortest, longest = (round(period * sample_rate) for period in PERIODS)
    frames = waveforms.double().unfold(-1, size, size // 2)
    frames = frames - frames.mean(dim=-1, keepdim=True)
    products = torch.fft.irfft(torch.fft.rfft(frames, 2 * size).abs().square())[..., : longest + 1]
    energy = F.pad(frames.square().cumsum(dim=-1), (1, 0))
    lags = torch.arange(longest + 1, device=waveforms.device)
    first, second = energy[..., size - lags], energy[..., -1:] - energy[..., lags]
    correlation = products / (first * second).sqrt().clamp_min(1e-12)
    possible = (correlation < 0).cumsum(dim=-1).bool() & (lags >= shortest)
    peaks = correlation.masked_fill(~possible, 0).amax(dim=-1).clamp(0, 1)
    silent = frames.square().mean(dim=-1) < AUDIBLE_POWER
    median: Tensor = peaks.masked_fill(silent, torch.nan).nanmedian(dim=-1).values
    return median


def sound_level(waveforms: Tensor) -> Tensor:
    """Return the root mean square of waveforms (N, L) in dBFS (N,), at least -100."""
    levels: Tensor = 10 * waveforms.double().square().mean(dim=-1).clamp_min(1e-10).log10()
    return levels
