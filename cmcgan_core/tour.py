"""The tour of `cmcgan demo`: render performances, train, evaluate, generate in both directions, and write a page.

It needs no download.
"""

import json
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from cmcgan_core.checkpoint import RunFolder, load_checkpoint
from cmcgan_core.config import Config, load_config
from cmcgan_core.data.dataset import open_dataset
from cmcgan_core.data.prepare.pipeline import prepare
from cmcgan_core.data.prepare.sources import RawPair, SourceOptions
from cmcgan_core.data.synthetic import DemoSource
from cmcgan_core.evaluation.evaluate import Evaluation, evaluate
from cmcgan_core.features.figures import draw_spectrograms
from cmcgan_core.features.representations import analyse
from cmcgan_core.features.scaling import scale_spectrograms
from cmcgan_core.inference.generate import OutputOptions, generate_file
from cmcgan_core.inference.translate import SamplingOptions
from cmcgan_core.media.files import write_picture, write_sound
from cmcgan_core.progress import OnProgress, Progress, silent
from cmcgan_core.reports.html import demo_page
from cmcgan_core.training.train import train_run
from cmcgan_core.utils.device import choose_device
from cmcgan_core.utils.files import write_text


@dataclass(frozen=True)
class Tour:
    """The size of a tour: how many pairs to render, and what to train on them."""

    pairs: int
    preset: str
    settings: tuple[str, ...] = ()

    def config(self) -> Config:
        """Return the configuration of the run."""
        return load_config(self.preset, settings=self.settings)


#: Several minutes on two CPU cores.
FULL = Tour(1950, "small", ("train.epochs=6",))
#: Under two minutes.
FAST = Tour(520, "tiny", ("train.epochs=6",))


@dataclass(frozen=True)
class Demonstration:
    """A finished tour.

    Attributes:
        page: the HTML page with samples and tables.
        seconds: duration of this call.
        evaluation: the rows of Tables 1 and 2.
    """

    page: Path
    seconds: float
    evaluation: Evaluation


@dataclass(frozen=True)
class Example:
    """A held-out performance of a class, and what was generated from it. Paths are relative to the page.

    Attributes:
        label: name of the class.
        picture, sound, spectrogram: the real ones.
        made_picture, made_sound, made_spectrogram: the generated ones.
    """

    label: str
    picture: Path
    sound: Path
    spectrogram: Path
    made_picture: Path
    made_sound: Path
    made_spectrogram: Path


def run_demo(
    out: Path,
    tour: Tour = FULL,
    *,
    soundfonts: tuple[Path, ...] = (),
    seed: int = 0,
    device: str = "auto",
    overwrite: bool = False,
    on_progress: OnProgress = silent,
) -> Demonstration:
    """Render a dataset, train, evaluate, generate and write a page.

    Work that an interrupted call finished is not repeated.

    Args:
        out: folder for everything: `data/`, `run/`, `given/`, `made/`, `evaluation.json`, `index.html`.
        tour: size of the dataset, and what to train.
        soundfonts: see `DemoSource`.
        seed: seed of everything.
        device: see `choose_device`.
        overwrite: replace the tour in `out`, which may be of another size or seed.
        on_progress: called in every stage.

    Raises:
        Interrupted: a stop was requested; the same call resumes.
    """
    started = time.monotonic()
    source, options = DemoSource(tour.pairs, soundfonts=soundfonts), SourceOptions(seed=seed)
    prepare(Path(), out / "data", source, options, overwrite=overwrite, on_progress=on_progress)
    dataset, run = open_dataset(out / "data"), out / "run"
    config = replace(tour.config(), seed=seed)
    train_run(config, dataset, run, device=device, resume=not overwrite, overwrite=overwrite, on_progress=on_progress)
    evaluation = evaluate(run, dataset, latents=1, seed=seed, thorough=False, device=device, on_progress=on_progress)
    write_text(out / "evaluation.json", json.dumps(evaluation.to_dict(), indent=1) + "\n")
    examples = _examples(source, options, out, device, on_progress)
    seconds, page = time.monotonic() - started, out / "index.html"
    write_text(page, demo_page(evaluation, [asdict(example) for example in examples], config, seconds))
    return Demonstration(page, seconds, evaluation)


def _examples(
    source: DemoSource, options: SourceOptions, out: Path, device: str, on_progress: OnProgress
) -> list[Example]:
    """Write a held-out sound and frame of each class as files, and generate from these files as a user would."""
    trained = load_checkpoint(RunFolder(out / "run").last, choose_device(device))
    test_pairs = list(_test_pairs(source, options))
    examples = []
    for done, (label, pair) in enumerate(test_pairs, start=1):
        sound, picture = out / "given" / f"{label}.wav", out / "given" / f"{label}.png"
        write_sound(sound, pair.sound, options.settings.sample_rate)
        write_picture(picture, pair.picture)
        sampling, output = SamplingOptions(seed=options.seed), OutputOptions(overwrite=True)
        (made_picture,) = generate_file(trained, sound, out / "made", sampling, output).outputs
        made_sound, made_spectrogram, _ = generate_file(trained, picture, out / "made", sampling, output).outputs
        drawn = sound.with_suffix(".lms.png")
        write_picture(drawn, _spectrogram(pair, options))
        paths = (picture, sound, drawn, made_picture, made_sound, made_spectrogram)
        examples.append(Example(label, *(path.relative_to(out) for path in paths)))
        on_progress(Progress("generating", done, len(test_pairs), "performances"))
    return examples


def _test_pairs(source: DemoSource, options: SourceOptions) -> Iterator[tuple[str, RawPair]]:
    """Yield a pair from the middle of the first test recording of each class."""
    recordings, _ = source.recordings(Path(), options)
    firsts = {recording.label: recording for recording in reversed(recordings) if recording.split == "test"}
    for label, recording in sorted(firsts.items()):
        pairs = [pair for pair in source.read_pairs(recording, options) if isinstance(pair, RawPair)]
        yield label, pairs[len(pairs) // 2]


def _spectrogram(pair: RawPair, options: SourceOptions) -> NDArray[np.uint8]:
    scaled = scale_spectrograms(analyse(torch.from_numpy(pair.sound), options.settings), options.settings)
    drawn: NDArray[np.uint8] = draw_spectrograms(scaled[None, None], enlarge=3)[0]
    return drawn
