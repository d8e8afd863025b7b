"""Evaluate a checkpoint on a split. `docs/evaluation.md` defines every figure.

What is computed depends on what the network can do (see `nn.capabilities`). The samples of a translator are judged by
classifiers that were trained on real training pairs only and are kept with the dataset; no label reaches the
translator. Table 2 has controls: the generated modality is replaced by a constant, by what was generated for another
class, or by noise. A translator helps only by the amount that its row exceeds those of the controls. An embedder is
scored by retrieval, a classifier by its accuracy.
"""

import inspect
import json
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from functools import cache
from hashlib import sha256
from pathlib import Path

import torch

from cmcgan_core.checkpoint import Trained, load_checkpoint
from cmcgan_core.data.dataset import PreparedDataset
from cmcgan_core.errors import CheckpointError, ConfigError
from cmcgan_core.evaluation.classification import evaluate_classifier
from cmcgan_core.evaluation.judges import judge_files
from cmcgan_core.evaluation.results import Evaluation, Seeds
from cmcgan_core.evaluation.retrieval import evaluate_embedder
from cmcgan_core.evaluation.sample_metrics import METRICS, MapMetric, SetMetric, WaveformMetric
from cmcgan_core.evaluation.translation import evaluate_translator
from cmcgan_core.inference.completion import fingerprint
from cmcgan_core.nn.capabilities import Classifier, Translator, embeds_both
from cmcgan_core.progress import OnProgress, silent
from cmcgan_core.run_folder import RunFolder, find_checkpoint, read_about
from cmcgan_core.utils.batches import spread_evenly
from cmcgan_core.utils.device import choose_device
from cmcgan_core.utils.files import write_text
from cmcgan_core.utils.schema import build, parse_json

__all__ = ["Evaluation", "evaluate"]


@dataclass(frozen=True)
class Request:
    """The arguments of `evaluate` that decide the figures.

    Attributes:
        split: name of the split.
        latents: number of latents.
        seed: seed of the latents, the controls and the bootstrap.
        thorough: whether the second judge and the pose judge are used.
        concatenate: whether the classifiers of concatenated inputs are used.
        device: kind of the device.
    """

    split: str
    latents: int
    seed: int
    thorough: bool
    concatenate: bool
    device: str


def evaluate(
    run: Path,
    dataset: PreparedDataset,
    *,
    split: str = "test",
    latents: int = 4,
    seed: int = 0,
    thorough: bool = True,
    concatenate: bool = False,
    device: str = "auto",
    cached: bool = True,
    on_progress: OnProgress = silent,
) -> Evaluation:
    """Evaluate a run on all pairs of a split, and on an equal number of training pairs, spread evenly.

    Args:
        run: a checkpoint or a run folder.
        dataset: the dataset to evaluate on; its folder keeps the judges and the cache.
        split: name of the split.
        latents: number of samples of each pair. Training pairs get one.
        seed: seed of the latents, the controls and the bootstrap.
        thorough: whether to use the second judge and the pose judge. Judges are trained when they are first needed.
        concatenate: whether to add to Table 2 classifiers of concatenated inputs, see `methods.classifier.Options`.
        device: see `choose_device`.
        cached: whether to return an earlier evaluation, if nothing that decides the figures has changed, and to keep
            this one in the dataset's folder.
        on_progress: called in every stage.

    Raises:
        CheckpointError: there is no such run, it cannot do anything that is evaluated, or it has other classes than the
            dataset.
        DataError: the split is empty.
        Interrupted: a stop was requested while a judge was trained; the next call resumes.
    """
    checkpoint = find_checkpoint(run)
    request = Request(split, latents, seed, thorough, concatenate, choose_device(device).type)
    if cached and (earlier := _read(_cache_file(checkpoint, dataset, request))) is not None:
        return replace(earlier, checkpoint=str(checkpoint), data=str(dataset.root))
    evaluation = compute_evaluation(checkpoint, dataset, request, device, on_progress)
    if cached:
        # The name of the file is computed again, because judges may have been trained meanwhile. A dataset that cannot
        # be written to can be evaluated if its judges exist.
        with suppress(OSError):
            file = _cache_file(checkpoint, dataset, request)
            write_text(file, json.dumps(asdict(evaluation), indent=1) + "\n")
    return evaluation


def compute_evaluation(
    checkpoint: Path, dataset: PreparedDataset, request: Request, device: str, on_progress: OnProgress
) -> Evaluation:
    """Evaluate a checkpoint; see `evaluate` for arguments and errors."""
    trained = load_checkpoint(checkpoint, choose_device(device))
    split, training = dataset.nonempty_split(request.split), dataset.split("train")
    _require_fitting(trained, dataset)
    splits = {"train": training.recordings[spread_evenly(len(training), len(split))], request.split: split.recordings}
    evaluation = Evaluation(
        checkpoint=str(trained.path),
        data=str(dataset.root),
        split=request.split,
        seeds=Seeds(latents=(), controls=request.seed, bootstrap=request.seed),
        classes=dataset.classes,
        pairs={name: len(recording) for name, recording in splits.items()},
        recordings={name: len(set(recording.tolist())) for name, recording in splits.items()},
    )
    if isinstance(trained.network, Translator):
        evaluation = evaluate_translator(
            evaluation,
            trained,
            split,
            latents=request.latents,
            thorough=request.thorough,
            concatenate=request.concatenate,
            device=device,
            on_progress=on_progress,
        )
    if embeds_both(trained.network):
        evaluation = replace(evaluation, retrieval=evaluate_embedder(trained, split, on_progress=on_progress))
    if isinstance(trained.network, Classifier):
        classification = evaluate_classifier(trained, split, seed=request.seed, on_progress=on_progress)
        evaluation = replace(evaluation, classification=classification)
    return evaluation


def _cache_file(checkpoint: Path, dataset: PreparedDataset, request: Request) -> Path:
    """Return the cache file, whose name depends on everything that decides the figures."""
    root = dataset.root
    judges = judge_files(dataset, read_about(checkpoint).config.judge)
    others = [RunFolder(checkpoint.parent).classifier, root / "dataset.toml", root / "index.csv"]
    decisive = {
        **asdict(request),
        "files": [fingerprint(file) for file in (checkpoint, *judges, *filter(Path.is_file, others))],
        "code": _code(),
        "metrics": [(name, _metric_code(name)) for name in METRICS.names()],
        "torch": torch.__version__,
    }
    return root / "evaluations" / f"{sha256(json.dumps(decisive).encode()).hexdigest()[:32]}.json"


@cache
def _code() -> str:
    """Return the hash of all code of this package."""
    package = Path(__file__).parents[1]
    return sha256(b"".join(file.read_bytes() for file in sorted(package.rglob("*.py")))).hexdigest()


def _metric_code(name: str) -> str:
    """Return the hash of the file that defines a metric, which may belong to a plugin; "" without a file."""
    metric = METRICS.get(name)
    if isinstance(metric, MapMetric | SetMetric | WaveformMetric) and inspect.isfunction(metric.compute):
        return fingerprint(Path(inspect.getfile(metric.compute)))
    return ""


def _read(file: Path) -> Evaluation | None:
    """Read an earlier evaluation; None if the file is missing or damaged."""
    try:
        return build(Evaluation, parse_json(file.read_bytes()), str(file))
    except (OSError, ValueError, ConfigError):
        return None


def _require_fitting(trained: Trained, dataset: PreparedDataset) -> None:
    """Raise a `CheckpointError` if a network cannot be evaluated, or not on this dataset."""
    about, network = trained.about, trained.network
    if not (isinstance(network, Translator | Classifier) or embeds_both(network)):
        raise CheckpointError(
            f"{trained.path} holds a {about.config.method}, which neither translates, nor classifies, nor embeds both "
            "modalities, so nothing can be evaluated; name another run with --checkpoint"
        )
    if about.classes != dataset.classes or about.settings != dataset.settings:
        raise CheckpointError(
            f"{trained.path} was trained on other classes or features than those of {dataset.root}; train a model on "
            f"it with: cmcgan train {dataset.root}"
        )
    if about.data == dataset.name and about.content != dataset.content:
        raise CheckpointError(
            f"{dataset.root} was prepared again since {trained.path} was trained on it: pairs that are in its test "
            "split now may have been used for training; train again"
        )
