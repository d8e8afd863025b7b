"""The study of retrieval: how well the representations of several methods find sounds by pictures, and the reverse.

Source: Peng, Qi and Yuan, "CM-GANs" (2017): bi-modal and all-modal retrieval, mean average precision over all ranks.
    `docs/retrieval.md` names what the protocol here does differently, and the methods that are left out.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from cmcgan_core.checkpoint import Trained, load_checkpoint
from cmcgan_core.config import Config, load_config
from cmcgan_core.data.dataset import PairDataset, PreparedDataset
from cmcgan_core.errors import ConfigError, DataError, TrainingError
from cmcgan_core.evaluation.alignment import (
    Alignment,
    Codes,
    canonical_correlation,
    factor_analysis,
    kernel_canonical_correlation,
    standardise,
)
from cmcgan_core.evaluation.judges import one_trainer
from cmcgan_core.evaluation.metrics import retrieval_by_chance
from cmcgan_core.evaluation.pooling import Figure, figure_of
from cmcgan_core.evaluation.results import to_plain
from cmcgan_core.evaluation.retrieval import RetrievalScores, embed_split, score_embeddings
from cmcgan_core.experiments.recipes import SEEDS, Recipe, full_size_preset, slug
from cmcgan_core.experiments.study import named_progress
from cmcgan_core.inference.translate import to_network, translate_maps
from cmcgan_core.modality import Direction, Modality
from cmcgan_core.nn.capabilities import Embedder, Translator, embeds_both
from cmcgan_core.nn.fusion import FusionNetwork
from cmcgan_core.progress import OnProgress, silent
from cmcgan_core.training.classifiers import train_judge
from cmcgan_core.training.run import train_once
from cmcgan_core.utils.device import choose_device
from cmcgan_core.utils.files import RUN_AGAIN, exclusive_lock, explain_write_errors

#: Name of the study on the command line.
RETRIEVAL_STUDY = "retrieval"
#: Preset of the classifiers whose codes and probabilities are compared.
CLASSIFIER = "judge-small"
#: Preset of all recipes.
PRESET = "cm-gans-small"
#: What is trained: CM-GANs, one change at a time, and the correspondence autoencoder (Feng et al. 2014).
RECIPES = {
    "CM-GANs": Recipe(PRESET),
    "without intra-modality discriminators": Recipe(PRESET, ("loss_weights.intra=0",)),
    "without inter-modality discriminators": Recipe(PRESET, ("loss_weights.inter=0",)),
    "without weight sharing": Recipe(PRESET, ("options.shared=false",)),
    "without class loss": Recipe(PRESET, ("loss_weights.class=0",)),
    "class loss only": Recipe(PRESET, ("loss_weights.inter=0", "loss_weights.intra=0")),
    "mismatch as published": Recipe(PRESET, ("options.mismatch=published",)),
    "correspondence autoencoder": Recipe(
        PRESET,
        (
            "loss_weights.inter=0",
            "loss_weights.intra=0",
            "loss_weights.class=0",
            "loss_weights.reconstruction=1",
            "loss_weights.correspondence=1",
            "options.shared=false",
        ),
    ),
}

#: Embeddings (N, D) of the items of a split by modality, for the queries of each modality.
ByQuery = Mapping[Modality, Mapping[Modality, Tensor]]


@dataclass(frozen=True)
class Row:
    """One representation.

    Attributes:
        name: name of the representation.
        runs: its scores, one for each seed.
    """

    name: str
    runs: tuple[RetrievalScores, ...]

    def precision(self, task: str) -> Figure:
        """Return the mean average precision of a task over the seeds."""
        scores = [run.tasks[task] for run in self.runs]
        return figure_of([score.precision for score in scores], [score.interval for score in scores])

    def first(self, task: str) -> Figure:
        """Return the precision at 1 of a task over the seeds."""
        return figure_of([run.tasks[task].first for run in self.runs])

    def partner(self, task: str) -> Figure:
        """Return `RetrievalScores.partner` of a task over the seeds."""
        return figure_of([run.partner[task] for run in self.runs])


@dataclass(frozen=True)
class RetrievalStudy:
    """The result of a study of retrieval.

    Attributes:
        data: folder of the dataset.
        split: name of the evaluated split.
        pairs: number of its pairs.
        seeds: seeds of the trainings.
        same_recording: whether the gallery kept items of the query's own recording.
        chance: mean average precision of random rankings.
        rows: the results.
    """

    data: str
    split: str
    pairs: int
    seeds: tuple[int, ...]
    same_recording: bool
    chance: float
    rows: tuple[Row, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON document."""
        document: dict[str, Any] = to_plain(self)
        return document


def study_retrieval(
    dataset: PreparedDataset,
    out: Path,
    *,
    split: str = "test",
    runs: Sequence[Path] = (),
    seeds: Sequence[int] = SEEDS,
    settings: Sequence[str] = (),
    same_recording: bool = False,
    full_size: bool = False,
    device: str = "auto",
    on_progress: OnProgress = silent,
) -> RetrievalStudy:
    """Train the recipes and the classifiers that are not trained yet, and score all representations.

    Args:
        dataset: the dataset to train on.
        out: folder of the study; it gets a run folder for each recipe and seed.
        split: name of the evaluated split.
        runs: checkpoints of further runs to compare; a run that translates also counts as "translate, then compare".
        seeds: seeds of the trainings.
        settings: settings of all recipes, as `cmcgan train --set` takes them.
        same_recording: see `score_embeddings`.
        full_size: whether to train the presets without "-small", for a GPU.
        device: see `choose_device`.
        on_progress: called after every step.

    Raises:
        DataError: the split is empty, or no class of it has two recordings.
        ConfigError: one of `runs` does not embed both modalities, or is of other classes.
        TrainingError: `out` cannot be written.
        Interrupted: a stop was requested; the next call resumes.
    """
    pairs = dataset.nonempty_split(split)
    chance = retrieval_by_chance(pairs.labels, pairs.recordings)
    if chance is None:
        raise DataError(f"{dataset.root}: no class of the split {split} has two recordings, so nothing can be found")
    others = [_load_other(run, dataset, device) for run in runs]
    reader = _Reader(dataset, pairs, device, full_size, on_progress)
    with explain_write_errors(out, TrainingError, RUN_AGAIN), exclusive_lock(out / ".lock", on_progress):
        scores: dict[str, list[RetrievalScores]] = {}
        for seed in seeds:
            for name, embeddings in _representations(reader, out, seed, settings):
                scores.setdefault(name, []).append(_score(embeddings, pairs, same_recording=same_recording))
    for other in others:
        for name, embeddings in _representations_of_run(reader, other):
            scores[name] = [_score(embeddings, pairs, same_recording=same_recording)]
    rows = tuple(Row(name, tuple(of_seeds)) for name, of_seeds in scores.items())
    return RetrievalStudy(
        str(dataset.root), split, len(pairs), tuple(seeds), same_recording, chance.mean_average_precision, rows
    )


@dataclass(frozen=True)
class _Reader:
    """Trains networks on a dataset, and embeds its training pairs and those of the evaluated split."""

    dataset: PreparedDataset
    pairs: PairDataset
    device: str
    full_size: bool
    on_progress: OnProgress

    def preset(self, small: str) -> str:
        """Return a preset of small networks, or that of the papers' size instead."""
        return full_size_preset(small) if self.full_size else small

    def train(self, config: Config, out: Path) -> Trained:
        """Train a run once."""
        path = train_once(config, self.dataset, out, self.device, named_progress(out.name, self.on_progress))
        return load_checkpoint(path, choose_device(self.device))

    def train_classifier(self, seed: int) -> Trained:
        """Train the classifier of both modalities once."""
        with one_trainer(self.dataset.root, self.on_progress):
            path = train_judge(
                self.dataset,
                tuple(Modality),
                self.preset(CLASSIFIER),
                seed=seed,
                device=self.device,
                on_progress=self.on_progress,
            )
        return load_checkpoint(path, choose_device(self.device))

    def embed(self, trained: Trained, embed: Callable[[Modality, Tensor], Tensor]) -> tuple[Codes, Codes]:
        """Return the embeddings of the training pairs, and those of the evaluated pairs."""
        train, evaluated = (
            embed_split(embed, part, trained.about.config.network, trained.device, self.on_progress)
            for part in (self.dataset.split("train"), self.pairs)
        )
        return train, evaluated


def _representations(reader: _Reader, out: Path, seed: int, settings: Sequence[str]) -> Iterator[tuple[str, ByQuery]]:
    """Yield the names and the embeddings of all representations that are trained with a seed."""
    classifier = reader.train_classifier(seed)
    network = classifier.network
    assert isinstance(network, FusionNetwork)
    yield from _representations_of_codes(*reader.embed(classifier, network.embed), len(reader.dataset.classes))

    def classify(modality: Modality, maps: Tensor) -> Tensor:
        return network.classify_codes(network.embed(modality, maps), [modality]).softmax(dim=1)

    _, probabilities = reader.embed(classifier, classify)
    yield "class probabilities (semantic matching)", _for_both(probabilities)
    for name, recipe in RECIPES.items():
        config = replace(load_config(reader.preset(recipe.preset), settings=(*recipe.set, *settings)), seed=seed)
        trained = reader.train(config, out / f"{slug(name)}-{seed}")
        assert isinstance(trained.network, Embedder)
        yield name, _for_both(_standardised(*reader.embed(trained, trained.network.embed)))


def _representations_of_codes(train: Codes, codes: Codes, classes: int) -> Iterator[tuple[str, ByQuery]]:
    """Yield the codes of two independent classifiers, and what the classical methods make of them."""
    plain = standardise(train)
    train, codes = plain(train), plain(codes)
    yield "codes of two classifiers", _for_both(codes)
    methods: dict[str, Callable[[Codes, int], Alignment]] = {
        "CCA": canonical_correlation,
        "KCCA": kernel_canonical_correlation,
        "CFA": factor_analysis,
    }
    for name, fit in methods.items():
        yield f"{name} of these codes", _for_both(fit(train, classes - 1)(codes))


def _representations_of_run(reader: _Reader, run: Trained) -> Iterator[tuple[str, ByQuery]]:
    """Yield the embeddings of a run, and if it translates, the codes of its translations."""
    network, name = run.network, run.path.parent.name
    assert isinstance(network, Embedder)
    yield f"{name}: codes", _for_both(_standardised(*reader.embed(run, network.embed)))
    if not isinstance(network, Translator) or set(network.directions) != set(Direction):
        return
    judge = reader.train_classifier(SEEDS[0])
    assert isinstance(judge.network, FusionNetwork)
    embed_code = judge.network.embed

    def embed_in(space: Modality) -> Callable[[Modality, Tensor], Tensor]:
        """Return a function that embeds maps of both modalities as codes of one, after translation to it."""
        direction = next(direction for direction in Direction if direction.target is space)
        z = network.draw(1, torch.Generator().manual_seed(0))

        def embed(modality: Modality, maps: Tensor) -> Tensor:
            in_space = maps if modality is space else translate_maps(run, direction, maps, z)
            return embed_code(space, to_network(judge, in_space))

        return embed

    # A sound is compared as the picture that is generated from it, and a picture as the sound.
    spaces = {modality: reader.embed(run, embed_in(modality.other)) for modality in Modality}
    yield f"{name}: translate, then compare", {m: _standardised(*codes) for m, codes in spaces.items()}


def _standardised(train: Codes, codes: Codes) -> dict[Modality, Tensor]:
    """Return codes with the mean and the deviation of the training pairs removed."""
    return standardise(train)(codes)


def _for_both(embeddings: Mapping[Modality, Tensor]) -> ByQuery:
    """Return the same embeddings for the queries of both modalities."""
    return dict.fromkeys(Modality, embeddings)


def _score(embeddings: ByQuery, pairs: PairDataset, *, same_recording: bool) -> RetrievalScores:
    scores = score_embeddings(embeddings, pairs, same_recording=same_recording)
    assert scores is not None
    return scores


def _load_other(run: Path, dataset: PreparedDataset, device: str) -> Trained:
    """Load a run to compare.

    Raises:
        ConfigError: it does not embed both modalities, or is of other classes than the dataset.
    """
    trained = load_checkpoint(run, choose_device(device))
    if not embeds_both(trained.network):
        raise ConfigError(f"{run} does not embed both sounds and pictures, so it cannot be compared")
    if trained.about.classes != dataset.classes:
        raise ConfigError(f"{run} was trained on other classes than {dataset.root} has")
    return trained
