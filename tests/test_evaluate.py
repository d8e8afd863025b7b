import copy
import inspect
import shutil
import weakref
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from types import MappingProxyType

import pytest
import torch
from conftest import COUNTS, tiny_config, write_dataset
from torch import Tensor

from cmcgan_core.checkpoint import Trained, network_tensors, save_checkpoint
from cmcgan_core.config import load_config
from cmcgan_core.data.dataset import PairDataset, PreparedDataset, open_dataset
from cmcgan_core.data.loader import in_order, to_batch
from cmcgan_core.errors import CheckpointError, DataError
from cmcgan_core.evaluation import collect
from cmcgan_core.evaluation.collect import EvaluationPass
from cmcgan_core.evaluation.evaluate import evaluate
from cmcgan_core.evaluation.judges import Judge, JudgePanel, load_judges
from cmcgan_core.evaluation.metrics import kernel_distance
from cmcgan_core.evaluation.outputs import (
    Control,
    Copied,
    Generated,
    JudgeOutputs,
    OutputCollector,
    PairClassifier,
    PairInfo,
    Real,
    Recovered,
)
from cmcgan_core.evaluation.paper import paper_tables
from cmcgan_core.evaluation.pose_scores import ALL_READABLE, PoseScore, _partners, score_poses
from cmcgan_core.evaluation.scores import ClassScores, Scores
from cmcgan_core.evaluation.translation import score_splits
from cmcgan_core.evaluation.waveforms import measure_waveforms
from cmcgan_core.features.representations import synthesise
from cmcgan_core.features.settings import FeatureSettings
from cmcgan_core.inference.translate import to_levels
from cmcgan_core.media.files import loudness
from cmcgan_core.methods.cmcgan import Generators
from cmcgan_core.modality import Direction, Modality
from cmcgan_core.nn.capabilities import Translator
from cmcgan_core.progress import silent
from cmcgan_core.run_folder import read_about
from cmcgan_core.training.train import train_run

CPU = torch.device("cpu")
A2V, V2A = Direction.A2V, Direction.V2A
JUDGE = "judge-tiny"
CONTROLS = {f"{row} {control}" for row in ("GV-A", "GA-V") for control in ("constant", "other class", "noise")}


class Oracle(Translator):
    """Generates exactly the real partner of its input, or a constant."""

    directions = (A2V, V2A)
    hops, possible_hops, latent = 1, (1, 2), 0
    recovers = MappingProxyType({Modality.AUDIO: (1, 2), Modality.VISUAL: (1, 2)})

    def __init__(self, split: PairDataset, knows: bool) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(()))
        self.knows = knows
        self.real = next(in_order(split, load_config("tiny").network, 1000, CPU)).maps()

    def translate(self, direction: Direction, source: Tensor, z: Tensor) -> Tensor:
        given, wanted = self.real[direction.source], self.real[direction.target]
        places = [int((given - item).abs().flatten(1).sum(1).argmin()) for item in source]
        return wanted[places] if self.knows else torch.zeros_like(wanted[places])

    def recover(self, modality: Modality, source: Tensor, z: Tensor) -> Tensor:
        return source if self.knows else torch.zeros_like(source)


@pytest.fixture(scope="module")
def dataset(prepared: Path) -> PreparedDataset:
    return open_dataset(prepared)


@pytest.fixture(scope="module")
def panel(dataset: PreparedDataset, trained: Trained) -> JudgePanel:
    return load_judges(trained, dataset, thorough=True, device="cpu")


def scores_of_oracle(dataset: PreparedDataset, trained: Trained, panel: JudgePanel, *, knows: bool) -> Scores:
    split = dataset.split("test")
    oracle = Trained(trained.about, Oracle(split, knows), trained.path)
    return score_splits(oracle, panel, split, 2, 0, silent)["test"]


def test_a_perfect_generator_reaches_what_real_samples_reach(
    dataset: PreparedDataset, trained: Trained, panel: JudgePanel
) -> None:
    scores = scores_of_oracle(dataset, trained, panel, knows=True)
    for direction in Direction:
        sample, real = Generated(direction, 1), Real(direction.target)
        recovered = [Recovered(direction.target, hops) for hops in (1, 2)]
        assert all(scores.accuracy(j, sample) == scores.accuracy(j, real) for j in panel.judges for sample in recovered)
        assert all(scores.accuracy(j, sample) == scores.accuracy(j, real) for j in panel.judges)
        quality = scores.quality(JUDGE, sample)
        assert quality["l1"] == pytest.approx(0)
        assert quality["frechet_distance"] == pytest.approx(0, abs=1e-4)
        assert quality["high_frequency"] == pytest.approx(1)
        assert quality["diversity"] == 0
        matrices = scores.confusion(JUDGE, real), scores.confusion(JUDGE, sample)
        assert [2 * n for row in matrices[0] for n in row] == [n for row in matrices[1] for n in row]
    assert scores.quality(JUDGE, Generated(A2V, 1))["ssim"] == pytest.approx(1)
    assert scores.quality(JUDGE, Generated(V2A, 1))["log_spectral_distance"] == pytest.approx(0)
    table2 = scores.table2(PairClassifier.REAL)
    assert table2["GV-A"] == table2["GA-V"] == table2["V-A"]
    assert table2["GV-A other class"].micro < table2["GV-A"].micro


def test_scores_of_a_class_are_those_of_its_pairs() -> None:
    sample = Generated(A2V, 1)
    outputs = JudgeOutputs(
        predicted={("judge", sample): torch.tensor([[0, 1, 1, 2], [0, 0, 0, 2]])},
        nearest={Real(Modality.AUDIO): torch.tensor([[0.1, 0.3, 0.5, 0.7]])},
    )
    pairs = PairInfo(torch.tensor([0, 0, 0, 2]), torch.arange(4), classes=3)
    by_class = Scores(outputs, pairs, FeatureSettings(), seed=0).by_class(sample)
    assert by_class == {
        0: ClassScores(3, {"judge": 4 / 6}, pytest.approx(0.3)),
        2: ClassScores(1, {"judge": 1.0}, pytest.approx(0.7)),
    }


class BandJudge(Judge):
    """Classifies by the loudest band and by the brightest colour, or takes every sound for one of class 1."""

    def __init__(self, *, hears: bool) -> None:
        self.hears = hears

    def predict(self, maps: Mapping[Modality, Tensor]) -> tuple[Tensor, Tensor]:
        if Modality.VISUAL in maps:
            predicted = maps[Modality.VISUAL].mean(dim=(2, 3)).argmax(dim=1)
        else:
            predicted = (maps[Modality.AUDIO].mean(dim=(1, 3)).argmax(dim=1) - 15) // 30
            predicted = predicted if self.hears else torch.ones_like(predicted)
        return torch.zeros(len(predicted), 1), predicted


@pytest.mark.parametrize("hears", [True, False])
def test_a_copied_picture_shows_the_class_that_the_judge_hears(
    dataset: PreparedDataset, trained: Trained, hears: bool
) -> None:
    panel = JudgePanel({"bands": BandJudge(hears=hears)}, {}, trained.about.config.network)
    split = dataset.split("test")
    outputs = EvaluationPass(trained, panel, split, latents=1, seed=0).run(full=False)
    shown = outputs.predicted["bands", Copied(A2V)][0]
    assert shown.equal(split.labels if hears else torch.ones_like(split.labels))
    assert outputs.predicted["bands", Copied(V2A)][0].equal(split.labels) is hears


def test_copies_of_training_samples_are_told_from_new_ones(
    dataset: PreparedDataset, trained: Trained, panel: JudgePanel
) -> None:
    training = Oracle(dataset.split("train"), knows=True)  # finds the nearest training pair of each input
    copies = Trained(trained.about, training, trained.path)
    scores = score_splits(copies, panel, dataset.split("test"), 1, 0, silent)["test"]
    quality = scores.quality(JUDGE, Generated(A2V, 1))
    assert quality["distance_to_training"] == pytest.approx(0, abs=1e-3)
    assert quality["share_near_training"] == 1
    real = scores_of_oracle(dataset, trained, panel, knows=True).quality(JUDGE, Generated(A2V, 1))
    assert real["distance_to_training"] == pytest.approx(1, abs=1e-3)
    assert (real["share_near_training"] or 0) < 0.2


def test_a_constant_generator_is_at_chance(dataset: PreparedDataset, trained: Trained, panel: JudgePanel) -> None:
    scores = scores_of_oracle(dataset, trained, panel, knows=False)
    assert scores.accuracy(JUDGE, Generated(A2V, 1)).micro == pytest.approx(1 / 3)
    table2 = scores.table2(PairClassifier.REAL)
    assert table2["GV-A"].micro == table2["GV-A constant"].micro
    assert scores.quality(JUDGE, Generated(A2V, 1))["high_frequency"] == 0


def test_evaluate_covers_the_split_and_the_papers_tables(dataset: PreparedDataset, tiny_run: Path) -> None:
    evaluation = evaluate(tiny_run, dataset, latents=2, seed=5)
    assert evaluation.pairs == {"test": COUNTS["test"] * 3, "train": COUNTS["test"] * 3}
    assert evaluation.recordings == {"test": 3, "train": 3}
    assert evaluation.table1.keys() == evaluation.quality.keys() == {A2V, V2A}
    assert evaluation.table1[A2V].keys() == {"1", "2"}
    assert evaluation.table2.keys() == {"V", "A", "V-A", "GV-A", "GA-V"} | CONTROLS
    assert evaluation.other_table2.keys() == {"retrained"}
    assert evaluation.other_table2[PairClassifier.RETRAINED].keys() == {"V-A", "GV-A", "GA-V"} | CONTROLS
    assert evaluation.other_judges.keys() == {"judge-tiny-resnet"}
    assert evaluation.seeds.latents == (5, 6)
    assert evaluation.seeds.judges == {"judge-tiny": 0, "judge-tiny-resnet": 1}
    assert not evaluation.poses  # only the demonstration set has a score
    other = evaluation.other_judges["judge-tiny-resnet"]
    for direction, hops in ((A2V, "1"), (V2A, "2")):
        assert sum(map(sum, evaluation.confusion[direction][hops])) == 2 * evaluation.pairs["test"]
        for quality in (evaluation.quality[direction][hops], other.quality[direction][hops]):
            assert quality["frechet_distance"] is not None
            assert quality["precision_at_1"] is None  # a class has one test recording only
    assert evaluation.quality[A2V]["1"]["periodicity"] is None
    for sounds in (evaluation.quality[V2A][kind] for kind in ("1", "2", "real")):
        assert 0 <= sounds["periodicity"] <= 1
        assert -100 <= sounds["level"] <= 0
    real = evaluation.quality[A2V]["real"]["frechet_distance"]
    assert real is not None
    assert real > 0
    for direction in Direction:
        assert evaluation.copied[direction].keys() == other.copied[direction].keys() == {"train", "test"}
        assert evaluation.quality[direction]["real"]["distance_to_training"] == 1
        assert (evaluation.quality[direction]["1"]["distance_to_training"] or 0) > 1  # an untrained generator
    assert evaluation.retrieval is None  # for the same reason
    assert evaluation.classification is None


def test_evaluation_repeats_with_its_seed(dataset: PreparedDataset, tiny_run: Path) -> None:
    first, second = (evaluate(tiny_run, dataset, seed=3, cached=False) for _ in range(2))
    assert first.to_dict() == second.to_dict()


def test_evaluation_without_the_second_judge_and_the_pose_judge(dataset: PreparedDataset, tiny_run: Path) -> None:
    evaluation = evaluate(tiny_run, dataset, latents=1, thorough=False)
    assert evaluation.other_judges == {}
    assert evaluation.quality[A2V]["1"]["diversity"] is None  # of one latent


def test_the_training_split_is_not_compared_with_itself(dataset: PreparedDataset, tiny_run: Path) -> None:
    evaluation = evaluate(tiny_run, dataset, split="train", latents=1, thorough=False)
    assert evaluation.pairs == {"train": COUNTS["train"] * 3}
    assert evaluation.quality[A2V]["real"]["frechet_distance"] is None
    assert evaluation.quality[A2V]["1"]["distance_to_training"] is None


def test_latents_do_not_depend_on_their_number(dataset: PreparedDataset, trained: Trained, panel: JudgePanel) -> None:
    split, key = dataset.split("test"), ("judge-tiny", Generated(A2V, 2))
    codes = [EvaluationPass(trained, panel, split, latents=k, seed=0).run(full=True).codes[key] for k in (1, 3)]
    torch.testing.assert_close(codes[1][:1], codes[0])
    assert not codes[1][1].equal(codes[1][0])


def test_outputs_of_batches_are_joined_and_not_kept() -> None:
    rng = torch.Generator().manual_seed(0)
    sample, case = Generated(A2V, 1), ("j", Generated(A2V, 1))
    predicted, codes, nearest = (torch.rand(2, 7, *rest, generator=rng) for rest in ((), (3,), ()))
    collector = OutputCollector(7, [0, 3, 6])
    for places in ([0, 1, 2], [3, 4, 5], [6]):
        parts = [whole[:, places] for whole in (predicted, codes, nearest)]
        batch = JudgeOutputs(predicted={case: parts[0]}, codes={case: parts[1]}, nearest={sample: parts[2]})
        kept = [weakref.ref(part) for part in parts]
        collector.add(batch, len(places))
        del batch, parts
        # What a batch leaves in the memory would fragment it.
        assert [reference() for reference in kept] == [None] * 3
    assert collector.outputs.predicted[case].equal(predicted)
    assert collector.outputs.nearest[sample].equal(nearest)
    assert collector.outputs.codes[case].equal(codes[:, [0, 3, 6]])
    assert collector.outputs.codes[case]._base is None


def test_metrics_of_sets_use_a_limited_number_of_pairs_of_a_large_split(
    dataset: PreparedDataset, trained: Trained, panel: JudgePanel, monkeypatch: pytest.MonkeyPatch
) -> None:
    split, sample = dataset.split("test"), Generated(A2V, 1)
    real, settings = Real(Modality.VISUAL), split.settings
    whole = EvaluationPass(trained, panel, split, latents=2, seed=0)
    outputs, info = whole.run(full=True, batch_size=4), whole.pair_info(full=True)
    monkeypatch.setattr(collect, "COMPARED", 5)
    limited = EvaluationPass(trained, panel, split, latents=2, seed=0)
    few, few_info = limited.run(full=True, batch_size=4), limited.pair_info(full=True)
    assert few_info.coded is not None
    assert len(split) > len(few_info.coded) == 5
    assert {len(codes[0]) for codes in few.codes.values()} == {5}
    assert few.codes[JUDGE, sample].equal(outputs.codes[JUDGE, sample][:, few_info.coded])
    # Everything else is about all pairs.
    assert few.predicted[JUDGE, sample].equal(outputs.predicted[JUDGE, sample])
    assert few.measures["l1", sample].equal(outputs.measures["l1", sample])
    all_pairs, some = (Scores(o, i, settings, seed=0) for o, i in ((outputs, info), (few, few_info)))
    assert all_pairs.accuracy(JUDGE, sample) == some.accuracy(JUDGE, sample)
    distances = [
        kernel_distance(outputs.codes[JUDGE, sample][k, few_info.coded], outputs.codes[JUDGE, real][0, few_info.coded])
        for k in range(2)
    ]
    assert some.quality(JUDGE, sample)["kernel_distance"] == pytest.approx(sum(distances) / 2)


def test_the_control_by_another_class_draws_from_every_class_of_a_large_split(
    dataset: PreparedDataset, trained: Trained, panel: JudgePanel, monkeypatch: pytest.MonkeyPatch
) -> None:
    split = dataset.split("test")
    assert EvaluationPass(trained, panel, split, latents=1, seed=0)._others.tolist() == list(range(len(split)))
    monkeypatch.setattr(collect, "COMPARED", 1)
    others = EvaluationPass(trained, panel, split, latents=1, seed=0)._others
    assert sorted(split.labels[others].tolist()) == sorted(set(split.labels.tolist()))


def test_no_label_reaches_the_generator(dataset: PreparedDataset, trained: Trained, panel: JudgePanel) -> None:
    assert set(inspect.signature(Generators.translate).parameters) == {"self", "direction", "source", "z"}
    strange = copy.copy(dataset.split("test"))
    strange.labels = strange.labels.flip(0)
    outputs, other = (
        EvaluationPass(trained, panel, labelled, latents=2, seed=0).run(full=True)
        for labelled in (dataset.split("test"), strange)
    )
    # The control by another class is chosen by the label; nothing else is.
    for name in ("predicted", "codes", "heights", "measures"):
        mine, theirs = getattr(outputs, name), getattr(other, name)
        assert mine.keys() == theirs.keys()
        assert all(mine[key].equal(theirs[key]) for key in mine)
    changed = [case for (_, case), classes in outputs.pairs.items() if not classes.equal(other.pairs[_, case])]
    assert {case.control for case in changed} <= {Control.OTHER_CLASS}
    assert outputs.measures["l1", Generated(A2V, 1)].equal(other.measures["l1", Generated(A2V, 1)])


def test_a_classifier_that_was_retrained_on_another_checkpoint_is_left_out(
    dataset: PreparedDataset, tiny_run: Path, trained: Trained, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    run.mkdir()
    shutil.copyfile(tiny_run / "classifier.safetensors", run / "classifier.safetensors")
    halved = {name: tensor / 2 for name, tensor in network_tensors(trained.network).items()}
    save_checkpoint(run / "last.safetensors", trained.about, halved)
    assert evaluate(run, dataset, latents=1, thorough=False).other_table2 == {}


def test_classifiers_of_concatenated_inputs_are_added_to_table_2(
    dataset: PreparedDataset, tiny_run: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    shutil.copytree(tiny_run, run)
    evaluation = evaluate(run, dataset, latents=1, thorough=False, concatenate=True)
    assert list(evaluation.other_table2) == ["retrained", "concatenated", "concatenated, retrained"]
    assert all(rows.keys() == {"V-A", "GV-A", "GA-V"} | CONTROLS for rows in evaluation.other_table2.values())
    assert evaluation.other_table2[PairClassifier.CONCATENATED]["V-A"].micro > 0.9
    assert set(read_about(run / "concatenated" / "last.safetensors").config.options) == {"modalities", "fusion"}
    again = evaluate(run, dataset, latents=1, thorough=False, concatenate=True, cached=False)
    assert again.other_table2 == evaluation.other_table2, "a classifier was trained again"


def test_a_split_that_was_drawn_again_is_not_judged(tmp_path: Path) -> None:
    data = write_dataset(tmp_path / "data")
    train_run(tiny_config("train.epochs=1"), open_dataset(data), tmp_path / "run")
    (data / "dataset.toml").write_text('content = "another"\n' + (data / "dataset.toml").read_text())
    with pytest.raises(CheckpointError, match="prepared again"):
        evaluate(tmp_path / "run", open_dataset(data))


def test_judges_are_not_trained_again(dataset: PreparedDataset, prepared: Path, tiny_run: Path) -> None:
    evaluate(tiny_run, dataset)
    before = {path: path.stat().st_mtime_ns for path in (prepared / "judges").rglob("*")}
    evaluate(tiny_run, dataset, cached=False)
    assert {path: path.stat().st_mtime_ns for path in (prepared / "judges").rglob("*")} == before


def test_the_published_figures_equal_those_in_the_papers() -> None:
    tables = asdict(paper_tables())
    assert tables["table1"]["S2I"]["CMCGAN (paper)"] == {"train": 0.9105, "test": 0.7661}
    assert tables["table1"]["I2S"]["CMCGAN (paper)"] == {"train": 0.8109, "test": 0.5189}
    assert tables["table2"] == {"V": 0.9531, "A": 0.8863, "V-A": 0.9741, "GV-A": 0.9804, "GA-V": 0.9861}


def test_an_unknown_split_and_a_missing_run_are_named(dataset: PreparedDataset, tiny_run: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no pairs in its tset split; choose another --split: train, validation, test"):
        evaluate(tiny_run, dataset, split="tset")
    with pytest.raises(CheckpointError, match="does not exist"):
        evaluate(tmp_path / "none", dataset)


def test_an_accuracy_is_the_mean_over_the_latents() -> None:
    pairs = PairInfo(label=torch.tensor([0, 0, 0, 1]), recording=torch.tensor([0, 0, 1, 2]), classes=2)
    predicted = torch.tensor([[0, 0, 0, 1], [0, 1, 1, 1]])
    outputs = JudgeOutputs(predicted={("j", Generated(A2V, 1)): predicted})
    accuracy = Scores(outputs, pairs, FeatureSettings(), seed=0).accuracy("j", Generated(A2V, 1))
    assert accuracy.micro == pytest.approx((4 / 4 + 2 / 4) / 2)
    assert accuracy.balanced == pytest.approx((1 + (1 / 3 + 1) / 2) / 2)
    # Recordings are right in 3/4, 1/2 and 1/1 of their pairs.
    assert accuracy.micro_interval == (0.5, 1.0)


CLASSES = ("cello", "tuba", "viola")


def poses_of(right: Tensor, read: Callable[[Tensor], Tensor]) -> dict[str, PoseScore]:
    """Score the poses of 600 pairs of three classes and thirty recordings, at random heights.

    The heights of real pictures of the last class cannot be read.

    Args:
        right: whether each generated picture shows the right class (600,).
        read: function of the true heights that returns what the judge reads from generated pictures.
    """
    rng = torch.Generator().manual_seed(0)
    height, label = torch.rand(600, generator=rng), torch.arange(600) % 3
    recording = 3 * (torch.arange(600) // 60) + label
    of_real = torch.where(label == 2, torch.rand(600, generator=rng), 2 * height + 1)
    real, sample = Real(Modality.VISUAL), Generated(A2V, 1)
    outputs = JudgeOutputs(
        predicted={("j", sample): torch.where(right, label, (label + 1) % 3)[None]},
        heights={real: of_real[None, :, None].repeat(1, 1, 3), sample: read(height)[None, :, None].repeat(1, 1, 3)},
    )
    # Another seed than that of the heights, so that the control is independent of them.
    return score_poses(outputs, PairInfo(label, recording, 3, height), "j", 1, CLASSES, seed=2)


def test_a_pose_follows_its_own_sound_and_not_another() -> None:
    noise = torch.rand(600, generator=torch.Generator().manual_seed(1))
    scores = poses_of(torch.ones(600, dtype=torch.bool), lambda height: height + noise)
    for name in ("cello", "tuba", ALL_READABLE):
        score = scores[name]
        assert score.real == pytest.approx(1)
        assert score.generated == pytest.approx(0.5**0.5, abs=0.1)
        assert score.interval is not None
        assert score.interval[0] < (score.generated or 0) < score.interval[1] < score.interval[0] + 0.3
        assert abs(score.another_sound or 1) < 0.2


def test_a_class_whose_real_poses_cannot_be_read_says_nothing() -> None:
    scores = poses_of(torch.ones(600, dtype=torch.bool), lambda height: height)
    assert abs(scores["viola"].real) < 0.2
    assert scores["viola"].generated is scores["viola"].interval is scores["viola"].another_sound is None
    unreadable = poses_of(torch.arange(600) < 1, lambda height: height)
    assert unreadable["cello"].generated is None  # one picture is not enough


def test_only_poses_in_pictures_of_the_right_class_count() -> None:
    right = torch.arange(600) < 300
    scores = poses_of(right, lambda height: torch.where(right, height, -height))
    assert scores[ALL_READABLE].generated == pytest.approx(1)


def test_the_partner_of_a_pose_is_of_the_same_class_and_of_another_recording() -> None:
    label, recording = torch.tensor([1, 0, 1, 1, 0, 2, 1]), torch.tensor([4, 0, 4, 2, 3, 5, 2])
    partners = torch.stack([_partners(label, recording, seed) for seed in range(200)])
    assert [set(drawn.tolist()) for drawn in partners.T] == [{3, 6}, {4}, {3, 6}, {0, 2}, {1}, {-1}, {0, 2}]
    assert 60 < int((partners[:, 0] == 3).sum()) < 140


def test_partners_of_poses_need_no_matrix_of_all_pairs() -> None:
    # Such a matrix would have 4 * 10^10 cells.
    label = torch.arange(200_000) % 2
    partner = _partners(label, torch.arange(200_000) // 10, seed=0)
    assert label[partner].equal(label)


def test_waveforms_are_measured_as_a_user_hears_them(dataset: PreparedDataset, trained: Trained) -> None:
    split = dataset.split("test")
    figures = measure_waveforms(trained, split, seed=5)
    assert figures.keys() == {(V2A, kind) for kind in ("1", "2", "real")}
    batch = to_batch(split.read([0, len(split) - 1]), trained.about.config.network, split.settings, CPU)
    rngs = [torch.Generator().manual_seed(5) for _ in range(3)]
    with torch.inference_mode():
        maps = trained.network.translate(V2A, batch.visual, trained.network.draw(2, rngs[0], 1))
        sounds = synthesise(to_levels(trained, maps), split.settings, rngs[1:]).numpy()
    assert figures[V2A, "1"]["level"] == pytest.approx((loudness(sounds[0]) + loudness(sounds[1])) / 2, abs=0.01)


def test_a_run_that_generates_no_sound_has_no_waveforms(dataset: PreparedDataset, trained: Trained) -> None:
    class Painter(Translator):
        directions = (A2V,)

        def translate(self, direction: Direction, source: Tensor, z: Tensor) -> Tensor:
            raise AssertionError

    painter = replace(trained, network=Painter())
    assert measure_waveforms(painter, dataset.split("test"), seed=0) == {}
