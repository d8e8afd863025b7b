"""Studies: several recipes, trained on one dataset with equal budgets and several seeds, judged alike, side by side.

A study is a TOML file; some ship with cmcgan (`cmcgan_core/studies/*.toml`). Everything is kept in one folder: what is
done there is not done again, and several processes may work on it, each on runs that no other is at work on.
"""

import re
import shlex
import tomllib
from dataclasses import asdict, dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from cmcgan_core.budget import affordable_steps
from cmcgan_core.comparison import Comparison, Entry, make_entry, make_group
from cmcgan_core.config import Config, Positive, build, did_you_mean, load_config, read_toml
from cmcgan_core.device import choose_device
from cmcgan_core.errors import ConfigError
from cmcgan_core.evaluation_cache import evaluate_once
from cmcgan_core.files import write_text
from cmcgan_core.methods import Translator
from cmcgan_core.progress import OnProgress, Progress, silent
from cmcgan_core.runs import Run, train_once
from cmcgan_core.sheets import write_sheets
from cmcgan_core.toml import dump_toml


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
    seeds: tuple[int, ...] = (0, 1, 2)


@dataclass(frozen=True)
class StudyResult:
    """What was found.

    Attributes:
        study: what was compared.
        steps: of each training, by the recipe's name.
        compared: the runs that are done, a group for every recipe that has one.
        unfinished: runs that another process is at work on, by folder.
        commands: what trains each recipe's first run by itself, by the recipe's name.
    """

    study: Study
    steps: dict[str, int]
    compared: Comparison
    unfinished: tuple[str, ...] = ()
    commands: dict[str, str] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """As plain values, the papers' figures beside them."""
        about = {"study": asdict(self.study), "steps": self.steps, "commands": self.commands}
        return {**about, "unfinished": list(self.unfinished), **self.compared.to_dict()}


def study_names() -> list[str]:
    """Studies that ship with cmcgan."""
    return sorted(p.name.removesuffix(".toml") for p in files("cmcgan_core").joinpath("studies").iterdir())


def load_study(given: str) -> Study:
    """A study by its name or its file.

    Raises:
        ConfigError: there is none, or it is not valid: lists every fault of the file, or the first of its recipes.
    """
    if given in study_names():
        table = tomllib.loads(files("cmcgan_core").joinpath("studies", f"{given}.toml").read_text(encoding="utf-8"))
    elif Path(given).suffix == ".toml" or Path(given).is_file():
        table = read_toml(Path(given))
    else:
        raise ConfigError(f"no study is called {given!r}{did_you_mean(given, study_names())} "
                          f"(known: representations, {', '.join(study_names())}; or a TOML file)")  # fmt: skip
    study = build(Study, table, f"the study {given}")
    _require_comparable(study, given)
    return study


def run_study(
    study: Study, data: Path, out: Path, *, split: str = "test", latents: int = 4, seed: int = 0, device: str = "auto",
    on_progress: OnProgress = silent,
) -> StudyResult:  # fmt: skip
    """Train and evaluate what is not done yet, then set everything side by side.

    Writes into `out`: `study.toml`, `plan.toml` (the steps that the budget buys), a run folder for each recipe and
    seed and, of each direction, held-out pairs with what the recipes make of them (`S2I.png`, `I2S.png`).

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
        KeyboardInterrupt: it was asked to stop; the next call goes on there.
    """
    _begin(study, data, out, choose_device(device).type)
    steps = _plan(study, data, out, device, on_progress)
    entries: dict[str, list[Entry]] = {}
    unfinished: list[str] = []
    runs = [(name, of) for of in study.seeds for name in study.rows]
    for number, (name, of) in enumerate(runs, start=1):
        folder = out / f"{_slug(name)}-{of}"
        try:
            with FileLock(out / f".{folder.name}.lock", timeout=0):
                run = train_once(_config(study, name, steps[name], of), data, folder, device, on_progress)
                found = evaluate_once(
                    run, data, split=split, latents=latents, seed=seed, device=device, on_progress=on_progress
                )
                entries.setdefault(name, []).append(make_entry(folder.name, run, found))
        except Timeout:
            unfinished.append(str(folder))
        on_progress(Progress("study", number, len(runs), "runs"))
    groups = [make_group(entries[name], name) for name in study.rows if name in entries]
    compared = Comparison([entry for group in groups for entry in group.entries], groups)
    write_sheets(groups, data, out, seed=seed, device=device)
    return StudyResult(study, steps, compared, tuple(unfinished), commands(study, data, steps))


def commands(study: Study, data: Path, steps: dict[str, int]) -> dict[str, str]:
    """What trains each recipe's first run by itself: one command line a recipe."""
    lines = {}
    for name, recipe in study.rows.items():
        settings = (*study.set, *recipe.set, f"train.steps={steps[name]}")
        words = ["cmcgan", "train", str(data), "--preset", recipe.preset, "--seed", str(study.seeds[0])]
        lines[name] = shlex.join([*words, *(word for setting in settings for word in ("--set", setting))])
    return lines


def _require_comparable(study: Study, given: str) -> None:
    faults = []
    for what, values in (("rows", study.rows), ("seeds", study.seeds)):
        if not values:
            faults.append(f"{what}: there are none")
    if len(set(study.seeds)) < len(study.seeds):
        faults.append("seeds: one is there twice")
    slugs = {name: _slug(name) for name in study.rows}
    for name, slug in slugs.items():
        if not slug or list(slugs.values()).count(slug) > 1:
            faults.append(f"rows: {name!r} needs letters or digits of its own, as it names folders")
    judges = {load_config(recipe.preset, settings=(*study.set, *recipe.set)).judge for recipe in study.rows.values()}
    if len(judges) > 1:
        faults.append(f"rows: they name several judges ({', '.join(sorted(judges))}); set one, as judge=judge-small")
    if faults:
        raise ConfigError(f"the study {given} compares nothing:\n" + "\n".join(f"  {fault}" for fault in faults))


def _begin(study: Study, data: Path, out: Path, device: str) -> None:
    """Write what the folder is of; refuse one that is of something else."""
    head = dump_toml({"data": str(data.resolve()), "device": device, **asdict(study)})
    kept = out / "study.toml"
    if kept.exists() and kept.read_text(encoding="utf-8") != head:
        raise ConfigError(f"{out} holds another study, or one of another dataset or device; name another --out")
    if not kept.exists():
        write_text(kept, head)


def _plan(study: Study, data: Path, out: Path, device: str, on_progress: OnProgress) -> dict[str, int]:
    """Steps by recipe: measured once, so that all seeds of a recipe do the same; kept in `plan.toml`."""
    kept = out / "plan.toml"
    with FileLock(out / ".plan.lock"):
        steps: dict[str, int] = read_toml(kept)["steps"] if kept.exists() else {}
        for number, name in enumerate(study.rows, start=1):
            if name not in steps:
                run = Run(_config(study, name, 0, study.seeds[0]), data, out, choose_device(device))
                if not isinstance(run.method.inference, Translator):
                    raise ConfigError(f"{name} generates nothing that could be judged; take another preset than "
                                      f"{study.rows[name].preset}")  # fmt: skip
                steps[name] = affordable_steps(run, study.seconds)
                write_text(kept, dump_toml({"steps": steps}))
            on_progress(Progress("measuring the cost of a step", number, len(study.rows), "recipes"))
    return steps


def _config(study: Study, name: str, steps: int, seed: int) -> Config:
    recipe = study.rows[name]
    return load_config(recipe.preset, settings=[*study.set, *recipe.set, f"train.steps={steps}", f"seed={seed}"])


def _slug(name: str) -> str:
    """A recipe's name as that of a folder."""
    return re.sub(r"[^\w.]+", "-", name).strip("-.")
