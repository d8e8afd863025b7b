"""The report has the right figures, needs no other file, and opens in a browser."""

import base64
import re
import shutil
from collections.abc import Iterator
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from cmcgan_core.data.dataset import PreparedDataset, open_dataset
from cmcgan_core.errors import ConfigError
from cmcgan_core.evaluation.compare import Comparison, compare, group_entries
from cmcgan_core.evaluation.scores import Accuracy
from cmcgan_core.modality import Direction
from cmcgan_core.reports import plots
from cmcgan_core.reports.html import report_page, write_report
from cmcgan_core.reports.samples import typical_items

pytest.importorskip("matplotlib", reason="install it with: uv sync")
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
#: A folder name with characters that have a meaning in HTML, in Matplotlib's formulas and in a URL.
STRANGE = "<i>$a$ & b"


class Rows(HTMLParser):
    """Texts of the cells of every table row."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.rows: list[list[str]] = []
        self.cell = False
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        if tag == "tr":
            self.rows.append([])
        elif tag in ("td", "th"):
            self.rows[-1].append("")
            self.cell = True

    def handle_endtag(self, tag: str) -> None:
        self.cell = self.cell and tag not in ("td", "th")

    def handle_data(self, data: str) -> None:
        if self.cell:
            self.rows[-1][-1] += data.strip().replace("\N{NO-BREAK SPACE}", " ")


@pytest.fixture(scope="module")
def dataset(prepared: Path) -> PreparedDataset:
    return open_dataset(prepared)


@pytest.fixture(scope="module")
def compared(dataset: PreparedDataset, tiny_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Comparison:
    """Two runs that differ only in their seeds; some of their figures are invented."""
    second = tmp_path_factory.mktemp("report") / STRANGE
    shutil.copytree(tiny_run, second)
    one, two = compare([tiny_run, second], dataset, latents=1).entries
    table2 = [{**one.evaluation.table2, "GV-A": Accuracy(micro, 0.5, (0.25, 0.75), None)} for micro in (0.2, 0.4)]
    about = replace(two.about, config=replace(two.about.config, seed=1))
    entries = [
        replace(one, evaluation=replace(one.evaluation, table2=table2[0])),
        replace(two, evaluation=replace(two.evaluation, table2=table2[1]), about=about),
    ]
    return Comparison(entries, group_entries(entries))


@pytest.fixture(scope="module")
def page(compared: Comparison, dataset: PreparedDataset) -> str:
    return report_page(compared, dataset)


def alone(compared: Comparison) -> Comparison:
    return Comparison(compared.entries[:1], group_entries(compared.entries[:1]))


def test_a_run_stands_next_to_the_paper(compared: Comparison, dataset: PreparedDataset) -> None:
    rows = Rows(report_page(alone(compared), dataset)).rows
    assert ["GV-A", "0.200 [.25 .75]", "0.9804"] in [[row[0], row[1], row[-1]] for row in rows if len(row) > 2]
    assert ["S2I CMCGAN (paper)", "0.9105", "0.7661", "–", "–"] in rows
    micro = compared.entries[0].evaluation.table1[Direction.V2A]["2"]["test"].micro
    (row,) = [row for row in rows if row[:1] == ["I2S two hops"]]
    assert row[2].startswith(f"{micro:.3f}")
    copied = compared.entries[0].evaluation.copied[Direction.A2V]["test"].micro
    (row,) = [row for row in rows if row[:1] == ["control: S2I copied"]]
    assert row[2].startswith(f"{copied:.3f}")
    assert ["network.picture_size", "128", "32"] in rows
    assert ["tuba", "16", "3", "4"] in rows
    assert ["recordings", "3", "3", "3"] in rows


def test_seeds_are_pooled_on_the_page(page: str) -> None:
    # The mean of 0.2 and 0.4, the root of 2 x 0.1^2, and the interval that both have.
    (row,) = [row for row in Rows(page).rows if row[:1] == ["GV-A"]]
    assert [row[1], row[-1]] == ["0.300 (0.141) [.25 .75]", "0.9804"]


def test_a_page_needs_no_other_file(page: str) -> None:
    addresses = re.findall(r"\b(?:src|href|srcset|poster|action|data)\s*=\s*[\"']?([^\"'> ]+)", page)
    assert len(addresses) > 20
    assert all(address.startswith(("data:", "#")) for address in addresses)
    assert "@import" not in page
    assert "url(" not in page
    drawings = re.findall(r"data:image/svg\+xml;base64,([^\"]+)", page)
    assert len(drawings) > 6  # accuracies, confusion matrices, curves
    for drawing in drawings:
        svg = base64.b64decode(drawing).decode()
        assert all(address.startswith(("data:", "#")) for address in re.findall(r'href="([^"]*)"', svg))


def test_generated_pictures_are_shown_beside_the_nearest_training_pictures(page: str, dataset: PreparedDataset) -> None:
    _, _, section = page.partition('<div class="tiles neighbours">')
    tiles = re.findall(r'alt="picture, ([^"]*)"', section.partition("</div>")[0])
    assert tiles[::2] == ["generated"] * len(dataset.classes)
    assert all(re.fullmatch(r"\w+-train, distance \d\.\d\d", caption) for caption in tiles[1::2])


def test_names_are_text(page: str) -> None:
    assert "<i>" not in page
    assert "&lt;i&gt;$a$ &amp; b" in page


def test_the_same_runs_make_the_same_page(compared: Comparison, dataset: PreparedDataset) -> None:
    assert report_page(alone(compared), dataset) == report_page(alone(compared), dataset)


def test_samples_are_the_middle_of_each_classes_first_recording(dataset: PreparedDataset) -> None:
    split = dataset.split("test")
    assert [split.pairs[item].id for item in typical_items(split)] == [f"{c}-test_002" for c in dataset.classes]


def test_a_report_without_matplotlib_says_what_to_install(
    compared: Comparison, dataset: PreparedDataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plots.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"pip install 'cmcgan\[report\]'"):
        write_report(compared, dataset, tmp_path / "report")
    assert not (tmp_path / "report").exists()


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    playwright = pytest.importorskip("playwright.sync_api", reason="install it with: uv sync")
    if CHROMIUM is None:
        pytest.skip("no Chromium here; apt-get install chromium")
    with playwright.sync_playwright() as driver:
        # A container's root user has no sandbox; the page is our own.
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.mark.parametrize("width", [360, 1200])
def test_a_page_opens_in_a_browser(browser: Any, page: str, tmp_path: Path, width: int) -> None:
    file = tmp_path / "index.html"
    file.write_text(page, encoding="utf-8")
    opened = browser.new_context(viewport={"width": width, "height": 800}, offline=True).new_page()
    opened.set_default_timeout(60_000)
    faults: list[str] = []
    opened.on("pageerror", lambda error: faults.append(str(error)))
    opened.on("console", lambda message: faults.append(message.text))
    opened.on("requestfailed", lambda request: faults.append(request.url[:80]))
    opened.goto(file.as_uri())
    assert opened.evaluate("document.documentElement.scrollWidth") <= width
    assert opened.evaluate("[...document.images].filter((i) => !i.complete || !i.naturalWidth).length") == 0
    opened.evaluate("document.querySelectorAll('audio').forEach((a) => { a.preload = 'metadata'; a.load(); })")
    opened.wait_for_function("[...document.querySelectorAll('audio')].every((a) => Math.abs(a.duration - 0.5) < 0.01)")
    assert faults == []
