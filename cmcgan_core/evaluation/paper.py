"""The published figures."""

import tomllib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from cmcgan_core.run_folder import About
from cmcgan_core.utils.schema import build


@dataclass(frozen=True)
class PaperTables:
    """Figures as printed in the papers; `paper_tables.toml` names the sources.

    Attributes:
        schedule: pairs and epochs of CMCGAN's training.
        table1: judged accuracy of generated samples, by direction ("S2I", "I2S"), system, and split.
        table2: accuracy of the classifiers V, A, V-A, GV-A, GA-V.
        representations: accuracy of CMAV's sound classifiers, by representation and number of layers.
    """

    schedule: dict[str, int]
    table1: dict[str, dict[str, dict[str, float]]]
    table2: dict[str, float]
    representations: dict[str, dict[str, float]]


@cache
def paper_tables() -> PaperTables:
    """Read the published figures."""
    text = files("cmcgan_core.evaluation").joinpath("paper_tables.toml").read_text(encoding="utf-8")
    return build(PaperTables, tomllib.loads(text), "paper_tables.toml")


def share_of_schedule(about: About) -> float | None:
    """Return how much of CMCGAN's printed training a run had: 1 for 200 epochs of 17,555 pairs, whatever the batches.

    None for other methods, whose training the papers do not print.
    """
    if about.config.method != "cmcgan":
        return None
    schedule = paper_tables().schedule
    return about.step * about.config.train.batch_size / (schedule["pairs"] * schedule["epochs"])
