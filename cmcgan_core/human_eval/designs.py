"""What raters are asked: the two papers' scales, preference and opinion."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from cmcgan_core.errors import ConfigError

#: What was generated: a picture from a sound, or a sound from a picture.
Modality = Literal["picture", "sound"]
MODALITIES: tuple[Modality, ...] = ("picture", "sound")
#: The name under which real pairs take part in a study.
GROUND_TRUTH = "ground truth"


@dataclass(frozen=True)
class Design:
    """A question and its answers.

    Attributes:
        name: as in `--design`, and in the texts.
        values: the answers, from worst to best; for a preference 1 and 2, the first and the second.
        keys: the digit that gives each answer.
        modalities: what it can be asked of.
        measures: what is made of a value, by the name of its mean over answers.
        level: of measurement, for Krippendorff's alpha.
        poor: answers that noise deserves; every other one fails an attention check.
        examples: what raters are shown before they begin, and the answer that it deserves.
        paired: whether two candidates are shown and one is chosen.
    """

    name: str
    values: tuple[int, ...]
    keys: tuple[int, ...]
    modalities: tuple[Modality, ...]
    measures: Mapping[str, Callable[[int], float]]
    level: Literal["nominal", "ordinal"]
    poor: tuple[int, ...]
    examples: Mapping[str, int] = field(default_factory=dict)
    paired: bool = False

    @property
    def rates(self) -> bool:
        """Whether every measure is a rate, so that an answer is a hit or none."""
        return {measure(value) for measure in self.measures.values() for value in self.values} <= {0.0, 1.0}


#: CMCGAN names the rates but prints no definition. Its "acceptable" rates include its "satisfactory" ones (each is the
#: larger of the two), so here one answer gives both.
AST_AAT = Design(
    "ast-aat",
    (0, 1, 2),
    (1, 2, 3),
    MODALITIES,
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
    "mos", (1, 2, 3, 4, 5), (1, 2, 3, 4, 5), MODALITIES, {"MOS": float}, "ordinal", (1, 2), {"real": 5, "noise": 1}
)
#: 1: the item's model fits better, 2: its rival does. An attention check sets a real sample against noise.
PAIRWISE = Design(
    "pairwise",
    (1, 2),
    (1, 2),
    MODALITIES,
    {"preferred": lambda value: float(value == 1)},
    "nominal",
    (2,),
    {"real": 1},
    paired=True,
)

DESIGNS = {design.name: design for design in (AST_AAT, CMAV, PAIRWISE, MOS)}


def find_design(name: str) -> Design:
    """A design by its name.

    Raises:
        ConfigError: there is none of that name.
    """
    if name not in DESIGNS:
        raise ConfigError(f"no design is called {name!r} (known: {', '.join(DESIGNS)})")
    return DESIGNS[name]
