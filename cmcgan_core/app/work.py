"""Do a job, with the same functions as `cmcgan generate`, `classify` and `retrieve`."""

from collections.abc import Sequence

from cmcgan_core.app.jobs import Job
from cmcgan_core.app.models import Models
from cmcgan_core.app.orders import Action
from cmcgan_core.app.outcomes import Outcome, Sample
from cmcgan_core.errors import MediaError
from cmcgan_core.inference.classify import classify_file
from cmcgan_core.inference.dynamic_classifier import load_classifier
from cmcgan_core.inference.generate.batch import generate_all
from cmcgan_core.inference.generate.plan import OutputOptions, plan
from cmcgan_core.inference.inputs import Input
from cmcgan_core.inference.model import Model
from cmcgan_core.inference.retrieve.files import find_gallery
from cmcgan_core.inference.retrieve.retrieval import retrieve
from cmcgan_core.inference.routes import Format
from cmcgan_core.inference.sampling import SamplingOptions
from cmcgan_core.modality import Modality
from cmcgan_core.progress import OnProgress

#: What each action generates, and the format; None is the format of the input, if it can be written.
FORMATS: dict[Action, tuple[Modality, Format | None]] = {
    Action.PICTURES: (Modality.VISUAL, Format.PNG),
    Action.FILM: (Modality.VISUAL, Format.MP4),
    Action.SOUNDS: (Modality.AUDIO, Format.WAV),
    Action.SOUNDTRACK: (Modality.AUDIO, None),
}
#: Actions that give several samples.
SAMPLED = (Action.PICTURES, Action.SOUNDS)
#: Largest number of files that are found.
MAX_HITS = 8


def do_job(models: Models, searched: Sequence[str], job: Job, on_progress: OnProgress) -> Outcome:
    """Do a job.

    Args:
        models: the models.
        searched: files and folders that `Action.RETRIEVE` searches.
        job: the job.
        on_progress: called several times within long files.

    Raises:
        CmcganError: it cannot be done; the message says why.
    """
    if job.order.action is Action.RETRIEVE:
        return _retrieve(models, searched, job, on_progress)
    model = models.load(job.order.model)
    do = _classify if job.order.action is Action.CLASSIFY else _generate
    return do(model, job, on_progress)


def _generate(model: Model, job: Job, on_progress: OnProgress) -> Outcome:
    """Generate the other modality of the given file."""
    order = job.order
    to, form = FORMATS[order.action]
    output = OutputOptions(to=to, format=form, seconds=order.seconds if order.action is Action.SOUNDS else None)
    sampling = SamplingOptions(samples=order.samples if order.action in SAMPLED else 1, seed=order.seed)
    job.made.mkdir()
    (task,) = plan([Input(job.source, job.source.relative_to(job.source.parent))], job.made, output, sampling)
    (result,) = generate_all(model.trained, [task], sampling, output, model.classifier, on_progress=on_progress)
    if result.error:
        raise MediaError(result.error)
    return Outcome(
        samples=tuple(Sample(order.seed + number, files) for number, files in enumerate(task.outputs)),
        label=result.guess,
        unlike_training=result.unlike_training,
        silent=result.silent,
    )


def _classify(model: Model, job: Job, on_progress: OnProgress) -> Outcome:
    """Classify the given file; a missing modality is generated first."""
    order = job.order
    classifier = model.classifier or load_classifier(model.trained)
    sampling = SamplingOptions(samples=order.samples, seed=order.seed)
    result = classify_file(model.trained, classifier, job.source, sampling, on_progress=on_progress)
    return Outcome(
        label=result.label,
        probabilities=result.probabilities,
        unlike_training=result.unlike_training,
        silent=result.label is None,
    )


def _retrieve(models: Models, searched: Sequence[str], job: Job, on_progress: OnProgress) -> Outcome:
    """Find the files that fit the given file."""
    gallery = find_gallery(searched)
    (result,) = retrieve(models.embedder, [job.source], gallery, top=MAX_HITS, on_progress=on_progress).results
    if result.error:
        raise MediaError(result.error)
    return Outcome(hits=result.hits)
