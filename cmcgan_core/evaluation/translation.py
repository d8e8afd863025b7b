"""Tables 1 and 2 and the metrics of the samples of a translator."""

from dataclasses import replace

from cmcgan_core.checkpoint import Trained
from cmcgan_core.data.dataset import PairDataset
from cmcgan_core.data.synthetic.heights import note_heights
from cmcgan_core.evaluation.collect import EvaluationPass
from cmcgan_core.evaluation.judges import JudgePanel, load_judges
from cmcgan_core.evaluation.outputs import Generated, PairClassifier
from cmcgan_core.evaluation.pose_scores import score_poses
from cmcgan_core.evaluation.results import Evaluation
from cmcgan_core.evaluation.scores import Scores, judge_scores
from cmcgan_core.evaluation.waveforms import measure_waveforms
from cmcgan_core.inference.translate import require_translator
from cmcgan_core.modality import Modality
from cmcgan_core.progress import OnProgress


def evaluate_translator(
    evaluation: Evaluation,
    trained: Trained,
    split: PairDataset,
    *,
    latents: int,
    thorough: bool,
    concatenate: bool,
    device: str,
    on_progress: OnProgress,
) -> Evaluation:
    """Translate a split and an equal number of training pairs, judge the samples, and add the scores to an evaluation.

    Args:
        evaluation: the evaluation that the scores are added to; it has the seeds.
        trained: a translator.
        split: the pairs to translate.
        latents: number of samples of each pair. Training pairs get one.
        thorough: whether to use the second judge and the pose judge.
        concatenate: whether to use the classifiers of concatenated inputs.
        device: see `choose_device`.
        on_progress: called in every stage.
    """
    seed, name = evaluation.seeds.controls, evaluation.split
    panel = load_judges(
        trained, split.dataset, thorough=thorough, concatenate=concatenate, device=device, on_progress=on_progress
    )
    by_split = score_splits(trained, panel, split, latents, seed, on_progress)
    scores, (judge, *other_judges) = by_split[name], panel.judges
    main = judge_scores(judge, by_split, name)
    waveforms = measure_waveforms(trained, split, seed=seed, on_progress=on_progress)
    hops = require_translator(trained).hops
    alone = {"V": main.real[Modality.VISUAL][name], "A": main.real[Modality.AUDIO][name]}
    return replace(
        evaluation,
        seeds=replace(evaluation.seeds, latents=tuple(seed + k for k in range(latents)), judges=panel.seeds),
        hops=hops,
        judge=judge,
        real=main.real,
        table1=main.table1,
        recovered=main.recovered,
        copied=main.copied,
        other_judges={other: judge_scores(other, by_split, name) for other in other_judges},
        quality={
            direction: {
                kind: scores.merge_quality(
                    scores.map_quality(sample), main.quality[direction][kind], waveforms.get((direction, kind), {})
                )
                for kind, sample in kinds.items()
            }
            for direction, kinds in scores.kinds.items()
        },
        confusion={
            direction: {kind: scores.confusion(judge, sample) for kind, sample in kinds.items()}
            for direction, kinds in scores.kinds.items()
        },
        by_class={
            direction: {
                evaluation.classes[label]: of_class
                for label, of_class in scores.by_class(Generated(direction, hops)).items()
            }
            for direction in scores.kinds
        },
        table2={**alone, **scores.table2(PairClassifier.REAL)},
        other_table2={name: scores.table2(name) for name in panel.pairs if name is not PairClassifier.REAL},
        poses=score_poses(scores.outputs, scores.pairs, judge, hops, evaluation.classes, seed=seed),
    )


def score_splits(
    trained: Trained, panel: JudgePanel, split: PairDataset, latents: int, seed: int, on_progress: OnProgress
) -> dict[str, Scores]:
    """Return the scores of a split, and of an equal number of training pairs, spread evenly, by name of the split."""
    settings, training = trained.about.settings, None
    by_split: dict[str, Scores] = {}
    evaluated = EvaluationPass(trained, panel, split, latents=latents, seed=seed)
    outputs = evaluated.run(full=True, on_progress=on_progress)
    if split.split != "train":
        other = EvaluationPass(trained, panel, split.dataset.split("train"), latents=1, seed=seed, limit=len(split))
        training = other.run(full=False, on_progress=on_progress)
        by_split["train"] = Scores(training, other.pair_info(full=False), settings, seed=seed)
    pairs = evaluated.pair_info(full=True, height=note_heights(split) if panel.pose else None)
    return {**by_split, str(split.split): Scores(outputs, pairs, settings, seed=seed, training=training)}
