"""What a model makes of performances that are rendered for it, and of the user's own files."""

import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from cmcgan_core.checkpoint import Trained
from cmcgan_core.data.prepare.sources import RawPair, SourceOptions
from cmcgan_core.data.synthetic import DemoSource
from cmcgan_core.errors import MediaError
from cmcgan_core.features.figures import draw_spectrograms
from cmcgan_core.features.representations import analyse
from cmcgan_core.features.scaling import scale_spectrograms
from cmcgan_core.features.settings import FeatureSettings
from cmcgan_core.inference.dynamic_classifier import find_classifier
from cmcgan_core.inference.generate.batch import generate_all, generate_file
from cmcgan_core.inference.generate.plan import OutputOptions, plan
from cmcgan_core.inference.generate.results import Generated
from cmcgan_core.inference.inputs import Input
from cmcgan_core.inference.routes import Format
from cmcgan_core.inference.sampling import SamplingOptions
from cmcgan_core.inference.translate import read_half_second
from cmcgan_core.media.files import media_kind, read_picture, write_picture, write_sound
from cmcgan_core.progress import OnProgress, Progress
from cmcgan_core.reports.demo import Example, Show
from cmcgan_core.utils.names import SPECTROGRAM_SUFFIX

#: Pairs of each performance in the film, half a second each.
FILM_PAIRS = 2


@dataclass(frozen=True)
class _Given:
    """An input as files, not yet translated.

    Attributes:
        label: what it is called on the page.
        sound, picture: its files; None if it lacks one.
    """

    label: str
    sound: Path | None = None
    picture: Path | None = None


def show_model(
    trained: Trained,
    source: DemoSource,
    files: Sequence[Path],
    out: Path,
    seed: int,
    on_progress: OnProgress,
) -> Show:
    """Translate a performance of each class and the user's files in both directions, and make a film.

    Args:
        trained: the model.
        source: renders the performances. They are from the test split of the set with seed 0.
        files: sounds, videos with sound, and pictures of the user. A file that cannot be read is reported on the page.
        out: folder of the page; the files are written to `given/` and `made/` in it.
        seed: seed of the latents.
        on_progress: called after every performance that is rendered and every file that is translated.
    """
    settings = trained.about.settings
    given, film_sound = _render_performances(source, out / "given", settings, on_progress)
    own, faults = _read_files(files, out / "given", settings)
    made = _translate(trained, [*given, *own], out / "made", seed, on_progress)
    examples = [_example(item, made, out, settings) for item in [*given, *own]]
    film = _make_film(trained, film_sound, out, seed)
    return Show(examples[: len(given)], examples[len(given) :], faults, film)


def _render_performances(
    source: DemoSource, folder: Path, settings: FeatureSettings, on_progress: OnProgress
) -> tuple[list[_Given], Path]:
    """Write a sound and a picture from the middle of the first test recording of each class.

    Returns:
        The files, and a sound file with a second of each performance, one after the other.
    """
    options = SourceOptions(settings=settings)
    recordings, _ = source.recordings(Path(), options)
    firsts = {recording.label: recording for recording in reversed(recordings) if recording.split == "test"}
    given, excerpts = [], []
    for done, (label, recording) in enumerate(sorted(firsts.items()), start=1):
        pairs = [pair for pair in source.read_pairs(recording, options) if isinstance(pair, RawPair)]
        middle = len(pairs) // 2
        item = _Given(label.replace("_", " "), folder / f"{label}.wav", folder / f"{label}.png")
        _write_given(item, pairs[middle].sound, pairs[middle].picture, settings)
        given.append(item)
        excerpts += [pair.sound for pair in pairs[middle : middle + FILM_PAIRS]]
        on_progress(Progress("rendering performances", done, len(firsts), "performances"))
    film_sound = folder / "film.wav"
    write_sound(film_sound, np.concatenate(excerpts), settings.sample_rate)
    return given, film_sound


def _read_files(files: Sequence[Path], folder: Path, settings: FeatureSettings) -> tuple[list[_Given], list[str]]:
    """Write the loudest half second of each sound of the user, and each picture; return also what cannot be read."""
    given, faults = [], []
    for number, file in enumerate(files, start=1):
        base = folder / f"own-{number}"
        try:
            if media_kind(file) == "picture":
                item = _Given(file.name, picture=base.with_suffix(".png"))
                _write_given(item, None, read_picture(file, settings.picture_size), settings)
            else:
                item = _Given(file.name, sound=base.with_suffix(".wav"))
                _write_given(item, read_half_second(file, settings, None).numpy(), None, settings)
            given.append(item)
        except MediaError as error:
            faults.append(str(error))
    return given, faults


def _write_given(
    item: _Given, sound: NDArray[np.float32] | None, picture: NDArray[np.uint8] | None, settings: FeatureSettings
) -> None:
    """Write the files of an input: its sound (L,) with a drawing of the spectrogram, and its picture (H, W, 3)."""
    if item.sound is not None and sound is not None:
        write_sound(item.sound, sound, settings.sample_rate)
        scaled = scale_spectrograms(analyse(torch.from_numpy(sound), settings), settings)
        write_picture(_drawing(item.sound), draw_spectrograms(scaled[None, None], enlarge=3)[0])
    if item.picture is not None and picture is not None:
        write_picture(item.picture, picture)


def _drawing(sound: Path) -> Path:
    """Return the file with the spectrogram of a sound file."""
    return sound.with_suffix(SPECTROGRAM_SUFFIX)


def _translate(
    trained: Trained, given: Sequence[_Given], out: Path, seed: int, on_progress: OnProgress
) -> dict[Path, Generated]:
    """Translate all sounds and pictures; return the results by input."""
    sampling, output = SamplingOptions(seed=seed), OutputOptions(overwrite=True)
    sounds = [item.sound for item in given if item.sound]
    pictures = [item.picture for item in given if item.picture]
    tasks = plan([Input(path, Path(path.name)) for path in [*sounds, *pictures]], out, output, sampling)
    classifier = find_classifier(trained)
    results = generate_all(trained, tasks, sampling, output, classifier, on_progress=on_progress)
    return {result.input: result for result in results}


def _example(item: _Given, made: dict[Path, Generated], out: Path, settings: FeatureSettings) -> Example:
    """Return an input and what was generated from it, with paths relative to the page."""

    def relative(path: Path | None) -> str:
        return "" if path is None else path.relative_to(out).as_posix()

    from_sound = made[item.sound] if item.sound else None
    from_picture = made[item.picture] if item.picture else None
    return Example(
        label=item.label,
        picture=relative(item.picture),
        sound=relative(item.sound),
        spectrogram=relative(item.sound and _drawing(item.sound)),
        made_picture=relative(from_sound.outputs[0] if from_sound else None),
        made_sound=relative(from_picture.outputs[0] if from_picture else None),
        made_spectrogram=relative(from_picture.outputs[1] if from_picture else None),
        guess=((from_sound and from_sound.guess) or "").replace("_", " "),
    )


def _make_film(trained: Trained, sound: Path, out: Path, seed: int) -> str:
    """Write a film that follows a sound; return its path relative to the page, or "" if PyAV is not installed."""
    if importlib.util.find_spec("av") is None:
        return ""
    film = out / "made" / "film.mp4"
    output = OutputOptions(format=Format.MP4, overwrite=True)
    generate_file(trained, sound, film, SamplingOptions(seed=seed), output)
    return film.relative_to(out).as_posix()
