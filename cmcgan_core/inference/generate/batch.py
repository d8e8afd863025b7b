"""Many inputs, one after the other as they were given, each of which may fail alone."""

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

from torch import Tensor

from cmcgan_core.checkpoint import Trained
from cmcgan_core.errors import MediaError
from cmcgan_core.inference.classify import LabelGuesser
from cmcgan_core.inference.generate import clips, films
from cmcgan_core.inference.generate.plan import OutputOptions, Route, Task, plan
from cmcgan_core.inference.inputs import Input
from cmcgan_core.inference.translate import SamplingOptions, require_translator
from cmcgan_core.media.damage import DamagedInterval
from cmcgan_core.modality import Direction
from cmcgan_core.progress import OnProgress, Progress, silent

#: Inputs that go through the network at a time.
BATCH = 16
#: Groups of inputs that are read ahead.
AHEAD = 2
#: Threads that read and write while the network works.
WORKERS = 2
#: What the network does on a route.
DIRECTIONS: dict[Route, Direction] = {
    "pictures": Direction.A2V,
    "film": Direction.A2V,
    "repair": Direction.A2V,
    "sounds": Direction.V2A,
    "soundtrack": Direction.V2A,
}
#: Makes one film.
Filmer = Callable[[Trained, Task, SamplingOptions, OutputOptions, LabelGuesser, OnProgress], films.Film | None]
FILMERS: dict[Route, Filmer] = {
    "film": films.make_film,
    "soundtrack": films.make_soundtrack,
    "repair": films.repair,
}


@dataclass(frozen=True)
class Generated:
    """What became of one input.

    Attributes:
        input: as it was given.
        outputs: files that were made or were there.
        route: see `plan.Route`; None where nothing could become of it.
        seed: see `SamplingOptions`; of the first sample.
        seconds: that it took; of inputs that were made together, their share.
        guess: class that the run's classifier takes input and result for; None without a classifier.
        repaired: of a film that was repaired, the stretches.
        skipped: whether all outputs existed.
        error: why nothing was made, or "".
    """

    input: Path
    outputs: tuple[Path, ...]
    route: Route | None
    seed: int
    seconds: float = 0.0
    guess: str | None = None
    repaired: tuple[DamagedInterval, ...] = ()
    skipped: bool = False
    error: str = ""


def make_all(
    trained: Trained,
    tasks: Sequence[Task],
    sampling: SamplingOptions,
    output: OutputOptions,
    classifier: Trained | None = None,
    *,
    on_progress: OnProgress = silent,
) -> Iterator[Generated]:
    """Make what `plan` has planned, in its order; outputs are whole or not there, so the same call goes on later.

    Args:
        trained: model.
        tasks: what to make.
        sampling: of the samples.
        output: of the results, as given to `plan`.
        classifier: the run's, for the guesses; see `classify.load_classifier`.
        on_progress: told after every input, and within films.

    Raises:
        CheckpointError: the model does not go in a direction that is needed; before anything is made.
    """
    require_translator(trained, *dict.fromkeys(DIRECTIONS[task.route] for task in tasks if task.route))
    guesser, done = LabelGuesser(trained, classifier), 0
    with ThreadPoolExecutor(WORKERS) as pool:
        try:
            for group, sources in _read_ahead(pool, trained, _groups(tasks, output), sampling, output):
                for made in _make(pool, trained, group, sources, sampling, output, guesser, on_progress):
                    done += 1
                    if len(tasks) > 1:
                        on_progress(Progress("generating", done, len(tasks), "inputs"))
                    yield made
        finally:
            pool.shutdown(cancel_futures=True)


def generate_file(
    trained: Trained,
    source: Path,
    out: Path,
    sampling: SamplingOptions | None = None,
    output: OutputOptions | None = None,
) -> Generated:
    """Turn one file into the other modality.

    Args:
        trained: model.
        source: sound, picture or video.
        out: folder, or the name of the result.
        sampling: of the samples.
        output: of the result.

    Raises:
        MediaError: the source cannot be read, cannot become what is asked for, or the result cannot be written.
        ConfigError, CheckpointError: see `plan` and `make_all`.
    """
    sampling, output = sampling or SamplingOptions(), output or OutputOptions()
    tasks = plan([Input(source, Path(source.name))], out, output, sampling)
    (made,) = make_all(trained, tasks, sampling, output)
    if made.error:
        raise MediaError(made.error)
    return made


def _groups(tasks: Iterable[Task], output: OutputOptions) -> Iterator[list[Task]]:
    """Neighbours that go through the network together; what is no still or sound, or exists, is alone."""
    group: list[Task] = []
    for task in tasks:
        together = _together(task, output)
        if group and (not together or task.route != group[0].route or len(group) == BATCH):
            yield group
            group = []
        group.append(task)
        if not together:
            yield group
            group = []
    if group:
        yield group


def _together(task: Task, output: OutputOptions) -> bool:
    """Whether a task is read ahead, and goes through the network with its neighbours."""
    return task.route in ("pictures", "sounds") and not _exists(task, output)


def _exists(task: Task, output: OutputOptions) -> bool:
    return not output.overwrite and all(path.exists() for path in task.paths)


def _read_ahead(
    pool: ThreadPoolExecutor,
    trained: Trained,
    groups: Iterator[list[Task]],
    sampling: SamplingOptions,
    output: OutputOptions,
) -> Iterator[tuple[list[Task], list[Future[Tensor]]]]:
    """Groups with what is being read for them, `AHEAD` groups before it is needed."""
    waiting: deque[tuple[list[Task], list[Future[Tensor]]]] = deque()
    for group in groups:
        read = [task for task in group if _together(task, output)]
        waiting.append((group, [pool.submit(clips.read, trained, task, sampling) for task in read]))
        if len(waiting) > AHEAD:
            yield waiting.popleft()
    yield from waiting


def _make(
    pool: ThreadPoolExecutor,
    trained: Trained,
    group: list[Task],
    sources: list[Future[Tensor]],
    sampling: SamplingOptions,
    output: OutputOptions,
    guesser: LabelGuesser,
    on_progress: OnProgress,
) -> Iterator[Generated]:
    """What became of a group, in its order."""
    task = group[0]
    if task.route is None:
        yield Generated(task.source, (), None, sampling.seed, error=task.error)
    elif _exists(task, output):
        yield Generated(task.source, task.paths, task.route, sampling.seed, skipped=True)
    elif task.route in FILMERS:
        yield _film(trained, task, sampling, output, guesser, on_progress)
    else:
        yield from _clips(pool, trained, group, sources, sampling, output, guesser)


def _film(
    trained: Trained,
    task: Task,
    sampling: SamplingOptions,
    output: OutputOptions,
    guesser: LabelGuesser,
    on_progress: OnProgress,
) -> Generated:
    assert task.route is not None
    started = time.monotonic()
    made = Generated(task.source, (), task.route, sampling.seed)
    try:
        film = FILMERS[task.route](trained, task, sampling, output, guesser, on_progress)
    except MediaError as error:
        return replace(made, error=str(error))
    made = replace(made, seconds=round(time.monotonic() - started, 3))
    if film is None:
        return made
    return replace(made, outputs=task.paths, guess=film.guess, repaired=film.repaired)


def _clips(
    pool: ThreadPoolExecutor,
    trained: Trained,
    group: list[Task],
    sources: list[Future[Tensor]],
    sampling: SamplingOptions,
    output: OutputOptions,
    guesser: LabelGuesser,
) -> Iterator[Generated]:
    """What became of tasks of one route; those that cannot be read are left out of the batch."""
    errors = {i: str(error) for i, future in enumerate(sources) if (error := _expected(future)) is not None}
    readable = [i for i in range(len(group)) if i not in errors]
    started = time.monotonic()
    writing: dict[int, Future[None]] = {}
    guesses: dict[int, str | None] = {}
    if readable:
        inputs = [sources[i].result() for i in readable]
        made = clips.make(trained, [group[i] for i in readable], inputs, sampling, output, guesser)
        for i, one in zip(readable, made, strict=True):
            writing[i] = pool.submit(_write, group[i], one.writers, output)
            guesses[i] = one.guess
        errors |= {i: str(error) for i, future in writing.items() if (error := _expected(future)) is not None}
    seconds = round((time.monotonic() - started) / max(1, len(readable)), 3)
    for i, task in enumerate(group):
        result = Generated(task.source, (), task.route, sampling.seed, error=errors.get(i, ""))
        yield result if i in errors else replace(result, outputs=task.paths, seconds=seconds, guess=guesses[i])


def _expected(future: "Future[Tensor] | Future[None]") -> MediaError | None:
    """The fault of a file, if there was one; anything else that was raised is raised here."""
    error = future.exception()
    if error is not None and not isinstance(error, MediaError):
        raise error
    return error


def _write(task: Task, writers: list[tuple[clips.Writer, ...]], output: OutputOptions) -> None:
    for targets, of_sample in zip(task.outputs, writers, strict=True):
        for target, write in zip(targets, of_sample, strict=True):
            if output.overwrite or not target.exists():
                write(target)
