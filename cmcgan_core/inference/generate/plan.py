"""Choose the route and the output names of each input, before anything is generated."""

import math
import os
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from cmcgan_core.errors import ConfigError, MediaError
from cmcgan_core.inference.inputs import Input
from cmcgan_core.inference.routes import FORMATS, Format, Route
from cmcgan_core.inference.sampling import SamplingOptions
from cmcgan_core.inference.windows import SECONDS_PER_BLOCK
from cmcgan_core.media.files import (
    SILENT_DBFS,
    MediaKind,
    lasts_longer,
    media_kind,
    require_media,
    sound_blocks,
    track_kinds,
)
from cmcgan_core.media.level import LOUDNESS
from cmcgan_core.modality import Modality
from cmcgan_core.utils.files import is_folder
from cmcgan_core.utils.names import MAX_NAME_BYTES, SPECTROGRAM_SUFFIX, is_too_long

#: By default, sounds of at most this length become a picture, longer ones a film. In seconds.
MAX_CLIP_SECONDS = 10.0
#: The largest absolute sample of zeros that a lossy codec has encoded: -80 dBFS. AC-3 gives about -100 dBFS.
CODED_SILENCE = 1e-4


@dataclass(frozen=True)
class OutputOptions:
    """What the outputs look like.

    Attributes:
        to: the modality to generate; None generates the one that the input lacks.
        format: format of the outputs; None is the default of each route, see `routes.FORMATS`.
        grid: draw all samples of a sound into one picture.
        size: side of pictures in pixels; None is the model's own size, in films at least `films.MIN_FILM_SIZE`.
        fps: frames per second of a film that follows a sound.
        seconds: length of the sound of a picture; None is the model's own length, half a second.
        drift: seconds from one latent to the next in a latent walk; 0 keeps the first latent. None keeps it in films,
            and uses a new latent for each half second of a picture's sound.
        loudness: level of generated sounds in dBFS, see `media.level`; None keeps the level that the model generates.
        repair: generate only the damaged frames of films.
        overwrite: replace existing outputs.

    Raises:
        ConfigError: a number is out of range.
    """

    to: Modality | None = None
    format: Format | None = None
    grid: bool = False
    size: int | None = None
    fps: float = 10.0
    seconds: float | None = None
    drift: float | None = None
    loudness: float | None = LOUDNESS
    repair: bool = False
    overwrite: bool = False

    def __post_init__(self) -> None:
        for name, value, least in (
            ("seconds", self.seconds, 0.001),
            ("fps", self.fps, 0.001),
            ("drift", self.drift, 0),
            ("size", self.size, 1),
        ):
            if value is not None and not least <= value < math.inf:
                raise ConfigError(f"{name} cannot be {value:g}; take {least:g} or more")
        if self.loudness is not None and not SILENT_DBFS <= self.loudness <= 0:
            raise ConfigError(f"loudness cannot be {self.loudness:g} dBFS; take {SILENT_DBFS:g} to 0")


@dataclass(frozen=True)
class Task:
    """One input and what it becomes.

    Attributes:
        source: path of the input.
        route: what it becomes; None if it cannot become anything.
        outputs: files of each sample, or the folder of a png-sequence.
        error: why it cannot become anything, or "".
    """

    source: Path
    route: Route | None
    outputs: tuple[tuple[Path, ...], ...] = ()
    error: str = ""

    @property
    def paths(self) -> tuple[Path, ...]:
        """All outputs as one sequence."""
        return tuple(path for paths in self.outputs for path in paths)


def plan(inputs: Sequence[Input], out: Path, output: OutputOptions, sampling: SamplingOptions) -> list[Task]:
    """Return what each input becomes. Outputs of different inputs never have the same name.

    An input whose outputs would replace an input or another output, or would have names that are too long, becomes
    nothing, and its error says why.

    Args:
        inputs: see `inputs.expand`.
        out: folder of the outputs, or the name of the only output.
        output: what the outputs look like.
        sampling: how outputs are sampled. With several samples, or with `at`, a sound becomes still pictures.

    Raises:
        ConfigError: options contradict each other.
    """
    output, name = _apply_name(inputs, out, output)
    stills = sampling.samples > 1 or output.grid or sampling.at is not None
    _check_options(output, stills=stills)

    def name_outputs(task: Task, base: str) -> Task:
        if task.route is None:
            return task
        return replace(task, outputs=_output_paths(task.source, task.route, base, output, sampling.samples))

    tasks = [_route_input(item.path, output, stills=stills) for item in inputs]
    if name is not None:
        tasks = [name_outputs(task, _without_suffix(name)) for task in tasks]
        tasks = [replace(t, outputs=((name, *t.outputs[0][1:]),)) if len(t.outputs) == 1 else t for t in tasks]
    else:
        tasks = _name_distinctly(tasks, [out / item.relative for item in inputs], name_outputs)
    return _refuse_names(tasks)


def _route_input(source: Path, output: OutputOptions, *, stills: bool) -> Task:
    """Return what an input becomes, without the names of its outputs; see `choose_route`."""
    try:
        return Task(source, choose_route(source, output, stills=stills))
    except MediaError as error:
        return Task(source, None, error=str(error))


def choose_route(source: Path, output: OutputOptions, *, stills: bool = False) -> Route:
    """Return what an input becomes.

    Args:
        source: path of the input.
        output: what the outputs look like.
        stills: whether a sound becomes still pictures, even if it is long.

    Raises:
        MediaError: the input is not a media file, cannot be opened, or cannot become what is requested.
    """
    kind = require_media(source)
    route = _route_of_video(source, output) if kind == "video" else _route_of_sound_or_picture(source, kind, output)
    possible = FORMATS[route] if route is not Route.PICTURES else FORMATS[Route.PICTURES] + FORMATS[Route.FILM]
    if output.format not in (None, *possible):
        raise MediaError(f"{source}: cannot become {output.format}; possible formats: {', '.join(possible)}")
    if route is Route.PICTURES:
        return _choose_pictures_or_film(source, output, stills=stills)
    if route is not Route.SOUNDS and stills:
        raise MediaError(f"{source}: becomes one film; leave out --samples, --grid and --at")
    return route


def _choose_pictures_or_film(source: Path, output: OutputOptions, *, stills: bool) -> Route:
    """Return what a sound becomes."""
    if output.format is None:
        return Route.FILM if not stills and lasts_longer(source, MAX_CLIP_SECONDS) else Route.PICTURES
    return Route.FILM if output.format in FORMATS[Route.FILM] else Route.PICTURES


def _route_of_sound_or_picture(source: Path, kind: MediaKind, output: OutputOptions) -> Route:
    """Return the route of a sound or a picture; a sound may become a film instead.

    Raises:
        MediaError: it cannot become what is requested.
    """
    if output.repair:
        raise MediaError(f"{source}: is not a video, so it has no pictures to repair")
    route = Route.PICTURES if kind == "sound" else Route.SOUNDS
    if output.to == route.direction.source:
        raise MediaError(f"{source}: is a {kind} already; leave out --to")
    return route


def _route_of_video(source: Path, output: OutputOptions) -> Route:
    """Return the route of a video.

    Raises:
        MediaError: it cannot become what is requested.
    """
    tracks = track_kinds(source)
    if not tracks:
        raise MediaError(f"{source}: holds neither sound nor pictures")
    if output.repair:
        if tracks != {"sound", "picture"}:
            raise MediaError(
                f"{source}: has no {'sound' if 'picture' in tracks else 'pictures'}; "
                "--repair generates damaged pictures from the sound at the same time"
            )
        return Route.REPAIR
    if output.to == Modality.VISUAL or "picture" not in tracks:
        if "sound" not in tracks or output.to == Modality.AUDIO:
            missing = "sound" if output.to == Modality.VISUAL else "pictures"
            raise MediaError(f"{source}: has no {missing}, so --to {output.to} is not possible")
        return Route.PICTURES
    if output.to is None and "sound" in tracks and not is_silent(source):
        raise MediaError(
            f"{source}: has both sound and pictures; choose --to audio (replace its sound by one that is generated "
            "from its pictures), --to visual (generate pictures or a film from its sound), or --repair (replace "
            "damaged or black pictures)"
        )
    return Route.SOUNDTRACK


def is_silent(source: Path) -> bool:
    """Return whether the sound of a video is all zeros, as editors write it to films without sound.

    Lossy codecs change zeros a little.
    """
    return not any(np.abs(block).max() > CODED_SILENCE for block in sound_blocks(source, 44_100, SECONDS_PER_BLOCK))


def _apply_name(inputs: Sequence[Input], out: Path, output: OutputOptions) -> tuple[OutputOptions, Path | None]:
    """Take the format from the name of a single output.

    Returns:
        The options with this format, and the name; or unchanged options and None if `out` is a folder.

    Raises:
        ConfigError: there are several inputs, or the name does not fit the format.
    """
    suffix = out.suffix[1:].lower()
    if is_folder(out) or not suffix or media_kind(out) is None:
        return output, None
    if len(inputs) > 1:
        raise ConfigError(
            f"{out} is the name of one result, but there are {len(inputs)} inputs; give a folder as --out"
        )
    if output.format not in (None, suffix):
        raise ConfigError(f"--format {output.format} does not fit the name {out.name}")
    return replace(output, format=_parse_format(suffix)), out


def _parse_format(name: str) -> Format:
    """Return the format with a name.

    Raises:
        ConfigError: there is none.
    """
    try:
        return Format(name)
    except ValueError:
        raise ConfigError(f"{name} files cannot be made; possible formats: {', '.join(Format)}") from None


def _check_options(output: OutputOptions, *, stills: bool) -> None:
    """Refuse options that contradict each other, instead of ignoring one of them.

    Raises:
        ConfigError: two options contradict each other, or the format is unknown.
    """
    if output.format is not None:
        _parse_format(output.format)
    if stills and (output.repair or output.format in FORMATS[Route.FILM]):
        raise ConfigError("--samples, --grid and --at are for pictures and sounds, not for films")
    if output.repair and output.to:
        raise ConfigError("--repair generates pictures; leave out --to")


def _output_paths(
    source: Path, route: Route, base: str, output: OutputOptions, samples: int
) -> tuple[tuple[Path, ...], ...]:
    """Return the output files of each sample.

    Args:
        source: path of the input.
        route: what it becomes.
        base: path of the outputs without suffix.
        output: what the outputs look like.
        samples: number of samples.
    """
    own = source.suffix[1:].lower()
    if route in (Route.SOUNDTRACK, Route.REPAIR):
        suffix = output.format or (own if own in FORMATS[route] else FORMATS[route][0])
        return ((Path(f"{base}.{'soundtrack' if route is Route.SOUNDTRACK else 'repaired'}.{suffix}"),),)
    format_ = output.format or FORMATS[route][0]
    if route is Route.FILM:
        return ((Path(base + (".frames" if format_ == Format.PNG_SEQUENCE else f".{format_}")),),)
    suffixes = (f".{format_}",) if route is Route.PICTURES else (f".{format_}", SPECTROGRAM_SUFFIX, ".lms.npy")
    together = samples == 1 or (output.grid and route is Route.PICTURES)
    bases = [base] if together else [f"{base}-{i + 1}" for i in range(samples)]
    return tuple(tuple(Path(start + suffix) for suffix in suffixes) for start in bases)


def _without_suffix(path: Path) -> str:
    return str(path).removesuffix(path.suffix)


def _name_distinctly(
    tasks: Sequence[Task], names: Sequence[Path], name_outputs: Callable[[Task, str], Task]
) -> list[Task]:
    """Return tasks whose outputs have short names, or the whole names of their inputs where short ones are equal.

    Args:
        tasks: the tasks.
        names: the whole name of each input, in the folder of the outputs.
        name_outputs: returns a task with its outputs, given their path without suffix.
    """
    named = [name_outputs(task, _without_suffix(name)) for task, name in zip(tasks, names, strict=True)]
    whole: set[int] = set()
    # A whole name can be equal to the short name of another input, so this is done until nothing changes.
    while equal := _find_collisions(named) - whole:
        whole |= equal
        named = [name_outputs(tasks[i], str(names[i])) if i in equal else task for i, task in enumerate(named)]
    return named


def _find_collisions(tasks: Sequence[Task]) -> set[int]:
    """Return the positions of the tasks whose outputs have the same name as outputs of another task."""
    keys = [{_collision_key(path) for path in task.paths} for task in tasks]
    uses = Counter(key for own in keys for key in own)
    return {position for position, own in enumerate(keys) if any(uses[key] > 1 for key in own)}


def _collision_key(path: Path) -> str:
    """Return a key that is equal for names that some file systems treat as the same file."""
    return str(path.absolute()).casefold()


def _refuse_names(tasks: Sequence[Task]) -> list[Task]:
    """Return tasks; those whose outputs cannot have their names become nothing, and their errors say why."""
    sources = {_collision_key(Path(os.path.realpath(task.source))) for task in tasks}
    colliding = _find_collisions(tasks)

    def find_fault(position: int, path: Path) -> str:
        if _collision_key(Path(os.path.realpath(path))) in sources:
            return f"would become {path.name}, which is an input; choose another --out"
        if is_too_long(path):
            return f"the name of its result, {path.name}, is longer than {MAX_NAME_BYTES} bytes; rename the input"
        if position in colliding:
            return (
                f"would become {path.name}, and another input would too, or a name that differs only in case; generate "
                "them separately, each with its own --out"
            )
        return ""

    refused = []
    for position, task in enumerate(tasks):
        fault = next(filter(None, (find_fault(position, path) for path in task.paths)), "")
        refused.append(Task(task.source, None, error=f"{task.source}: {fault}") if fault else task)
    return refused
