"""Studies: several recipes, trained on one dataset with equal budgets and several seeds, evaluated alike, and compared.

A study is a TOML file; some ship with cmcgan (`cmcgan_core/experiments/studies/*.toml`). Everything is kept in one
folder, and finished work is not repeated. Several processes may work on one study: each takes runs that no other
process is working on.
"""

from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from cmcgan_core.config import Config
from cmcgan_core.data.dataset import PreparedDataset
from cmcgan_core.errors import ConfigError, TrainingError
from cmcgan_core.evaluation.compare import Comparison, Entry, make_entry, make_group
from cmcgan_core.evaluation.evaluate import evaluate
from cmcgan_core.experiments.budget import affordable_steps
from cmcgan_core.experiments.recipes import Study, slug
from cmcgan_core.nn.capabilities import Translator
from cmcgan_core.nn.layers import count_parameters
from cmcgan_core.progress import OnProgress, Progress, silent
from cmcgan_core.reports.sheets import write_sheets
from cmcgan_core.training.run import Run, train_once
from cmcgan_core.utils.device import choose_device
from cmcgan_core.utils.files import RUN_AGAIN, exclusive_lock, explain_write_errors, write_text
from cmcgan_core.utils.schema import Count, Positive, build
from cmcgan_core.utils.toml import dump_toml, read_toml


@dataclass(frozen=True)
class StudyResult:
    """The result of a study.

    Attributes:
        study: the recipes.
        steps: number of steps of each training, by recipe.
        compared: the finished runs, with a group for every recipe that has one.
        unfinished: folders of runs that another process is working on.
        failed: the reasons why runs could not be trained, by folder.
        commands: the command that trains each recipe's first run without the study, by recipe.
    """

    study: Study
    steps: dict[str, int]
    compared: Comparison
    unfinished: tuple[str, ...]
    failed: dict[str, str]
    commands: dict[str, str]

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON document, with the published figures."""
        return {
            "study": asdict(self.study),
            "steps": self.steps,
            "unfinished": self.unfinished,
            "failed": self.failed,
            "commands": self.commands,
            **self.compared.to_dict(),
        }


def plan_study(study: Study, dataset: PreparedDataset) -> dict[str, int]:
    """Count the parameters of the translating network of each recipe. Networks are built, but nothing is trained.

    Raises:
        ConfigError, DataError: a recipe does not fit the dataset, or does not generate.
    """
    parameters = {}
    for name in study.rows:
        network = _new_run(study, name, dataset, "cpu").method.network
        if not isinstance(network, Translator):
            raise ConfigError(
                f"{name} generates nothing that could be judged; choose another preset than {study.rows[name].preset}"
            )
        parameters[name] = count_parameters(network)
    return parameters


def run_study(
    study: Study,
    dataset: PreparedDataset,
    out: Path,
    *,
    split: str = "test",
    latents: int = 4,
    seed: int = 0,
    device: str = "auto",
    on_progress: OnProgress = silent,
) -> StudyResult:
    """Train and evaluate what is not finished yet, and compare all runs.

    Writes into `out`: `plan.toml` (the recipes, and the steps that the budget buys), a run folder for each recipe and
    seed, and for each direction held-out pairs with the samples of every recipe (`S2I.png`, `I2S.png`). A study may
    grow: rows and seeds that are added later are trained too.

    Args:
        study: the recipes.
        dataset: the dataset to train and evaluate on.
        out: folder of the study.
        split: name of the evaluated split.
        latents: number of samples of each pair.
        seed: seed of the latents, the controls and the bootstrap.
        device: see `choose_device`.
        on_progress: called in every stage.

    Raises:
        ConfigError: `out` holds another study, or a recipe does not fit the dataset or the budget.
        DataError: the split is empty.
        TrainingError: `out` cannot be written. If a single run fails, the other runs are trained, and `failed` names
            it.
        Interrupted: a stop was requested; the next call resumes.
    """
    dataset.nonempty_split(split)
    plan_study(study, dataset)
    with explain_write_errors(out, TrainingError, RUN_AGAIN), exclusive_lock(out / ".plan.lock", on_progress):
        steps = _plan_steps(study, dataset, out, device, on_progress)
    entries: dict[str, list[Entry]] = {}
    unfinished: list[str] = []
    failed: dict[str, str] = {}
    runs = [(name, training_seed) for training_seed in study.seeds for name in study.rows]
    for number, (name, training_seed) in enumerate(runs):
        folder = out / f"{slug(name)}-{training_seed}"
        on_progress(Progress("study", number, len(runs), "runs"))
        try:
            with FileLock(out / f".{folder.name}.lock", timeout=0):
                config = study.config(name, f"train.steps={steps[name]}", f"seed={training_seed}")
                named = named_progress(folder.name, on_progress)
                run = train_once(config, dataset, folder, device, named)
                evaluation = evaluate(
                    run,
                    dataset,
                    split=split,
                    latents=latents,
                    seed=seed,
                    device=device,
                    on_progress=named,
                )
                entries.setdefault(name, []).append(make_entry(folder.name, run, evaluation))
        except Timeout:
            unfinished.append(str(folder))
        except TrainingError as error:
            failed[str(folder)] = str(error)
    on_progress(Progress("study", len(runs), len(runs), "runs"))
    groups = [make_group(entries[name], name) for name in study.rows if name in entries]
    with explain_write_errors(out, TrainingError, RUN_AGAIN):
        write_sheets(groups, dataset, out, seed=seed, device=device)
    compared = Comparison([entry for group in groups for entry in group.entries], groups)
    commands = {name: study.command(name, dataset.root, steps[name]) for name in study.rows}
    return StudyResult(study, steps, compared, tuple(unfinished), failed, commands)


@dataclass(frozen=True)
class _PlannedRow:
    """A recipe in `plan.toml`: its configuration, and the number of steps that the budget buys."""

    steps: Count
    config: dict[str, Any]


@dataclass(frozen=True)
class _Plan:
    """The content of `plan.toml`: the dataset and the device that it holds for, the budget, and the recipes."""

    content: str
    device: str
    seconds: Positive
    rows: dict[str, _PlannedRow] = field(default_factory=dict)


def _plan_steps(
    study: Study, dataset: PreparedDataset, out: Path, device: str, on_progress: OnProgress
) -> dict[str, int]:
    """Return the number of steps by recipe.

    It is measured once and kept in `plan.toml`, so all seeds train equally long.

    Raises:
        ConfigError: `plan.toml` was made for another dataset, device or budget, or with another version of a recipe.
    """
    file = out / "plan.toml"
    head = {"content": dataset.content, "device": choose_device(device).type, "seconds": study.seconds}
    plan = build(_Plan, read_toml(file) if file.exists() else head, str(file))
    rows = {name: asdict(row) for name, row in plan.rows.items()}
    differing = [key for key, value in head.items() if getattr(plan, key) != value]
    for name in rows.keys() & study.rows.keys():
        if build(Config, rows[name]["config"], f"rows.{name}.config of {file}") != study.config(name):
            differing.append(f"rows.{name}")
    if differing:
        raise ConfigError(f"{file} is from another study: it differs in {', '.join(differing)}; choose another --out")
    if new := [name for name in study.rows if name not in rows]:
        steps = affordable_steps(new, lambda name: _new_run(study, name, dataset, device), study.seconds, on_progress)
        rows |= {name: {"steps": steps[name], "config": study.config(name).to_dict()} for name in new}
        write_text(file, dump_toml({**head, "rows": rows}))
    return {name: rows[name]["steps"] for name in study.rows}


def _new_run(study: Study, name: str, dataset: PreparedDataset, device: str) -> Run:
    try:
        return Run(study.config(name), dataset, Path(), choose_device(device))
    except ConfigError as error:
        raise ConfigError(f"rows.{name}: {error}") from error


def named_progress(name: str, on_progress: OnProgress) -> OnProgress:
    """Return an `on_progress` that puts a name before each stage."""
    return lambda progress: on_progress(replace(progress, stage=f"{name}: {progress.stage}"))
