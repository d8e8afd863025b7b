"""Generate and classify on a cluster: its workers get chunks of the inputs, and the results come back in order.

The chunks are the groups of inputs that pass through the network together, so results are those of one process.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import TypeVar
from uuid import uuid4

from cmcgan_core.checkpoint import Trained, load_checkpoint
from cmcgan_core.errors import MediaError
from cmcgan_core.inference.classify import classify_all
from cmcgan_core.inference.dynamic_classifier import Classified, find_classifier, load_classifier
from cmcgan_core.inference.generate.batch import generate_all, group_tasks
from cmcgan_core.inference.generate.plan import OutputOptions, Task
from cmcgan_core.inference.generate.results import Generated, known_result, needs_network
from cmcgan_core.inference.sampling import SamplingOptions
from cmcgan_core.media.files import media_kind
from cmcgan_core.progress import OnProgress, Progress, silent
from cmcgan_core.utils.batches import in_groups
from cmcgan_core.utils.cluster import Cluster
from cmcgan_core.utils.device import choose_device
from cmcgan_core.utils.files import exists

#: Short inputs that are classified by one task.
INPUTS_PER_CHUNK = 16

T = TypeVar("T")


@dataclass(frozen=True)
class WorkerModel:
    """The model that workers load.

    Attributes:
        checkpoint: the checkpoint file.
        device: see `utils.device.choose_device`; "auto" is chosen by each worker.
        use: differs for each use, because the file may have changed since a worker loaded it for another use.
    """

    checkpoint: Path
    device: str = "auto"
    use: str = field(default_factory=lambda: uuid4().hex)


def generate_on_cluster(
    cluster: Cluster,
    model: WorkerModel,
    tasks: Sequence[Task],
    sampling: SamplingOptions,
    output: OutputOptions,
    *,
    on_progress: OnProgress = silent,
) -> Iterator[Generated]:
    """Run the tasks of `plan` on a cluster, see `generate_all`.

    Raises:
        CheckpointError: as `generate_all`, or the model cannot be loaded.
        ConfigError, DataError: see `Cluster.run`.
    """
    groups = list(group_tasks(tasks, output))
    # Decided once, before workers write the outputs of later groups.
    known = [None if needs_network(group[0], output) else known_result(group[0], sampling) for group in groups]
    new = [group for group, result in zip(groups, known, strict=True) if result is None]
    calls = [(model, group, sampling, _restartable(group, output)) for group in new]
    paths = [[model.checkpoint, *(task.source for task in group)] for group in new]
    in_order = _in_order(cluster.run(_generate, calls, paths), [len(group) for group in new], "generating", on_progress)
    for result in known:
        yield from next(in_order) if result is None else [result]


def classify_on_cluster(
    cluster: Cluster,
    model: WorkerModel,
    performances: Sequence[Sequence[Path]],
    sampling: SamplingOptions,
    every: float | None = None,
    *,
    on_progress: OnProgress = silent,
) -> Iterator[Classified | MediaError]:
    """Classify files on a cluster, see `classify_all`.

    Raises:
        CheckpointError: as `classify_all`, or the model cannot be loaded.
        ConfigError, DataError: as `classify_all`, or see `Cluster.run`.
    """

    def key(paths: Sequence[Path]) -> str | None:
        kind = media_kind(paths[0])
        return None if kind == "video" or (kind == "sound" and every is not None) else ""

    chunks = list(in_groups(performances, key, INPUTS_PER_CHUNK))
    calls = [(model, chunk, sampling, every) for chunk in chunks]
    files = [[path for performance in chunk for path in performance] for chunk in chunks]
    paths = [[model.checkpoint, *filter(exists, chunk_files)] for chunk_files in files]
    results = cluster.run(_classify, calls, paths)
    for chunk_results in _in_order(results, [len(chunk) for chunk in chunks], "classifying", on_progress):
        yield from chunk_results


def _restartable(group: list[Task], output: OutputOptions) -> OutputOptions:
    """Return the options for a group that may run again because a worker died.

    If none of its outputs exists now, those that a worker finds are of the first attempt. They are replaced by equal
    ones, so that the group passes through the network as a whole again, and no result is reported as skipped.
    """
    is_new = not any(exists(path) for task in group for path in task.paths)
    return replace(output, overwrite=output.overwrite or is_new)


def _in_order(results: Iterator[tuple[int, T]], sizes: list[int], stage: str, on_progress: OnProgress) -> Iterator[T]:
    """Yield the results of chunks in the order of the chunks; report progress as they end."""
    early: dict[int, T] = {}
    following = done = 0
    for position, result in results:
        early[position] = result
        done += sizes[position]
        on_progress(Progress(stage, done, sum(sizes), "inputs"))
        while following in early:
            yield early.pop(following)
            following += 1


def _generate(
    model: WorkerModel, group: list[Task], sampling: SamplingOptions, output: OutputOptions
) -> list[Generated]:
    """Run tasks on a worker."""
    trained, classifier = _load(model)
    return list(generate_all(trained, group, sampling, output, classifier))


def _classify(
    model: WorkerModel, chunk: list[Sequence[Path]], sampling: SamplingOptions, every: float | None
) -> list[Classified | MediaError]:
    """Classify files on a worker."""
    trained, classifier = _load(model)
    # Without a classifier, `load_classifier` says what to do.
    return list(classify_all(trained, classifier or load_classifier(trained), chunk, sampling, every))


@lru_cache(maxsize=1)
def _load(model: WorkerModel) -> tuple[Trained, Trained | None]:
    """Load a model and its classifier, if it has one; once for each use and process."""
    trained = load_checkpoint(model.checkpoint, choose_device(model.device))
    return trained, find_classifier(trained)
