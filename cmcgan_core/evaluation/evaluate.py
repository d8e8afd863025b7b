"""A checkpoint and a split to figures beside the papers'; `docs/evaluation.md` says what each of them is.

Judges are classifiers trained on real training pairs only and kept beside the dataset. No label reaches the generator.
The rows of Table 2 stand beside controls: what the same classifier says when the generated modality is replaced by a
constant, by what was generated for another class, and by noise. A generator helps by no more than its row is above
those.
"""

import json
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any

import torch

from cmcgan_core.checkpoint import Trained, find_checkpoint, load_checkpoint, read_about
from cmcgan_core.data.dataset import PairDataset, held_out
from cmcgan_core.data.synthetic.heights import note_heights
from cmcgan_core.errors import CheckpointError, ConfigError
from cmcgan_core.evaluation.collect import EvaluationPass
from cmcgan_core.evaluation.judges import JudgePanel, load_judges
from cmcgan_core.evaluation.paper import paper_tables
from cmcgan_core.evaluation.scores import Accuracy, Judgement, Pose, Quality, Scores, judgement, qualities
from cmcgan_core.inference.completion import fingerprint
from cmcgan_core.inference.translate import require_translator
from cmcgan_core.progress import OnProgress, silent
from cmcgan_core.utils.device import choose_device
from cmcgan_core.utils.files import write_text
from cmcgan_core.utils.schema import build


@dataclass(frozen=True)
class Evaluation:
    """The rows of Tables 1 and 2, and what else there is to know of the samples.

    Attributes:
        checkpoint, data, split: what was evaluated.
        seeds: of the latents, the stand-ins, the bootstrap, and the judges' trainings.
        classes: their names, in the order of the confusion matrices.
        pairs, recordings: their number by split.
        hops: of the model's own output, which Table 2 uses.
        judge: preset of the main judge.
        real, table1, recovered: what the main judge says, see `Judgement`.
        other_judges: what others say, by preset.
        quality: by direction ("S2I", "I2S"; those that the run knows), then by number of hops ("1", "2"), or "real":
            what real samples of the split reach in the same place; the distances there are those of the training
            split's.
        table2: accuracy of the classifiers V, A, V-A, GV-A, GA-V and of the controls, on the held-out split.
        retrained: the rows of pairs by the run's own classifier, which was trained on generated samples too; empty
            where the run has none.
        pose: of a demonstration set; None for others.
    """

    checkpoint: str
    data: str
    split: str
    seeds: dict[str, Any]
    classes: tuple[str, ...]
    pairs: dict[str, int]
    recordings: dict[str, int]
    hops: int
    judge: str
    real: dict[str, dict[str, Accuracy]]
    table1: dict[str, dict[str, dict[str, Accuracy]]]
    recovered: dict[str, dict[str, Accuracy]]
    other_judges: dict[str, Judgement]
    quality: dict[str, dict[str, Quality]]
    table2: dict[str, Accuracy]
    retrained: dict[str, Accuracy]
    pose: Pose | None

    def to_dict(self) -> dict[str, Any]:
        """As plain values, the papers' figures beside them."""
        return {**asdict(self), "paper": paper_tables()}


def evaluate(
    run: Path | None,
    data: Path,
    *,
    split: str = "test",
    latents: int = 4,
    seed: int = 0,
    thorough: bool = True,
    device: str = "auto",
    on_progress: OnProgress = silent,
) -> Evaluation:
    """Judge a run on a whole split, and on as many training pairs, spread evenly.

    Args:
        run: a checkpoint, a run folder, or None for the newest run.
        data: prepared dataset.
        split: to judge.
        latents: samples that are made of each pair; of the training pairs it is one.
        seed: of the latents, the stand-ins and the bootstrap.
        thorough: ask the second judge and the pose judge too, which are trained when they are first needed.
        device: see `choose_device`.
        on_progress: told of every stage.

    Raises:
        CheckpointError: there is no such run, it generates nothing, or it knows other classes than the dataset.
        DataError: the dataset has no such split.
        KeyboardInterrupt: it was asked to stop while it trained a judge; the next call goes on there.
    """
    trained = load_checkpoint(find_checkpoint(run), choose_device(device))
    dataset = held_out(data, split)
    _check(trained, dataset)
    panel = load_judges(trained, data, thorough=thorough, device=device, on_progress=on_progress)
    judged = EvaluationPass(trained, panel, dataset, latents=latents, seed=seed)
    whole = Scores(judged, judged.run(full=True, on_progress=on_progress), seed)
    scores, train = {split: whole}, None
    if split != "train":
        judged = EvaluationPass(trained, panel, PairDataset(data, "train"), latents=1, seed=seed, most=len(dataset))
        scores["train"] = train = Scores(judged, judged.run(full=False, on_progress=on_progress), seed)
    main, *others = (judgement(judge, scores) for judge in panel.single)
    height = note_heights(dataset) if panel.pose and "a2v" in judged.directions else None
    return Evaluation(
        checkpoint=str(trained.path),
        data=str(data),
        split=split,
        seeds=_seeds(panel, latents, seed),
        classes=dataset.classes,
        pairs={name: len(of.label) for name, of in scores.items()},
        recordings={name: len(set(of.recording.tolist())) for name, of in scores.items()},
        hops=require_translator(trained).hops,
        judge=next(iter(panel.single)),
        real=main.real,
        table1=main.table1,
        recovered=main.recovered,
        other_judges=dict(zip(list(panel.single)[1:], others, strict=True)),
        quality={name: qualities(direction, whole, train) for direction, name in judged.directions.items()},
        table2={"V": main.real["v"][split], "A": main.real["a"][split], **whole.table2("real")},
        retrained=whole.table2("retrained"),
        pose=None if height is None else whole.pose(height),
    )


def _seeds(panel: JudgePanel, latents: int, seed: int) -> dict[str, Any]:
    """All that was drawn by."""
    judges = {preset: by_modality["v"].trained.about.config.seed for preset, by_modality in panel.single.items()}
    return {"latents": [seed + k for k in range(latents)], "stand_ins": seed, "bootstrap": seed, "judges": judges}


def _check(trained: Trained, dataset: PairDataset) -> None:
    about = trained.about
    require_translator(trained)
    if about.classes != dataset.classes or about.settings != dataset.settings:
        raise CheckpointError(
            f"{trained.path} was trained on other classes or features than {dataset.root} has; train "
            f"a model of its own with: cmcgan train {dataset.root}"
        )
    if about.data == dataset.about["name"] and about.content != dataset.about.get("content", ""):
        raise CheckpointError(
            f"{dataset.root} was prepared anew since {trained.path} was trained on it: pairs "
            "that are in its test split now may have been trained on; train again"
        )


def evaluate_once(
    run: Path | None,
    data: Path,
    *,
    split: str = "test",
    latents: int = 4,
    seed: int = 0,
    device: str = "auto",
    on_progress: OnProgress = silent,
) -> Evaluation:
    """What `evaluate` finds, by all judges; as it was found before, where nothing that decides it has changed.

    Args and errors are those of `evaluate`.
    """
    checkpoint = find_checkpoint(run)
    asked = {"split": split, "latents": latents, "seed": seed, "device": choose_device(device).type}
    if (kept := _read(_file(checkpoint, data, asked))) is not None:
        return replace(kept, checkpoint=str(checkpoint), data=str(data))
    found = evaluate(checkpoint, data, split=split, latents=latents, seed=seed, device=device, on_progress=on_progress)
    # Its name is found anew, as the judges may have been trained just now. A dataset that cannot be written to can be
    # evaluated as long as its judges are there.
    with suppress(OSError):
        write_text(_file(checkpoint, data, asked), json.dumps(asdict(found), indent=1) + "\n")
    return found


def _file(checkpoint: Path, data: Path, asked: dict[str, Any]) -> Path:
    """Where the evaluation is kept that all this decides."""
    judge = read_about(checkpoint).config.judge
    of_run = [file for file in [checkpoint.parent / "classifier.safetensors"] if file.is_file()]
    judges = sorted(file for name in (f"{judge}*/*", "pose-*") for file in data.glob(f"judges/{name}.safetensors"))
    index = [file for file in (data / "dataset.toml", data / "index.csv") if file.is_file()]
    decisive = {
        **asked,
        "files": [fingerprint(file) for file in (checkpoint, *of_run, *judges, *index)],
        "code": _code(),
        "torch": torch.__version__,
    }
    return data / "evaluations" / f"{sha256(json.dumps(decisive).encode()).hexdigest()[:32]}.json"


@cache
def _code() -> str:
    """Hash of this package's own code."""
    package = Path(__file__).parents[1]
    return sha256(b"".join(file.read_bytes() for file in sorted(package.rglob("*.py")))).hexdigest()


def _read(file: Path) -> Evaluation | None:
    """An evaluation that was kept; None where there is none, or a damaged one."""
    try:
        return build(Evaluation, json.loads(file.read_text(encoding="utf-8")), str(file))
    except (OSError, ValueError, ConfigError):
        return None
