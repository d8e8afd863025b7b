"""Log-mel to waveform: ours against librosa's, on the same synthetic tones; CPU-seconds of one thread, and error.

usage: python benchmarks/waveform.py [CLIPS]
"""

import sys
import time

import librosa
import numpy as np
import torch

from cmcgan_core.features.representations import analyse, synthesise
from cmcgan_core.features.scaling import scale_spectrograms, unscale_spectrograms
from cmcgan_core.features.settings import FeatureSettings

SETTINGS = FeatureSettings()


def clips(count: int) -> torch.Tensor:
    """Harmonic tones of different pitch, decay and noise, (count, L)."""
    rng = torch.Generator().manual_seed(0)
    moment = torch.arange(SETTINGS.samples) / SETTINGS.sample_rate
    pitch = 80 * 2 ** (4 * torch.rand(count, 1, generator=rng))
    decay = torch.exp(-moment * 6 * torch.rand(count, 1, generator=rng))
    tones = sum(torch.sin(2 * torch.pi * pitch * k * moment) / k for k in range(1, 12))
    return 0.1 * decay * tones + 0.003 * torch.randn(count, SETTINGS.samples, generator=rng)


def error(waveforms: torch.Tensor, levels: torch.Tensor) -> float:
    """Mean distance in decibels of the waveforms' levels to the wanted ones, both clipped to the settings' range."""
    again = unscale_spectrograms(scale_spectrograms(analyse(waveforms, SETTINGS), SETTINGS), SETTINGS)
    return float((again - levels).abs().mean())


def main(count: str = "20") -> None:
    torch.set_num_threads(1)
    levels = unscale_spectrograms(scale_spectrograms(analyse(clips(int(count)), SETTINGS), SETTINGS), SETTINGS)
    started = time.process_time()
    ours = synthesise(levels, SETTINGS, torch.Generator().manual_seed(0))
    own = time.process_time() - started
    started = time.process_time()
    theirs = [
        librosa.feature.inverse.mel_to_audio(librosa.db_to_power(x), sr=44_100, length=22_050) for x in levels.numpy()
    ]
    librosas = time.process_time() - started
    print(f"{count} clips, torch {torch.__version__}, librosa {librosa.__version__}")
    print(f"  ours    {own:7.2f} cpu-s  {error(ours, levels):.2f} dB")
    print(f"  librosa {librosas:7.2f} cpu-s  {error(torch.from_numpy(np.stack(theirs)), levels):.2f} dB")
    print(f"  librosa / ours  {librosas / own:.1f}")


if __name__ == "__main__":
    main(*sys.argv[1:])
