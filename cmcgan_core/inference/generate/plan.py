"""What becomes of each input, and under which names, before anything is made."""

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np

from cmcgan_core.errors import ConfigError, MediaError
from cmcgan_core.inference.inputs import Input
from cmcgan_core.inference.translate import SamplingOptions
from cmcgan_core.media.files import MediaKind, media_kind, sound_blocks, sound_seconds, track_kinds

#: What an input becomes: stills of half a second of sound, a film that follows a sound, sounds of a picture, a film
#: with the sound that it lacks, a film whose damaged pictures are made anew.
Route = Literal["pictures", "film", "sounds", "soundtrack", "repair"]

#: Sounds of at most this many seconds become a picture, longer ones a film, unless a format is asked for.
CLIP = 10.0
#: What can be asked for, by route. If nothing is, it is the first one, but for films that are given: they stay what
#: they are where they can, and become the first one otherwise. A png-sequence is a folder.
FORMATS: dict[Route, tuple[str, ...]] = {
    "pictures": ("png", "jpg", "webp"),
    "film": ("mp4", "mkv", "mov", "gif", "png-sequence"),
    "sounds": ("wav", "flac"),
    "soundtrack": ("mkv", "mp4", "m4v", "mov", "webm", "avi"),
    "repair": ("mkv", "mp4", "m4v", "mov"),
}


@dataclass(frozen=True)
class OutputOptions:
    """What a user may choose of the results.

    Attributes:
        to: "visual" or "audio"; None is what the input lacks.
        format: one of `FORMATS`; None is the route's own.
        grid: all samples of a sound on one picture.
        size: side of pictures in pixels; None is the model's own, and at least `films.SIDE` in a film.
        fps: pictures a second of a film that is made of a sound.
        seconds: length of the sound that is made of a picture; None is the model's own half second.
        drift: seconds from one latent to the next, with all that lies between them on the way; 0 holds the first one.
            None holds it in films, and takes another one for each half second of a picture's sound.
        repair: make only the damaged pictures of films.
        overwrite: replace results that exist.

    Raises:
        ConfigError: a number that nothing can be made of.
    """

    to: Literal["visual", "audio"] | None = None
    format: str | None = None
    grid: bool = False
    size: int | None = None
    fps: float = 10.0
    seconds: float | None = None
    drift: float | None = None
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


@dataclass(frozen=True)
class Task:
    """One input and what it becomes.

    Attributes:
        source: the input.
        route: what it becomes; None where nothing can become of it.
        outputs: files, or a folder for a png-sequence, by sample.
        error: why nothing can.
    """

    source: Path
    route: Route | None
    outputs: tuple[tuple[Path, ...], ...] = ()
    error: str = ""

    @property
    def paths(self) -> tuple[Path, ...]:
        """All outputs in a row."""
        return tuple(path for paths in self.outputs for path in paths)


def plan(inputs: Sequence[Input], out: Path, output: OutputOptions, sampling: SamplingOptions) -> list[Task]:
    """What becomes of each input; results of inputs that differ never bear one name.

    Args:
        inputs: see `inputs.expand`.
        out: folder for the results, or the name of the single one.
        output: of the results.
        sampling: of the samples; several, or one place in a sound, make stills of it.

    Raises:
        ConfigError: choices that do not go together, or a result that would take the place of an input or another.
    """
    output, name = _named(inputs, out, output)
    stills = sampling.samples > 1 or output.grid or sampling.at is not None
    _check(output, stills=stills)

    def task(one: Input, base: Path) -> Task:
        try:
            route = choose_route(one.path, output, stills=stills)
            return Task(one.path, route, _outputs(one.path, route, base, output, sampling.samples))
        except MediaError as error:
            return Task(one.path, None, error=str(error))

    if name is not None:
        tasks = [task(one, name.with_suffix("")) for one in inputs]
        tasks = [replace(t, outputs=((name, *t.outputs[0][1:]),)) if len(t.outputs) == 1 else t for t in tasks]
    else:
        tasks = _apart(inputs, out, task)
    _refuse_collisions(tasks)
    return tasks


def choose_route(source: Path, output: OutputOptions, *, stills: bool = False) -> Route:
    """What an input becomes.

    Args:
        source: the input.
        output: what is asked for.
        stills: whether a sound is to become pictures, however long it is.

    Raises:
        MediaError: it is no medium, cannot be opened, or cannot become what is asked for.
    """
    kind = media_kind(source)
    if kind is None:
        raise MediaError(f"{source}: is neither a sound, a picture nor a video that is known by its suffix")
    route = _route_of_video(source, output) if kind == "video" else _route_of(source, kind, output)
    possible = FORMATS[route] if route != "pictures" else FORMATS["pictures"] + FORMATS["film"]
    if output.format not in (None, *possible):
        raise MediaError(f"{source}: cannot become {output.format}; it becomes {', '.join(possible)}")
    if route == "pictures":
        return _still_or_film(source, output, stills=stills)
    if route != "sounds" and stills:
        raise MediaError(f"{source}: becomes one film; leave out --samples, --grid and --at")
    return route


def _still_or_film(source: Path, output: OutputOptions, *, stills: bool) -> Route:
    """What a sound becomes."""
    if output.format is None:
        return "film" if not stills and sound_seconds(source) > CLIP else "pictures"
    return "film" if output.format in FORMATS["film"] else "pictures"


def _route_of(source: Path, kind: MediaKind, output: OutputOptions) -> Route:
    """What a sound or a picture becomes."""
    if output.repair:
        raise MediaError(f"{source}: is no video, so there are no pictures to repair")
    route: Route = "pictures" if kind == "sound" else "sounds"
    if output.to == {"pictures": "audio", "sounds": "visual"}[route]:
        raise MediaError(f"{source}: is a {kind} already; leave out --to")
    return route


def _route_of_video(source: Path, output: OutputOptions) -> Route:
    there = track_kinds(source)
    if not there:
        raise MediaError(f"{source}: holds neither sound nor pictures")
    if output.repair:
        if there != {"sound", "picture"}:
            raise MediaError(
                f"{source}: has no {'sound' if 'picture' in there else 'pictures'}; "
                "repairing makes pictures anew from the sound beside them"
            )
        return "repair"
    if output.to == "visual" or "picture" not in there:
        if "sound" not in there or output.to == "audio":
            raise MediaError(f"{source}: has no {'sound' if output.to == 'visual' else 'pictures'} to begin with")
        return "pictures"
    if output.to is None and "sound" in there and not is_silent(source):
        raise MediaError(f"{source}: has both sound and pictures; ask for --to visual, --to audio or --repair")
    return "soundtrack"


def is_silent(source: Path) -> bool:
    """Whether the sound of a video is nothing but zeros, as editors leave it in films without one."""
    return not any(np.any(block) for block in sound_blocks(source, 44_100, 8.0))


def _named(inputs: Sequence[Input], out: Path, output: OutputOptions) -> tuple[OutputOptions, Path | None]:
    """The form as the name of a single result completes it, and that name; None where `out` is a folder."""
    suffix = out.suffix[1:].lower()
    if out.is_dir() or not suffix or media_kind(out) is None:
        return output, None
    if len(inputs) > 1:
        raise ConfigError(
            f"{out} is the name of one result, but there are {len(inputs)} inputs; give a folder as --out"
        )
    if output.format not in (None, suffix):
        raise ConfigError(f"--format {output.format} does not fit the name {out.name}")
    return replace(output, format=suffix), out


def _check(output: OutputOptions, *, stills: bool) -> None:
    """Refuse what does not go together, rather than leave out a part of it."""
    formats = dict.fromkeys(name for names in FORMATS.values() for name in names)
    if output.format not in (None, *formats):
        raise ConfigError(f"unknown format {output.format!r}; known are {', '.join(formats)}")
    if stills and (output.repair or output.format in FORMATS["film"]):
        raise ConfigError("--samples, --grid and --at are for pictures and sounds, not for films")
    if output.repair and output.to:
        raise ConfigError("--repair makes pictures; leave out --to")


def _outputs(
    source: Path, route: Route, base: Path, output: OutputOptions, samples: int
) -> tuple[tuple[Path, ...], ...]:
    """Files by sample, from a name without its suffix."""
    own = source.suffix[1:].lower()
    if route in ("soundtrack", "repair"):
        chosen = output.format or (own if own in FORMATS[route] else FORMATS[route][0])
        return ((_with(base, f".{'soundtrack' if route == 'soundtrack' else 'repaired'}.{chosen}"),),)
    chosen = output.format or FORMATS[route][0]
    if route == "film":
        return ((_with(base, ".frames" if chosen == "png-sequence" else f".{chosen}"),),)
    suffixes = (f".{chosen}",) if route == "pictures" else (f".{chosen}", ".lms.png", ".lms.npy")
    together = samples == 1 or (output.grid and route == "pictures")
    bases = [base] if together else [base.with_name(f"{base.name}-{i + 1}") for i in range(samples)]
    return tuple(tuple(_with(one, suffix) for suffix in suffixes) for one in bases)


def _with(base: Path, suffix: str) -> Path:
    return base.with_name(base.name + suffix)


def _apart(inputs: Sequence[Input], out: Path, task: Callable[[Input, Path], Task]) -> list[Task]:
    """Tasks under short names; where two would make the same file, under their inputs' whole names."""
    short = [task(one, out / one.relative.with_suffix("")) for one in inputs]
    uses = Counter(_same(path) for one in short for path in set(one.paths))
    return [
        task(one, out / one.relative) if any(uses[_same(path)] > 1 for path in made.paths) else made
        for one, made in zip(inputs, short, strict=True)
    ]


def _same(path: Path) -> str:
    """Equal for names that are one file on some file systems."""
    return str(path.absolute()).casefold()


def _refuse_collisions(tasks: Sequence[Task]) -> None:
    sources = {_same(task.source.resolve()): task.source for task in tasks}
    taken: dict[str, Path] = {}
    for task in tasks:
        for path in task.paths:
            if _same(path.resolve()) in sources:
                raise ConfigError(f"{task.source} would become {path.name}, which is an input; choose another --out")
            if taken.setdefault(_same(path), task.source) != task.source:
                raise ConfigError(
                    f"{taken[_same(path)]} and {task.source} would both become {path.name}; make them "
                    "apart, each with an --out of its own"
                )
