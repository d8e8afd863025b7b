from pathlib import Path

import pytest
import torch
from conftest import COUNTS, tiny_config, write_dataset
from torch import Tensor

from cmcgan_core.checkpoint import Trained, load_checkpoint
from cmcgan_core.classifiers import train_classifier
from cmcgan_core.data.dataset import PairDataset
from cmcgan_core.errors import CheckpointError, DataError
from cmcgan_core.evaluate import Answers, evaluate, paper_tables
from cmcgan_core.methods import Translator
from cmcgan_core.progress import silent
from cmcgan_core.training import train_run

CPU = torch.device("cpu")


class Oracle(Translator):
    """Makes exactly the real partner of whatever it is given, or a constant."""

    directions = ("a2v", "v2a")
    hops = 1

    def __init__(self, dataset: PairDataset, knows: bool) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(()))
        from cmcgan_core.config import load_config
        from cmcgan_core.data.dataset import in_order

        self.knows = knows
        self.real = next(in_order(dataset, load_config("tiny").network, 1000, CPU))

    def translate(self, direction: str, source: Tensor, generator: torch.Generator, hops: int | None = None) -> Tensor:
        given, wanted = (
            (self.real.audio, self.real.visual) if direction == "a2v" else (self.real.visual, self.real.audio)
        )
        places = [int((given - one).abs().flatten(1).sum(1).argmin()) for one in source]
        return wanted[places] if self.knows else torch.zeros_like(wanted[places])


@pytest.fixture(scope="module")
def judges(prepared: Path) -> dict[str, Trained]:
    return {m: load_checkpoint(train_classifier(prepared, m, "judge-tiny"), CPU) for m in ("v", "a", "av")}


def answers(prepared: Path, tiny_run: Path, judges: dict[str, Trained], *, knows: bool) -> dict[str, float]:
    dataset = PairDataset(prepared, "test")
    about = load_checkpoint(tiny_run / "last.safetensors", CPU).about
    oracle = Trained(about, Oracle(dataset, knows), tiny_run / "last.safetensors")
    said = Answers(oracle, judges, dataset, 0, controls=True).collect(silent)
    return {name: accuracy.micro for name, accuracy in said.items()}


def test_a_perfect_generator_reaches_the_judges_own_accuracy(
    prepared: Path, tiny_run: Path, judges: dict[str, Trained]
) -> None:
    said = answers(prepared, tiny_run, judges, knows=True)
    assert said["a2v 1"] == said["V"]
    assert said["v2a 1"] == said["A"]
    assert said["GV-A"] == said["GA-V"] == said["V-A"]


def test_a_generator_that_knows_nothing_equals_its_control(
    prepared: Path, tiny_run: Path, judges: dict[str, Trained]
) -> None:
    said = answers(prepared, tiny_run, judges, knows=False)
    assert said["GV-A"] == said["GV-A constant"] == said["GV-A other class"]
    assert said["a2v 1"] == pytest.approx(1 / 3)


def test_evaluate_covers_the_split_and_the_papers_tables(prepared: Path, tiny_run: Path) -> None:
    found = evaluate(tiny_run, prepared)
    assert found.pairs == {"test": COUNTS["test"] * 3, "train": COUNTS["test"] * 3}
    assert found.table1.keys() == {"S2I", "I2S"}
    assert found.table1["S2I"].keys() == {"1", "2"}
    controls = {f"{row} {control}" for row in ("GV-A", "GA-V") for control in ("constant", "other class", "noise")}
    assert found.table2.keys() == {"V", "A", "V-A", "GV-A", "GA-V"} | controls


def test_evaluation_repeats_with_its_seed(prepared: Path, tiny_run: Path) -> None:
    assert evaluate(tiny_run, prepared, seed=3).table2 == evaluate(tiny_run, prepared, seed=3).table2


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
