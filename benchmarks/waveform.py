"""Compare our conversion of log-mel spectrograms to waveforms with librosa's, on the same synthetic tones.

Prints CPU-seconds of one thread, and the error in decibels.

usage: python benchmarks/waveform.py [CLIPS]      (20 by default)
"""

import sys
import time
from importlib.metadata import version

import librosa
import numpy as np
import torch
from torch import Tensor

from cmcgan_core.features.representations import analyse, synthesise
from cmcgan_core.features.scaling import scale_spectrograms, unscale_spectrograms
from cmcgan_core.features.settings import FeatureSettings

SETTINGS = FeatureSettings()


def make_clips(count: int) -> Tensor:
    """Make harmonic tones (count, L) that differ in pitch, decay and noise."""
    rng = torch.Generator().manual_seed(0)
    time_s = torch.arange(SETTINGS.samples) / SETTINGS.sample_rate
    pitch = 80 * 2 ** (4 * torch.rand(count, 1, generator=rng))
    decay = torch.exp(-time_s * 6 * torch.rand(count, 1, generator=rng))
    tones = sum(torch.sin(2 * torch.pi * pitch * k * time_s) / k for k in range(1, 12))
    return 0.1 * decay * tones + 0.003 * torch.randn(count, SETTINGS.samples, generator=rng)


def clipped_spectrograms(waveforms: Tensor) -> Tensor:
    """Return spectrograms (count, M, T) in decibels, clipped to the range of the settings."""
    return unscale_spectrograms(scale_spectrograms(analyse(waveforms, SETTINGS), SETTINGS), SETTINGS)


def measure_error(waveforms: Tensor, target: Tensor) -> float:
    """Return the mean distance in decibels of the waveforms' clipped spectrograms to the target (count, M, T)."""
    return float((clipped_spectrograms(waveforms) - target).abs().mean())


def main(count: str = "20") -> None:
    """Print the CPU-seconds and the error of both, and the ratio of the CPU-seconds."""
    torch.set_num_threads(1)
    target = clipped_spectrograms(make_clips(int(count)))
    started = time.process_time()
    ours = synthesise(target, SETTINGS, torch.Generator().manual_seed(0))
    our_seconds = time.process_time() - started
    started = time.process_time()
    theirs = [
        librosa.feature.inverse.mel_to_audio(librosa.db_to_power(spectrogram), sr=44_100, length=22_050)
        for spectrogram in target.numpy()
    ]
    librosa_seconds = time.process_time() - started
    print(f"{count} clips, torch {torch.__version__}, librosa {version('librosa')}")
    print(f"  ours    {our_seconds:7.2f} cpu-s  {measure_error(ours, target):.2f} dB")
    print(f"  librosa {librosa_seconds:7.2f} cpu-s  {measure_error(torch.from_numpy(np.stack(theirs)), target):.2f} dB")
    print(f"  librosa / ours  {librosa_seconds / our_seconds:.1f}")


if __name__ == "__main__":
    main(*sys.argv[1:])
