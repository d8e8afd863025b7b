"""The metrics of generated samples, by name. Every table, page and JSON document takes its rows from `METRICS`.

To add a metric, write a function and register it here, or under the entry point `cmcgan.metrics`. A `MapMetric` reads
spectrograms or pictures, batch by batch. A `SetMetric` reads what a judge returns for all pairs of a split. A
`WaveformMetric` reads waveforms of some pairs.

Shapes: K latents, B pairs of a batch, N pairs of a split; C channels, H, W size of a map; D values of a code.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from torch import Tensor

from cmcgan_core.evaluation import memorisation, metrics
from cmcgan_core.features.representations import REPRESENTATIONS
from cmcgan_core.features.settings import FeatureSettings
from cmcgan_core.modality import Modality
from cmcgan_core.registry import Registry

#: The figures of samples of one kind, by name of the metric; None if the metric does not apply.
Quality = dict[str, float | None]


@dataclass(frozen=True)
class MapBatch:
    """Maps of a batch, in [-1, 1].

    Attributes:
        maps: the maps to measure (K, B, C, H, W): generated ones, or real ones with K = 1.
        real: the real maps of the same pairs (B, C, H, W).
        settings: feature settings of the spectrograms.
    """

    maps: Tensor
    real: Tensor
    settings: FeatureSettings

    def compare(self, function: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
        """Apply a function of maps (M, C, H, W) and real maps (M, C, H, W) that returns (M,); returns (K, B)."""
        flat, real = self.maps.flatten(0, 1), self.real.repeat(len(self.maps), 1, 1, 1)
        return function(flat, real).reshape(self.maps.shape[:2])


@dataclass(frozen=True)
class SampleSet:
    """Samples of one kind, one for each of N pairs, with a judge's outputs.

    These are the pairs whose codes are kept, see `collect.COMPARED`.

    Attributes:
        real: whether these are the real samples themselves.
        codes: the judge's codes (N, D).
        predicted: the judge's class indices (N,).
        real_codes: codes of the real samples of the same pairs (N, D).
        training_codes: codes of real samples of the training split (M, D); None if that is the split itself.
        label: class indices of the pairs (N,).
        recording: number of each pair's recording (N,).
        nearest: distance (N,) to the nearest training sample, see `evaluation.memorisation`; None for training samples.
        real_nearest: the same distance (N,) of the real samples.
    """

    real: bool
    codes: Tensor
    predicted: Tensor
    real_codes: Tensor
    training_codes: Tensor | None
    label: Tensor
    recording: Tensor
    nearest: Tensor | None
    real_nearest: Tensor | None

    @cached_property
    def ranking(self) -> metrics.Ranking | None:
        """How well the samples find real samples of their class, see `metrics.retrieval`."""
        return metrics.retrieval(self.codes, self.real_codes, self.label, self.recording)

    def distance(self, function: Callable[[Tensor, Tensor], float]) -> float | None:
        """Return the distance to the real samples; for real samples, the distance of those of the training split."""
        codes = self.training_codes if self.real else self.codes
        return None if codes is None else function(codes, self.real_codes)


@dataclass(frozen=True)
class Needs:
    """What a metric needs to apply.

    Attributes:
        modalities: modalities of the samples that it measures.
        truth: whether it compares a sample with the real one of its pair, so that real samples have no figure.
        latents: number of latents.
        decibels: whether a spectrogram must be in decibels.
    """

    modalities: tuple[Modality, ...] = tuple(Modality)
    truth: bool = False
    latents: int = 1
    decibels: bool = False

    def met_by(self, modality: Modality, settings: FeatureSettings, *, latents: int, real: bool = False) -> bool:
        """Return whether a metric of maps or codes applies to samples of a modality.

        Args:
            modality: modality of the samples.
            settings: feature settings of the spectrograms.
            latents: number of latents.
            real: whether these are the real samples themselves.
        """
        in_decibels = modality is Modality.VISUAL or REPRESENTATIONS.get(settings.representation).decibels
        return (
            modality in self.modalities
            and latents >= self.latents
            and (in_decibels or not self.decibels)
            and not (real and self.truth)
        )


@dataclass(frozen=True, kw_only=True)
class Metric:
    """A figure of samples.

    Attributes:
        label: its name in tables.
        better: which values are better, in a few words.
        needs: what it needs to apply.
        unit: unit of its values; "" for none.
        format: format specification of its values.
    """

    label: str
    better: Literal["lower", "higher", "near 1", "near real"]
    needs: Needs = Needs()
    unit: str = ""
    format: str = ".3g"

    @property
    def title(self) -> str:
        """The label with the unit."""
        return f"{self.label}, {self.unit}" if self.unit else self.label


@dataclass(frozen=True, kw_only=True)
class MapMetric(Metric):
    """A figure of spectrograms or pictures: the mean over pairs and latents.

    Attributes:
        compute: function that returns the values (K, B) or (1, B) of a batch.
        relative_to: divides the figure by that of real samples: of the same pairs ("pairs"), or of sets of real samples
            of one class, taken as if they were latents of one source ("class"). None does not divide.
    """

    compute: Callable[[MapBatch], Tensor]
    relative_to: Literal["pairs", "class"] | None = None


@dataclass(frozen=True, kw_only=True)
class SetMetric(Metric):
    """A figure of all samples of a split, by the outputs of a judge: the mean over latents.

    Attributes:
        compute: function that returns the figure of one latent, or None if there is none.
    """

    compute: Callable[[SampleSet], float | None]


@dataclass(frozen=True, kw_only=True)
class WaveformMetric(Metric):
    """A figure of the waveforms of sounds: the mean over a limited number of pairs, see `evaluation.waveforms`.

    Attributes:
        compute: function of waveforms (N, L) and their sample rate in Hz that returns values (N,), NaN where a sound
            has none.
    """

    compute: Callable[[Tensor, int], Tensor]


def _frechet(samples: SampleSet) -> float | None:
    return samples.distance(metrics.frechet_distance)


def _kernel(samples: SampleSet) -> float | None:
    return samples.distance(metrics.kernel_distance)


def _precision_at_1(samples: SampleSet) -> float | None:
    return samples.ranking.recall["1"] if samples.ranking else None


def _mean_average_precision(samples: SampleSet) -> float | None:
    return samples.ranking.mean_average_precision if samples.ranking else None


def _distance_to_training(samples: SampleSet) -> float | None:
    if samples.nearest is None or samples.real_nearest is None:
        return None
    return memorisation.relative_distance(samples.nearest, samples.real_nearest)


def _share_near_training(samples: SampleSet) -> float | None:
    if samples.nearest is None or samples.real_nearest is None:
        return None
    return memorisation.share_nearer(samples.nearest, samples.real_nearest)


#: Metrics by name, in the order of the tables. Plugins add to them.
METRICS: Registry[Metric] = Registry(
    "cmcgan.metrics",
    {
        "l1": MapMetric(
            label="L1 to the truth",
            better="lower",
            needs=Needs(truth=True),
            compute=lambda batch: batch.compare(metrics.l1_distance),
        ),
        "ssim": MapMetric(
            label="SSIM to the truth",
            better="higher",
            needs=Needs(modalities=(Modality.VISUAL,), truth=True),
            compute=lambda batch: batch.compare(metrics.ssim),
        ),
        "log_spectral_distance": MapMetric(
            label="log-spectral distance",
            unit="dB",
            better="lower",
            needs=Needs(modalities=(Modality.AUDIO,), truth=True, decibels=True),
            compute=lambda batch: batch.compare(lambda x, y: metrics.log_spectral_distance(x, y, batch.settings)),
        ),
        "frechet_distance": SetMetric(label="Fréchet distance", better="near real", compute=_frechet),
        "kernel_distance": SetMetric(label="kernel distance", better="near real", compute=_kernel),
        "high_frequency": MapMetric(
            label="upper frequencies / real",
            better="near 1",
            relative_to="pairs",
            compute=lambda batch: batch.compare(lambda x, _: metrics.high_frequency_energy(x)),
        ),
        "diversity": MapMetric(
            label="diversity over z / real",
            better="near 1",
            needs=Needs(latents=2),
            relative_to="class",
            compute=lambda batch: metrics.diversity(batch.maps)[None],
        ),
        "periodicity": WaveformMetric(
            label="periodicity",
            better="near real",
            needs=Needs(modalities=(Modality.AUDIO,)),
            compute=metrics.periodicity,
        ),
        "level": WaveformMetric(
            label="level",
            unit="dBFS",
            better="near real",
            needs=Needs(modalities=(Modality.AUDIO,)),
            format=".1f",
            compute=lambda waveforms, _: metrics.sound_level(waveforms),
        ),
        "precision_at_1": SetMetric(label="retrieval: precision at 1", better="near real", compute=_precision_at_1),
        "mean_average_precision": SetMetric(
            label="retrieval: mean average precision", better="near real", compute=_mean_average_precision
        ),
        "distance_to_training": SetMetric(
            label="nearest training sample / real", better="near 1", compute=_distance_to_training
        ),
        "share_near_training": SetMetric(
            label="nearer to training than 99 % of real", better="near real", compute=_share_near_training
        ),
    },
)


def metrics_to_show(qualities: Iterable[Mapping[str, object | None]]) -> dict[str, Metric]:
    """Return the metrics, by name, that have a figure in any of these qualities."""
    known = {name for quality in qualities for name, value in quality.items() if value is not None}
    return {name: METRICS.get(name) for name in METRICS.names() if name in known}
