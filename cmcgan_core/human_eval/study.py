"""The study folder: `study.toml` (the plan), `items/` (media under random names), `study.db` (see `store`)."""

from dataclasses import asdict, dataclass, field
from functools import cached_property
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any

from cmcgan_core.errors import ConfigError, DataError
from cmcgan_core.human_eval.designs import GROUND_TRUTH, Design, find_design
from cmcgan_core.utils.files import write_text
from cmcgan_core.utils.schema import Count, Range, build
from cmcgan_core.utils.toml import dump_toml, read_toml

#: Version of the folder's format that this code reads and writes.
FORMAT = 1

NotNegative = Annotated[int, Range(minimum=0)]


@dataclass(frozen=True)
class Plan:
    """What `study.toml` holds; all of it is fixed before the first answer.

    Attributes:
        design: name in `designs.DESIGNS`.
        title: what raters read at the top.
        contact: whom raters may ask; a line of the consent text.
        about: a paragraph of the consent text, for what an ethics board wants said.
        language: of the pages, where a rater chooses none: a file in `text/`.
        seed: of what was drawn, and of each rater's order.
        per_rater: items that one rater rates, attention checks not counted.
        checks_per_rater: attention checks among them.
        allowed_failures: a rater who fails more attention checks is left out of the report.
        models: who takes part, by name: the checkpoint or the folder of samples.
        data: where the real pairs came from.
        format: see `FORMAT`.
        created: date, ISO 8601.
    """

    design: str
    title: str = ""
    contact: str = ""
    about: str = ""
    language: str = "en"
    seed: NotNegative = 0
    per_rater: Count = 40
    checks_per_rater: NotNegative = 3
    allowed_failures: NotNegative = 1
    models: dict[str, str] = field(default_factory=dict)
    data: str = ""
    format: int = FORMAT
    created: str = ""

    @property
    def competitors(self) -> list[str]:
        """Who is rated: the ground truth, then the models."""
        return [GROUND_TRUTH, *self.models]


@dataclass(frozen=True)
class Study:
    """A study folder.

    Attributes:
        root: the folder.
        plan: its `study.toml`.
    """

    root: Path
    plan: Plan

    @cached_property
    def design(self) -> Design:
        """What raters are asked."""
        return find_design(self.plan.design)

    @property
    def database(self) -> Path:
        """Raters, assignments and answers."""
        return self.root / "study.db"

    @property
    def media(self) -> Path:
        """Sounds and pictures."""
        return self.root / "items"


def open_study(root: Path) -> Study:
    """A study folder that exists.

    Raises:
        DataError: it is none, or is incomplete.
        ConfigError: its `study.toml` is not valid.
    """
    file = root / "study.toml"
    if not file.is_file():
        raise DataError(
            f"{root} is not a study (no study.toml); make one with: "
            f"cmcgan human-eval create DATA --model RUN --out {root}"
        )
    plan = build(Plan, read_toml(file), str(file))
    if plan.format != FORMAT:
        raise DataError(f"{file} has format {plan.format}, this cmcgan reads {FORMAT}")
    if plan.language not in languages():
        raise ConfigError(f"{file}: language {plan.language!r} has no text (known: {', '.join(languages())})")
    study = Study(root, plan)
    find_design(plan.design)
    if not study.database.is_file():
        raise DataError(
            f"{root} has lost its study.db, and with it its answers; restore it from a backup, or make "
            "a new study with: cmcgan human-eval create"
        )
    return study


def write_plan(root: Path, plan: Plan) -> None:
    """Write `study.toml`."""
    write_text(root / "study.toml", dump_toml(asdict(plan)))


def languages() -> list[str]:
    """Languages that the pages speak."""
    return sorted(text.name.removesuffix(".toml") for text in _package("text").iterdir() if text.name.endswith(".toml"))


def read_text(language: str) -> dict[str, Any]:
    """All text of the pages in a language, nested by page."""
    return read_toml(Path(str(_package("text") / f"{language}.toml")))


def _package(folder: str) -> Any:
    return files("cmcgan_core") / "human_eval" / folder
