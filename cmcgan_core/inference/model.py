"""A trained model as one Python object, which does what `cmcgan generate`, `classify` and `retrieve` do.

Sounds and pictures may be files, arrays or tensors; pictures may also be Pillow images (see `inference.arrays`).
Generated pictures are Pillow images, generated sounds are numpy arrays. The same input, seed and options give the same
results as the commands.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from cmcgan_core.checkpoint import Trained, load_checkpoint
from cmcgan_core.errors import ConfigError, MediaError
from cmcgan_core.inference.arrays import Picture, Sound, to_picture, to_windows
from cmcgan_core.inference.classify import classify_file, classify_half_second
from cmcgan_core.inference.dynamic_classifier import Classified, DynamicClassifier, find_classifier, load_classifier
from cmcgan_core.inference.generate.batch import generate_all
from cmcgan_core.inference.generate.clips import generate_spectrograms, synthesise_all
from cmcgan_core.inference.generate.plan import OutputOptions, plan
from cmcgan_core.inference.generate.results import Generated
from cmcgan_core.inference.generate.session import GenerationSession
from cmcgan_core.inference.inputs import Input, expand
from cmcgan_core.inference.pretrained import download_model, is_hub_name, save_model
from cmcgan_core.inference.retrieve.files import find_gallery
from cmcgan_core.inference.retrieve.results import Hit
from cmcgan_core.inference.retrieve.retrieval import retrieve
from cmcgan_core.inference.routes import FORMATS, Format, Route
from cmcgan_core.inference.sampling import SamplingOptions
from cmcgan_core.inference.target import Target
from cmcgan_core.inference.translate import pictures_to_input, sound_to_pictures
from cmcgan_core.media.damage import DamagedInterval
from cmcgan_core.media.level import LOUDNESS
from cmcgan_core.modality import Modality
from cmcgan_core.progress import OnProgress, silent, tqdm_progress
from cmcgan_core.run_folder import find_checkpoint, named_run
from cmcgan_core.utils.device import choose_device

if TYPE_CHECKING:
    from PIL.Image import Image


def load(checkpoint: str | Path = "box", device: str = "auto") -> "Model":
    """Load a model.

    Examples:
        >>> import cmcgan_core as cmcgan
        >>> model = cmcgan.load()
        >>> model.classes[:3], model.sample_rate
        (('bassoon', 'cello', 'clarinet'), 44100)

    Args:
        checkpoint: a run folder or its name in `runs/`, a folder that `Model.save_pretrained` wrote, a checkpoint
            file, or "box" for the model that ships with cmcgan.
        device: see `choose_device`.

    Raises:
        CheckpointError: the checkpoint does not exist or cannot be read.
        ConfigError: this machine does not have the device.
    """
    chosen = choose_device(device)
    trained = load_checkpoint(find_checkpoint(named_run(checkpoint)), chosen)
    return Model(trained, find_classifier(trained))


@dataclass(frozen=True)
class Model:
    """Turns sounds into pictures and films, turns pictures and films into sounds, classifies and finds all of them.

    Arguments that several methods share:

    - `seed`: seed of all random numbers.
    - `hops`: 1 is A2V or V2A, 2 is the paper's A-A-V or V-V-A; None is the model's own number.
    - `at`: start of the half second of the sound that is used, in seconds; None is the loudest half second.
    - `sample_rate`: sample rate in Hz of a sound that is an array or a tensor.
    - `drift`: seconds from one random variation to the next, see `cmcgan.OutputOptions`.
    - `loudness`: level of the generated sound in dBFS, lower if a peak would clip; None keeps the model's own level.
    - `out`: file to write, completely or not at all; an existing file is replaced.
    - `progress`: whether to show a tqdm bar.

    All methods raise MediaError for an input that cannot be read or is not of the right kind; CheckpointError if the
    model does not support the direction or has no classifier; and ConfigError for options that are out of range.

    Attributes:
        trained: the generating run.
        classifier: the multimodal classifier of the run, or None if it has none.
    """

    trained: Trained
    classifier: Trained | None

    def __repr__(self) -> str:
        """Name the checkpoint; all fields together are hundreds of lines."""
        return f"Model({str(self.trained.path)!r})"

    @classmethod
    def from_pretrained(cls, name: str | Path, device: str = "auto", *, revision: str | None = None) -> "Model":
        """Load a model from a folder or from the Hugging Face Hub, see `docs/models.md`.

        Args:
            name: what `cmcgan.load` loads, or OWNER/NAME on the Hub, if there is no such folder.
            device: see `choose_device`.
            revision: a branch, a tag or a commit on the Hub; None is the main branch.

        Raises:
            CheckpointError: there is no such model, it cannot be downloaded, or it cannot be read.
            ConfigError: a model of the Hub needs a package that is not installed, or this machine does not have the
                device.
        """
        if is_hub_name(str(name)) and not Path(name).exists():
            name = download_model(str(name), revision)
        return load(name, device)

    def save_pretrained(self, folder: str | Path, *, licence: str = "unknown") -> None:
        """Write the model into a folder, in the layout of the Hugging Face Hub, see `docs/models.md`.

        Examples:
            >>> import tempfile
            >>> from pathlib import Path
            >>> import cmcgan_core as cmcgan
            >>> with tempfile.TemporaryDirectory() as folder:
            ...     cmcgan.load("box").save_pretrained(folder, licence="mit")
            ...     sorted(path.name for path in Path(folder).iterdir())
            ['README.md', 'classifier.safetensors', 'config.toml', 'last.safetensors']

        Args:
            folder: the folder; files of an older model are replaced, but a model card that is there is kept.
            licence: the licence of the weights for the model card, as the Hub names it, for example "mit".

        Raises:
            ConfigError: the folder holds a run, whose training state would be lost.
            CheckpointError: the folder cannot be written.
        """
        save_model(Path(folder), self.trained, self.classifier, licence)

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes that the model was trained on."""
        return self.trained.about.classes

    @property
    def sample_rate(self) -> int:
        """Sample rate of generated sounds, in Hz."""
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
        """Return a picture of half a second of a sound.

        The sound is a file, or floats in [-1, 1] of the shape (L,) or (channels, L).

        Examples:
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
        """Return several pictures of the same half second. Picture i (from 0) is `sound_to_picture` with seed + i."""
        from PIL import Image

        waveform = self._read_half_second(sound, sample_rate, at)
        pictures = sound_to_pictures(self.trained, waveform, SamplingOptions(samples=samples, seed=seed, hops=hops))
        return [Image.fromarray(picture) for picture in pictures]

    def picture_to_sound(
        self,
        picture: Picture,
        seconds: float = 0.5,
        *,
        drift: float | None = None,
        loudness: float | None = LOUDNESS,
        seed: int = 0,
        hops: int | None = None,
    ) -> NDArray[np.float32]:
        """Return a sound of a picture, (L,) at `sample_rate`.

        The picture is a file, an image, an array (H, W, 3) or a tensor (3, H, W); values are uint8, or floats in
        [0, 1].

        Examples:
            >>> from PIL import Image
            >>> import cmcgan_core as cmcgan
            >>> cmcgan.load("box").picture_to_sound(Image.new("RGB", (200, 200), "sienna")).shape
            (22050,)
        """
        output = OutputOptions(seconds=seconds, drift=drift, loudness=loudness)
        session = GenerationSession(self.trained, SamplingOptions(seed=seed, hops=hops), output)
        pixels = to_picture(picture, session.settings.picture_size)
        maps = generate_spectrograms(session, pictures_to_input(self.trained, pixels[None]))
        ((waveform, _),) = synthesise_all(session, maps)
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
        """Write a film whose frames follow the sound of a sound file or a video, with that sound; return `out`.

        `out` ends in .mp4, .mkv, .mov or .gif. `fps` is the number of frames per second, in a GIF at most 50.
        `size` is their side in pixels; None is the model's own size, but at least 256.
        """
        output = OutputOptions(to=Modality.VISUAL, size=size, fps=fps, drift=drift)
        self._generate_film(Route.FILM, sound, out, output, SamplingOptions(seed=seed, hops=hops), progress=progress)
        return Path(out)

    def add_soundtrack(
        self,
        film: str | Path,
        out: str | Path,
        *,
        drift: float | None = None,
        loudness: float | None = LOUDNESS,
        seed: int = 0,
        hops: int | None = None,
        progress: bool = False,
    ) -> Path:
        """Write a video with a soundtrack that is generated from its pictures; return `out`.

        The pictures are copied. The video's own sound is left out. `out` ends in .mkv, .mp4, .m4v, .mov, .webm or
        .avi.
        """
        output = OutputOptions(to=Modality.AUDIO, drift=drift, loudness=loudness)
        self._generate_film(
            Route.SOUNDTRACK, film, out, output, SamplingOptions(seed=seed, hops=hops), progress=progress
        )
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
        """Write a video whose damaged, black or missing frames are generated from its sound; return the intervals.

        If nothing is damaged, nothing is written. `out` ends in .mkv, .mp4, .m4v or .mov.
        """
        output = OutputOptions(repair=True, drift=drift)
        sampling = SamplingOptions(seed=seed, hops=hops)
        return self._generate_film(Route.REPAIR, film, out, output, sampling, progress=progress).repaired

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
        """Classify a sound, a picture, or a sound and a picture of one performance.

        The missing modality is generated `samples` times, and the probabilities are averaged.

        Examples:
            >>> import numpy as np
            >>> import cmcgan_core as cmcgan
            >>> noise = np.random.default_rng(0).uniform(-0.1, 0.1, 44_100)
            >>> result = cmcgan.load("box").classify(noise, sample_rate=44_100)
            >>> [str(modality) for modality in result.given], str(result.generated), len(result.probabilities)
            (['audio'], 'visual', 13)

        Raises:
            ConfigError: neither a sound nor a picture is given.
        """
        settings = self.trained.about.settings
        sampling = SamplingOptions(samples=samples, seed=seed)
        return classify_half_second(
            DynamicClassifier(self.trained, self._require_classifier(), sampling),
            None if sound is None else self._read_half_second(sound, sample_rate, at),
            None if picture is None else to_picture(picture, settings.picture_size),
        )

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
        """Classify a sound, a picture or a video; `every` adds a timeline with steps of this length in seconds."""
        sampling = SamplingOptions(samples=samples, seed=seed, at=at)
        return classify_file(
            self.trained, self._require_classifier(), Path(path), sampling, every, on_progress=_progress_bar(progress)
        )

    def retrieve(
        self,
        query: str | Path,
        gallery: str | Path | Iterable[str | Path],
        *,
        top: int = 5,
        to: str | None = None,
        at: float | None = None,
        index: str | Path | None = None,
        progress: bool = False,
    ) -> list[Hit]:
        """Find the files that are most similar to a sound, a picture or a video, the best first.

        Embeddings of files are kept in an index, so the same folder is searched faster the next time; see
        `docs/retrieval.md`. Files that cannot be read are left out; `cmcgan.retrieve` names them.

        Examples:
            >>> import tempfile
            >>> from pathlib import Path
            >>> from PIL import Image
            >>> import cmcgan_core as cmcgan
            >>> with tempfile.TemporaryDirectory() as folder:
            ...     for name in ("sienna", "navy"):
            ...         Image.new("RGB", (64, 64), name).save(f"{folder}/{name}.png")
            ...     query = Image.new("RGB", (64, 64), "sienna").save(f"{folder}/query.png")
            ...     hits = cmcgan.load("box").retrieve(f"{folder}/query.png", folder, to="visual", index=folder)
            >>> [hit.path.name for hit in hits], hits[0].score
            (['sienna.png', 'navy.png'], 1.0)

        Args:
            query: the file that the search begins with.
            gallery: one or several files, folders or patterns, which are searched.
            top: largest number of files to return.
            to: "visual", "audio" or "all"; None is the modality that the query is not.
            at: start of the half second of a sound, or time of the picture of a video, in seconds.
            index: folder of the index; None is a folder in the user's cache.
            progress: whether to show a tqdm bar.

        Raises:
            CheckpointError: the model does not embed both modalities.
            MediaError: the query cannot be read, or is silent.
            ConfigError: the gallery holds nothing that can be found, or `to` or `top` is out of range.
        """
        if to not in (None, *Target):
            raise ConfigError(f"to cannot be {to!r}; take {', '.join(Target)} or None")
        sources = [gallery] if isinstance(gallery, str | Path) else gallery
        found = retrieve(
            self.trained,
            [Path(query)],
            find_gallery([str(source) for source in sources]),
            top=top,
            to=None if to is None else Target(to),
            at=at,
            index_folder=None if index is None else Path(index),
            on_progress=_progress_bar(progress),
        )
        (result,) = found.results
        if result.error:
            raise MediaError(result.error)
        return list(result.hits)

    def convert(
        self,
        inputs: str | Path | Iterable[str | Path],
        out: str | Path = ".",
        *,
        output: OutputOptions | None = None,
        sampling: SamplingOptions | None = None,
        progress: bool = False,
    ) -> list[Generated]:
        """Generate the missing modality of files, folders and patterns, as files; see `docs/media.md`.

        Existing outputs are kept, so the same call resumes after a stop; `OutputOptions(overwrite=True)` replaces them.
        An input that fails does not raise an error and does not stop the others: its `error` says what is wrong.

        Args:
            inputs: one or several files, folders or patterns.
            out: folder of the outputs, or the name of the only output.
            output: what the outputs look like.
            sampling: how outputs are sampled.
            progress: whether to show a tqdm bar.

        Returns:
            The results, in the order of the inputs.

        Raises:
            ConfigError: options contradict each other, or an output would replace an input or another output.
        """
        sources = [inputs] if isinstance(inputs, str | Path) else inputs
        output, sampling = output or OutputOptions(), sampling or SamplingOptions()
        return self._generate(expand(map(str, sources), Path(out)), Path(out), output, sampling, progress=progress)

    def _read_half_second(self, sound: Sound, sample_rate: int | None, at: float | None) -> torch.Tensor:
        """Return the half second (L,) of a sound that begins at a time, or the loudest one.

        Raises:
            MediaError: the sound cannot be read, or ends before that time.
        """
        windows = to_windows(sound, sample_rate, self.trained.about.settings)
        waveform = windows.loudest() if at is None else windows.at(at)
        if waveform is None:
            name = sound if isinstance(sound, str | Path) else "the array"
            raise MediaError(f"{name} has no sound at {at:g} s; choose another `at`")
        return torch.from_numpy(waveform)

    def _generate_film(
        self,
        route: Route,
        source: str | Path,
        out: str | Path,
        output: OutputOptions,
        sampling: SamplingOptions,
        *,
        progress: bool,
    ) -> Generated:
        """Generate one film with exactly this name.

        Raises:
            ConfigError: the suffix of the name is not a film format of the route.
            MediaError: the source cannot be read, or the film cannot be written.
        """
        suffix = Path(out).suffix[1:].lower()
        formats = {str(name): name for name in FORMATS[route] if name is not Format.PNG_SEQUENCE}
        if suffix not in formats:
            raise ConfigError(f"{out} is not the name of a film; take one that ends in .{', .'.join(formats)}")
        inputs = [Input(Path(source), Path(Path(source).name))]
        output = replace(output, format=formats[suffix], overwrite=True)
        (result,) = self._generate(inputs, Path(out), output, sampling, progress=progress)
        if result.error:
            raise MediaError(result.error)
        return result

    def _generate(
        self, inputs: list[Input], out: Path, output: OutputOptions, sampling: SamplingOptions, *, progress: bool
    ) -> list[Generated]:
        """Plan and run tasks."""
        tasks = plan(inputs, out, output, sampling)
        return list(
            generate_all(self.trained, tasks, sampling, output, self.classifier, on_progress=_progress_bar(progress))
        )

    def _require_classifier(self) -> Trained:
        """Return the classifier.

        Raises:
            CheckpointError: there is none; the message says how to train one.
        """
        return self.classifier or load_classifier(self.trained)


def _progress_bar(progress: bool) -> OnProgress:
    return tqdm_progress() if progress else silent
