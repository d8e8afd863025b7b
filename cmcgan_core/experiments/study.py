"""Studies: several recipes, trained on one dataset with equal budgets and several seeds, judged alike, side by side.

A study is a TOML file; some ship with cmcgan (`cmcgan_core/studies/*.toml`). Everything is kept in one folder: what is
done there is not done again, and several processes may work on it, each on runs that no other is at work on.
"""

import re
import shlex
from dataclasses import asdict, dataclass, replace
from importlib.resources import files
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from cmcgan_core.config import Config, load_config, shipped
from cmcgan_core.data.dataset import PairDataset, held_out
from cmcgan_core.errors import ConfigError, TrainingError
from cmcgan_core.evaluation.compare import Comparison, Entry, make_entry, make_group
from cmcgan_core.evaluation.evaluate import evaluate_once
from cmcgan_core.experiments.budget import affordable_steps
from cmcgan_core.methods import Translator
from cmcgan_core.nn.layers import count_parameters
from cmcgan_core.progress import OnProgress, Progress, silent
from cmcgan_core.reports.sheets import write_sheets
from cmcgan_core.training.run import Run, train_once
from cmcgan_core.utils.device import choose_device
from cmcgan_core.utils.files import exclusive_lock, explain_write_errors, write_text
from cmcgan_core.utils.schema import Positive, Seed, build, did_you_mean
from cmcgan_core.utils.toml import dump_toml, read_toml

#: Settings that a study decides itself.
DECIDED = ("seed", "train.steps")
#: What to do after a study could not be written.
NEXT_STEP = "give the same command again"


@dataclass(frozen=True)
class Recipe:
    """A row of a study.

    Attributes:
        preset: that it begins with.
        set: settings that differ, as `cmcgan train --set` takes them.
    """

    preset: str
    set: tuple[str, ...] = ()


@dataclass(frozen=True)
class Study:
    """What is to be compared.

    Attributes:
        title: in a few words.
        seconds: budget of each training: CPU-seconds on the CPU, seconds by the clock on a GPU.
        rows: recipes by name.
        set: settings of all rows, which a row's own may change.
        seeds: of the trainings of each recipe.
    """

    title: str
    seconds: Positive
    rows: dict[str, Recipe]
    set: tuple[str, ...] = ()
    seeds: tuple[Seed, ...] = (0, 1, 2)

    def config(self, name: str, *settings: str) -> Config:
        """A row's configuration, with settings on top."""
        recipe = self.rows[name]
        return load_config(recipe.preset, settings=(*self.set, *recipe.set, *settings))

    def command(self, name: str, data: Path, steps: int) -> str:
        """The command line that makes a row's first run by itself."""
        settings = (*self.set, *self.rows[name].set, f"train.steps={steps}")
        words = ["cmcgan", "train", str(data), "--preset", self.rows[name].preset, "--seed", str(self.seeds[0])]
        words += [word for setting in settings for word in ("--set", setting)]
        return shlex.join([*words, "--out", f"runs/{slug(name)}"])


@dataclass(frozen=True)
class StudyResult:
    """What was found.

    Attributes:
        study: what was compared.
        steps: of each training, by the recipe's name.
        compared: the runs that are done, a group for every recipe that has one.
        unfinished: folders of runs that another process is at work on.
        failed: why runs could not be trained, by their folders.
        commands: what makes each recipe's first run by itself, by the recipe's name.
    """

    study: Study
    steps: dict[str, int]
    compared: Comparison
    unfinished: tuple[str, ...]
    failed: dict[str, str]
    commands: dict[str, str]

    def to_dict(self) -> dict[str, Any]:
        """As plain values, the papers' figures beside them."""
        own = {name: getattr(self, name) for name in ("steps", "unfinished", "failed", "commands")}
        return {"study": asdict(self.study), **own, **self.compared.to_dict()}


def study_names() -> list[str]:
    """Studies that ship with cmcgan."""
    return shipped("experiments/studies")


def find_study(given: str) -> Path:
    """The file of a study: one that ships with cmcgan, by its name, or one of the user's own.

    Raises:
        ConfigError: there is none.
    """
    if given in study_names():
        return Path(str(files("cmcgan_core.experiments").joinpath("studies", f"{given}.toml")))
    if not given.endswith(".toml"):
        raise ConfigError(
            f"no study is called {given!r}{did_you_mean(given, study_names())} "
            f"(known: {', '.join(study_names())}; or a .toml file)"
        )
    return Path(given)


def load_study(file: Path) -> Study:
    """A study that can be carried out, as far as its file tells.

    Raises:
        ConfigError: it is not; lists every fault.
    """
    study = build(Study, read_toml(file), str(file))
    faults = [f"{what}: there are none" for what in ("rows", "seeds") if not getattr(study, what)]
    if len(set(study.seeds)) < len(study.seeds):
        faults.append("seeds: one is there twice")
    settings = {"set": study.set, **{f"rows.{name}.set": recipe.set for name, recipe in study.rows.items()}}
    for where, given in settings.items():
        names = {setting.partition("=")[0].strip() for setting in given}
        faults += [f"{where}: the study decides {name} itself" for name in DECIDED if name in names]
    slugs = {name: slug(name) for name in study.rows}
    for name, own in slugs.items():
        if not own or list(slugs.values()).count(own) > 1:
            faults.append(f"rows.{name}: it needs letters or digits of its own, as it names folders")
    judges: dict[str, str] = {}
    for name in study.rows:
        try:
            judges[name] = study.config(name).judge
            load_config(judges[name])
        except ConfigError as error:
            faults.append(f"rows.{name}: {error}")
    if len(several := sorted(set(judges.values()))) > 1:
        faults.append(f"rows: they name several judges ({', '.join(several)}); set one for all, as judge=judge-small")
    if faults:
        raise ConfigError(f"{file} is not a valid study:\n" + "\n".join(f"  {fault}" for fault in faults))
    return study


def plan_study(study: Study, data: Path) -> dict[str, int]:
    """Parameters that each recipe's network has to generate, by the recipe's name; builds all, trains nothing.

    Raises:
        ConfigError, DataError: a recipe does not fit the dataset, or generates nothing.
    """
    parameters = {}
    for name in study.rows:
        network = _run(study, name, data, "cpu").method.network
        if not isinstance(network, Translator):
            raise ConfigError(
                f"{name} generates nothing that could be judged; take another preset than {study.rows[name].preset}"
            )
        parameters[name] = count_parameters(network)
    return parameters


def run_study(
    study: Study,
    data: Path,
    out: Path,
    *,
    split: str = "test",
    latents: int = 4,
    seed: int = 0,
    device: str = "auto",
    on_progress: OnProgress = silent,
) -> StudyResult:
    """Train and evaluate what is not done yet, then set everything side by side.

    Writes into `out`: `plan.toml` (recipes, and the steps that the budget buys), a run folder for each recipe and seed
    and, of each direction, held-out pairs with what the recipes make of them (`S2I.png`, `I2S.png`). A study may grow:
    rows and seeds that are new are trained too.

    Args:
        study: what to compare.
        data: prepared dataset.
        out: folder of the study.
        split: to judge.
        latents: samples that are made of each pair.
        seed: of the latents, the stand-ins and the bootstrap.
        device: see `choose_device`.
        on_progress: told of every stage.

    Raises:
        ConfigError: `out` holds another study, or a recipe does not fit the dataset or the budget.
        DataError: the dataset has no such split.
        TrainingError: `out` cannot be written. Where a single run fails, the others are done.
        KeyboardInterrupt: it was asked to stop; the next call goes on there.
    """
    held_out(data, split)
    plan_study(study, data)
    with explain_write_errors(out, TrainingError, NEXT_STEP), exclusive_lock(out / ".plan.lock", on_progress):
        steps = _planned(study, data, out, device, on_progress)
    entries: dict[str, list[Entry]] = {}
    unfinished: list[str] = []
    failed: dict[str, str] = {}
    runs = [(name, of) for of in study.seeds for name in study.rows]
    for number, (name, of) in enumerate(runs):
        folder = out / f"{slug(name)}-{of}"
        on_progress(Progress("study", number, len(runs), "runs"))
        try:
            with FileLock(out / f".{folder.name}.lock", timeout=0):
                config = study.config(name, f"train.steps={steps[name]}", f"seed={of}")
                run = train_once(config, data, folder, device, _named(folder.name, on_progress))
                found = evaluate_once(
                    run,
                    data,
                    split=split,
                    latents=latents,
                    seed=seed,
                    device=device,
                    on_progress=_named(folder.name, on_progress),
                )
                entries.setdefault(name, []).append(make_entry(folder.name, run, found))
        except Timeout:
            unfinished.append(str(folder))
        except TrainingError as error:
            failed[str(folder)] = str(error)
    on_progress(Progress("study", len(runs), len(runs), "runs"))
    groups = [make_group(entries[name], name) for name in study.rows if name in entries]
    with explain_write_errors(out, TrainingError, NEXT_STEP):
        write_sheets(groups, data, out, seed=seed, device=device)
    compared = Comparison([entry for group in groups for entry in group.entries], groups)
    commands = {name: study.command(name, data, steps[name]) for name in study.rows}
    return StudyResult(study, steps, compared, tuple(unfinished), failed, commands)


def slug(name: str) -> str:
    """A recipe's name as that of a folder."""
    return re.sub(r"[^\w.]+", "-", name).strip("-.")


def _planned(study: Study, data: Path, out: Path, device: str, on_progress: OnProgress) -> dict[str, int]:
    """Steps by recipe: measured once, so that all seeds of a recipe do as many; kept in `plan.toml`.

    Raises:
        ConfigError: what is kept there is of another dataset, device or budget, or a recipe was another one then.
    """
    kept = out / "plan.toml"
    plan: dict[str, Any] = read_toml(kept) if kept.exists() else {}
    on = choose_device(device)
    head = {"content": PairDataset(data).about.get("content", ""), "device": on.type, "seconds": study.seconds}
    rows: dict[str, Any] = plan.get("rows", {})
    differing = [key for key, value in head.items() if plan.get(key, value) != value]
    for name in rows.keys() & study.rows.keys():
        if build(Config, rows[name]["config"], str(kept)) != study.config(name):
            differing.append(f"rows.{name}")
    if differing:
        raise ConfigError(f"{kept} is of another study: it differs in {', '.join(differing)}; name another --out")
    if new := [name for name in study.rows if name not in rows]:
        steps = affordable_steps(new, lambda name: _run(study, name, data, device), study.seconds, on_progress)
        rows |= {name: {"steps": steps[name], "config": study.config(name).to_dict()} for name in new}
        write_text(kept, dump_toml({**head, "rows": rows}))
    return {name: rows[name]["steps"] for name in study.rows}


def _run(study: Study, name: str, data: Path, device: str) -> Run:
    try:
        return Run(study.config(name), data, Path(), choose_device(device))
    except ConfigError as error:
        raise ConfigError(f"rows.{name}: {error}") from error


def _named(name: str, on_progress: OnProgress) -> OnProgress:
    return lambda progress: on_progress(replace(progress, stage=f"{name}: {progress.stage}"))
