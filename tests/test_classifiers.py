import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from conftest import CLASSES, COUNTS, write_dataset
from torch import Tensor

from cmcgan_core import checkpoint
from cmcgan_core.checkpoint import Trained, load_checkpoint, read_tensors
from cmcgan_core.config import load_config
from cmcgan_core.data.dataset import PreparedDataset, open_dataset
from cmcgan_core.data.loader import Batch, in_order
from cmcgan_core.errors import CheckpointError, ConfigError, Interrupted
from cmcgan_core.features.settings import FeatureSettings
from cmcgan_core.inference.completion import Completion
from cmcgan_core.methods import make_method
from cmcgan_core.modality import Direction, Modality
from cmcgan_core.nn.capabilities import Translator
from cmcgan_core.progress import Progress
from cmcgan_core.run_folder import read_about
from cmcgan_core.training.classifiers import classifier_config, classify_split, train_run_classifier

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def dataset(prepared: Path) -> PreparedDataset:
    return open_dataset(prepared)


@pytest.fixture(scope="module")
def completion(tiny_run: Path) -> Completion:
    return Completion(load_checkpoint(tiny_run / "last.safetensors", CPU))


@pytest.fixture
def run(tiny_run: Path, tmp_path: Path) -> Path:
    """A copy of `tiny_run` that a test may change."""
    return Path(shutil.copytree(tiny_run, tmp_path / "run"))


@pytest.fixture(scope="module")
def batch(dataset: PreparedDataset) -> Batch:
    """All training pairs."""
    return next(in_order(dataset.split("train"), load_config("judge-tiny").network, 1000, CPU))


def draws() -> torch.Generator:
    return torch.Generator().manual_seed(3)


def test_a_run_comes_with_a_classifier_that_knows_what_it_generates(tiny_run: Path, completion: Completion) -> None:
    about = read_about(tiny_run / "classifier.safetensors")
    assert about.config.options == {"modalities": ["audio", "visual"]}
    assert about.completed_by == completion.fingerprint
    assert set(about.temperatures) == {"V-A", "GV-A", "GA-V"}
    assert not read_tensors(tiny_run / "classifier.safetensors", "optimizer.")


def test_it_is_trained_once(dataset: PreparedDataset, tiny_run: Path) -> None:
    written = (tiny_run / "classifier.safetensors").stat().st_mtime_ns
    assert train_run_classifier(dataset, tiny_run) == tiny_run / "classifier.safetensors"
    assert (tiny_run / "classifier.safetensors").stat().st_mtime_ns == written


def test_it_is_trained_again_when_the_run_has_changed(dataset: PreparedDataset, run: Path) -> None:
    last = run / "last.safetensors"
    tensors = {name: t + 0.01 if t.is_floating_point() else t for name, t in read_tensors(last, "").items()}
    checkpoint.save_checkpoint(last, read_about(last), tensors)
    before = read_about(run / "classifier.safetensors")
    after = read_about(train_run_classifier(dataset, run))
    assert after.completed_by == Completion(load_checkpoint(last, CPU)).fingerprint != before.completed_by
    assert after.finished


@pytest.fixture
def one_thread() -> Iterator[None]:
    """Use one thread: several threads may add up in another order in each call."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.mark.usefixtures("one_thread")
def test_an_interrupted_training_of_the_classifier_resumes_with_the_same_result(
    dataset: PreparedDataset, run: Path
) -> None:
    def interrupt(progress: Progress) -> None:
        if progress.done == 4:
            os.kill(os.getpid(), signal.SIGINT)

    def forget() -> None:
        (run / "classifier.safetensors").unlink()
        shutil.rmtree(run / "classifier")

    forget()
    whole = read_tensors(train_run_classifier(dataset, run), "")
    forget()
    with pytest.raises(Interrupted):
        train_run_classifier(dataset, run, on_progress=interrupt)
    assert not (run / "classifier.safetensors").exists()
    assert read_about(run / "classifier" / "last.safetensors").step == 4
    broken = read_tensors(train_run_classifier(dataset, run), "")
    assert all(torch.equal(whole[name], broken[name]) for name in whole)


def test_a_run_without_a_checkpoint_is_named(dataset: PreparedDataset, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"last\.safetensors does not exist"):
        train_run_classifier(dataset, tmp_path)


def test_temperatures_lower_the_loss_on_the_validation_split(
    dataset: PreparedDataset, tiny_run: Path, completion: Completion
) -> None:
    classifier = load_checkpoint(tiny_run / "classifier.safetensors", CPU)
    logits, label = classify_split(classifier, completion, dataset.split("validation"))
    for case, temperature in classifier.about.temperatures.items():
        assert temperature != 1
        assert F.cross_entropy(logits[case] / temperature, label) < F.cross_entropy(logits[case], label)


def test_without_a_validation_split_nothing_is_calibrated(run: Path, tmp_path: Path) -> None:
    data = write_dataset(tmp_path / "data")
    (data / "index.csv").write_text((data / "index.csv").read_text().replace(",validation,", ",test,"))
    (data / "dataset.toml").write_text('content = "another"\n' + (data / "dataset.toml").read_text())
    assert read_about(train_run_classifier(open_dataset(data), run)).temperatures == {}


def test_a_third_stays_real_and_of_each_other_third_one_modality_is_generated(
    completion: Completion, batch: Batch
) -> None:
    mixed = completion.mix(batch, draws())
    audio = (mixed.audio == batch.audio).flatten(1).all(dim=1)
    visual = (mixed.visual == batch.visual).flatten(1).all(dim=1)
    assert bool((audio | visual).all())
    counts = [int(kept.sum()) for kept in (audio & visual, ~visual, ~audio)]
    assert sum(counts) == len(batch.label) == 48
    assert min(counts) >= 8
    assert torch.equal(mixed.label, batch.label)


def test_a_missing_modality_is_replaced_by_the_output_of_the_run(completion: Completion, batch: Batch) -> None:
    network = completion.generating.network
    picture = completion.complete(batch, "GV-A", draws())
    assert torch.equal(
        picture.visual, network.translate(Direction.A2V, batch.audio, network.draw(len(batch.audio), draws()))
    )
    assert torch.equal(picture.audio, batch.audio)
    sound = completion.complete(batch, "GA-V", draws())
    assert torch.equal(
        sound.audio, network.translate(Direction.V2A, batch.visual, network.draw(len(batch.visual), draws()))
    )
    assert torch.equal(sound.visual, batch.visual)
    assert completion.complete(batch, "V-A", draws()) is batch


def test_labels_take_no_part(completion: Completion, batch: Batch) -> None:
    other = batch._replace(label=(batch.label + 1) % len(CLASSES))
    mine, theirs = completion.mix(batch, draws()), completion.mix(other, draws())
    assert torch.equal(mine.visual, theirs.visual)
    assert torch.equal(mine.audio, theirs.audio)


def test_a_run_that_only_generates_pictures_completes_only_pictures(completion: Completion, batch: Batch) -> None:
    class Painter(Translator):
        directions = (Direction.A2V,)
        hops, latent = 1, 0

        def __init__(self) -> None:
            super().__init__()
            self.weight = torch.nn.Parameter(torch.zeros(()))

        def translate(self, direction: Direction, source: Tensor, z: Tensor) -> Tensor:
            return torch.ones(len(source), 3, 20, 20)

    generating = completion.generating
    painting = Completion(Trained(generating.about, Painter(), generating.path))
    assert painting.cases == ("V-A", "GV-A")
    mixed = painting.mix(batch, draws())
    assert torch.equal(mixed.audio, batch.audio)
    painted = (mixed.visual == 1).flatten(1).all(dim=1)
    assert 12 <= int(painted.sum()) <= 36


def test_rare_classes_count_as_much_as_frequent_ones(tmp_path: Path) -> None:
    data = write_dataset(tmp_path / "data")
    lines = (data / "index.csv").read_text().splitlines(keepends=True)
    kept = [line for line in lines if not (line.startswith("tuba-train") and int(line.split("_")[1][:3]) >= 4)]
    (data / "index.csv").write_text("".join(kept))
    about = (data / "dataset.toml").read_text()
    (data / "dataset.toml").write_text(about.replace(f"pairs = {len(lines) - 1}", f"pairs = {len(kept) - 1}"))
    # 16 cellos, 16 flutes, 4 tubas: 36 / (3 * 16) and 36 / (3 * 4).
    config = classifier_config("judge-tiny", tuple(Modality), open_dataset(data).split("train"), seed=0)
    assert config.options["class_weights"] == [0.75, 0.75, 3.0]
    method = make_method(config, CLASSES, FeatureSettings())
    logits, label = torch.tensor([[1.0, 0.0, 0.0], [0.0, 0.0, 0.0]]), torch.tensor([0, 2])
    by_pair = [0.75 * -np.log(np.e / (np.e + 2)), 3.0 * np.log(3)]
    assert float(method.class_loss(logits, label)) == pytest.approx(sum(by_pair) / (0.75 + 3.0))


def test_equal_classes_need_no_weights(dataset: PreparedDataset) -> None:
    assert len(set(COUNTS.values())) == 3
    config = classifier_config("judge-tiny", [Modality.VISUAL], dataset.split("train"), seed=0)
    assert "class_weights" not in config.options


def test_weights_that_do_not_fit_the_classes_are_refused() -> None:
    config = load_config("judge-tiny", settings=["options.class_weights=[1.0, 2.0]"])
    with pytest.raises(ConfigError, match=r"class_weights needs a number .* for each of 3 classes"):
        make_method(config, CLASSES, FeatureSettings())
