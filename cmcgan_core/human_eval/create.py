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
from cmcgan_core.utils.files import RUN_AGAIN, atomic_folder, explain_write_errors

#: Level of every sound in a study, dBFS (RMS). All sounds have one level, because loudness must not influence or
#: hurt a rater, or reveal which model made the sound.
LEVEL_DBFS = -23.0
#: Largest side of a picture, pixels. All pictures of a study are resized to the size of its largest one.
MAX_PICTURE_SIDE = 512
#: Number of pairs reserved for examples and attention checks, two each: one for each modality, because the real picture
#: and the real sound of a pair must not be a candidate in one item and the source of another. Raters do not rate them.
RESERVED_PAIRS = 4


@dataclass(frozen=True)
class _Candidate:
    """A picture or a sound to judge.

    Attributes:
        model: name of the model that made it, or the kind of an example.
        file: name of its file.
    """

    model: str
    file: str


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
        plan: the plan. Its `models`, `sound_seconds` and `created` are filled in here.
        pairs: real pairs. The last `RESERVED_PAIRS` are used for examples and attention checks only. All sounds of
            the study are cut to the length of the shortest one.
        models: the models to rate, by name.
        modalities: the modalities to rate. Those that the design does not apply to are left out.
        on_progress: called after every pair.

    Raises:
        DataError: there are too few pairs, a model has no sample for any of them, or the folder cannot be written.
        ConfigError: a name or the modalities do not fit the design, or the folder is not empty.
    """
    design = find_design(plan.design)
    modalities = tuple(modality for modality in design.modalities if modality in modalities)
    _check_inputs(out, design, modalities, pairs, models)
    rated, reserved = pairs[:-RESERVED_PAIRS], pairs[-RESERVED_PAIRS:]
    with explain_write_errors(out, DataError, RUN_AGAIN), atomic_folder(out) as work:
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
            plan,
            models={name: model.origin for name, model in models.items()},
            sound_seconds=writer.write_sounds() / SAMPLE_RATE,
            created=date.today().isoformat(),
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
    candidates = [_Candidate(GROUND_TRUTH, writer.write_real(pair, modality))]
    for name, model in models.items():
        if modality in model.available(pair.name):
            content = model.make_picture(pair) if modality == "picture" else model.make_sound(pair)
            candidates.append(_Candidate(name, writer.write(content)))
    if design.paired:
        for first, second in combinations(candidates, 2):
            yield _make_item("rated", modality, pair, writer, first, second)
    else:
        for candidate in candidates:
            yield _make_item("rated", modality, pair, writer, candidate)


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
        pair = reserved[2 + number % 2]
        noise = _example_candidate("noise", pair, modality, reserved, writer, rng)
        rival = _example_candidate("real", pair, modality, reserved, writer, rng) if design.paired else None
        yield _make_item("check", modality, pair, writer, noise, rival)


def _examples(
    reserved: list[RealPair],
    modalities: tuple[RatedModality, ...],
    design: Design,
    writer: "_ItemWriter",
    rng: np.random.Generator,
) -> Iterator[StudyItem]:
    """Write the examples that raters see first. In a paired design each example is shown against noise."""
    for pair, modality in zip(reserved, modalities, strict=False):
        for kind in design.examples:
            candidate = _example_candidate(kind, pair, modality, reserved, writer, rng)
            rival = _example_candidate("noise", pair, modality, reserved, writer, rng) if design.paired else None
            yield _make_item(f"example {kind}", modality, pair, writer, candidate, rival)


def _make_item(
    role: str,
    modality: RatedModality,
    pair: RealPair,
    writer: "_ItemWriter",
    candidate: _Candidate,
    rival: _Candidate | None = None,
) -> StudyItem:
    """Return the item that shows one or two candidates next to the other half of a pair."""
    return StudyItem(
        role=role,
        modality=modality,
        pair=pair.name,
        label=pair.label,
        model=candidate.model,
        rival=rival.model if rival else "",
        source=writer.write_real(pair, "sound" if modality == "picture" else "picture"),
        shown=candidate.file,
        other=rival.file if rival else "",
    )


def _example_candidate(
    kind: str,
    pair: RealPair,
    modality: RatedModality,
    reserved: list[RealPair],
    writer: "_ItemWriter",
    rng: np.random.Generator,
) -> _Candidate:
    """Write a candidate that deserves a known answer.

    Args:
        kind: "real", "mismatched" (real, but of another class), "blurred" (pictures only) or "noise".
        pair: the pair whose other half is the source.
        modality: modality of the candidate.
        reserved: pairs from which a mismatched one is chosen.
        writer: writes the candidate.
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
    if kind == "noise":
        is_picture = modality == "picture"
        noise = rng.normal(size=_half(pair, modality).shape)
        return _Candidate(
            kind,
            writer.write((128 + 64 * noise).clip(0, 255).astype(np.uint8) if is_picture else noise.astype(np.float32)),
        )
    if kind == "blurred":
        from PIL import Image, ImageFilter

        image = Image.fromarray(np.ascontiguousarray(pair.picture))
        blurred = image.filter(ImageFilter.GaussianBlur(min(image.size) / 20))
        return _Candidate(kind, writer.write(np.asarray(blurred)))
    return _Candidate(kind, writer.write_real(pair, modality))


def _half(pair: RealPair, modality: str) -> PictureArray | SoundArray:
    """Return the real picture or the real sound of a pair."""
    return pair.picture if modality == "picture" else pair.sound


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
    """Write media files so that neither names, sizes, lengths, levels nor dates reveal which model made them.

    Every content is written once: two files with the same bytes would reveal that they belong together.

    Args:
        folder: folder for the media files.
        side: side of every picture, pixels.
    """

    def __init__(self, folder: Path, side: int) -> None:
        self.folder = folder
        self.side = side
        self._real: dict[tuple[str, str], str] = {}
        #: Sounds at their own length, which wait in files for `write_sounds`.
        self._waiting: list[Path] = []
        self._samples: int | None = None

    def write_real(self, pair: RealPair, modality: str) -> str:
        """Write the real picture or the real sound of a pair, unless it has been written. Return the file's name."""
        key = (pair.name, modality)
        if key not in self._real:
            self._real[key] = self.write(_half(pair, modality))
        return self._real[key]

    def write(self, content: PictureArray | SoundArray) -> str:
        """Write a picture or a sound under a random name, and return the name. `write_sounds` completes the sounds."""
        from PIL import Image

        name = self.folder / secrets.token_hex(12)
        if content.ndim == 1:
            self._samples = min(len(content), self._samples or len(content))
            name.parent.mkdir(exist_ok=True)
            np.save(name.with_suffix(".npy"), content.astype(np.float32))
            self._waiting.append(name.with_suffix(".npy"))
            return name.with_suffix(".wav").name
        path = name.with_suffix(".png")
        image = Image.fromarray(np.ascontiguousarray(content, dtype=np.uint8))
        resized = np.asarray(image.resize((self.side, self.side), Image.Resampling.BICUBIC))
        write_picture(path, resized, compress=False)
        _remove_date(path)
        return path.name

    def write_sounds(self) -> int:
        """Write all sounds with one level, and as long as the shortest one. Return their length in samples."""
        for file in self._waiting:
            sound = np.load(file)[: self._samples]
            path = file.with_suffix(".wav")
            write_sound(path, set_level(sound, SAMPLE_RATE, LEVEL_DBFS), SAMPLE_RATE)
            _remove_date(path)
            file.unlink()
        return self._samples or 0


def _remove_date(path: Path) -> None:
    """Set a file's date to 1970. The server sends it; the real one would reveal the order of writing."""
    os.utime(path, (0, 0))
