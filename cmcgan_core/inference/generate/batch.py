"""Generate from many inputs in their order. An input that fails does not stop the others."""

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

from torch import Tensor

from cmcgan_core.checkpoint import Trained
from cmcgan_core.errors import MediaError
from cmcgan_core.inference.generate import clips, films
from cmcgan_core.inference.generate.plan import OutputOptions, Task, plan
from cmcgan_core.inference.generate.results import Generated, known_result, needs_network, unfinished
from cmcgan_core.inference.generate.session import GenerationSession
from cmcgan_core.inference.inputs import Input
from cmcgan_core.inference.routes import Route
from cmcgan_core.inference.sampling import SamplingOptions
from cmcgan_core.inference.translate import require_translator
from cmcgan_core.progress import OnProgress, Progress, silent
from cmcgan_core.utils.batches import in_groups
from cmcgan_core.utils.files import exists

#: Inputs that pass through the network at once.
CLIPS_PER_BATCH = 16
#: Groups of inputs that are read ahead.
GROUPS_AHEAD = 2
#: Threads that read and write while the network computes.
THREADS = 2
#: The functions that make films, by route.
FILM_MAKERS: dict[Route, Callable[[GenerationSession, Task], films.FilmResult | None]] = {
    Route.FILM: films.make_film,
    Route.SOUNDTRACK: films.make_soundtrack,
    Route.REPAIR: films.repair_film,
}


def generate_all(
    trained: Trained,
    tasks: Sequence[Task],
    sampling: SamplingOptions,
    output: OutputOptions,
    classifier: Trained | None = None,
    *,
    on_progress: OnProgress = silent,
) -> Iterator[Generated]:
    """Run the tasks of `plan`, in their order.

    Outputs are written completely or not at all, and existing ones are skipped, so the same call resumes after a stop.

    Args:
        trained: the model.
        tasks: what to generate.
        sampling: how outputs are sampled.
        output: what the outputs look like; the same as for `plan`.
        classifier: the multimodal classifier of the run, for `Generated.guess`.
        on_progress: called after every input, and within films.

    Raises:
        CheckpointError: the model does not support a direction that a task needs; raised before anything is generated.
    """
    require_translator(trained, *dict.fromkeys(task.route.direction for task in tasks if task.route))
    session = GenerationSession(trained, sampling, output, classifier, on_progress)
    with ThreadPoolExecutor(THREADS) as pool:
        try:
            for done, result in enumerate(_Batch(session, pool).run(tasks), start=1):
                if len(tasks) > 1:
                    on_progress(Progress("generating", done, len(tasks), "inputs"))
                yield result
        finally:
            pool.shutdown(cancel_futures=True)


def group_tasks(tasks: Iterable[Task], output: OutputOptions) -> Iterator[list[Task]]:
    """Yield groups of consecutive tasks that pass through the network together: new clips of one route.

    Any other task is a separate group.
    """
    return in_groups(tasks, lambda task: _clip_route(task, output), CLIPS_PER_BATCH)


def _clip_route(task: Task, output: OutputOptions) -> Route | None:
    """Return the route of a clip whose outputs must be generated; None for any other task."""
    return task.route if needs_network(task, output) and task.route and task.route.is_clip else None


def generate_file(
    trained: Trained,
    source: Path,
    out: Path,
    sampling: SamplingOptions | None = None,
    output: OutputOptions | None = None,
) -> Generated:
    """Generate the other modality of one file.

    Args:
        trained: the model.
        source: a sound, a picture or a video.
        out: folder of the output, or its name.
        sampling: how outputs are sampled.
        output: what the output looks like.

    Raises:
        MediaError: the source cannot be read, cannot become what is requested, or the output cannot be written.
        ConfigError, CheckpointError: see `plan` and `generate_all`.
    """
    sampling, output = sampling or SamplingOptions(), output or OutputOptions()
    tasks = plan([Input(source, Path(source.name))], out, output, sampling)
    (result,) = generate_all(trained, tasks, sampling, output)
    if result.error:
        raise MediaError(result.error)
    return result


@dataclass(frozen=True)
class _Batch:
    """Runs tasks. Clips are read ahead and pass through the network in groups; films are generated one at a time.

    Attributes:
        session: the model and the options.
        pool: reads inputs and writes outputs while the network computes.
    """

    session: GenerationSession
    pool: ThreadPoolExecutor

    def run(self, tasks: Iterable[Task]) -> Iterator[Generated]:
        """Yield the result of each task, in their order."""
        for group, sources in self._read_ahead(group_tasks(tasks, self.session.output)):
            yield from self._generate_group(group, sources)

    def _read_ahead(self, groups: Iterator[list[Task]]) -> Iterator[tuple[list[Task], list[Future[Tensor]]]]:
        """Yield groups and their inputs, which are read `GROUPS_AHEAD` groups before they are needed."""
        waiting: deque[tuple[list[Task], list[Future[Tensor]]]] = deque()
        for group in groups:
            new_clips = [task for task in group if _clip_route(task, self.session.output)]
            waiting.append((group, [self.pool.submit(clips.read_source, self.session, task) for task in new_clips]))
            if len(waiting) > GROUPS_AHEAD:
                yield waiting.popleft()
        yield from waiting

    def _generate_group(self, group: list[Task], sources: list[Future[Tensor]]) -> Iterator[Generated]:
        """Yield the results of a group, in its order."""
        task = group[0]
        if task.route is None or not needs_network(task, self.session.output):
            yield known_result(task, self.session.sampling)
        elif task.route.is_clip:
            yield from self._generate_clips(task.route, group, sources)
        else:
            yield self._generate_film(unfinished(task, self.session.sampling), FILM_MAKERS[task.route], task)

    def _generate_film(
        self,
        result: Generated,
        make: Callable[[GenerationSession, Task], films.FilmResult | None],
        task: Task,
    ) -> Generated:
        """Generate a film, and complete its result."""
        started = time.monotonic()
        try:
            film = make(self.session, task)
        except MediaError as error:
            return replace(result, error=str(error))
        result = replace(result, seconds=round(time.monotonic() - started, 3))
        if film is None:
            return result
        return replace(
            result,
            outputs=task.paths,
            guess=film.guess,
            unlike_training=film.unlike_training,
            silent=film.silent,
            repaired=film.repaired,
        )

    def _generate_clips(self, route: Route, group: list[Task], sources: list[Future[Tensor]]) -> Iterator[Generated]:
        """Yield the results of clips of one route; those that cannot be read do not pass through the network."""
        errors = _media_errors(dict(enumerate(sources)))
        readable = [i for i in range(len(group)) if i not in errors]
        started = time.monotonic()
        writing: dict[int, Future[None]] = {}
        made: dict[int, clips.ClipOutputs] = {}
        if readable:
            outputs = clips.generate_clips(self.session, route, [sources[i].result() for i in readable])
            made = dict(zip(readable, outputs, strict=True))
            writing = {i: self.pool.submit(self._write, group[i], made[i].writers) for i in readable}
            errors |= _media_errors(writing)
        seconds = round((time.monotonic() - started) / max(1, len(readable)), 3)
        for i, task in enumerate(group):
            result = unfinished(task, self.session.sampling)
            if i in errors:
                yield replace(result, error=errors[i])
            else:
                clip = made[i]
                yield replace(
                    result,
                    outputs=task.paths,
                    seconds=seconds,
                    guess=clip.guess,
                    unlike_training=clip.unlike_training,
                    silent=clip.silent,
                )

    def _write(self, task: Task, writers: list[tuple[clips.Writer, ...]]) -> None:
        """Write the outputs of a task, except those that exist and must not be replaced."""
        for paths, writers_of_sample in zip(task.outputs, writers, strict=True):
            for path, write in zip(paths, writers_of_sample, strict=True):
                if self.session.output.overwrite or not exists(path):
                    write(path)


def _media_errors(futures: "dict[int, Future[Tensor]] | dict[int, Future[None]]") -> dict[int, str]:
    """Wait for futures, and return the messages of those that raised a `MediaError`. Any other error is raised."""
    errors = {}
    for number, future in futures.items():
        error = future.exception()
        if isinstance(error, MediaError):
            errors[number] = str(error)
        elif error is not None:
            raise error
    return errors
