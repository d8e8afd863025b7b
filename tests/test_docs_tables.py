"""The tables in docs/ are those of the studies' JSON."""

import importlib.util
import json
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

DOCS = Path(__file__).parents[1] / "docs"


@pytest.fixture(scope="module")
def tables() -> ModuleType:
    spec = importlib.util.spec_from_file_location("tables", DOCS / "tables.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("page", sorted(DOCS.glob("*.md")), ids=lambda page: page.name)
def test_the_tables_of_a_page_are_those_of_the_studies(page: Path, tables: ModuleType) -> None:
    text = page.read_text(encoding="utf-8")
    assert text == tables.with_tables(text), "run: python docs/tables.py"


@pytest.mark.parametrize("file", sorted(DOCS.glob("studies/*.json")), ids=lambda file: file.name)
def test_a_study_names_no_place_of_the_machine_that_made_it(file: Path) -> None:
    text = file.read_text(encoding="utf-8")
    assert not any(f'"{place}' in text or f" {place}" in text for place in ("/", "~", "C:"))


def figure(value: float) -> dict[str, Any]:
    return {"value": value, "deviation": 0.01, "interval": [value - 0.1, value + 0.05]}


def accuracy(value: float) -> dict[str, Any]:
    return {part: {"micro": figure(value + shift)} for part, shift in (("train", 0.001), ("test", 0))}


def study() -> dict[str, Any]:
    """A study of one recipe that generates pictures, with invented figures."""
    judge = {
        "real": {"visual": accuracy(0.9)},
        "table1": {"S2I": {"1": accuracy(0.8), "2": accuracy(0.7)}},
        "recovered": {"visual": {"2": accuracy(0.6)}},
        "copied": {"S2I": accuracy(0.5)},
    }
    quality = {"frechet_distance": figure(3), "high_frequency": figure(0.5), "diversity": None}
    table2 = {row: {"micro": figure(value)} for row, value in (("V", 0.93), ("A", 0.4), ("GV-A", 0.3))}
    main = {**judge, "table1": {"S2I": {"1": accuracy(0.2)}}, "quality": {"S2I": {"1": quality, "real": quality}}}
    figures = {**main, "table2": table2, "other_judges": {"judge-resnet": judge}}
    group = {"name": "ours", "hops": "1", "runs": ["ours-0"], "steps": 9, "cpu_seconds": figure(60), "figures": figures}
    return {"runs": [{"name": "ours-0", "share_of_schedule": 0.0045, "evaluation": {}}], "groups": [group]}


def test_a_page_gets_the_figures_of_a_study(tables: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "mine.json").write_text(json.dumps(study()))
    page = "before\n<!-- table: mine {} -->\nold\n<!-- /table -->\nafter\n"
    head, lines, row, real, copied = tables.with_tables(page.format("S2I"), tmp_path).splitlines()[2:7]
    assert head.startswith(
        "| | residual judge | FR_Image | R_Image | RF_Image | paper's classifier | Fréchet distance |"
    )
    assert lines == "| " + " | ".join(["---"] * 9) + " |"
    assert row == (
        "| ours | 0.800 (0.010) [.70 .85] | 0.700 (0.010) [.60 .75] | - | 0.600 (0.010) [.50 .65] | "
        "0.200 (0.010) [.10 .25] | 3.0 (0.0) [2.90 3.05] | 0.50 (0.01) [.40 .55] | - |"
    )
    assert real.startswith("| real | 0.900 (0.010) [.80 .95] | | | | 0.900 (0.010)")
    assert copied == "| control: copied | 0.500 (0.010) [.40 .55] | | | | 0.500 (0.010) [.40 .55] | | | |"
    costs = tables.with_tables(page.format("costs"), tmp_path).splitlines()[4:6]
    assert costs == [
        "| ours | 1 | 9 | 0.45 % | 60 (0) [59.90 60.05] | 0.300 (0.010) [.20 .35] | - |",
        "| the given modality alone | | | | | 0.400 (0.010) [.30 .45] | 0.930 (0.010) [.83 .98] |",
    ]
    assert tables.with_tables(page.format("S2I"), tmp_path).endswith("<!-- /table -->\nafter\n")


def test_a_kept_study_has_no_evaluations_of_runs(
    tables: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "kept").mkdir()
    monkeypatch.setattr(tables, "STUDIES", tmp_path / "kept")
    (tmp_path / "mine.json").write_text(json.dumps(study()))
    tables.keep(tmp_path / "mine.json")
    kept = json.loads((tmp_path / "kept" / "mine.json").read_text())
    assert kept["groups"] == study()["groups"]
    assert kept["runs"] == [{"name": "ours-0", "share_of_schedule": 0.0045}]
