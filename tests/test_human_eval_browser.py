"""The website in a real browser, by keyboard and by touch."""

from collections.abc import Iterator
from typing import Any

import pytest
from browser_fixtures import DESK, FAINT, NAMELESS, PHONE, needs_browser, open_browser, open_page
from human_eval_fixtures import make_study, serving

from cmcgan_core.human_eval.store import Store
from cmcgan_core.human_eval.study import RatingStudy

pytestmark = needs_browser

QUESTIONS = 4


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with open_browser() as browser:
        yield browser


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> RatingStudy:
    return make_study(tmp_path_factory.mktemp("browser") / "study", per_rater=QUESTIONS - 1, checks_per_rater=1)


@pytest.fixture(scope="module")
def home(study: RatingStudy) -> Iterator[str]:
    with serving(study) as address:
        yield address


def answers_of(study: RatingStudy, number: str) -> list[int]:
    return [answer.value for answer in Store(study).answers() if answer.rater == number]


def number_on(page: Any) -> str:
    return str(page.inner_text("main").split("Your number is ")[1][:13])


def test_a_rater_completes_a_study_by_keyboard_alone(browser: Any, home: str, study: RatingStudy) -> None:
    page, faults = open_page(browser, DESK)
    page.goto(home)
    page.focus("input[name=consent]")
    page.keyboard.press("Space")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    page.wait_for_url("**/sound")
    page.keyboard.press("Space")
    page.wait_for_selector("audio[data-played]", state="attached")
    page.focus("a.main")
    page.keyboard.press("Enter")
    page.wait_for_url("**/training")
    page.focus("button.main")
    page.keyboard.press("Enter")
    for number in range(QUESTIONS):
        page.wait_for_selector(f"text=Question {number + 1} of {QUESTIONS}")
        page.keyboard.press("Space")  # plays the sound; before that, digits do nothing
        page.wait_for_selector("button[name=value]:not([disabled])")
        page.keyboard.press("1")
    page.wait_for_url("**/thanks")
    page.keyboard.press("b")
    page.wait_for_url("**/back")
    page.keyboard.press("Space")
    page.wait_for_selector("button[name=value]:not([disabled])")
    page.keyboard.press("3")
    page.wait_for_url("**/thanks")
    assert answers_of(study, number_on(page)) == [0] * (QUESTIONS - 1) + [2]
    assert faults == []


def begin_by_touch(page: Any, home: str) -> None:
    page.goto(home)
    page.tap("label.check")
    page.tap("button.main")
    page.wait_for_url("**/sound")
    page.tap(".play")
    page.tap("a.main")
    page.wait_for_url("**/training")
    page.tap("button.main")


def answer_by_touch(page: Any, number: int, value: int) -> None:
    page.wait_for_selector(f"text=Question {number + 1} of {QUESTIONS}")
    page.tap(".play")
    page.wait_for_selector("button[name=value]:not([disabled])")
    page.tap(f"button[value='{value}']")


def test_a_rater_completes_a_study_by_touch_without_scrolling(browser: Any, home: str, study: RatingStudy) -> None:
    page, faults = open_page(browser, PHONE)
    begin_by_touch(page, home)
    for number in range(QUESTIONS):
        page.wait_for_selector(f"text=Question {number + 1} of {QUESTIONS}")
        boxes = [button.bounding_box() for button in page.query_selector_all(".choices button, .play")]
        assert all(box["height"] >= 44 and box["x"] >= 0 and box["x"] + box["width"] <= 390 for box in boxes)
        assert max(box["y"] + box["height"] for box in boxes) <= 844  # no scrolling
        answer_by_touch(page, number, 1)
    page.wait_for_url("**/thanks")
    assert answers_of(study, number_on(page)) == [1] * QUESTIONS
    assert faults == []


def test_a_rater_returns_by_the_personal_link(browser: Any, home: str, study: RatingStudy) -> None:
    page, _ = open_page(browser, PHONE)
    begin_by_touch(page, home)
    answer_by_touch(page, 0, 2)
    answer_by_touch(page, 1, 2)
    page.wait_for_selector(f"text=Question 3 of {QUESTIONS}")
    shown = page.get_attribute(".medium img", "src")
    page.tap("header a")
    link = page.input_value("#link")
    page.context.close()
    second_page, faults = open_page(browser, DESK)  # another device, without cookies
    second_page.goto(link)
    second_page.wait_for_selector(f"text=Question 3 of {QUESTIONS}")
    assert second_page.get_attribute(".medium img", "src") == shown
    for _ in range(2, QUESTIONS):
        second_page.keyboard.press("Space")
        second_page.wait_for_selector("button[name=value]:not([disabled])")
        with second_page.expect_navigation():
            second_page.keyboard.press("3")
    second_page.wait_for_url("**/thanks")
    assert answers_of(study, number_on(second_page)) == [2] * QUESTIONS
    assert faults == []


def test_the_next_item_is_preloaded(browser: Any, home: str) -> None:
    page, _ = open_page(browser, PHONE)
    begin_by_touch(page, home)
    page.wait_for_selector(f"text=Question 1 of {QUESTIONS}")
    page.wait_for_load_state("networkidle")
    coming = {entry.get_attribute("data-file") for entry in page.query_selector_all("#preload li")}
    answer_by_touch(page, 0, 1)
    page.wait_for_selector(f"text=Question 2 of {QUESTIONS}")
    media = {entry.get_attribute("src") for entry in page.query_selector_all(".medium img, .medium audio")}
    assert media == coming
    picture = page.get_attribute(".medium img", "src")
    sent = f"performance.getEntriesByType('resource').find((e) => e.name.endsWith('{picture}')).transferSize"
    assert page.evaluate(sent) == 0  # from the cache


def test_pages_work_without_javascript(browser: Any, home: str, study: RatingStudy) -> None:
    page, _ = open_page(browser, {**DESK, "java_script_enabled": False})
    page.goto(home)
    page.check("input[name=consent]")
    page.click("button.main")
    page.click("a.main")
    page.click("button.main")
    for _ in range(QUESTIONS):
        page.click("button[value='1']")
    assert answers_of(study, number_on(page)) == [1] * QUESTIONS


def test_pages_have_accessible_names_and_enough_contrast(browser: Any, home: str) -> None:
    page, _ = open_page(browser, DESK)
    response = page.goto(home)
    assert response is not None
    page.check("input[name=consent]")
    page.click("button.main")
    page.wait_for_url("**/sound")
    base = page.url.removesuffix("/sound")
    for path in ("/sound", "/training", "/rate", "/pause"):
        page.goto(base + path)
        assert page.evaluate(NAMELESS) == [], path
        assert page.evaluate(FAINT) == [], path
        assert page.evaluate("document.querySelectorAll('h1').length") == 1
