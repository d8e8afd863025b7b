import inspect
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from conftest import COUNTS, tiny_config, write_dataset
from torch import Tensor

from cmcgan_core.checkpoint import Trained, load_checkpoint, network_tensors, save_checkpoint
from cmcgan_core.config import load_config
from cmcgan_core.data.dataset import PairDataset
from cmcgan_core.data.loader import in_order
from cmcgan_core.errors import CheckpointError, DataError
from cmcgan_core.evaluation.collect import EvaluationPass
from cmcgan_core.evaluation.evaluate import evaluate
from cmcgan_core.evaluation.judges import JudgePanel, load_judges
from cmcgan_core.evaluation.paper import paper_tables
from cmcgan_core.evaluation.scores import Scores
from cmcgan_core.methods import Translator
from cmcgan_core.methods.cmcgan import Generators
from cmcgan_core.training.train import train_run

CPU = torch.device("cpu")
CONTROLS = {f"{row} {control}" for row in ("GV-A", "GA-V") for control in ("constant", "other class", "noise")}


class Oracle(Translator):
    """Makes exactly the real partner of whatever it is given, or a constant."""

    directions = ("a2v", "v2a")
    hops, possible_hops, latent = 1, (1, 2), 0
    recovers = ("a", "v")

    def __init__(self, dataset: PairDataset, knows: bool) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(()))
        self.knows = knows
        self.real = next(in_order(dataset, load_config("tiny").network, 1000, CPU))

    def translate(self, direction: str, source: Tensor, z: Tensor) -> Tensor:
        given, wanted = (
            (self.real.audio, self.real.visual) if direction == "a2v" else (self.real.visual, self.real.audio)
        )
        places = [int((given - one).abs().flatten(1).sum(1).argmin()) for one in source]
        return wanted[places] if self.knows else torch.zeros_like(wanted[places])

    def recover(self, modality: str, source: Tensor, z: Tensor) -> Tensor:
        return source if self.knows else torch.zeros_like(source)


@pytest.fixture(scope="module")
def trained(tiny_run: Path) -> Trained:
    return load_checkpoint(tiny_run / "last.safetensors", CPU)


@pytest.fixture(scope="module")
def panel(prepared: Path, trained: Trained) -> JudgePanel:
    return load_judges(trained, prepared, thorough=True, device="cpu")


def scores_of_oracle(prepared: Path, trained: Trained, panel: JudgePanel, *, knows: bool) -> Scores:
    dataset = PairDataset(prepared, "test")
    oracle = Trained(trained.about, Oracle(dataset, knows), trained.path)
    judged = EvaluationPass(oracle, panel, dataset, latents=2, seed=0)
    return Scores(judged, judged.run(full=True), 0)


def test_a_perfect_generator_reaches_what_real_samples_reach(
    prepared: Path, trained: Trained, panel: JudgePanel
) -> None:
    scores = scores_of_oracle(prepared, trained, panel, knows=True)
    for sample, modality in (("a2v 1", "v"), ("v2a 1", "a")):
        assert all(scores.accuracy(j, f"{modality} recovered") == scores.accuracy(j, modality) for j in panel.single)
        assert all(scores.accuracy(j, sample) == scores.accuracy(j, modality) for j in panel.single)
        quality, real = scores.quality(sample, scores.codes(sample)), scores.quality(modality, {})
        assert quality.l1 == pytest.approx(0)
        assert quality.frechet_distance["judge-tiny"] == pytest.approx(0, abs=1e-4)
        assert quality.high_frequency == pytest.approx(1)
        assert quality.diversity == 0
        assert [2 * n for row in real.confusion for n in row] == [n for row in quality.confusion for n in row]
    assert scores.quality("a2v 1", {}).ssim == pytest.approx(1)
    assert scores.quality("v2a 1", {}).log_spectral_distance == pytest.approx(0)
    table2 = scores.table2("real")
    assert table2["GV-A"] == table2["GA-V"] == table2["V-A"]
    assert table2["GV-A other class"].micro < table2["GV-A"].micro


def test_a_generator_that_says_nothing_is_no_better_than_chance(
    prepared: Path, trained: Trained, panel: JudgePanel
) -> None:
    scores = scores_of_oracle(prepared, trained, panel, knows=False)
    assert scores.accuracy("judge-tiny", "a2v 1").micro == pytest.approx(1 / 3)
    assert scores.table2("real")["GV-A"].micro == scores.table2("real")["GV-A constant"].micro
    assert scores.quality("a2v 1", {}).high_frequency == 0


def test_evaluate_covers_the_split_and_the_papers_tables(prepared: Path, tiny_run: Path) -> None:
    found = evaluate(tiny_run, prepared, latents=2, seed=5)
    assert found.pairs == {"test": COUNTS["test"] * 3, "train": COUNTS["test"] * 3}
    assert found.recordings == {"test": 3, "train": 3}
    assert found.table1.keys() == found.quality.keys() == {"S2I", "I2S"}
    assert found.table1["S2I"].keys() == {"1", "2"}
    assert found.table2.keys() == {"V", "A", "V-A", "GV-A", "GA-V"} | CONTROLS
    assert found.retrained.keys() == {"V-A", "GV-A", "GA-V"} | CONTROLS
    assert found.other_judges.keys() == {"judge-tiny-resnet"}
    assert found.seeds["latents"] == [5, 6]
    assert found.seeds["judges"] == {"judge-tiny": 0, "judge-tiny-resnet": 1}
    assert found.pose is None
    for quality in (found.quality["S2I"]["1"], found.quality["I2S"]["2"]):
        assert sum(map(sum, quality.confusion)) == 2 * found.pairs["test"]
        assert quality.frechet_distance.keys() == {"judge-tiny", "judge-tiny-resnet"}
        assert quality.precision_at_1 is None  # a class has one test recording only
    assert found.quality["S2I"]["real"].frechet_distance["judge-tiny"] > 0


def test_evaluation_repeats_with_its_seed(prepared: Path, tiny_run: Path) -> None:
    assert evaluate(tiny_run, prepared, seed=3).to_dict() == evaluate(tiny_run, prepared, seed=3).to_dict()


def test_without_the_judges_that_need_training_of_their_own(prepared: Path, tiny_run: Path) -> None:
    found = evaluate(tiny_run, prepared, latents=1, thorough=False)
    assert found.other_judges == {}
    assert found.quality["S2I"]["1"].diversity is None  # of one latent


def test_the_training_split_is_not_its_own_floor(prepared: Path, tiny_run: Path) -> None:
    found = evaluate(tiny_run, prepared, split="train", latents=1, thorough=False)
    assert found.pairs == {"train": COUNTS["train"] * 3}
    assert found.quality["S2I"]["real"].frechet_distance == {}


def test_latents_do_not_depend_on_their_number(prepared: Path, trained: Trained, panel: JudgePanel) -> None:
    dataset, name = PairDataset(prepared, "test"), ("code", "judge-tiny", "a2v 2")
    found = [EvaluationPass(trained, panel, dataset, latents=k, seed=0).run(full=True)[name] for k in (1, 3)]
    torch.testing.assert_close(found[1][:1], found[0])
    assert not found[1][1].equal(found[1][0])


def test_no_label_reaches_the_generator(prepared: Path, trained: Trained, panel: JudgePanel) -> None:
    assert set(inspect.signature(Generators.translate).parameters) == {"self", "direction", "source", "z"}
    dataset, strange = PairDataset(prepared, "test"), PairDataset(prepared, "test")
    strange.labels = strange.labels.flip(0)
    found, other = (
        EvaluationPass(trained, panel, labelled, latents=2, seed=0).run(full=True) for labelled in (dataset, strange)
    )
    # A stand-in of another class is chosen by the label; nothing else is.
    assert [name for name in found if not found[name].equal(other[name])] == [
        name for name in found if name[-1].endswith("other class") and not found[name].equal(other[name])
    ]
    assert found["l1", "a2v 1"].equal(other["l1", "a2v 1"])


def test_a_classifier_that_was_retrained_on_another_checkpoint_is_left_out(
    prepared: Path, tiny_run: Path, trained: Trained, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    run.mkdir()
    shutil.copyfile(tiny_run / "classifier.safetensors", run / "classifier.safetensors")
    save_checkpoint(run / "last.safetensors", trained.about, network_tensors(trained.network))
    assert evaluate(run, prepared, latents=1, thorough=False).retrained == {}


def test_a_split_that_was_drawn_anew_is_not_judged(tmp_path: Path) -> None:
    data = write_dataset(tmp_path / "data")
    train_run(tiny_config("train.epochs=1"), data, tmp_path / "run")
    (data / "dataset.toml").write_text('content = "anew"\n' + (data / "dataset.toml").read_text())
    with pytest.raises(CheckpointError, match="prepared anew"):
        evaluate(tmp_path / "run", data)


def test_judges_are_not_trained_again(prepared: Path, tiny_run: Path) -> None:
    evaluate(tiny_run, prepared)
    before = {path: path.stat().st_mtime_ns for path in (prepared / "judges").rglob("*")}
    evaluate(tiny_run, prepared)
    assert {path: path.stat().st_mtime_ns for path in (prepared / "judges").rglob("*")} == before


def test_the_papers_figures_are_the_papers() -> None:
    tables = paper_tables()
    assert tables["table1"]["S2I"]["CMCGAN (paper)"] == {"train": 0.9105, "test": 0.7661}
    assert tables["table1"]["I2S"]["CMCGAN (paper)"] == {"train": 0.8109, "test": 0.5189}
    assert tables["table2"] == {"V": 0.9531, "A": 0.8863, "V-A": 0.9741, "GV-A": 0.9804, "GA-V": 0.9861}


def test_what_does_not_fit_is_said(prepared: Path, tiny_run: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no pairs in its tset split"):
        evaluate(tiny_run, prepared, split="tset")
    with pytest.raises(CheckpointError, match="does not exist"):
        evaluate(tmp_path / "none", prepared)


def scores_of(found: dict[tuple[str, ...], Tensor], label: Tensor, recordings: list[str]) -> Scores:
    """Scores of findings that are made up."""
    pairs = [SimpleNamespace(recording=name) for name in recordings]
    dataset = SimpleNamespace(labels=label, classes=("a", "b"), pairs=pairs)
    judged: Any = SimpleNamespace(dataset=dataset, items=list(range(len(label))), panel=SimpleNamespace(single=["j"]))
    return Scores(judged, found, seed=0)


def test_an_accuracy_is_the_mean_over_the_latents() -> None:
    label = torch.tensor([0, 0, 0, 1])
    seen = torch.tensor([[0, 0, 0, 1], [0, 1, 1, 1]])
    accuracy = scores_of({("class", "j", "a2v 1"): seen}, label, ["x", "x", "y", "z"]).accuracy("j", "a2v 1")
    assert accuracy.micro == pytest.approx((4 / 4 + 2 / 4) / 2)
    assert accuracy.balanced == pytest.approx((1 + (1 / 3 + 1) / 2) / 2)
    # Recordings are right in 3/4, 1/2 and 1/1 of their pairs.
    assert accuracy.micro_interval == (0.5, 1.0)


@pytest.fixture
def posing() -> Callable[..., Any]:
    """Findings of 400 pairs of two classes and twenty recordings whose heights are drawn at random."""

    def make(right: Tensor, seen: Callable[[Tensor], Tensor]) -> Any:
        height = torch.rand(400, generator=torch.Generator().manual_seed(0))
        label = torch.arange(400) % 2
        recordings = [f"{i % 2}-{i // 40}" for i in range(400)]
        heights = torch.stack([seen(height), seen(height)], dim=1)[None]  # for either class
        found = {("height", "v"): heights}
        for hops in ("1", "2"):
            found["height", f"a2v {hops}"] = heights
            found["class", "j", f"a2v {hops}"] = torch.where(right, label, 1 - label)[None]
        return scores_of(found, label, recordings).pose(height)

    return make


def test_a_pose_follows_its_own_sound_and_not_another(posing: Callable[..., Any]) -> None:
    pose = posing(torch.ones(400, dtype=torch.bool), lambda height: 2 * height + 1)
    assert pose.real == pytest.approx(1)
    assert pose.generated["1"] == pytest.approx(1)
    assert abs(pose.other_sound["1"]) < 0.2
    assert pose.share == {"1": 1.0, "2": 1.0}


def test_only_poses_in_pictures_of_the_right_class_count(posing: Callable[..., Any]) -> None:
    right = torch.arange(400) < 100
    pose = posing(right, lambda height: torch.where(right, height, -height))
    assert pose.generated["1"] == pytest.approx(1)
    assert pose.real < 0
    assert pose.share["1"] == 0.25
