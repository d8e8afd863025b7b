"""A study folder from pairs and models: items drawn, levelled, blinded and written."""

import os
import secrets
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import date
from itertools import combinations
from pathlib import Path

import numpy as np

from cmcgan_core.errors import ConfigError, DataError
from cmcgan_core.human_eval.designs import GROUND_TRUTH, MODALITIES, Design, Modality, find_design
from cmcgan_core.human_eval.draw import SAMPLE_RATE, Maker, Pair, Picture, Sound
from cmcgan_core.human_eval.store import Item, create_database
from cmcgan_core.human_eval.study import Plan, Study, open_study, write_plan
from cmcgan_core.media.files import write_picture, write_sound
from cmcgan_core.progress import OnProgress, Progress, silent

#: Level that all sounds get, decibels below full scale (RMS): loudness neither pleases nor betrays a model nor hurts.
LEVEL = -23.0
#: Largest side of a picture, pixels; all pictures of a study get the size of its largest one.
LARGEST_PICTURE = 512
#: Pairs set aside for attention checks and examples, never rated.
SET_ASIDE = 4


@dataclass(frozen=True)
class _Sample:
    """What somebody made of a pair: a picture or a sound."""

    model: str
    content: Picture | Sound


def create_study(
    out: Path,
    plan: Plan,
    pairs: list[Pair],
    makers: Mapping[str, Maker],
    *,
    modalities: tuple[Modality, ...] = MODALITIES,
    on_progress: OnProgress = silent,
) -> Study:
    """Write a study folder, whole or not at all.

    Args:
        out: the folder; must not exist, or be empty.
        plan: without its models, which are those of `makers`.
        pairs: real ones; the last `SET_ASIDE` serve examples and attention checks and are not rated.
        makers: models by name.
        modalities: what is to be generated; those that the design cannot ask of are left out.
        on_progress: told of every pair.

    Raises:
        DataError: there are too few pairs, or a model made nothing of them.
        ConfigError: the names or modalities do not fit; or the folder holds something already.
    """
    design = find_design(plan.design)
    asked = tuple(m for m in design.modalities if m in modalities)
    _check(out, design, asked, pairs, makers)
    rated, aside = pairs[:-SET_ASIDE], pairs[-SET_ASIDE:]
    out.parent.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(dir=out.parent, prefix=f".{out.name}."))
    try:
        writer = _Writer(work / "items", _picture_side(pairs, makers, asked))
        items: list[Item] = []
        for done, pair in enumerate(rated, start=1):
            for modality in asked:
                items += _rated_items(pair, modality, makers, design, writer)
            on_progress(Progress("making items", done, len(rated), "pairs"))
        _check_items(items, makers, asked)
        items += _check_and_example_items(aside, asked, design, plan, writer)
        complete = replace(
            plan, models={name: maker.origin for name, maker in makers.items()}, created=date.today().isoformat()
        )
        create_database(work / "study.db", items)
        write_plan(work, complete)
        work.chmod(0o755)
        work.replace(out)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return open_study(out)


def _check(
    out: Path, design: Design, asked: tuple[Modality, ...], pairs: list[Pair], makers: Mapping[str, Maker]
) -> None:
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ConfigError(f"{out} holds something already, perhaps answers; choose another --out")
    if not asked:
        raise ConfigError(
            f"the design {design.name} asks of {' and '.join(design.modalities)}s only; choose another --modality"
        )
    if not makers:
        raise ConfigError("no model takes part; name one with --model RUN, or --model NAME=FOLDER")
    if GROUND_TRUTH in makers:
        raise ConfigError(
            f"no model may be called {GROUND_TRUTH!r}, as the real pairs are; rename it: --model NAME=PATH"
        )
    if len(pairs) <= SET_ASIDE:
        raise DataError(
            f"there are {len(pairs)} pairs; {SET_ASIDE} serve examples and attention checks, so at least "
            f"{SET_ASIDE + 1} are needed; give a larger dataset or folder"
        )


def _check_items(items: list[Item], makers: Mapping[str, Maker], asked: tuple[Modality, ...]) -> None:
    for name, maker in makers.items():
        if not any(name in (item.model, item.rival) for item in items):
            raise DataError(
                f"{name} ({maker.origin}) has no {' or '.join(asked)} for any of the pairs; its files must "
                "bear the pairs' names (write the pairs with: cmcgan human-eval inputs DATA)"
            )


def _rated_items(
    pair: Pair, modality: Modality, makers: Mapping[str, Maker], design: Design, writer: "_Writer"
) -> Iterator[Item]:
    samples = [_Sample(GROUND_TRUTH, pair.picture if modality == "picture" else pair.sound)]
    for name, maker in makers.items():
        if modality in maker.makes(pair.name):
            samples.append(_Sample(name, maker.picture(pair) if modality == "picture" else maker.sound(pair)))
    if design.paired:
        for first, second in combinations(samples, 2):
            yield writer.item("rated", modality, pair, first, second)
    else:
        for sample in samples:
            yield writer.item("rated", modality, pair, sample)


def _check_and_example_items(
    aside: list[Pair], asked: tuple[Modality, ...], design: Design, plan: Plan, writer: "_Writer"
) -> Iterator[Item]:
    rng = np.random.default_rng(plan.seed)
    for number in range(plan.checks_per_rater):
        modality = asked[number % len(asked)]
        pair = aside[1 + number % (SET_ASIDE - 1)]
        noise = _Sample("noise", _spoil(pair, modality, "noise", aside, rng))
        if design.paired:
            yield writer.item("check", modality, pair, noise, _real(pair, modality))
        else:
            yield writer.item("check", modality, pair, noise)
    for modality in asked:
        for kind in design.examples:
            pair = aside[0]
            sample = _Sample(kind, _spoil(pair, modality, kind, aside, rng))
            if design.paired:
                yield writer.item(
                    f"example {kind}",
                    modality,
                    pair,
                    sample,
                    _Sample("noise", _spoil(pair, modality, "noise", aside, rng)),
                )
            else:
                yield writer.item(f"example {kind}", modality, pair, sample)


def _real(pair: Pair, modality: Modality) -> _Sample:
    return _Sample("real", pair.picture if modality == "picture" else pair.sound)


def _spoil(pair: Pair, modality: Modality, kind: str, aside: list[Pair], rng: np.random.Generator) -> Picture | Sound:
    """A sample that deserves a known answer: real, mismatched (another class), blurred (pictures only) or noise."""
    if kind == "mismatched":
        others = [other for other in aside if other.label != pair.label]
        if not others:
            raise DataError(
                "an example shows a picture of another class, but the pairs that are set aside are of one "
                "class; give pairs of several (in folders by class), or more"
            )
        pair = others[0]
    real = _real(pair, modality).content
    if kind == "noise":
        noise = rng.normal(size=real.shape)
        return (128 + 64 * noise).clip(0, 255).astype(np.uint8) if modality == "picture" else noise.astype(np.float32)
    if kind == "blurred":
        from PIL import Image, ImageFilter

        image = Image.fromarray(np.ascontiguousarray(real))
        return np.asarray(image.filter(ImageFilter.GaussianBlur(min(image.size) / 20)))
    return real


def _picture_side(pairs: list[Pair], makers: Mapping[str, Maker], asked: tuple[Modality, ...]) -> int:
    """The side that all pictures get, so that size tells nothing of who made them."""
    sides = [int(max(pair.picture.shape[:2])) for pair in pairs]
    if "picture" in asked:
        for maker in makers.values():
            known = next((pair for pair in pairs if "picture" in maker.makes(pair.name)), None)
            sides += [int(max(maker.picture(known).shape[:2]))] if known else []
    return min(LARGEST_PICTURE, max(sides))


class _Writer:
    """Writes media under random names, alike in all that could tell who made them."""

    def __init__(self, folder: Path, side: int) -> None:
        self.folder = folder
        self.side = side
        self._sources: dict[tuple[str, str], str] = {}

    def item(self, role: str, modality: Modality, pair: Pair, sample: _Sample, rival: _Sample | None = None) -> Item:
        """Write what an item shows; the source of a pair is written once."""
        key = (pair.name, modality)
        if key not in self._sources:
            self._sources[key] = self._write(pair.sound if modality == "picture" else pair.picture)
        shown, other = self._write(sample.content), self._write(rival.content) if rival else ""
        against = rival.model if rival else ""
        return Item(role, modality, pair.name, pair.label, sample.model, against, self._sources[key], shown, other)

    def _write(self, content: Picture | Sound) -> str:
        from PIL import Image

        name = self.folder / secrets.token_hex(12)
        if content.ndim == 1:
            path = name.with_suffix(".wav")
            write_sound(path, level(content.astype(np.float32)), SAMPLE_RATE)
        else:
            path = name.with_suffix(".png")
            image = Image.fromarray(np.ascontiguousarray(content, dtype=np.uint8))
            write_picture(path, np.asarray(image.resize((self.side, self.side), Image.Resampling.BICUBIC)))
        # The server tells when a file was made, and so in which order.
        os.utime(path, (0, 0))
        return path.name


def level(sound: Sound) -> Sound:
    """A waveform (L,) at `LEVEL`, or less where its peaks would be cut; silence stays silence."""
    power = float(np.square(sound, dtype=np.float64).mean())
    if not power:
        return sound
    gain = min(10 ** (LEVEL / 20) / power**0.5, 1 / float(np.abs(sound).max()))
    scaled: Sound = (sound * gain).astype(np.float32)
    return scaled
