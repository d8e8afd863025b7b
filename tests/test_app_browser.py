"""The page of `cmcgan app` in a real browser, by keyboard, by mouse and on a phone."""

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import uvicorn
from app_fixtures import open_app
from browser_fixtures import DESK, FAINT, NAMELESS, needs_browser, open_browser, open_page
from human_eval_fixtures import free_port
from media_fixtures import plain, tone, write_jpg, write_wav

pytestmark = needs_browser

#: JavaScript that returns the length of a sound in seconds.
DURATION = "(audio) => audio.duration || new Promise((done) => audio.ondurationchange = () => done(audio.duration))"


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with open_browser() as browser:
        yield browser


@pytest.fixture(scope="module")
def home(tiny_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Serve the page in this process; return its address."""
    port = free_port()
    with open_app(tiny_run, tmp_path_factory.mktemp("jobs")) as app:
        server = uvicorn.Server(uvicorn.Config(app, port=port, lifespan="off", log_level="error"))
        thread = threading.Thread(target=server.run)
        thread.start()
        while not server.started:
            time.sleep(0.01)
        yield f"http://127.0.0.1:{port}/"
        server.should_exit = True
        thread.join()


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A sound, a picture, and a sound whose film takes long."""
    folder = tmp_path_factory.mktemp("media")
    soundfile.write(folder / "long.flac", np.zeros(8000 * 1800, np.float32), 8000)
    return {
        "sound": write_wav(folder / "tone.wav", tone(1.0, 440)),
        "picture": write_jpg(folder / "player.png", plain((200, 60, 60))),
        "long": folder / "long.flac",
    }


def order(page: Any, file: Path, action: str) -> None:
    """Choose a file, and press the button of an action."""
    page.set_input_files("#file", file)
    page.click(f"button[value={action}]")


def wait_for_result(page: Any, state: str = "done") -> Any:
    """Wait until the newest job has ended, and return its card."""
    page.wait_for_selector(f"article:first-child[data-final][data-state={state}]")
    return page.locator("article").first


def test_a_dropped_sound_becomes_pictures_and_one_of_them_can_be_repeated(
    browser: Any, home: str, files: dict[str, Path]
) -> None:
    page, faults = open_page(browser, DESK)
    page.goto(home)
    drop = """(bytes) => {
      const transfer = new DataTransfer();
      transfer.items.add(new File([new Uint8Array(bytes)], "tone.wav"));
      return transfer;
    }"""
    dropped = page.evaluate_handle(drop, list(files["sound"].read_bytes()))
    page.dispatch_event("body", "drop", {"dataTransfer": dropped})
    page.wait_for_selector("#preview audio")
    page.fill("[name=seed]", "5")
    page.click("button[value=pictures]")
    pictures = wait_for_result(page).locator(".samples img")
    assert pictures.count() == 4
    third = pictures.nth(2)
    assert third.evaluate("(img) => img.decode().then(() => img.naturalWidth)") > 0
    address = third.get_attribute("src")
    page.locator("[data-seed='7']").click()
    page.click("button[value=pictures]")
    page.wait_for_selector("article:nth-of-type(2)")
    again = wait_for_result(page).locator(".samples img")
    assert again.count() == 1
    both = [page.request.get(home + str(src)[1:]).body() for src in (address, again.get_attribute("src"))]
    assert both[0] == both[1]
    assert faults == []


def test_a_picture_becomes_sounds_by_keyboard_alone(browser: Any, home: str, files: dict[str, Path]) -> None:
    page, faults = open_page(browser, DESK)
    page.goto(home)
    page.on("filechooser", lambda chooser: chooser.set_files(files["picture"]))
    for _ in ("the link that skips to the content", "the other language", "the button that chooses a file"):
        page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    page.wait_for_selector("#preview img")
    page.focus("[name=samples]")
    page.keyboard.press("Control+a")
    page.keyboard.type("2")
    page.keyboard.press("Enter")
    card = wait_for_result(page)
    assert card.locator(".samples audio").count() == 2
    assert card.locator(".spectrogram").first.evaluate("(img) => img.decode().then(() => img.naturalWidth)") > 0
    assert card.locator(".samples audio").first.evaluate(DURATION) == pytest.approx(2, abs=0.01)
    assert page.inner_text("#status") == "Ready: Sounds of player.png"
    assert faults == []


def test_a_film_shows_its_progress_and_can_be_cancelled_while_another_job_waits(
    browser: Any, home: str, files: dict[str, Path]
) -> None:
    page, faults = open_page(browser, DESK)
    page.goto(home)
    order(page, files["long"], "film")
    page.wait_for_selector("progress[value]")
    order(page, files["sound"], "classify")
    page.wait_for_selector("text=Before this one: 1")
    cancel = page.locator("article").nth(1).locator("[data-cancel]")
    cancel.focus()
    page.wait_for_timeout(1000)  # the card is updated meanwhile, and the button keeps the focus
    page.keyboard.press("Enter")
    page.wait_for_selector("article:nth-of-type(2)[data-state=cancelled]:focus")
    assert wait_for_result(page).locator(".classes tr").count() == 3
    page.reload()
    page.wait_for_selector("article:nth-of-type(2)")
    states = [card.get_attribute("data-state") for card in page.locator("article").all()]
    assert states == ["done", "cancelled"]
    assert faults == []


def test_a_sound_is_recorded(browser: Any, home: str) -> None:
    page, faults = open_page(browser, DESK)
    page.goto(home)
    page.click("#record")
    page.wait_for_selector("#record[aria-pressed=true]")
    page.wait_for_timeout(800)
    page.click("#record")
    page.wait_for_selector("#preview audio")
    length = page.locator("#preview audio").evaluate(DURATION)
    assert 0.5 < length < 20
    page.click("button[value=pictures]")
    card = wait_for_result(page)
    assert card.locator(".samples img").count() == 4
    assert card.locator(".given audio").evaluate(DURATION) == pytest.approx(length, abs=0.01)
    assert faults == []


def test_faults_are_told_on_the_page(browser: Any, home: str, tmp_path: Path) -> None:
    page, _ = open_page(browser, DESK)
    page.goto(home)
    page.set_input_files("#file", write_wav(tmp_path / "a.wav", tone(0.1)).rename(tmp_path / "a.xyz"))
    assert "neither a sound" in page.inner_text("#notice")
    (tmp_path / "no.png").write_bytes(b"no picture")
    order(page, tmp_path / "no.png", "classify")
    assert "no.png: " in wait_for_result(page, "failed").inner_text()


@pytest.mark.parametrize(("width", "language"), [(400, "de"), (1200, "en")])
def test_the_page_fits_the_screen_and_is_accessible(
    browser: Any, home: str, files: dict[str, Path], width: int, language: str
) -> None:
    page, _ = open_page(browser, {"viewport": {"width": width, "height": 800}})
    page.goto(f"{home}?language={language}")
    orders = (("picture", "sounds"), ("sound", "classify"), ("sound", "pictures"), ("sound", "film"))
    for number, (file, action) in enumerate(orders, start=1):
        order(page, files[file], action)
        page.wait_for_selector(f"article:nth-of-type({number})")
        wait_for_result(page)
    assert page.evaluate("document.documentElement.scrollWidth") == width
    assert page.evaluate(NAMELESS) == []
    assert page.evaluate(FAINT) == []
    assert page.evaluate("document.querySelectorAll('h1').length") == 1
