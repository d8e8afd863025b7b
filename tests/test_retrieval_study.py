from pathlib import Path

import pytest
import torch
from conftest import COUNTS, Run, document_and_text, one_recording_per_pair, write_dataset
from torch import Tensor

from cmcgan_core.data.dataset import open_dataset
from cmcgan_core.errors import ConfigError, DataError
from cmcgan_core.evaluation.alignment import (
    canonical_correlation,
    factor_analysis,
    kernel_canonical_correlation,
    standardise,
)
from cmcgan_core.evaluation.metrics import Items, partner_ranks, score_queries
from cmcgan_core.evaluation.retrieval import score_embeddings
from cmcgan_core.experiments import retrieval as study
from cmcgan_core.experiments.recipes import Recipe
from cmcgan_core.experiments.retrieval import study_retrieval
from cmcgan_core.modality import Modality
from cmcgan_core.training.classifiers import train_judge

SOUND, PICTURE = Modality.AUDIO, Modality.VISUAL


class Pairs:
    """The labels and recordings of a split."""

    def __init__(self, labels: list[int], recordings: list[int]) -> None:
        self.labels, self.recordings = torch.tensor(labels), torch.tensor(recordings)

    def __len__(self) -> int:
        return len(self.labels)


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def test_a_gallery_of_both_modalities_by_hand() -> None:
    # One query of class 0 and recording 0. The gallery: own recording (left out), wrong, right, right.
    gallery = torch.tensor([[1.0, 0.0], [4.0, 1.0], [3.0, 1.0], [0.0, 1.0]])
    scores = score_queries(
        torch.tensor([[2.0, 0.0]]),
        gallery,
        Items(torch.tensor([0]), torch.tensor([0])),
        Items(torch.tensor([0, 1, 0, 0]), torch.tensor([0, 1, 2, 3])),
        (1, 2),
    )
    assert scores.hits.tolist() == [[0, 1]]
    assert scores.precision.tolist() == pytest.approx([(1 / 2 + 2 / 3) / 2])


def test_bi_modal_and_all_modal_by_hand() -> None:
    pairs = Pairs([0, 0, 1, 1], [0, 1, 2, 3])
    # The sounds find the pictures of the other class; the pictures' own modality is right.
    sounds = torch.tensor([[1.0, 0.0], [1.0, 0.1], [0.0, 1.0], [0.1, 1.0]])
    embeddings = {SOUND: sounds, PICTURE: sounds.flip(1)}
    scores = score_embeddings(dict.fromkeys(Modality, embeddings), pairs)  # type: ignore[arg-type]
    assert scores is not None
    # Sound 0 ranks pictures 2 and 3 (wrong) before picture 1; picture 0 is of its own recording.
    assert scores.tasks["S->P"].precision == pytest.approx(1 / 3)
    assert scores.tasks["S->P"].first == 0
    # In both modalities, sound 0 finds: picture 2, sound 1 (right), picture 3, sound 3, picture 1 (right), sound 2.
    # Sound 1 finds: picture 3, sound 0 (right), picture 2, sound 3, sound 2, picture 0 (right).
    assert scores.tasks["S->All"].precision == pytest.approx(((1 / 2 + 2 / 5) / 2 + (1 / 2 + 2 / 6) / 2) / 2)
    # Three of three pictures come before the partner of sound 0, and two before that of sound 1.
    assert scores.partner == {"S->P": pytest.approx(5 / 6), "P->S": pytest.approx(5 / 6)}


def test_the_published_protocol_keeps_the_own_recording_but_never_the_query() -> None:
    pairs = Pairs([0, 0, 1], [0, 0, 1])
    codes = torch.eye(3)
    embeddings = {SOUND: codes, PICTURE: codes}
    assert score_embeddings(dict.fromkeys(Modality, embeddings), pairs) is None  # type: ignore[arg-type]
    kept = score_embeddings(dict.fromkeys(Modality, embeddings), pairs, same_recording=True)  # type: ignore[arg-type]
    assert kept is not None
    # Every sound finds its own picture first. If the query were in the gallery, pair 2 would find itself as well.
    assert kept.tasks["S->P"].first == 1
    assert kept.tasks["S->All"].first == 1
    # Sound 0: picture 0 first; sound 1, picture 1 (right) and sound 2, picture 2 are all at cosine 0, in order.
    assert kept.tasks["S->All"].precision < 1


def test_partner_ranks_by_hand() -> None:
    codes = torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
    ranks = partner_ranks(codes, torch.tensor([[1.0, 1.0], [0.0, 1.0], [1.0, 1.0]]), torch.tensor([0, 1, 2]))
    # Query 0: item 1 is less similar than its partner, item 2 equally. Query 1: its partner is best. Query 2: equal.
    assert ranks.tolist() == pytest.approx([1 / 4, 0, 1 / 4])


def test_labels_at_retrieval_change_no_rank() -> None:
    codes = {SOUND: random(6, 4), PICTURE: random(6, 4, seed=1)}
    embeddings = dict.fromkeys(Modality, codes)
    first = score_embeddings(embeddings, Pairs([0, 0, 1, 1, 2, 2], [0, 1, 2, 3, 4, 5]))  # type: ignore[arg-type]
    second = score_embeddings(embeddings, Pairs([2, 2, 0, 0, 1, 1], [0, 1, 2, 3, 4, 5]))  # type: ignore[arg-type]
    assert first == second


@pytest.mark.parametrize("method", [canonical_correlation, factor_analysis])
def test_a_known_rotation_is_recovered(method: object) -> None:
    sounds = random(300, 6) * torch.tensor([3.0, 2.5, 2.0, 1.5, 1.0, 0.8])
    rotation = torch.linalg.qr(random(6, 6, seed=1)).Q
    codes = {SOUND: sounds, PICTURE: sounds @ rotation + 0.01 * random(300, 6, seed=2)}
    aligned = method(codes, 6)(codes)  # type: ignore[operator]
    ranks = partner_ranks(aligned[SOUND], aligned[PICTURE], torch.arange(300))
    assert ranks.mean() < 0.01


def test_the_kernel_method_recovers_what_no_linear_map_does() -> None:
    angle = random(400, 1) * 2
    codes = {
        SOUND: torch.cat([angle.cos(), angle.sin()], 1),
        PICTURE: torch.cat([(2 * angle).cos(), (3 * angle).sin()], 1),
    }
    linear, kernel = (
        partner_ranks(*(fit(codes, 8)(codes)[m] for m in Modality), torch.arange(400)).mean()  # type: ignore[call-arg, misc]
        for fit in (canonical_correlation, kernel_canonical_correlation)
    )
    assert kernel < linear / 2


def test_standardising_uses_the_training_pairs() -> None:
    train = {SOUND: torch.tensor([[0.0], [2.0]]), PICTURE: torch.tensor([[5.0], [5.0]])}
    result = standardise(train)({SOUND: torch.tensor([[1.0], [3.0]]), PICTURE: torch.tensor([[5.0]])})
    torch.testing.assert_close(result[SOUND], torch.tensor([[0.0], [2 / 2**0.5]]))
    assert result[PICTURE].tolist() == [[0.0]]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A dataset with four test recordings per class; each recording has one pair."""
    return one_recording_per_pair(write_dataset(tmp_path / "data"))


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Two recipes of few steps; returns the settings that shorten them."""
    recipes = {"CM-GANs": Recipe("cm-gans-small"), "class loss only": study.RECIPES["class loss only"]}
    monkeypatch.setattr(study, "RECIPES", recipes)
    monkeypatch.setattr(study, "SEEDS", (0, 1))
    monkeypatch.setattr(study, "CLASSIFIER", "judge-tiny")
    return ["train.epochs=3", "options.encoder_epochs=2", "train.batch_size=16", "options.hidden=16"]


def test_the_study_compares_all_representations(data: Path, tiny_run: Path, tmp_path: Path, quick: list[str]) -> None:
    dataset = open_dataset(data)
    result = study_retrieval(
        dataset, tmp_path / "study", seeds=(0, 1), settings=quick, runs=[tiny_run / "last.safetensors"]
    )
    runs = {row.name: len(row.runs) for row in result.rows}
    assert runs == {
        "codes of two classifiers": 2,
        "CCA of these codes": 2,
        "KCCA of these codes": 2,
        "CFA of these codes": 2,
        "class probabilities (semantic matching)": 2,
        "CM-GANs": 2,
        "class loss only": 2,
        f"{tiny_run.name}: codes": 1,
        f"{tiny_run.name}: translate, then compare": 1,
    }
    assert result.pairs == 3 * COUNTS["test"]
    written = (tmp_path / "study" / "CM-GANs-1" / "last.safetensors").stat().st_mtime_ns
    again = study_retrieval(dataset, tmp_path / "study", seeds=(0, 1), settings=quick)
    assert again.rows == result.rows[:-2]
    assert (tmp_path / "study" / "CM-GANs-1" / "last.safetensors").stat().st_mtime_ns == written


def test_the_command_prints_the_scores(data: Path, tmp_path: Path, quick: list[str], cmcgan: Run) -> None:
    changes = [word for setting in quick for word in ("--set", setting)]
    command = ["study", data, "retrieval", "--out", tmp_path / "study", "--quiet", *changes]
    document, text = document_and_text(cmcgan, *command)
    assert [row["name"] for row in document["rows"]][-2:] == ["CM-GANs", "class loss only"]
    assert 0 < document["rows"][0]["runs"][0]["tasks"]["S->P"]["precision"] <= 1
    assert "CM-GANs" in text


def test_a_run_that_embeds_one_modality_cannot_be_compared(data: Path, tmp_path: Path) -> None:
    dataset = open_dataset(data)
    judge = train_judge(dataset, (SOUND,), "judge-tiny")
    with pytest.raises(ConfigError, match="does not embed both sounds and pictures"):
        study_retrieval(dataset, tmp_path / "study", runs=[judge])


def test_an_option_of_another_study_is_refused(prepared: Path, cmcgan: Run) -> None:
    code, _, err = cmcgan("study", prepared, "rivals", "--same-recording")
    assert (code, "the study rivals does not have this option" in err) == (2, True)
    code, _, err = cmcgan("study", prepared, "retrieval", "--dry-run")
    assert (code, "the study retrieval does not have this option" in err) == (2, True)


def test_a_split_without_two_recordings_of_a_class_is_named(prepared: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no class of the split test has two recordings"):
        study_retrieval(open_dataset(prepared), tmp_path / "study")
