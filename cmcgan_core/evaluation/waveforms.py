"""Figures of the waveforms that a user hears: generated spectrograms, turned into sound as `generate` does it.

Turning spectrograms into sound costs far more than generating them. So only a limited number of pairs is measured. A
dataset stores no waveforms. So the real sounds are real spectrograms that are turned into sound in the same way.
"""

import torch
from torch import Tensor

from cmcgan_core.checkpoint import Trained
from cmcgan_core.data.dataset import PairDataset
from cmcgan_core.data.loader import to_batch
from cmcgan_core.evaluation.labels import REAL
from cmcgan_core.evaluation.sample_metrics import METRICS, Quality, WaveformMetric
from cmcgan_core.features.representations import is_invertible, synthesise
from cmcgan_core.inference.translate import require_translator, to_levels
from cmcgan_core.modality import Direction
from cmcgan_core.progress import OnProgress, Progress, silent
from cmcgan_core.utils.batches import in_batches, spread_evenly

#: Largest number of pairs that are measured; they are spread evenly over the split.
PAIRS = 64
#: Sounds that are synthesised between two reports of the progress.
BATCH = 8


def measure_waveforms(
    trained: Trained, split: PairDataset, *, seed: int, on_progress: OnProgress = silent
) -> dict[tuple[Direction, str], Quality]:
    """Compute every `WaveformMetric` of generated and of real sounds.

    Args:
        trained: a translator.
        split: the pairs; at most `PAIRS` of them are used.
        seed: seed of the latents (one for each pair) and of the initial phases.
        on_progress: called after every few sounds.

    Returns:
        Figures by direction and kind, see `labels.KINDS`. Nothing if the run generates no sounds, or if its
        representation cannot be turned back into a waveform.
    """
    network, settings = require_translator(trained), trained.about.settings
    known = {name: METRICS.get(name) for name in METRICS.names()}
    metrics = {name: metric for name, metric in known.items() if isinstance(metric, WaveformMetric)}
    if Direction.V2A not in network.directions or not is_invertible(settings) or not metrics:
        return {}
    items = spread_evenly(len(split), PAIRS)
    batch = to_batch(split.read(items), trained.about.config.network, settings, trained.device)
    sounds = {REAL: batch.audio}
    with torch.inference_mode():
        for hops in network.possible_hops:
            z = network.draw(len(items), torch.Generator().manual_seed(seed), hops)
            sounds[str(hops)] = network.translate(Direction.V2A, batch.visual, z)
    figures: dict[tuple[Direction, str], Quality] = {}
    for kind, maps in sounds.items():
        waveforms = _synthesise(trained, maps, seed, on_progress)
        values = {name: metric.compute(waveforms, settings.sample_rate) for name, metric in metrics.items()}
        figures[Direction.V2A, kind] = {name: _mean_of_known(of_sounds) for name, of_sounds in values.items()}
    return figures


def _synthesise(trained: Trained, maps: Tensor, seed: int, on_progress: OnProgress) -> Tensor:
    """Turn maps (N, 1, M, T') in [-1, 1] into waveforms (N, L), each as `generate` with this seed does."""
    waveforms: list[Tensor] = []
    for part in in_batches(to_levels(trained, maps), BATCH):
        rngs = [torch.Generator().manual_seed(seed) for _ in part]
        waveforms += synthesise(torch.stack(part), trained.about.settings, rngs).cpu()
        on_progress(Progress("listening to sounds", len(waveforms), len(maps), "sounds"))
    return torch.stack(waveforms)


def _mean_of_known(values: Tensor) -> float | None:
    """Average the values (N,) that are not NaN; None if there are none."""
    known = values[~values.isnan()]
    return float(known.mean()) if len(known) else None
