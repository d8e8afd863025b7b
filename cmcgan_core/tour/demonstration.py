"""The whole tour: show the shipped model, then train for a stated time, and write a page all the while.

It needs no download.
"""

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from cmcgan_core.checkpoint import load_checkpoint
from cmcgan_core.config import Config, load_config
from cmcgan_core.data.dataset import PreparedDataset, open_dataset
from cmcgan_core.data.prepare.pipeline import prepare
from cmcgan_core.data.prepare.sources import SourceOptions
from cmcgan_core.data.synthetic import DemoSource
from cmcgan_core.errors import CmcganError, ConfigError
from cmcgan_core.evaluation.evaluate import Evaluation, evaluate
from cmcgan_core.progress import OnProgress, Progress, silent
from cmcgan_core.reports.demo import Page, Training, demo_page
from cmcgan_core.run_folder import BOX, RunFolder
from cmcgan_core.tour.planning import TrainingPlan, fastest_threads, plan_steps, use_threads
from cmcgan_core.tour.sheets import SheetWriter, find_sheets, real_sheet
from cmcgan_core.tour.showing import show_model
from cmcgan_core.training.run import Run, train
from cmcgan_core.utils.device import choose_device
from cmcgan_core.utils.files import write_text
from cmcgan_core.utils.schema import build, parse_json

#: Pairs of the set that the shipped model was trained on. The performances that are shown are from its test split.
BOX_PAIRS = 15_000
#: Default length of the training, in minutes.
MINUTES = 5.0
#: Length of the training with `--fast`, in minutes.
FAST_MINUTES = 1.0


@dataclass(frozen=True)
class Tour:
    """What a tour trains.

    Attributes:
        minutes: time for rendering a set, training and judging; 0 trains nothing.
        pairs: pairs to render.
        preset: preset to train.
        settings: changes of the preset. A demonstration validates at the end only, so that all time goes into steps.
    """

    minutes: float = MINUTES
    pairs: int = 1950
    preset: str = "small"
    settings: tuple[str, ...] = ("train.sample_every=1000000",)

    def config(self, seed: int, steps: int) -> Config:
        """Return the configuration of the run."""
        return load_config(self.preset, settings=[*self.settings, f"seed={seed}", f"train.steps={steps}"])


@dataclass(frozen=True)
class Demonstration:
    """A finished tour.

    Attributes:
        page: the HTML page with samples and figures.
        seconds: duration of this call.
        plan: the training; None if nothing was trained.
        sheets: sheets of samples during the training, in order.
        evaluation: scores of the trained run; None if nothing was judged.
    """

    page: Path
    seconds: float
    plan: TrainingPlan | None = None
    sheets: tuple[Path, ...] = ()
    evaluation: Evaluation | None = None


def run_demo(
    out: Path,
    tour: Tour | None = None,
    *,
    files: Sequence[Path] = (),
    soundfonts: tuple[Path, ...] = (),
    seed: int = 0,
    device: str = "auto",
    overwrite: bool = False,
    tell: Callable[[str], None] = lambda sentence: None,
    on_progress: OnProgress = silent,
) -> Demonstration:
    """Show the model that ships with cmcgan, train another one for a stated time, and write a page.

    The page is there from the first seconds, and is written again whenever there is something new. Work that an
    interrupted call finished is not repeated. No command takes the trained run for the newest run.

    Args:
        out: folder for everything: `index.html`, `given/` and `made/` for the shipped model, and `training/`.
        tour: what to train, and for how long; None for the default.
        files: sounds and pictures of the user for the shipped model.
        soundfonts: see `DemoSource`.
        seed: seed of the latents, of the set to train on, and of the training.
        device: see `choose_device`.
        overwrite: replace the training in `out`, which may be of another length or seed.
        tell: called with sentences for the user: where the page is, what is planned.
        on_progress: called in every stage.

    Raises:
        ConfigError: `out` has a training of another length.
        DataError: `out` has a training on another set.
        Interrupted: a stop was requested; the same call resumes.
    """
    started, tour = time.monotonic(), tour or Tour()
    page, folder = _LivePage(out / "index.html"), out / "training"
    source = DemoSource(tour.pairs, soundfonts=soundfonts)
    live = _LiveTraining(tour, folder, source, seed, device, overwrite, page, tell, on_progress)
    earlier = live.read_plan() if tour.minutes and not overwrite else None
    with use_threads(1):  # The work is too little for several threads.
        shipped = load_checkpoint(BOX / "last.safetensors", choose_device(device))
        show = show_model(shipped, DemoSource(BOX_PAIRS, soundfonts=soundfonts), files, out, seed, on_progress)
    for fault in show.faults:
        tell(f"warning: {fault}")
    training = Training(status="The training is about to start.") if tour.minutes else None
    page.update(show=show, training=training, live=training is not None)
    tell(f"{page.file} shows what the shipped model makes of new performances; open it in a browser")
    if not tour.minutes:
        return Demonstration(page.file, time.monotonic() - started)
    try:
        plan, evaluation = live.run(earlier)
    except (CmcganError, KeyboardInterrupt):
        page.report("The training was stopped. The same command resumes it.", live=False)
        raise
    sheets = tuple(find_sheets(folder).values())
    return Demonstration(page.file, time.monotonic() - started, plan, sheets, evaluation)


@dataclass
class _LivePage:
    """The page, which is written again after every change."""

    file: Path
    content: Page = field(default_factory=Page)

    def update(self, **changes: object) -> None:
        """Change parts of the content, and write the page."""
        self.content = replace(self.content, **changes)  # type: ignore[arg-type]
        write_text(self.file, demo_page(self.content))

    def report(self, status: str, *, live: bool = True) -> None:
        """Say on the page what the training does; a page that is `live` loads itself again."""
        assert self.content.training is not None
        self.update(training=replace(self.content.training, status=status), live=live)

    def train(self, **changes: object) -> None:
        """Change parts of the training, and write the page."""
        assert self.content.training is not None
        self.update(training=replace(self.content.training, **changes))  # type: ignore[arg-type]


@dataclass(frozen=True)
class _LiveTraining:
    """The training of a tour in its folder: `data/`, `run/`, `sheets/`, `plan.json`, `evaluation.json`."""

    tour: Tour
    folder: Path
    source: DemoSource
    seed: int
    device: str
    overwrite: bool
    page: _LivePage
    tell: Callable[[str], None]
    on_progress: OnProgress

    def run(self, earlier: TrainingPlan | None) -> tuple[TrainingPlan, Evaluation | None]:
        """Render, plan, train and judge.

        Args:
            earlier: the plan of an interrupted call, which is resumed; None to make a plan.
        """
        started = time.monotonic()
        self.page.report("Performances to learn from are being rendered.")
        if self.overwrite:
            for old in [self.folder / "plan.json", *find_sheets(self.folder).values(), real_sheet(self.folder)]:
                old.unlink(missing_ok=True)
        data, options = self.folder / "data", SourceOptions(seed=self.seed)
        prepare(Path(), data, self.source, options, overwrite=self.overwrite, on_progress=self.on_progress)
        dataset = open_dataset(data)
        plan = earlier or self._plan(dataset, started)
        sentence = plan_sentence(plan, self._usual_steps())
        self.tell(sentence)
        self.page.train(plan=sentence, classes=tuple(name.replace("_", " ") for name in dataset.classes))
        with use_threads(plan.threads):
            self._train(dataset, plan)
            evaluation = self._judge(dataset) if plan.judged else None
        self.page.train(evaluation=evaluation)
        self.page.report("", live=False)
        return plan, evaluation

    def _usual_steps(self) -> int:
        """Return the number of steps that the preset takes at least."""
        return load_config(self.tour.preset).train.least_steps

    def read_plan(self) -> TrainingPlan | None:
        """Read the plan of an interrupted call.

        Raises:
            ConfigError: it was for another time, or it is damaged.
        """
        file = self.folder / "plan.json"
        if not file.exists():
            return None
        try:
            plan = build(TrainingPlan, parse_json(file.read_bytes()), str(file))
        except ValueError as error:
            raise ConfigError(f"{file} is damaged ({error}); replace the demonstration with --overwrite") from error
        if plan.minutes != self.tour.minutes:
            raise ConfigError(
                f"{self.folder} has a training of {plan.minutes:g} minutes, not {self.tour.minutes:g}; replace it with "
                "--overwrite, or choose another --out"
            )
        return plan

    def _plan(self, dataset: PreparedDataset, started: float) -> TrainingPlan:
        """Measure the cost of a step, and plan the training for the time that is left."""
        self.page.report("The cost of a training step is being measured.")
        self.on_progress(Progress("measuring the cost of a step", 0, 1, "measurements"))
        run = Run(self.tour.config(self.seed, 1), dataset, self.folder / "run", choose_device(self.device))
        threads, step_seconds = fastest_threads(run)
        left = 60 * self.tour.minutes - (time.monotonic() - started)
        plan = plan_steps(self.tour.minutes, left, step_seconds, threads)
        self.on_progress(Progress("measuring the cost of a step", 1, 1, "measurements"))
        write_text(self.folder / "plan.json", json.dumps(asdict(plan)) + "\n")
        return plan

    def _train(self, dataset: PreparedDataset, plan: TrainingPlan) -> None:
        """Train, and write sheets of samples on the way, which the page shows at once."""
        config = self.tour.config(self.seed, plan.steps)
        run = Run(config, dataset, self.folder / "run", choose_device(self.device))
        writer = SheetWriter(run, self.folder, self.seed)

        def watch(progress: Progress) -> None:
            self.on_progress(progress)
            if writer.write_if_due(progress.done):
                self._show_sheets()
                self.page.report(f"Step {progress.done} of {plan.steps} is done.")

        train(run, resume=not self.overwrite, overwrite=self.overwrite, on_progress=watch)
        self._show_sheets()

    def _show_sheets(self) -> None:
        """Put all sheets so far on the page, after the one with the real pictures and sounds."""
        sheets = {step: self._on_page(file) for step, file in find_sheets(self.folder).items()}
        self.page.train(real=self._on_page(real_sheet(self.folder)), sheets=sheets)

    def _judge(self, dataset: PreparedDataset) -> Evaluation:
        """Judge the samples of the trained run by both judges."""
        self.page.report("The training is done. Its samples are being judged.")
        evaluation = evaluate(
            RunFolder(self.folder / "run").last,
            dataset,
            latents=1,
            seed=self.seed,
            device=self.device,
            on_progress=self.on_progress,
        )
        write_text(self.folder / "evaluation.json", json.dumps(evaluation.to_dict(), indent=1) + "\n")
        return evaluation

    def _on_page(self, file: Path) -> str:
        """Return a path relative to the page."""
        return file.relative_to(self.page.file.parent).as_posix()


def plan_sentence(plan: TrainingPlan, least_steps: int) -> str:
    """Return what is planned, and what to expect of it.

    Args:
        plan: the plan.
        least_steps: number of steps that the recipe takes at least on a small dataset.
    """
    threads = "one thread" if plan.threads == 1 else f"{plan.threads} threads"
    sentence = (
        f"A step takes {plan.step_seconds:.2g} s with {threads}, so {plan.steps} "
        f"{'step fits' if plan.steps == 1 else 'steps fit'} into "
        f"{plan.minutes:g} {'minute' if plan.minutes == 1 else 'minutes'}"
    )
    sentence += " with rendering and judging." if plan.judged else " with rendering; there is no time for judging."
    if plan.steps < least_steps:
        sentence += (
            f" That is too short to learn well: the recipe takes at least {least_steps} steps. Expect pictures that "
            "get better, but not good ones."
        )
    return sentence
