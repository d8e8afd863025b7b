"""Designs: the question that raters answer. Two are the papers' scales; the others are preference and opinion score."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from cmcgan_core.errors import ConfigError

#: What raters judge: a picture generated from a sound, or a sound generated from a picture.
RatedModality = Literal["picture", "sound"]
RATED_MODALITIES: tuple[RatedModality, ...] = ("picture", "sound")
#: The model name under which real pairs take part in a study.
GROUND_TRUTH = "ground truth"


@dataclass(frozen=True)
class Design:
    """A question and its possible answers.

    Attributes:
        name: value of `--design`, and key of the question in the page texts.
        values: the answers, from worst to best. In a preference, 1 is the first candidate and 2 the second.
        keys: the digit key that gives each answer, in the order of `values`.
        modalities: the modalities that the question applies to.
        measures: functions from an answer to a number. A measure's result is the mean of these numbers.
        level: level of measurement, for Krippendorff's alpha.
        poor: the answers that noise deserves. Any other answer fails an attention check.
        examples: the kinds of examples shown before the first question, with the answer that each deserves.
        paired: whether raters see two candidates and choose one.
    """

    name: str
    values: tuple[int, ...]
    keys: tuple[int, ...]
    modalities: tuple[RatedModality, ...]
    measures: Mapping[str, Callable[[int], float]]
    level: Literal["nominal", "ordinal"]
    poor: tuple[int, ...]
    examples: Mapping[str, int] = field(default_factory=dict)
    paired: bool = False

    @property
    def has_rates_only(self) -> bool:
        """Whether every measure is a rate: each answer counts as 0 or 1."""
        return {measure(value) for measure in self.measures.values() for value in self.values} <= {0.0, 1.0}


#: CMCGAN names its two rates but does not define them. Each "acceptable" rate in the paper is larger than the matching
#: "satisfactory" rate. We therefore assume that acceptable includes satisfactory, and compute both from one answer.
AST_AAT = Design(
    "ast-aat",
    (0, 1, 2),
    (1, 2, 3),
    RATED_MODALITIES,
    {"AST": lambda value: float(value >= 2), "AAT": lambda value: float(value >= 1)},
    "ordinal",
    (0,),
    {"real": 2, "noise": 0},
)
#: CMAV, Table 4: 3 realistic and matching, 2 realistic but mismatched, 1 fair (player visible, instrument not), 0 not.
CMAV = Design(
    "cmav",
    (0, 1, 2, 3),
    (0, 1, 2, 3),
    ("picture",),
    {"mean": float},
    "ordinal",
    (0,),
    {"real": 3, "mismatched": 2, "blurred": 1, "noise": 0},
)
MOS = Design(
    "mos",
    (1, 2, 3, 4, 5),
    (1, 2, 3, 4, 5),
    RATED_MODALITIES,
    {"MOS": float},
    "ordinal",
    (1, 2),
    {"real": 5, "noise": 1},
)
#: 1: the item's model fits better. 2: its rival fits better. An attention check pairs noise with a real sample.
PAIRWISE = Design(
    "pairwise",
    (1, 2),
    (1, 2),
    RATED_MODALITIES,
    {"preferred": lambda value: float(value == 1)},
    "nominal",
    (2,),
    {"real": 1},
    paired=True,
)

DESIGNS = {design.name: design for design in (AST_AAT, CMAV, PAIRWISE, MOS)}


def find_design(name: str) -> Design:
    """Return the design with this name.

    Raises:
        ConfigError: no design has this name.
    """
    if name not in DESIGNS:
        raise ConfigError(f"no design is called {name!r} (known: {', '.join(DESIGNS)})")
    return DESIGNS[name]
