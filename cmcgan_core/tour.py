"""A tour with nothing to download: render performances, train, generate both ways, evaluate, and make a page of it."""

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from cmcgan_core.checkpoint import load_checkpoint
from cmcgan_core.config import Config, load_config
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
    """How large a tour is: pairs to render, and what to train on them."""

    pairs: int
    preset: str
    settings: tuple[str, ...] = ()

    def config(self) -> Config:
        """The run's configuration."""
        return load_config(self.preset, settings=self.settings)


#: Several minutes on two CPU cores.
FULL = Tour(1950, "small", ("train.epochs=6",))
#: Under two minutes.
FAST = Tour(520, "tiny", ("train.epochs=6",))


@dataclass(frozen=True)
class Demonstration:
    """What a tour left behind.

    Attributes:
        page: the page to open.
        finished: whether it came to its end; if not, the same command goes on.
        seconds: that this call took.
        evaluation: the rows of Tables 1 and 2, if it came to its end.
    """

    page: Path
    finished: bool
    seconds: float
    evaluation: Evaluation | None


@dataclass(frozen=True)
class Example:
    """One held-out performance of a class, and what was generated from it; paths relative to the page."""

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
    soundfont: Path | None = None,
    seed: int = 0,
    device: str = "auto",
    overwrite: bool = False,
    on_progress: OnProgress = silent,
) -> Demonstration:
    """Do the tour; what an interrupted one finished is not done again.

    Args:
        out: folder for everything: `data/`, `run/`, `given/`, `made/`, `evaluation.json`, `index.html`.
        tour: its size.
        soundfont: render with this soundfont instead of the built-in synthesis.
        seed: of everything.
        device: see `choose_device`.
        overwrite: begin anew where `out` holds a tour, of another size or seed perhaps.
        on_progress: told of every stage.
    """
    started = time.monotonic()
    source, options = DemoSource(tour.pairs, soundfont), SourceOptions(seed=seed)
    prepare(Path(), out / "data", source, options, overwrite=overwrite, on_progress=on_progress)
    config = replace(tour.config(), seed=seed)
    result = train_run(
        config,
        out / "data",
        out / "run",
        device=device,
        resume=not overwrite,
        overwrite=overwrite,
        on_progress=on_progress,
    )
    page = out / "index.html"
    if not result.finished:
        return Demonstration(page, finished=False, seconds=time.monotonic() - started, evaluation=None)
    evaluation = evaluate(
        out / "run", out / "data", latents=1, seed=seed, thorough=False, device=device, on_progress=on_progress
    )
    write_text(out / "evaluation.json", json.dumps(evaluation.to_dict(), indent=1) + "\n")
    examples = _examples(source, options, out, device, on_progress)
    seconds = time.monotonic() - started
    write_text(page, demo_page(evaluation, [example.__dict__ for example in examples], config, seconds))
    return Demonstration(page, finished=True, seconds=seconds, evaluation=evaluation)


def _examples(
    source: DemoSource, options: SourceOptions, out: Path, device: str, on_progress: OnProgress
) -> list[Example]:
    """Write a held-out sound and frame of each class as files, and generate from those files as a user would."""
    trained = load_checkpoint(out / "run" / "last.safetensors", choose_device(device))
    held_out = list(_held_out(source, options))
    examples = []
    for done, (label, pair) in enumerate(held_out, start=1):
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
        on_progress(Progress("generating", done, len(held_out), "performances"))
    return examples


def _held_out(source: DemoSource, options: SourceOptions) -> Iterator[tuple[str, RawPair]]:
    """A pair from the middle of the first test recording of each class."""
    recordings, _ = source.recordings(Path(), options)
    firsts = {recording.label: recording for recording in reversed(recordings) if recording.split == "test"}
    for label, recording in sorted(firsts.items()):
        pairs = [pair for pair in source.read_pairs(recording, options) if isinstance(pair, RawPair)]
        yield label, pairs[len(pairs) // 2]


def _spectrogram(pair: RawPair, options: SourceOptions) -> NDArray[np.uint8]:
    scaled = scale_spectrograms(analyse(torch.from_numpy(pair.sound), options.settings), options.settings)
    drawn: NDArray[np.uint8] = draw_spectrograms(scaled[None, None], enlarge=3)[0]
    return drawn
