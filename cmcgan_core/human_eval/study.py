"""The study folder: `study.toml` (the plan), `items/` (media under random names) and `study.db` (see `store`)."""

from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Annotated

from cmcgan_core.errors import ConfigError, DataError
from cmcgan_core.human_eval.designs import GROUND_TRUTH, Design, find_design
from cmcgan_core.utils.files import write_text
from cmcgan_core.utils.names import path_below
from cmcgan_core.utils.schema import Count, Range, build
from cmcgan_core.utils.toml import dump_toml, read_toml
from cmcgan_core.web.texts import PageTexts

#: Version of the study folder's format. This code writes this version and reads no other.
STUDY_FORMAT = 2
#: The texts of the pages.
PAGE_TEXTS = PageTexts(Path(__file__).parent)

NotNegative = Annotated[int, Range(minimum=0)]
NotNegativeNumber = Annotated[float, Range(minimum=0)]


@dataclass(frozen=True)
class StudyPlan:
    """The content of `study.toml`. It is fixed before the first answer.

    Attributes:
        design: name of the design, a key of `designs.DESIGNS`.
        title: title that raters read on the first page.
        contact: contact for raters' questions; shown in the consent text.
        about: paragraph added to the consent text, for example what an ethics board requires.
        language: language of the pages unless a rater chooses another; name of a file in `text/`.
        seed: seed of the drawn pairs, the generated samples and each rater's order.
        per_rater: largest number of items that each rater rates, without attention checks.
        checks_per_rater: number of attention checks that each rater gets.
        allowed_failures: number of attention checks that a rater may fail. The report excludes raters who fail more.
        models: path of each model's checkpoint or folder of samples, by model name.
        data: source of the real pairs.
        sound_seconds: length of every sound, seconds.
        format: version of the folder's format, see `STUDY_FORMAT`.
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
    sound_seconds: NotNegativeNumber = 0.0
    format: int = STUDY_FORMAT
    created: str = ""

    @property
    def rated_names(self) -> list[str]:
        """Names of everything that is rated: the ground truth, then the models."""
        return [GROUND_TRUTH, *self.models]


@dataclass(frozen=True)
class RatingStudy:
    """A study folder.

    Attributes:
        root: path of the folder.
        plan: content of its `study.toml`.
    """

    root: Path
    plan: StudyPlan

    @cached_property
    def design(self) -> Design:
        """The question that raters answer."""
        return find_design(self.plan.design)

    @property
    def database(self) -> Path:
        """Path of the database of items, raters and answers."""
        return self.root / "study.db"

    @property
    def media(self) -> Path:
        """Path of the folder of sounds and pictures."""
        return self.root / "items"

    def medium(self, name: str) -> Path:
        """Return the path of a sound or a picture that the database names.

        Raises:
            DataError: the name cannot be that of a file.
        """
        return path_below(self.media, name)


def open_study(root: Path) -> RatingStudy:
    """Open an existing study folder.

    Raises:
        DataError: the folder is not a study, has another format, or lacks its database.
        ConfigError: its `study.toml` is not valid.
    """
    file = root / "study.toml"
    if not file.is_file():
        raise DataError(
            f"{root} is not a study (no study.toml); create one with: "
            f"cmcgan human-eval create DATA --model RUN --out {root}"
        )
    plan = build(StudyPlan, read_toml(file), str(file))
    if plan.format != STUDY_FORMAT:
        raise DataError(
            f"{file} has format {plan.format}, but this version of cmcgan reads format {STUDY_FORMAT}; use the version "
            "of cmcgan that created the study"
        )
    if plan.language not in PAGE_TEXTS.languages():
        known = ", ".join(PAGE_TEXTS.languages())
        raise ConfigError(f"{file}: there are no page texts in the language {plan.language!r} (known: {known})")
    study = RatingStudy(root, plan)
    find_design(plan.design)
    if not study.database.is_file():
        raise DataError(
            f"{root} has no study.db, the file with the answers; restore it from a backup, or create a new study "
            "with: cmcgan human-eval create"
        )
    return study


def write_plan(root: Path, plan: StudyPlan) -> None:
    """Write `study.toml`."""
    write_text(root / "study.toml", dump_toml(asdict(plan)))
