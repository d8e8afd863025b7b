"""Metrics equal figures that were computed by hand, where possible."""

import math

import pytest
import torch
from torch import Tensor

from cmcgan_core.evaluation import metrics
from cmcgan_core.evaluation.metrics import (
    Items,
    accuracy,
    balanced_accuracy,
    bootstrap_interval,
    confusion_matrix,
    correlation_interval,
    diversity,
    frechet_distance,
    high_frequency_energy,
    kernel_distance,
    l1_distance,
    log_spectral_distance,
    partner_ranks,
    periodicity,
    retrieval,
    retrieval_by_chance,
    score_queries,
    sound_level,
    ssim,
    within_class_correlation,
)
from cmcgan_core.features.settings import FeatureSettings

LABEL = torch.tensor([0, 0, 0, 0, 1, 1, 3])
PREDICTED = torch.tensor([0, 0, 0, 1, 1, 0, 3])


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_confusion_matrix_by_hand() -> None:
    expected = [[3, 1, 0, 0], [1, 1, 0, 0], [0, 0, 0, 0], [0, 0, 0, 1]]
    assert confusion_matrix(PREDICTED, LABEL, 4).tolist() == expected


def test_accuracies_by_hand() -> None:
    assert accuracy(PREDICTED, LABEL) == pytest.approx(5 / 7)
    assert balanced_accuracy(PREDICTED, LABEL, 4) == pytest.approx((3 / 4 + 1 / 2 + 1) / 3)


def test_balanced_accuracy_does_not_reward_the_frequent_class() -> None:
    assert balanced_accuracy(torch.zeros(7, dtype=torch.long), LABEL, 4) == pytest.approx(1 / 3)


def test_an_interval_over_recordings_by_hand() -> None:
    # Two recordings of two pairs, one all right, one all wrong: of the four draws one is 0, two are .5, one is 1.
    right, recording = torch.tensor([1.0, 1.0, 0.0, 0.0]), torch.tensor([7, 7, 3, 3])
    assert bootstrap_interval(right, recording) == (0.0, 1.0)
    # The same pairs in four recordings that are half right each have one accuracy in every draw.
    assert bootstrap_interval(torch.tensor([1.0, 0.0] * 4), torch.arange(8) // 2) == (0.5, 0.5)
    assert bootstrap_interval(right, torch.zeros(4)) is None


def test_an_interval_over_recordings_is_that_of_the_binomial_where_each_has_one_pair() -> None:
    right = (torch.arange(400) % 4 != 0).double()  # three quarters
    low, high = bootstrap_interval(right, torch.arange(400)) or (0.0, 0.0)
    half = 1.96 * math.sqrt(0.75 * 0.25 / 400)
    assert low == pytest.approx(0.75 - half, abs=0.006)
    assert high == pytest.approx(0.75 + half, abs=0.006)
    # Ten pairs a recording that are all right or all wrong: as many as 40 pairs can tell.
    low, high = bootstrap_interval(right.sort().values, torch.arange(400) // 10) or (0.0, 0.0)
    assert high - low == pytest.approx(2 * half * math.sqrt(10), rel=0.1)


def test_an_interval_of_the_balanced_accuracy_weighs_classes_alike() -> None:
    # 90 pairs of class 0 are right, 10 of class 1 are wrong, in ten recordings each: every draw has 1/2.
    label = torch.tensor([0] * 90 + [1] * 10)
    recording = torch.cat([torch.arange(90) % 10, 10 + torch.arange(10)])
    assert bootstrap_interval((label == 0).double(), recording, label) == (0.5, 0.5)
    low, high = bootstrap_interval((label == 0).double(), recording) or (0.0, 0.0)
    assert low < 0.9 < high


def test_an_interval_of_a_correlation_is_fishers_where_each_recording_has_one_pair() -> None:
    x = random(600)
    y = 0.6 * x + 0.8 * random(600, seed=1)
    label = torch.arange(600) % 2
    r = within_class_correlation(x, y + 10 * label, label) or 0.0
    half = 1.96 / math.sqrt(600 - 4)
    low, high = correlation_interval(x, y + 10 * label, label, torch.arange(600)) or (0.0, 0.0)
    assert low == pytest.approx(math.tanh(math.atanh(r) - half), abs=0.01)
    assert high == pytest.approx(math.tanh(math.atanh(r) + half), abs=0.01)
    # Copies of a recording are no further recordings.
    twice = [torch.cat([part, part]) for part in (x, y, label, torch.arange(600))]
    wide = correlation_interval(*twice) or (0.0, 0.0)
    assert wide[1] - wide[0] == pytest.approx(high - low, rel=0.1)
    assert correlation_interval(x, y, label, torch.zeros(600)) is None


def test_an_interval_repeats_with_its_seed() -> None:
    right, recording = (random(60) > 0).double(), torch.arange(60) // 3
    assert bootstrap_interval(right, recording, seed=1) == bootstrap_interval(right, recording, seed=1)
    assert bootstrap_interval(right, recording, seed=1) != bootstrap_interval(right, recording, seed=2)


def with_moments(mean: list[float], deviations: list[float]) -> Tensor:
    """2 D items of D values with exactly this mean and a diagonal covariance."""
    size = len(mean)
    corners = torch.eye(size, dtype=torch.float64) * math.sqrt((2 * size - 1) / 2) * torch.tensor(deviations)
    return torch.cat([corners, -corners]) + torch.tensor(mean)


def test_frechet_distance_by_hand() -> None:
    # Diagonal covariances: |m1 - m2|^2 + sum (s1 - s2)^2 = (3^2 + 4^2) + (2 - 1)^2 + (1 - 4)^2.
    first, second = with_moments([3, 4], [2, 1]), with_moments([0, 0], [1, 4])
    assert frechet_distance(first, second) == pytest.approx(25 + 1 + 9)
    assert frechet_distance(first, first) == pytest.approx(0, abs=1e-9)


def test_frechet_distance_does_not_depend_on_the_axes() -> None:
    rotation = torch.linalg.qr(random(5, 5)).Q
    first, second = random(40, 5, seed=1) * torch.arange(1, 6), random(50, 5, seed=2) + 1
    turned = frechet_distance(first @ rotation, second @ rotation)
    assert turned == pytest.approx(frechet_distance(first, second))
    assert turned == pytest.approx(frechet_distance(second, first))


def test_kernel_distance_by_hand() -> None:
    # One value: k(x, y) = (x y + 1)^3. Within {0, 1} 1, within {2, 3} 7^3, across 1, 1, 3^3, 4^3.
    distance = kernel_distance(torch.tensor([[0.0], [1.0]]), torch.tensor([[2.0], [3.0]]))
    assert distance == pytest.approx(1 + 343 - 2 * (1 + 1 + 27 + 64) / 4)


def test_kernel_distance_has_no_bias() -> None:
    distances = torch.tensor([kernel_distance(random(10, 3, seed=i), random(20, 3, seed=100 + i)) for i in range(60)])
    assert abs(float(distances.mean())) < 2.5 * float(distances.std()) / math.sqrt(60)
    assert float(distances.min()) < 0


def test_high_frequency_energy_by_hand() -> None:
    rows, columns = torch.arange(16.0)[:, None], torch.arange(32.0)[None, :]
    slow = torch.cos(2 * math.pi * rows / 8).expand(16, 32)  # 1/8 cycle a pixel
    fast = (-1.0) ** (rows + columns)  # the checkerboard, at both Nyquist frequencies
    maps = torch.stack([slow, fast, 0.5 * fast + slow + 3, torch.ones(16, 32)])[:, None]
    assert high_frequency_energy(maps).tolist() == pytest.approx([0, 1, 0.25, 0], abs=1e-6)


def test_l1_distance_by_hand() -> None:
    generated, real = torch.zeros(2, 1, 2, 2), torch.tensor([[1.0, -1.0], [0.0, 0.0]]).expand(2, 1, 2, 2).clone()
    real[1] *= 2
    assert l1_distance(generated, real).tolist() == [0.5, 1.0]


def test_ssim_by_hand() -> None:
    maps = random(2, 3, 16, 20).clamp(-1, 1)
    assert ssim(maps, maps).tolist() == pytest.approx([1, 1])
    # Constant maps have no variance: the luminance term alone remains.
    luminance = (2 * 0.5 * 0.2 + 0.0004) / (0.5**2 + 0.2**2 + 0.0004)
    of_constants = ssim(torch.full((1, 1, 11, 11), 0.5), torch.full((1, 1, 11, 11), 0.2))
    assert of_constants.item() == pytest.approx(luminance, abs=1e-4)
    # A map and its negative: means near 0, covariance minus the variance.
    checkered = ((-1.0) ** (torch.arange(12)[:, None] + torch.arange(12)[None, :]))[None, None]
    assert ssim(checkered, -checkered).item() == pytest.approx(-1, abs=0.01)


def test_log_spectral_distance_by_hand() -> None:
    settings = FeatureSettings(min_level=-80, max_level=30)  # 1 is 55 dB
    real = torch.zeros(1, 1, 2, 2)
    generated = torch.tensor([[0.2, 0.0], [0.2, 0.0]])[None, None]  # 11 dB off in the first frame only
    assert log_spectral_distance(generated, real, settings).item() == pytest.approx(11 / 2)
    one_band = torch.tensor([[0.2, 0.2], [0.0, 0.0]])[None, None]
    assert log_spectral_distance(one_band, real, settings).item() == pytest.approx(11 / math.sqrt(2))


def test_diversity_by_hand() -> None:
    # One item of two values, two versions. Standard deviations of 0, 2 and of 1, 1: sqrt(2) and 0.
    assert diversity(torch.tensor([[[0.0, 1.0]], [[2.0, 1.0]]])).tolist() == pytest.approx([math.sqrt(2) / 2])


def test_within_class_correlation_does_not_count_differences_between_classes() -> None:
    label = torch.tensor([0, 0, 0, 5, 5, 5])
    x = torch.tensor([1.0, 2.0, 3.0, 11.0, 12.0, 13.0])
    assert within_class_correlation(x, torch.tensor([9.0, 8.0, 7.0, 103.0, 102.0, 101.0]), label) == pytest.approx(-1)
    # Class means alone: r over all is nearly 1, within the classes (1, 0, -1) against (-1, 2, -1) 0.
    y = torch.tensor([0.0, 3.0, 0.0, 100.0, 103.0, 100.0])
    assert within_class_correlation(x, y, label) == pytest.approx(0)
    # (-1, 0, 1) and (-2/3, 1/3, 1/3): 1 / sqrt(2 * 2/3).
    y = torch.tensor([0.0, 1.0, 1.0])
    assert within_class_correlation(x[:3], y, label[:3]) == pytest.approx(math.sqrt(3) / 2)
    assert within_class_correlation(x, torch.tensor([0.1, 0.1, 0.1, 0.7, 0.7, 0.7]), label) is None


def test_retrieval_by_hand() -> None:
    key = torch.tensor([[1.0, 0.0], [4.0, 1.0], [0.0, 2.0], [-1.0, 0.0]])
    query = torch.tensor([[3.0, 0.0], [0.0, 1.0], [1.0, 0.2], [0.0, 1.0]])
    label, recording = torch.tensor([0, 1, 0, 0]), torch.tensor([0, 1, 2, 2])
    # Query 0 does not rank key 0, of its own recording: 1 (wrong), 2, 3 (right), so (1/2 + 2/3) / 2.
    # Query 1 has no other recording of its class and does not count.
    # Query 2 does not rank keys 2 and 3: 1 (wrong, nearest), 0: 1/2. Query 3 neither: 1 (wrong), 0: 1/2.
    ranking = retrieval(query, key, label, recording, (1, 2))
    assert ranking is not None
    assert ranking.recall == {"1": 0, "2": 1}
    assert ranking.mean_average_precision == pytest.approx(((1 / 2 + 2 / 3) / 2 + 1 / 2 + 1 / 2) / 3)
    # Without key 1, the first key that queries 2 and 3 rank is right.
    some = torch.tensor([0, 2, 3])
    ranking = retrieval(query[some], key[some], label[some], recording[some])
    assert ranking is not None
    assert (ranking.recall["1"], ranking.mean_average_precision) == (1, 1)
    assert retrieval(query[:2], key[:2], label[:2], recording[:2]) is None


def test_chance_of_retrieval_is_the_mean_of_random_rankings() -> None:
    label, recording = torch.arange(60) % 4, torch.arange(60) // 6
    chance = retrieval_by_chance(label, recording, (1, 5))
    rankings = [
        retrieval(random(60, 8, seed=2 * i), random(60, 8, seed=2 * i + 1), label, recording, (1, 5))
        for i in range(200)
    ]
    assert chance is not None
    for rank in ("1", "5"):
        mean = sum(ranking.recall[rank] for ranking in rankings if ranking) / 200
        assert mean == pytest.approx(chance.recall[rank], abs=0.015)
    mean = sum(ranking.mean_average_precision for ranking in rankings if ranking) / 200
    assert mean == pytest.approx(chance.mean_average_precision, abs=0.005)


def test_chance_of_retrieval_by_hand() -> None:
    # Two items of one class and one of another, each of its own recording: each query of the class ranks two items, one
    # of them right: recall at 1 is 1/2, at 2 it is 1, the average precision is 1 or 1/2.
    chance = retrieval_by_chance(torch.tensor([0, 0, 1]), torch.arange(3), (1, 2))
    assert chance is not None
    assert chance.recall == {"1": 0.5, "2": 1}
    assert chance.mean_average_precision == pytest.approx(0.75)
    assert retrieval_by_chance(torch.tensor([0, 1]), torch.arange(2)) is None


def test_chance_of_retrieval_needs_no_matrix_of_all_pairs() -> None:
    # Such a matrix would have 4 * 10^10 cells.
    chance = retrieval_by_chance(torch.arange(200_000) % 2, torch.arange(200_000))
    assert chance is not None
    assert chance.recall["1"] == pytest.approx(0.5, abs=1e-4)


def test_an_interval_over_many_recordings_is_computed_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    right, recording, label = random(90) > 0, torch.arange(90) // 2, torch.arange(90) % 4
    whole = [bootstrap_interval(right, recording), bootstrap_interval(right, recording, label)]
    monkeypatch.setattr(metrics, "CELLS", 45 * 7)
    assert [bootstrap_interval(right, recording), bootstrap_interval(right, recording, label)] == whole


def test_a_matrix_of_all_pairs_is_computed_in_parts_of_bounded_size(monkeypatch: pytest.MonkeyPatch) -> None:
    x, y, items = random(30, 4, seed=0), random(30, 4, seed=1), Items(torch.arange(30) % 3, torch.arange(30) // 5)
    whole = [*score_queries(x, y, items, items), partner_ranks(x, y, items.recording), kernel_distance(x, y)]
    monkeypatch.setattr(metrics, "CELLS", 70)  # two rows
    sizes: list[int] = []
    multiply = Tensor.__matmul__
    monkeypatch.setattr(Tensor, "__matmul__", lambda a, b: sizes.append(len(a) * b.shape[1]) or multiply(a, b))
    parts = [*score_queries(x, y, items, items), partner_ranks(x, y, items.recording), kernel_distance(x, y)]
    assert sizes
    assert max(sizes) <= 70
    for mine, theirs in zip(whole, parts, strict=True):
        torch.testing.assert_close(torch.as_tensor(mine), torch.as_tensor(theirs))


def sine(hertz: float, level: float = 0.2) -> Tensor:
    return level * (2 * math.pi * hertz * torch.arange(22_050) / 44_100).sin()


@pytest.mark.parametrize("hertz", [45.0, 440.0, 1990.0])
def test_a_sine_and_a_harmonic_tone_are_periodic(hertz: float) -> None:
    harmonic = torch.stack([sine(hertz * number) / number for number in range(1, 8)]).sum(dim=0)
    assert periodicity(torch.stack([sine(hertz), harmonic]), 44_100).tolist() == pytest.approx([1, 1], abs=0.01)


def test_noise_is_not_periodic() -> None:
    noise = random(3, 22_050) / 5
    assert float(periodicity(noise, 44_100).max()) < 0.1
    # The autocorrelation at the period is the share of the tone in the power.
    mixed = sine(440, level=0.2)[None] + noise / noise.std() * 0.2 / math.sqrt(2)
    assert periodicity(mixed, 44_100).tolist() == pytest.approx([0.5] * 3, abs=0.06)


def test_the_periodicity_of_a_sound_is_that_of_its_audible_frames() -> None:
    tone_and_silence = torch.cat([sine(300), torch.zeros(50_000)])
    assert float(periodicity(tone_and_silence[None], 44_100)) > 0.99
    assert bool(periodicity(torch.zeros(1, 22_050), 44_100).isnan())


def test_sound_level_by_hand() -> None:
    sounds = torch.stack([torch.ones(22_050), sine(441), torch.zeros(22_050)])
    assert sound_level(sounds).tolist() == pytest.approx([0, 20 * math.log10(0.2) - 10 * math.log10(2), -100], abs=0.01)
