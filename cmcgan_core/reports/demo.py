"""The page of `cmcgan demo`, which is written again while the demonstration runs."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from cmcgan_core.evaluation.labels import plural
from cmcgan_core.evaluation.results import Evaluation
from cmcgan_core.reports.html import make_environment


@dataclass(frozen=True)
class Example:
    """A performance, or a file of the user, and what was generated from it.

    Paths are relative to the page; "" for what there is not.

    Attributes:
        label: name of the class, or of the file.
        picture, sound, spectrogram: the given ones.
        made_picture, made_sound, made_spectrogram: the generated ones.
        guess: class that the model assigns to the sound with its generated picture.
    """

    label: str
    picture: str = ""
    sound: str = ""
    spectrogram: str = ""
    made_picture: str = ""
    made_sound: str = ""
    made_spectrogram: str = ""
    guess: str = ""


@dataclass(frozen=True)
class Show:
    """What the shipped model makes of performances and of the user's files.

    Attributes:
        performances: a rendered performance of each class.
        own: files of the user.
        faults: what is wrong with files that could not be read.
        film: path of a film, relative to the page; "" for none.
    """

    performances: Sequence[Example] = ()
    own: Sequence[Example] = ()
    faults: Sequence[str] = ()
    film: str = ""


@dataclass(frozen=True)
class Training:
    """A training that the page shows.

    Attributes:
        status: what it does now; "" if it is finished.
        plan: a sentence about its length.
        classes: names of the columns of the sheets.
        real: path of the sheet with real pictures and sounds; "" for none yet.
        sheets: paths of the sheets of samples, by step.
        evaluation: scores of the trained run; None if they are not known.
    """

    status: str = ""
    plan: str = ""
    classes: Sequence[str] = ()
    real: str = ""
    sheets: dict[int, str] = field(default_factory=dict)
    evaluation: Evaluation | None = None


@dataclass(frozen=True)
class Page:
    """The content of the page.

    Attributes:
        show: the work of the shipped model.
        training: the training; None for none.
        live: whether the page loads itself again every few seconds.
    """

    show: Show = field(default_factory=Show)
    training: Training | None = None
    live: bool = False


@dataclass(frozen=True)
class FigureRow:
    """Accuracy of the main judge and of the residual judge on samples of one kind."""

    label: str
    main: float
    residual: float


def demo_page(page: Page) -> str:
    """Return the text of the page."""
    evaluation = page.training.evaluation if page.training else None
    rows = figure_rows(evaluation) if evaluation else []
    return make_environment().get_template("demo.html").render(page=page, rows=rows, exceeds=exceeds_real(rows))


def figure_rows(evaluation: Evaluation) -> list[FigureRow]:
    """Return the rows of generated samples, each followed by that of real ones. The evaluation has two judges."""
    (second,) = evaluation.other_judges.values()
    split, hops = evaluation.split, str(evaluation.hops)
    rows = []
    for direction, by_hops in evaluation.table1.items():
        target = direction.target
        generated = by_hops[hops][split].micro, second.table1[direction][hops][split].micro
        real = evaluation.real[target][split].micro, second.real[target][split].micro
        rows += [FigureRow(f"generated {plural(target)}", *generated), FigureRow(f"real {plural(target)}", *real)]
    return rows


def exceeds_real(rows: Sequence[FigureRow]) -> bool:
    """Return whether a judge recognises generated samples more often than real ones; rows as from `figure_rows`."""
    pairs = zip(rows[::2], rows[1::2], strict=True)
    return any(generated.main > real.main or generated.residual > real.residual for generated, real in pairs)
