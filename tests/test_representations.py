from typing import ClassVar

import numpy as np
import pytest
import torch
from test_features import tones

from cmcgan_core.errors import ConfigError, PluginError
from cmcgan_core.features.representations import REPRESENTATIONS, LogMel, analyse, default_settings, synthesise
from cmcgan_core.features.scaling import scale_spectrograms

#: (M, T) of half a second, rows as in CMAV's Figure 3.
SIZES = {"lms": (128, 44), "ms": (128, 44), "cqt": (84, 44), "mfcc": (20, 44), "stft": (513, 44)}


@pytest.mark.parametrize("name", SIZES)
def test_half_a_second_has_the_papers_size(name: str) -> None:
    settings = default_settings(name)
    assert (settings.representation, settings.bins, settings.frames) == (name, *SIZES[name])
    assert analyse(tones(2), settings).shape == (2, *SIZES[name])


@pytest.mark.parametrize("name", SIZES)
def test_loudness_decides_where_in_the_range_a_sound_lies(name: str) -> None:
    settings = default_settings(name)
    quiet, loud = (
        scale_spectrograms(analyse(tones(1) * gain, settings), settings).double().mean() for gain in (0.05, 1.0)
    )
    assert -1 < float(quiet) < float(loud) < 1


@pytest.mark.parametrize("name", SIZES)
def test_sound_survives_the_way_there_and_back(name: str) -> None:
    settings = default_settings(name)
    levels = analyse(tones(1), settings)
    made = synthesise(levels, settings, torch.Generator().manual_seed(0))
    assert made.shape == (1, settings.samples)
    there, back, silence = (
        scale_spectrograms(of, settings) for of in (levels, analyse(made, settings), analyse(made * 0, settings))
    )
    loud = there > there.quantile(0.8)
    assert float((back - there)[loud].abs().mean()) < float((silence - there)[loud].abs().mean()) / 12


@pytest.mark.parametrize("name", ["ms", "mfcc", "stft"])
def test_what_is_drawn_follows_the_generators(name: str) -> None:
    settings = default_settings(name)
    levels = analyse(tones(2), settings)
    one, other = (synthesise(levels, settings, [torch.Generator().manual_seed(s) for s in (0, 1)]) for _ in range(2))
    assert torch.equal(one, other)
    assert torch.equal(synthesise(levels[1:], settings, [torch.Generator().manual_seed(1)]), one[1:])


def test_mfcc_and_ms_equal_librosas() -> None:
    librosa = pytest.importorskip("librosa")
    sound = tones(1)[0]
    power = librosa.feature.melspectrogram(y=sound.numpy(), sr=44_100)
    torch.testing.assert_close(analyse(sound, default_settings("ms")), torch.from_numpy(power), atol=1e-3, rtol=1e-3)
    mfcc = librosa.feature.mfcc(S=librosa.power_to_db(power, top_db=None), n_mfcc=20)
    torch.testing.assert_close(analyse(sound, default_settings("mfcc")), torch.from_numpy(mfcc), atol=0.05, rtol=1e-3)


@pytest.mark.parametrize(("name", "row"), [("stft", 1000 * 1024 / 44_100), ("cqt", 12 * np.log2(1000 / 32.7032))])
def test_a_tone_sounds_in_its_row(name: str, row: float) -> None:
    settings = default_settings(name)
    tone = torch.sin(2 * torch.pi * 1000 * torch.arange(settings.samples) / settings.sample_rate)
    assert int(analyse(tone, settings)[:, 22].argmax()) == round(row)


def test_one_without_a_way_back_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    class Silent:
        defaults: ClassVar[dict[str, object]] = {}
        analyse = staticmethod(LogMel().analyse)

    monkeypatch.setitem(REPRESENTATIONS.builtins, "silent", Silent())
    settings = default_settings("silent")
    levels = analyse(tones(1), settings)
    with pytest.raises(ConfigError, match="silent spectrograms cannot be turned back into sound"):
        synthesise(levels, settings)


def test_an_unknown_one_is_named_with_the_known() -> None:
    with pytest.raises(PluginError, match=r"no 'cqtt' \(did you mean cqt\?\); known: lms, ms, cqt, mfcc, stft"):
        default_settings("cqtt")
