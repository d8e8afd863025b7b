"""The registry of metrics: one entry is in every table, page and document."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import Run

from cmcgan_core.data.dataset import open_dataset
from cmcgan_core.evaluation.compare import compare
from cmcgan_core.evaluation.evaluate import evaluate
from cmcgan_core.evaluation.outputs import Generated, JudgeOutputs, PairInfo, Real
from cmcgan_core.evaluation.sample_metrics import (
    METRICS,
    MapBatch,
    MapMetric,
    Metric,
    Needs,
    SampleSet,
    SetMetric,
    metrics_to_show,
)
from cmcgan_core.evaluation.scores import Scores
from cmcgan_core.features.settings import FeatureSettings
from cmcgan_core.modality import Direction, Modality
from cmcgan_core.reports.html import report_page

A2V, V2A = Direction.A2V, Direction.V2A


@pytest.fixture(autouse=True)
def _wide(monkeypatch: pytest.MonkeyPatch) -> None:
    """A terminal that breaks no label over two lines."""
    monkeypatch.setenv("COLUMNS", "120")


@pytest.fixture
def toys(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two metrics: the mean of a map, and the number of pairs whose class the judge predicts."""

    def brightness(batch: MapBatch) -> torch.Tensor:
        return batch.maps.flatten(2).mean(dim=2)

    def hits(samples: SampleSet) -> float:
        return float((samples.predicted == samples.label).sum())

    visual = Needs(modalities=(Modality.VISUAL,))
    monkeypatch.setitem(
        METRICS.builtins,
        "brightness",
        MapMetric(label="brightness", unit="cd", better="near real", needs=visual, compute=brightness, format=".5f"),
    )
    monkeypatch.setitem(METRICS.builtins, "hits", SetMetric(label="hits of the judge", better="higher", compute=hits))


@pytest.mark.usefixtures("toys")
def test_a_metric_is_in_the_table_and_the_document(cmcgan: Run, prepared: Path, tiny_run: Path) -> None:
    command = ["evaluate", prepared, "-c", tiny_run, "--latents", 1]
    code, out, _ = cmcgan(*command, "--json")
    quality = json.loads(out)["quality"]
    assert code == 0
    assert -1 <= quality["S2I"]["1"]["brightness"] <= 1
    assert quality["I2S"]["1"]["brightness"] is None
    assert 0 <= quality["I2S"]["real"]["hits"] <= 12
    _, out, _ = cmcgan(*command)
    (row,) = (line for line in out.splitlines() if "brightness, cd" in line)
    assert f"{quality['S2I']['1']['brightness']:.5f}" in row
    assert "hits of the judge" in out


@pytest.mark.usefixtures("toys")
def test_a_metric_is_in_the_comparison_and_on_the_page(cmcgan: Run, prepared: Path, tiny_run: Path) -> None:
    pytest.importorskip("matplotlib", reason="install it with: uv sync")
    command = ["compare", prepared, tiny_run, tiny_run / "best.safetensors", "--latents", 1]
    _, out, _ = cmcgan(*command)
    assert "S2I brightness, cd" in out
    assert "I2S brightness" not in out
    assert "I2S hits of the judge" in out
    dataset = open_dataset(prepared)
    compared = compare([tiny_run], dataset, latents=1)
    page = report_page(compared, dataset)
    (row,) = re.findall(r"<tr><td>brightness, cd</td>(.*?)</tr>", page)
    figure = compared.groups[0].figures.quality[A2V]["1"]["brightness"]
    assert figure is not None
    assert figure.text(".5f") in row


def test_the_example_of_contributing_is_a_metric(
    prepared: Path, tiny_run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = (Path(__file__).parents[1] / "CONTRIBUTING.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"```python metric\n(.*?)```", text, flags=re.DOTALL)
    namespace: dict[str, Any] = {}
    exec(code, namespace)
    metric = namespace["saturation"]
    monkeypatch.setitem(METRICS.builtins, "saturation", metric)
    red = torch.tensor([1.0, -1, -1])[:, None, None].expand(1, 1, 3, 4, 4)
    grey = torch.zeros(1, 1, 3, 4, 4)
    batch = MapBatch(torch.cat([red, grey], dim=1), torch.cat([red, grey], dim=1)[0], FeatureSettings())
    assert metric.compute(batch).tolist() == [[1, 0]]


def test_every_metric_has_a_label_of_its_own() -> None:
    metrics = [METRICS.get(name) for name in METRICS.names()]
    assert len({metric.title for metric in metrics}) == len(metrics)
    assert all(isinstance(metric, Metric) for metric in metrics)
    assert all(format(0.5, metric.format) for metric in metrics)


def test_only_metrics_with_a_figure_are_shown_in_the_order_of_the_registry() -> None:
    shown = metrics_to_show([{"diversity": 1.0, "l1": None}, {"l1": 0.5, "ssim": None}])
    assert list(shown) == ["l1", "diversity"]


@pytest.mark.parametrize("modality", list(Modality))
def test_needs_decide_what_applies(modality: Modality) -> None:
    settings, audible = FeatureSettings(), modality is Modality.AUDIO
    assert Needs(latents=2).met_by(modality, settings, latents=2)
    assert not Needs(latents=2).met_by(modality, settings, latents=1)
    assert not Needs(truth=True).met_by(modality, settings, latents=1, real=True)
    assert Needs(modalities=(Modality.AUDIO,)).met_by(modality, settings, latents=1) == audible
    power = FeatureSettings(representation="ms")
    assert Needs(decibels=True).met_by(modality, power, latents=1) != audible


def test_a_metric_may_be_relative_to_the_real_samples_of_the_pairs_or_of_a_class() -> None:
    sample, real = Generated(V2A, 1), Real(Modality.AUDIO)
    outputs = JudgeOutputs(
        measures={
            ("high_frequency", real): torch.tensor([[2.0, 4.0]]),
            ("high_frequency", sample): torch.tensor([[1.0, 2.0], [3.0, 6.0]]),
            ("diversity", sample): torch.tensor([[1.0, 3.0]]),
            ("l1", sample): torch.tensor([[0.25, 0.75], [0.5, 0.5]]),
        }
    )
    pairs = PairInfo(torch.tensor([0, 1]), torch.tensor([0, 1]), 2, class_measures={("diversity", Modality.AUDIO): 4.0})
    scores = Scores(outputs, pairs, FeatureSettings(), seed=0)
    quality = scores.map_quality(sample)
    assert quality["high_frequency"] == pytest.approx(3 / 3)
    assert quality["diversity"] == pytest.approx(2 / 4)
    assert quality["l1"] == pytest.approx(0.5)
    assert quality["ssim"] is None
    assert scores.map_quality(real)["high_frequency"] == scores.map_quality(real)["diversity"] == 1


def test_evaluations_with_and_without_a_metric_are_kept_apart(
    prepared: Path, tiny_run: Path, request: pytest.FixtureRequest
) -> None:
    dataset = open_dataset(prepared)
    before = evaluate(tiny_run, dataset, latents=1)
    request.getfixturevalue("toys")
    assert "hits" not in before.quality[A2V]["1"]
    assert "hits" in evaluate(tiny_run, dataset, latents=1).quality[A2V]["1"]
