"""The file of a study: the recipes that it compares, and their budget. This module does not import torch."""

import re
import shlex
from dataclasses import dataclass, replace
from importlib.resources import files
from pathlib import Path

from cmcgan_core.config import Config, load_config, shipped
from cmcgan_core.errors import ConfigError
from cmcgan_core.utils.names import name_fault
from cmcgan_core.utils.schema import Positive, Seed, build, did_you_mean, show
from cmcgan_core.utils.toml import read_toml

#: The name of the study of representations, see `experiments.representations`; it has no file.
REPRESENTATIONS_STUDY = "representations"
#: Seeds of the trainings of each recipe, if a study names no others.
SEEDS = (0, 1, 2)
#: Settings that a study chooses; its file cannot set them.
DECIDED = ("seed", "train.steps")


@dataclass(frozen=True)
class Recipe:
    """A row of a study.

    Attributes:
        preset: name of the preset that the recipe changes.
        set: the changes, as `cmcgan train --set` takes them.
    """

    preset: str
    set: tuple[str, ...] = ()


@dataclass(frozen=True)
class Study:
    """Recipes to compare.

    Attributes:
        title: a short title.
        seconds: budget of each training: CPU-seconds on the CPU, elapsed seconds on a GPU.
        full_seconds: the budget at full size, see `at_full_size`; None if the study has no other size.
        rows: recipes by name.
        set: settings of all rows; the settings of a row override them.
        seeds: seeds of the trainings of each recipe.
    """

    title: str
    seconds: Positive
    rows: dict[str, Recipe]
    full_seconds: Positive | None = None
    set: tuple[str, ...] = ()
    seeds: tuple[Seed, ...] = SEEDS

    def at_full_size(self) -> "Study":
        """Return the same study at the papers' sizes, for a GPU: presets without "-small", and the larger budget.

        Raises:
            ConfigError: the study names no budget for it.
        """
        if self.full_seconds is None:
            raise ConfigError("the study has one size only; for another, add full_seconds to its file")
        rows = {name: replace(recipe, preset=full_size_preset(recipe.preset)) for name, recipe in self.rows.items()}
        return replace(self, seconds=self.full_seconds, rows=rows)

    def config(self, name: str, *settings: str) -> Config:
        """Return the configuration of a row, with further settings."""
        recipe = self.rows[name]
        return load_config(recipe.preset, settings=(*self.set, *recipe.set, *settings))

    def command(self, name: str, data: Path, steps: int) -> str:
        """Return the command line that trains the first run of a row without the study."""
        settings = (*self.set, *self.rows[name].set, f"train.steps={steps}")
        words = ["cmcgan", "train", str(data), "--preset", self.rows[name].preset, "--seed", str(self.seeds[0])]
        words += [word for setting in settings for word in ("--set", setting)]
        return shlex.join([*words, "--out", f"runs/{slug(name)}"])


def full_size_preset(preset: str) -> str:
    """Return the preset of the papers' size that belongs to a preset of small networks."""
    return "default" if preset == "small" else preset.removesuffix("-small")


def study_names() -> list[str]:
    """Return the names of the studies that ship with cmcgan."""
    return shipped("experiments/studies")


def find_study(name: str) -> Path:
    """Find the file of a study: one that ships with cmcgan, by its name, or the user's own, by its path.

    Raises:
        ConfigError: there is no such study.
    """
    if name in study_names():
        return Path(str(files("cmcgan_core.experiments").joinpath("studies", f"{name}.toml")))
    if not name.endswith(".toml"):
        known = [*study_names(), REPRESENTATIONS_STUDY]
        raise ConfigError(
            f"no study is called {name!r}{did_you_mean(name, known)} (known: {', '.join(known)}; or a .toml file)"
        )
    return Path(name)


def load_study(file: Path, *, full_size: bool = False) -> Study:
    """Read a study, and check everything that can be checked without a dataset.

    Args:
        file: the file.
        full_size: whether to return the study at full size, see `Study.at_full_size`.

    Raises:
        ConfigError: it is not valid; the message lists every fault.
    """
    study = build(Study, read_toml(file), str(file))
    if full_size:
        study = study.at_full_size()
    faults = [f"{name}: is empty; add at least one" for name in ("rows", "seeds") if not getattr(study, name)]
    if len(set(study.seeds)) < len(study.seeds):
        faults.append("seeds: a seed is listed twice")
    settings = {"set": study.set, **{f"rows.{name}.set": recipe.set for name, recipe in study.rows.items()}}
    for place, changes in settings.items():
        names = {setting.partition("=")[0].strip() for setting in changes}
        faults += [f"{place}: the study chooses {name}; remove this setting" for name in DECIDED if name in names]
    slugs = {name: slug(name) for name in study.rows}
    for name, folder in slugs.items():
        if fault := name_fault(folder):
            faults.append(f"rows.{name}: its name needs letters or digits; {show(folder)} {fault}")
        elif list(slugs.values()).count(folder) > 1:
            faults.append(f"rows.{name}: its name needs letters or digits that differ from those of other rows")
    faults += _faults_of_configs(study)
    if faults:
        raise ConfigError(f"{file} is not a valid study:\n" + "\n".join(f"  {fault}" for fault in faults))
    return study


def _faults_of_configs(study: Study) -> list[str]:
    """Return the faults of the configurations of the rows."""
    faults, judges = [], set()
    for name in study.rows:
        try:
            judge = study.config(name).judge
            judges.add(judge)
            load_config(judge)
        except ConfigError as error:
            faults.append(f"rows.{name}: {error}")
    if len(judges) > 1:
        several = ", ".join(sorted(judges))
        faults.append(f"rows: they have different judges ({several}); set one for all, for example judge=judge-small")
    return faults


def slug(name: str) -> str:
    """Return the name of a recipe as the name of a folder."""
    return re.sub(r"[^\w.]+", "-", name).strip("-.")
