import statistics
from pathlib import Path

import pytest
from conftest import COUNTS, Run, document_and_text, write_dataset
from test_training import interrupt_at

from cmcgan_core.config import load_config
from cmcgan_core.data.dataset import open_dataset
from cmcgan_core.errors import DataError, Interrupted
from cmcgan_core.evaluation.evaluate import evaluate
from cmcgan_core.experiments import representations as representation_study
from cmcgan_core.experiments.representations import study_representations


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """The papers' classifiers, trained for six steps."""
    quick = ["train.epochs=2", "train.least_steps=1", "train.batch_size=16"]
    monkeypatch.setattr(representation_study, "load_config", lambda preset: load_config(preset, settings=quick))


@pytest.fixture
def data(tmp_path: Path) -> list[Path]:
    """The same pairs, declared as two representations."""
    lms, cqt = (write_dataset(tmp_path / name) for name in ("lms", "cqt"))
    about = cqt / "dataset.toml"
    about.write_text(about.read_text().replace('representation = "lms"', 'representation = "cqt"'))
    return [lms, cqt]


def test_the_study_prints_our_figures_next_to_the_papers(data: list[Path], cmcgan: Run) -> None:
    command = ["study", *data, "representations", "--quiet"]
    document, text = document_and_text(cmcgan, *command)
    rows = [(row["representation"], row["layers"], row["paper"]) for row in document["rows"]]
    assert rows == [("lms", 3, 0.8412), ("lms", 4, 0.8744), ("cqt", 3, 0.73), ("cqt", 4, 0.7778)]
    assert document["pairs"] == {"test": 3 * COUNTS["test"], "train": 3 * COUNTS["train"]}
    assert document["seeds"] == [0, 1, 2]
    for root, row in zip([data[0]] * 2 + [data[1]] * 2, document["rows"], strict=True):
        kept = [root / "judges" / f"cmav-{row['layers']}-audio-{seed}" / "last.safetensors" for seed in range(3)]
        alone = [evaluate(run, open_dataset(root)).classification for run in kept]
        accuracies = [item.accuracy["test"].micro for item in alone if item]
        micro = row["accuracy"]["micro"]
        assert micro["value"] == pytest.approx(statistics.fmean(accuracies))
        assert (micro["deviation"] or 0) == pytest.approx(statistics.stdev(accuracies))
    for figure in ("LMS", "CQT", "0.8744", "0.7300"):
        assert figure in text


def test_an_interrupted_study_resumes(data: list[Path]) -> None:
    datasets = [open_dataset(root) for root in data]
    with pytest.raises(Interrupted):
        study_representations(datasets, on_progress=interrupt_at(5))
    kept = data[0] / "judges" / "cmav-3-audio-0" / "last.safetensors"
    assert study_representations(datasets[:1], seeds=(0,)).rows == study_representations(datasets[:1], seeds=(0,)).rows
    written = kept.stat().st_mtime_ns
    study_representations(datasets[:1], seeds=(0,))
    assert kept.stat().st_mtime_ns == written


def test_only_the_same_pairs_are_compared(data: list[Path], tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"are both lms.*--representation"):
        study_representations([open_dataset(data[0]), open_dataset(write_dataset(tmp_path / "again"))])
    index = (data[1] / "index.csv").read_text()
    (data[1] / "index.csv").write_text(index.replace("cello-test_000", "cello-test_999"))
    with pytest.raises(DataError, match="has other test pairs than"):
        study_representations([open_dataset(root) for root in data])
    with pytest.raises(DataError, match="no pairs in its tset split"):
        study_representations([open_dataset(data[0])], split="tset")


@pytest.mark.parametrize(
    ("arguments", "fault"),
    [
        (["a", "b", "rivals"], "several are for the study representations"),
        (["a", "b", "representations", "--report", "report"], "does not have this option"),
        (["a", "b", "representations", "--dry-run"], "does not have this option"),
    ],
)
def test_options_that_do_not_go_together_are_refused(arguments: list[str], fault: str, cmcgan: Run) -> None:
    code, _, err = cmcgan("study", *arguments)
    assert code == 2
    assert fault in " ".join(err.replace("│", " ").split())
