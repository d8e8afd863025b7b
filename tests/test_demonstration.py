"""`cmcgan demo`: what it plans, what is on its page, and that it resumes."""

import json
import os
import re
import signal
from dataclasses import replace
from pathlib import Path

import pytest
from conftest import Run as Cmcgan

from cmcgan_core.errors import ConfigError, DataError, Interrupted
from cmcgan_core.evaluation.results import Evaluation, Seeds
from cmcgan_core.evaluation.scores import Accuracy, JudgeScores
from cmcgan_core.modality import Direction, Modality
from cmcgan_core.progress import Progress
from cmcgan_core.reports.demo import Example, Page, Show, Training, demo_page
from cmcgan_core.run_folder import read_about
from cmcgan_core.tour import Tour, run_demo
from cmcgan_core.tour.demonstration import plan_sentence
from cmcgan_core.tour.planning import JUDGING_STEPS, TrainingPlan, plan_steps
from cmcgan_core.tour.sheets import due_steps


def test_steps_and_judging_fit_the_time() -> None:
    plan = plan_steps(5, 280.0, 0.5, 2)
    assert plan == TrainingPlan(5, 560 - JUDGING_STEPS, 0.5, 2, judged=True)
    assert plan_steps(5, 280.0, 1.0, 1) == TrainingPlan(5, 280, 1.0, 1, judged=False)  # judging: 150 s, over half
    assert plan_steps(1, -3.0, 1.0, 1).steps == 1


def test_a_plan_that_is_too_short_says_so() -> None:
    short, long = TrainingPlan(1, 40, 1.25, 1, judged=False), TrainingPlan(5, 900, 0.25, 2, judged=True)
    assert "40 steps fit into 1 minute with rendering; there is no time for judging. That is too short" in (
        plan_sentence(short, 600)
    )
    assert plan_sentence(long, 600) == (
        "A step takes 0.25 s with 2 threads, so 900 steps fit into 5 minutes with rendering and judging."
    )


def test_sheets_lie_closer_together_at_the_start() -> None:
    assert due_steps(100) == [0, 4, 12, 23, 35, 49, 65, 82, 100]
    assert due_steps(2) == [0, 1, 2]


def accuracy(value: float) -> dict[str, Accuracy]:
    return {"test": Accuracy(value, value, None, None)}


def judged(generated: float, real: float) -> Evaluation:
    """An evaluation of generated pictures, whose main judge has these accuracies; the residual judge has 0.2, 0.7."""
    evaluation = Evaluation("run", "data", "test", Seeds((0,), 0, 0), ("cello", "flute"), {"test": 8}, {"test": 2}, 1)
    second = JudgeScores({Modality.VISUAL: accuracy(0.7)}, {Direction.A2V: {"1": accuracy(0.2)}})
    return replace(
        evaluation,
        real={Modality.VISUAL: accuracy(real)},
        table1={Direction.A2V: {"1": accuracy(generated)}},
        other_judges={"second": second},
    )


def page_text(page: Page) -> str:
    """The text of the page without tags, with single spaces."""
    return re.sub(r"\s+", " ", re.sub(r"<script.*?</script>|<[^>]+>", " ", demo_page(page), flags=re.DOTALL))


@pytest.mark.parametrize(("generated", "explained"), [(0.5, False), (0.9, True)])
def test_the_page_explains_an_accuracy_above_that_of_real_pictures(generated: float, explained: bool) -> None:
    text = page_text(Page(training=Training(evaluation=judged(generated, 0.8))))
    assert f"main judge residual judge generated pictures {generated:.2f} 0.20 real pictures 0.80 0.70" in text
    assert ("does not mean that the generated samples are better than real ones" in text) is explained


def test_the_page_loads_itself_again_only_while_there_is_something_to_wait_for() -> None:
    running = Page(training=Training(status="Step 3 of 9 is done."), live=True)
    assert "Step 3 of 9 is done." in page_text(running)
    assert "location.reload" in demo_page(running)
    assert "location.reload" not in demo_page(Page(training=Training()))


def test_a_name_of_a_file_is_text_on_the_page() -> None:
    show = Show(own=[Example("<i>a & b.wav", sound="given/own-1.wav", guess="flute")], faults=["<b>.wav: is empty"])
    page = demo_page(Page(show=show))
    assert "&lt;i&gt;a &amp; b.wav" in page
    assert "&lt;b&gt;.wav: is empty" in page
    assert "heard as flute" not in page  # there is no picture


def test_fast_and_minutes_contradict_each_other(cmcgan: Cmcgan, tmp_path: Path) -> None:
    code, _, errors = cmcgan("demo", "--fast", "--minutes", "3", "--out", tmp_path)
    assert code == 2
    assert "--fast" in errors
    assert not list(tmp_path.iterdir())


def stop_training(progress: Progress) -> None:
    """Send this process a SIGINT after the first training step."""
    if progress.stage.startswith("training") and progress.done == 1:
        os.kill(os.getpid(), signal.SIGINT)


@pytest.mark.slow
def test_a_tour_leaves_a_page_whose_files_are_there(tmp_path: Path) -> None:
    out, tour = tmp_path / "runs", Tour(minutes=0.05, pairs=130, preset="tiny")
    told: list[str] = []
    with pytest.raises(Interrupted):
        run_demo(out, tour, files=[tmp_path / "missing.wav"], seed=3, tell=told.append, on_progress=stop_training)
    page = (out / "index.html").read_text(encoding="utf-8")
    assert "The same command resumes it." in page
    assert any(str(out / "index.html") in sentence for sentence in told)
    assert any("missing.wav" in sentence for sentence in told)
    done = run_demo(out, tour, seed=3)
    assert done.plan is not None
    assert json.loads((out / "training" / "plan.json").read_text())["steps"] == done.plan.steps
    page = done.page.read_text(encoding="utf-8")
    files = re.findall(r'src="([^"]+)"', page)
    assert len(files) == 13 * 6 + 1 + 1 + len(done.sheets)
    assert all((out / file).stat().st_size > 0 for file in files)
    assert read_about(out / "training" / "run" / "last.safetensors").config.seed == 3
    assert not list(out.glob("*/last.safetensors"))  # where the newest run is searched, if --out is runs
    made = {file: (out / file).read_bytes() for file in files}
    assert run_demo(out, tour, seed=3).plan == done.plan
    assert made == {file: (out / file).read_bytes() for file in files}
    with pytest.raises(ConfigError, match="--overwrite"):
        run_demo(out, replace(tour, minutes=1), seed=3)
    with pytest.raises(DataError, match="--overwrite"):
        run_demo(out, replace(tour, pairs=143), seed=3)
