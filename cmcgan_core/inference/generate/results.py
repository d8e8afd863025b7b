"""The result of one input. The command line imports this module, so it does not import torch."""

from dataclasses import dataclass, replace
from pathlib import Path

from cmcgan_core.inference.generate.plan import OutputOptions, Task
from cmcgan_core.inference.routes import Route
from cmcgan_core.inference.sampling import SamplingOptions
from cmcgan_core.media.damage import DamagedInterval
from cmcgan_core.utils.files import exists


@dataclass(frozen=True)
class Generated:
    """The result of one input.

    Attributes:
        input: path of the input, as the user named it.
        outputs: files that were written, or existed already.
        route: what the input became, see `routes.Route`; None if it cannot become anything.
        seed: seed of the first sample, see `SamplingOptions`.
        seconds: time that it took; for inputs that were generated together, the mean.
        guess: the class that the run's classifier assigns to input and output; None without a classifier, and for a
            silent sound.
        unlike_training: whether the input, or most of a film, is unlike the training data, see
            `dynamic_classifier.Classified`; None if the classifier cannot tell.
        silent: whether the input is a silent sound.
        repaired: the damaged intervals of a film that was repaired.
        skipped: whether all outputs existed already.
        error: why nothing was generated, or "".
    """

    input: Path
    outputs: tuple[Path, ...]
    route: Route | None
    seed: int
    seconds: float = 0.0
    guess: str | None = None
    unlike_training: bool | None = None
    silent: bool = False
    repaired: tuple[DamagedInterval, ...] = ()
    skipped: bool = False
    error: str = ""


def unfinished(task: Task, sampling: SamplingOptions) -> Generated:
    """Return the result of a task before anything is generated, with the error of the plan if there is one."""
    return Generated(task.source, (), task.route, sampling.seed, error=task.error)


def needs_network(task: Task, output: OutputOptions) -> bool:
    """Return whether the outputs of a task must be generated: it is possible, and some do not exist yet."""
    return task.route is not None and (output.overwrite or not all(map(exists, task.paths)))


def known_result(task: Task, sampling: SamplingOptions) -> Generated:
    """Return the result of a task that needs no network: its error, or its outputs, which exist."""
    result = unfinished(task, sampling)
    return result if task.route is None else replace(result, outputs=task.paths, skipped=True)
