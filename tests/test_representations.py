"""The five audio representations of CMAV: their sizes, the synthesis of sound from them, and their reference values."""

import importlib
import sys
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import torch
from test_features import tones

from cmcgan_core.data.prepare.recording import SourceOptions
from cmcgan_core.data.synthetic.source import DemoSource
from cmcgan_core.errors import ConfigError, PluginError
from cmcgan_core.features.representations import REPRESENTATIONS, LogMel, Mfcc, analyse, default_settings, synthesise
from cmcgan_core.features.scaling import scale_spectrograms

#: (M, T) of half a second; M as in CMAV, Figure 3.
SIZES = {"lms": (128, 44), "ms": (128, 44), "cqt": (84, 173), "mfcc": (20, 44), "stft": (513, 44)}


@pytest.mark.parametrize("name", SIZES)
def test_half_a_second_has_the_size_of_the_paper(name: str) -> None:
    settings = default_settings(name)
    assert (settings.representation, settings.bins, settings.frames) == (name, *SIZES[name])
    assert analyse(tones(2), settings).shape == (2, *SIZES[name])


@pytest.mark.parametrize("name", SIZES)
def test_a_louder_sound_has_larger_scaled_values(name: str) -> None:
    settings = default_settings(name)
    quiet, loud = (
        scale_spectrograms(analyse(tones(1) * gain, settings), settings).double().mean() for gain in (0.05, 1.0)
    )
    assert -1 < float(quiet) < float(loud) < 1


@pytest.mark.parametrize("name", SIZES)
def test_synthesis_and_analysis_keep_the_loud_parts(name: str) -> None:
    settings = default_settings(name)
    spectrograms = analyse(tones(1), settings)
    waveform = synthesise(spectrograms, settings, torch.Generator().manual_seed(0))
    assert waveform.shape == (1, settings.samples)
    original, again, silence = (
        scale_spectrograms(values, settings)
        for values in (spectrograms, analyse(waveform, settings), analyse(waveform * 0, settings))
    )
    loud = original > original.quantile(0.8)
    assert float((again - original)[loud].abs().mean()) < float((silence - original)[loud].abs().mean()) / 12


@pytest.mark.parametrize("name", ["ms", "mfcc", "stft"])
def test_an_item_depends_on_its_own_rng_only(name: str) -> None:
    settings = default_settings(name)
    spectrograms = analyse(tones(2), settings)
    first, second = (
        synthesise(spectrograms, settings, [torch.Generator().manual_seed(s) for s in (0, 1)]) for _ in range(2)
    )
    assert torch.equal(first, second)
    assert torch.equal(synthesise(spectrograms[1:], settings, [torch.Generator().manual_seed(1)]), first[1:])


def test_mfcc_and_ms_equal_those_of_librosa() -> None:
    librosa = pytest.importorskip("librosa")
    sound = tones(1)[0]
    power = librosa.feature.melspectrogram(y=sound.numpy(), sr=44_100)
    torch.testing.assert_close(analyse(sound, default_settings("ms")), torch.from_numpy(power), atol=1e-3, rtol=1e-3)
    mfcc = librosa.feature.mfcc(S=librosa.power_to_db(power, top_db=None), n_mfcc=20)
    low, high = torch.tensor(Mfcc.ranges)[..., None].unbind(1)
    own = (analyse(sound, default_settings("mfcc")) + 1) / 2 * (high - low) + low
    torch.testing.assert_close(own, torch.from_numpy(mfcc), atol=0.05, rtol=1e-3)


def test_every_coefficient_of_mfcc_uses_its_range() -> None:
    source, options = DemoSource(52), SourceOptions(settings=default_settings("mfcc"))
    recordings = [r for r in source.recordings(Path(), options)[0] if r.split == "test"]
    sounds = [torch.from_numpy(pair.sound) for r in recordings for pair in source.read_pairs(r, options)]
    coefficients = analyse(torch.stack(sounds), options.settings).transpose(0, 1).flatten(1)
    assert float((coefficients.abs() > 1).double().mean()) < 0.01
    assert float(coefficients.std(dim=1).min()) > 0.1  # with one range for all, 0.02


@pytest.mark.parametrize(("name", "row"), [("stft", 1000 * 1024 / 44_100), ("cqt", 12 * np.log2(1000 / 32.7032))])
def test_a_tone_is_loudest_in_its_row(name: str, row: float) -> None:
    settings = default_settings(name)
    tone = torch.sin(2 * torch.pi * 1000 * torch.arange(settings.samples) / settings.sample_rate)
    middle = settings.frames // 2
    assert int(analyse(tone, settings)[:, middle].argmax()) == round(row)


def test_a_representation_without_synthesis_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    class OneWay:
        defaults: ClassVar[dict[str, object]] = {}
        analyse = staticmethod(LogMel().analyse)

    monkeypatch.setitem(REPRESENTATIONS.builtins, "one-way", OneWay())
    settings = default_settings("one-way")
    spectrograms = analyse(tones(1), settings)
    with pytest.raises(ConfigError, match="one-way spectrograms cannot be turned back into sound"):
        synthesise(spectrograms, settings)


def test_an_unknown_representation_is_named_with_the_known_ones() -> None:
    with pytest.raises(
        PluginError,
        match=r"no 'cqtt' among the representations \(did you mean cqt\?\); known: lms, ms, cqt, mfcc, stft",
    ):
        default_settings("cqtt")


@pytest.mark.parametrize("name", ["mfcc", "stft"])
def test_a_torchaudio_that_does_not_load_is_explained(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    def fails(module: str) -> None:
        raise OSError("libcudart.so.12: cannot open shared object file")

    settings = default_settings(name)
    monkeypatch.setattr(importlib, "import_module", fails)
    with pytest.raises(ConfigError, match=r"torchaudio .* \(libcudart.*\); fix it with: pip install"):
        analyse(tones(1), settings)


def test_a_compiler_that_has_no_folder_for_its_results_is_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    numba_caching = pytest.importorskip("numba.core.caching")
    monkeypatch.setattr(numba_caching.CacheImpl, "_locator_classes", [])  # as for a user without a home
    for name in [name for name in sys.modules if name.split(".")[0] == "librosa"]:
        monkeypatch.delitem(sys.modules, name)
    with pytest.raises(ConfigError, match=r"librosa cannot be used \(cannot cache.*export NUMBA_CACHE_DIR=FOLDER"):
        analyse(tones(1), default_settings("cqt"))
