"""Create a study folder from real pairs and models: generate the samples, level them, blind them, and write them."""

import os
import secrets
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import date
from itertools import combinations
from pathlib import Path

import numpy as np

from cmcgan_core.errors import ConfigError, DataError
from cmcgan_core.human_eval.designs import GROUND_TRUTH, RATED_MODALITIES, Design, RatedModality, find_design
from cmcgan_core.human_eval.draw import SAMPLE_RATE, PictureArray, RatedModel, RealPair, SoundArray
from cmcgan_core.human_eval.store import StudyItem, create_database
from cmcgan_core.human_eval.study import RatingStudy, StudyPlan, open_study, write_plan
from cmcgan_core.media.files import write_picture, write_sound
from cmcgan_core.media.level import set_level
from cmcgan_core.progress import OnProgress, Progress, silent
from cmcgan_core.utils.files import atomic_folder

#: Level of every sound in a study, dBFS (RMS). All sounds have one level, because loudness must not influence or
#: hurt a rater, or reveal which model made the sound.
LEVEL_DBFS = -23.0
#: Largest side of a picture, pixels. All pictures of a study are resized to the size of its largest one.
MAX_PICTURE_SIDE = 512
#: Number of pairs reserved for examples and attention checks. Raters do not rate them.
RESERVED_PAIRS = 4


@dataclass(frozen=True)
class _Candidate:
    """A picture or a sound to judge.

    Attributes:
        model: name of the model that made it, or the kind of an example.
        content: a picture (H, W, 3) or a waveform (L,).
    """

    model: str
    content: PictureArray | SoundArray


def create_study(
    out: Path,
    plan: StudyPlan,
    pairs: list[RealPair],
    models: Mapping[str, RatedModel],
    *,
    modalities: tuple[RatedModality, ...] = RATED_MODALITIES,
    on_progress: OnProgress = silent,
) -> RatingStudy:
    """Write a study folder. If anything fails, no folder is left.

    Args:
        out: the study folder; it must not exist, or be empty.
        plan: the plan. Its `models` and `created` are filled in here.
        pairs: real pairs. The last `RESERVED_PAIRS` are used for examples and attention checks only.
        models: the models to rate, by name.
        modalities: the modalities to rate. Those that the design does not apply to are left out.
        on_progress: called after every pair.

    Raises:
        DataError: there are too few pairs, or a model has no sample for any of them.
        ConfigError: a name or the modalities do not fit the design, or the folder is not empty.
    """
    design = find_design(plan.design)
    modalities = tuple(modality for modality in design.modalities if modality in modalities)
    _check_inputs(out, design, modalities, pairs, models)
    rated, reserved = pairs[:-RESERVED_PAIRS], pairs[-RESERVED_PAIRS:]
    with atomic_folder(out) as work:
        writer = _ItemWriter(work / "items", _picture_side(pairs, models, modalities))
        items: list[StudyItem] = []
        for done, pair in enumerate(rated, start=1):
            for modality in modalities:
                items += _rated_items(pair, modality, models, design, writer)
            on_progress(Progress("making items", done, len(rated), "pairs"))
        _check_every_model_is_rated(items, models, modalities)
        rng = np.random.default_rng(plan.seed)
        items += _attention_checks(plan.checks_per_rater, reserved, modalities, design, writer, rng)
        items += _examples(reserved, modalities, design, writer, rng)
        complete_plan = replace(
            plan, models={name: model.origin for name, model in models.items()}, created=date.today().isoformat()
        )
        create_database(work / "study.db", items)
        write_plan(work, complete_plan)
    return open_study(out)


def _check_inputs(
    out: Path,
    design: Design,
    modalities: tuple[RatedModality, ...],
    pairs: list[RealPair],
    models: Mapping[str, RatedModel],
) -> None:
    """Raise the errors of `create_study` that can be found before anything is generated."""
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ConfigError(f"{out} exists and may hold answers; choose another --out")
    if not modalities:
        raise ConfigError(
            f"the design {design.name} applies to {' and '.join(design.modalities)}s only; choose another --modality"
        )
    if not models:
        raise ConfigError("the study has no model; add one with --model RUN or --model NAME=FOLDER")
    if GROUND_TRUTH in models:
        raise ConfigError(
            f"a model cannot be called {GROUND_TRUTH!r}: that is the name of the real pairs; rename it with "
            "--model NAME=PATH"
        )
    if len(pairs) <= RESERVED_PAIRS:
        raise DataError(
            f"there are only {len(pairs)} pairs; at least {RESERVED_PAIRS + 1} are needed, because {RESERVED_PAIRS} "
            "are reserved for examples and attention checks; give a larger dataset or folder"
        )


def _check_every_model_is_rated(
    items: list[StudyItem], models: Mapping[str, RatedModel], modalities: tuple[RatedModality, ...]
) -> None:
    """Raise `DataError` if no item shows a sample of some model."""
    for name, model in models.items():
        if not any(name in (item.model, item.rival) for item in items):
            raise DataError(
                f"{name} ({model.origin}) has no {' or '.join(modalities)} for any of the pairs; its files must have "
                "the same names as the pairs (write the pairs with: cmcgan human-eval inputs DATA)"
            )


def _rated_items(
    pair: RealPair, modality: RatedModality, models: Mapping[str, RatedModel], design: Design, writer: "_ItemWriter"
) -> Iterator[StudyItem]:
    """Write the items that show one pair: each model and the ground truth, alone or against each other."""
    candidates = [_real_candidate(pair, modality, GROUND_TRUTH)]
    for name, model in models.items():
        if modality in model.available(pair.name):
            content = model.make_picture(pair) if modality == "picture" else model.make_sound(pair)
            candidates.append(_Candidate(name, content))
    if design.paired:
        for first, second in combinations(candidates, 2):
            yield writer.write_item("rated", modality, pair, first, second)
    else:
        for candidate in candidates:
            yield writer.write_item("rated", modality, pair, candidate)


def _attention_checks(
    count: int,
    reserved: list[RealPair],
    modalities: tuple[RatedModality, ...],
    design: Design,
    writer: "_ItemWriter",
    rng: np.random.Generator,
) -> Iterator[StudyItem]:
    """Write the attention checks: noise, or in a paired design noise against the real sample."""
    for number in range(count):
        modality = modalities[number % len(modalities)]
        pair = reserved[1 + number % (RESERVED_PAIRS - 1)]
        noise = _example_candidate("noise", pair, modality, reserved, rng)
        rival = _real_candidate(pair, modality, "real") if design.paired else None
        yield writer.write_item("check", modality, pair, noise, rival)


def _examples(
    reserved: list[RealPair],
    modalities: tuple[RatedModality, ...],
    design: Design,
    writer: "_ItemWriter",
    rng: np.random.Generator,
) -> Iterator[StudyItem]:
    """Write the examples that raters see first. In a paired design each example is shown against noise."""
    pair = reserved[0]
    for modality in modalities:
        for kind in design.examples:
            candidate = _example_candidate(kind, pair, modality, reserved, rng)
            rival = _example_candidate("noise", pair, modality, reserved, rng) if design.paired else None
            yield writer.write_item(f"example {kind}", modality, pair, candidate, rival)


def _real_candidate(pair: RealPair, modality: RatedModality, name: str) -> _Candidate:
    """Return a pair's real picture or sound as a candidate of this name."""
    return _Candidate(name, pair.picture if modality == "picture" else pair.sound)


def _example_candidate(
    kind: str, pair: RealPair, modality: RatedModality, reserved: list[RealPair], rng: np.random.Generator
) -> _Candidate:
    """Return a candidate that deserves a known answer.

    Args:
        kind: "real", "mismatched" (real, but of another class), "blurred" (pictures only) or "noise".
        pair: the pair whose other half is the source.
        modality: modality of the candidate.
        reserved: pairs from which a mismatched one is chosen.
        rng: random numbers for noise.

    Raises:
        DataError: a mismatched candidate is needed, but all reserved pairs have the same class.
    """
    if kind == "mismatched":
        others = [other for other in reserved if other.label != pair.label]
        if not others:
            raise DataError(
                "one example needs a picture of another class, but all reserved pairs have the same class; give more "
                "pairs, or pairs of several classes (in a folder of files: one subfolder per class)"
            )
        pair = others[0]
    real = _real_candidate(pair, modality, kind).content
    if kind == "noise":
        noise = rng.normal(size=real.shape)
        is_picture = modality == "picture"
        return _Candidate(
            kind, (128 + 64 * noise).clip(0, 255).astype(np.uint8) if is_picture else noise.astype(np.float32)
        )
    if kind == "blurred":
        from PIL import Image, ImageFilter

        image = Image.fromarray(np.ascontiguousarray(real))
        return _Candidate(kind, np.asarray(image.filter(ImageFilter.GaussianBlur(min(image.size) / 20))))
    return _Candidate(kind, real)


def _picture_side(
    pairs: list[RealPair], models: Mapping[str, RatedModel], modalities: tuple[RatedModality, ...]
) -> int:
    """Return the side of all pictures in the study, pixels. They share one size, so size does not reveal the model."""
    sides = [int(max(pair.picture.shape[:2])) for pair in pairs]
    if "picture" in modalities:
        for model in models.values():
            pair = next((pair for pair in pairs if "picture" in model.available(pair.name)), None)
            sides += [int(max(model.make_picture(pair).shape[:2]))] if pair else []
    return min(MAX_PICTURE_SIDE, max(sides))


class _ItemWriter:
    """Write media files so that neither their names, sizes, levels nor dates reveal which model made them.

    Args:
        folder: folder for the media files.
        side: side of every picture, pixels.
    """

    def __init__(self, folder: Path, side: int) -> None:
        self.folder = folder
        self.side = side
        self._sources: dict[tuple[str, str], str] = {}

    def write_item(
        self, role: str, modality: RatedModality, pair: RealPair, candidate: _Candidate, rival: _Candidate | None = None
    ) -> StudyItem:
        """Write the files of an item. All items of a pair share one source file."""
        key = (pair.name, modality)
        if key not in self._sources:
            self._sources[key] = self._write(pair.sound if modality == "picture" else pair.picture)
        return StudyItem(
            role=role,
            modality=modality,
            pair=pair.name,
            label=pair.label,
            model=candidate.model,
            rival=rival.model if rival else "",
            source=self._sources[key],
            shown=self._write(candidate.content),
            other=self._write(rival.content) if rival else "",
        )

    def _write(self, content: PictureArray | SoundArray) -> str:
        """Write a picture or a sound under a random name, and return the name."""
        from PIL import Image

        name = self.folder / secrets.token_hex(12)
        if content.ndim == 1:
            path = name.with_suffix(".wav")
            write_sound(path, set_level(content.astype(np.float32), SAMPLE_RATE, LEVEL_DBFS), SAMPLE_RATE)
        else:
            path = name.with_suffix(".png")
            image = Image.fromarray(np.ascontiguousarray(content, dtype=np.uint8))
            write_picture(path, np.asarray(image.resize((self.side, self.side), Image.Resampling.BICUBIC)))
        # The server sends modification times; real ones would reveal the order in which the files were written.
        os.utime(path, (0, 0))
        return path.name
