"""A model as a Python user has it: one object that does what `cmcgan generate` and `cmcgan classify` do.

Sounds and pictures may be files, arrays or tensors, pictures also images of Pillow (`data.arrays` says which). Pictures
come back as images of Pillow, sounds as numpy arrays. The same input, seed and choices give what the commands give.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from cmcgan_core.checkpoint import Trained, find_checkpoint, load_checkpoint
from cmcgan_core.errors import ConfigError, MediaError
from cmcgan_core.inference.arrays import Picture, Sound, to_picture, to_windows
from cmcgan_core.inference.classify import Classified, classify, classify_file, find_classifier, load_classifier
from cmcgan_core.inference.generate import Generated, OutputOptions, make_all, plan
from cmcgan_core.inference.generate.clips import generate_spectrograms, synthesise_waveforms
from cmcgan_core.inference.generate.plan import FORMATS, Route
from cmcgan_core.inference.inputs import Input, expand
from cmcgan_core.inference.translate import SamplingOptions, pictures_to_input, sound_to_pictures, to_audio, to_visual
from cmcgan_core.media.damage import DamagedInterval
from cmcgan_core.progress import OnProgress, silent, tqdm_progress
from cmcgan_core.utils.device import choose_device

if TYPE_CHECKING:
    from PIL.Image import Image


def load(checkpoint: str | Path = "box", device: str = "auto") -> "Model":
    """A model, ready to be used.

    >>> import cmcgan_core as cmcgan
    >>> model = cmcgan.load("box")
    >>> model.classes[:3], model.sample_rate
    (('bassoon', 'cello', 'clarinet'), 44100)

    Args:
        checkpoint: a run folder or its name in `runs/`, a checkpoint file, or "box" for the model that ships with
            cmcgan.
        device: "auto", "cpu" or "cuda".

    Raises:
        CheckpointError: there is none, or it cannot be read.
        ConfigError: this machine has no such device.
    """
    on = choose_device(device)
    trained = load_checkpoint(find_checkpoint(Path(checkpoint)), on)
    return Model(trained, find_classifier(trained.path, on))


@dataclass(frozen=True)
class Model:
    """Turns sound into pictures and films, pictures and films into sound, and says which class they are.

    What several methods take:

    - `seed`: of all that is drawn at random.
    - `hops`: 1 takes A2V or V2A, 2 the paper's A-A-V or V-V-A; None is the model's own.
    - `at`: second of the sound to listen to; None is its loudest half second.
    - `sample_rate`: of a sound that is an array or a tensor, Hz.
    - `drift`: seconds in which one random variation turns into the next, see `cmcgan.OutputOptions`.
    - `out`: file to write, whole or not at all; replaced if it exists.
    - `progress`: whether to show a tqdm bar.

    All raise MediaError for an input that cannot be read, or is none, and CheckpointError where the model does not go
    in the direction that is needed, or has no classifier; and ConfigError for choices that nothing can be made of.

    Attributes:
        trained: what generates.
        classifier: of the same run, or None where it has none.
    """

    trained: Trained
    classifier: Trained | None

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes that it was trained on."""
        return self.trained.about.classes

    @property
    def sample_rate(self) -> int:
        """Of the sounds that it makes, Hz."""
        return self.trained.about.settings.sample_rate

    def sound_to_picture(
        self,
        sound: Sound,
        *,
        sample_rate: int | None = None,
        at: float | None = None,
        seed: int = 0,
        hops: int | None = None,
    ) -> "Image":
        """A picture of half a second of sound: a file, or floats in [-1, 1], (L,) or (channels, L).

        >>> import numpy as np
        >>> import cmcgan_core as cmcgan
        >>> tone = np.sin(2 * np.pi * 440 * np.arange(44_100) / 44_100) / 2
        >>> cmcgan.load("box").sound_to_picture(tone, sample_rate=44_100).size
        (64, 64)
        """
        return self.sound_to_pictures(sound, 1, sample_rate=sample_rate, at=at, seed=seed, hops=hops)[0]

    def sound_to_pictures(
        self,
        sound: Sound,
        samples: int = 4,
        *,
        sample_rate: int | None = None,
        at: float | None = None,
        seed: int = 0,
        hops: int | None = None,
    ) -> "list[Image]":
        """Several pictures of the same half second; the i-th, from 0, is `sound_to_picture` of seed + i."""
        from PIL import Image

        waveform = self._half_second(sound, sample_rate, at)
        pictures = sound_to_pictures(self.trained, waveform, SamplingOptions(samples, seed, hops))
        return [Image.fromarray(picture) for picture in pictures]

    def picture_to_sound(
        self,
        picture: Picture,
        seconds: float = 0.5,
        *,
        drift: float | None = None,
        seed: int = 0,
        hops: int | None = None,
    ) -> NDArray[np.float32]:
        """A sound of so many seconds, (L,) at `sample_rate`, of a picture.

        The picture is a file, an image, an array (H, W, 3) or a tensor (3, H, W), of uint8 or of floats in [0, 1].

        >>> from PIL import Image
        >>> import cmcgan_core as cmcgan
        >>> cmcgan.load("box").picture_to_sound(Image.new("RGB", (200, 200), "sienna")).shape
        (22050,)
        """
        sampling, output = SamplingOptions(seed=seed, hops=hops), OutputOptions(seconds=seconds, drift=drift)
        pixels = to_picture(picture, self.trained.about.settings.picture_size)
        maps = generate_spectrograms(self.trained, pictures_to_input(self.trained, pixels[None]), sampling, output)
        ((waveform, _),) = synthesise_waveforms(self.trained, maps, sampling, output)
        return waveform

    def sound_to_film(
        self,
        sound: str | Path,
        out: str | Path,
        *,
        fps: float = 10.0,
        size: int | None = None,
        drift: float | None = None,
        seed: int = 0,
        hops: int | None = None,
        progress: bool = False,
    ) -> Path:
        """A film that follows a sound file, or the sound of a video, and has it; returns `out`.

        `out` ends in .mp4, .mkv, .mov or .gif. `fps` are its pictures a second; `size` is their side in pixels, None
        the model's own and at least 256.
        """
        output = OutputOptions(to="visual", size=size, fps=fps, drift=drift)
        self._film("film", sound, out, output, SamplingOptions(seed=seed, hops=hops), progress=progress)
        return Path(out)

    def add_soundtrack(
        self,
        film: str | Path,
        out: str | Path,
        *,
        drift: float | None = None,
        seed: int = 0,
        hops: int | None = None,
        progress: bool = False,
    ) -> Path:
        """A video with a sound that is made of its pictures; returns `out`.

        The pictures are copied; a sound that the video has is left out. `out` ends in .mkv, .mp4, .m4v, .mov, .webm or
        .avi.
        """
        output = OutputOptions(to="audio", drift=drift)
        self._film("soundtrack", film, out, output, SamplingOptions(seed=seed, hops=hops), progress=progress)
        return Path(out)

    def repair(
        self,
        film: str | Path,
        out: str | Path,
        *,
        drift: float | None = None,
        seed: int = 0,
        hops: int | None = None,
        progress: bool = False,
    ) -> tuple[DamagedInterval, ...]:
        """A video whose black, damaged or missing pictures are made anew from the sound beside them; returns which.

        Where nothing is damaged, nothing is written. `out` ends in .mkv, .mp4, .m4v or .mov.
        """
        output = OutputOptions(repair=True, drift=drift)
        return self._film(
            "repair", film, out, output, SamplingOptions(seed=seed, hops=hops), progress=progress
        ).repaired

    def classify(
        self,
        sound: Sound | None = None,
        picture: Picture | None = None,
        *,
        sample_rate: int | None = None,
        at: float | None = None,
        samples: int = 1,
        seed: int = 0,
    ) -> Classified:
        """Which class is heard, seen, or both, if a sound and a picture of one performance are given.

        What is not given is generated, `samples` times, and their opinions are averaged.

        >>> import numpy as np
        >>> import cmcgan_core as cmcgan
        >>> noise = np.random.default_rng(0).uniform(-0.1, 0.1, 44_100)
        >>> said = cmcgan.load("box").classify(noise, sample_rate=44_100)
        >>> said.given, said.generated, len(said.probabilities)
        (('audio',), 'visual', 13)

        Raises:
            ConfigError: neither is given.
        """
        settings, audio, visual = self.trained.about.settings, None, None
        if sound is not None:
            audio = to_audio(self._half_second(sound, sample_rate, at)[None], settings)
        if picture is not None:
            visual = to_visual(to_picture(picture, settings.picture_size)[None])
        return classify(self.trained, self._require_classifier(), audio, visual, SamplingOptions(samples, seed))

    def classify_file(
        self,
        path: str | Path,
        *,
        every: float | None = None,
        at: float | None = None,
        samples: int = 1,
        seed: int = 0,
        progress: bool = False,
    ) -> Classified:
        """Which class a sound, a picture or a video is; with `every`, seconds, also a timeline in such steps."""
        sampling = SamplingOptions(samples, seed, at=at)
        return classify_file(
            self.trained, self._require_classifier(), Path(path), sampling, every, on_progress=_bar(progress)
        )

    def convert(
        self,
        inputs: str | Path | Iterable[str | Path],
        out: str | Path = ".",
        *,
        output: OutputOptions | None = None,
        sampling: SamplingOptions | None = None,
        progress: bool = False,
    ) -> list[Generated]:
        """Files, folders and patterns to what they lack, as files; `docs/media.md` says what becomes of what.

        Results that exist are kept, so the same call goes on after a stop; `Form(overwrite=True)` makes them anew. An
        input that fails raises nothing: its `error` says why, and the others are made.

        Args:
            inputs: one or several.
            out: folder for the results, or the name of a single one.
            output: of the results.
            sampling: of the samples.
            progress: see the class.

        Raises:
            ConfigError: choices that do not go together, or a result that would take the place of an input or another.
        """
        sources = [inputs] if isinstance(inputs, str | Path) else inputs
        found = expand(map(str, sources), Path(out))
        return self._make(found, Path(out), output or OutputOptions(), sampling or SamplingOptions(), progress=progress)

    def _half_second(self, sound: Sound, sample_rate: int | None, at: float | None) -> torch.Tensor:
        """The half second to listen to (L,)."""
        windows = to_windows(sound, sample_rate, self.trained.about.settings)
        waveform = windows.loudest() if at is None else windows.at(at)
        if waveform is None:
            name = sound if isinstance(sound, str | Path) else "the sound"
            raise MediaError(f"{name} has nothing to hear at {at:g} s; choose another `at`")
        return torch.from_numpy(waveform)

    def _film(
        self,
        route: Route,
        source: str | Path,
        out: str | Path,
        output: OutputOptions,
        sampling: SamplingOptions,
        *,
        progress: bool,
    ) -> Generated:
        """Make one film under exactly this name.

        Raises:
            ConfigError: that is no name of such a film.
        """
        suffix = Path(out).suffix[1:].lower()
        known = [name for name in FORMATS[route] if name != "png-sequence"]
        if suffix not in known:
            raise ConfigError(f"{out} is no name of a film; take one that ends in .{', .'.join(known)}")
        one = Input(Path(source), Path(Path(source).name))
        output = replace(output, format=suffix, overwrite=True)
        (made,) = self._make([one], Path(out), output, sampling, progress=progress)
        if made.error:
            raise MediaError(made.error)
        return made

    def _make(
        self, inputs: list[Input], out: Path, output: OutputOptions, sampling: SamplingOptions, *, progress: bool
    ) -> list[Generated]:
        tasks = plan(inputs, out, output, sampling)
        return list(make_all(self.trained, tasks, sampling, output, self.classifier, on_progress=_bar(progress)))

    def _require_classifier(self) -> Trained:
        """The classifier; where there is none, the error says how to come by one."""
        return self.classifier or load_classifier(self.trained.path, torch.device("cpu"))


def _bar(progress: bool) -> OnProgress:
    return tqdm_progress() if progress else silent
