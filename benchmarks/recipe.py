"""The recommended recipe, and the same with one thing changed at a time; each trained and evaluated, then a table.

Every row of a table gets as many steps as fit the CPU-seconds given (one thread each), by the cost of its own steps.
What is done already is not done again: give the same command to go on, or a row's name to do only that.

usage: python benchmarks/recipe.py DATA OUT CPU_SECONDS SEEDS [ROW ...]      (SEEDS as 0 or 0,1,2)
"""

import json
import statistics
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from cmcgan_core.config import Config, load_config
from cmcgan_core.data.dataset import Loader, PairDataset
from cmcgan_core.evaluate import evaluate
from cmcgan_core.methods import make_method
from cmcgan_core.progress import tqdm_progress
from cmcgan_core.runs import Run, train

#: Rows of the table: what is changed in `small`.
ROWS: dict[str, tuple[str, ...]] = {
    "recommended": (),
    "all paths at every step": ("options.draw_paths=false", "loss_weights.consistency=10"),
    "deconvolutions": ("network.upsampling='deconvolution'",),
    "generated samples not classified": ("loss_weights.class_of_generated=0",),
    "no class loss at all": ("loss_weights.class_of_generated=0", "loss_weights.class=0"),
    "inputs not varied": ("options.vary=false",),
    "z never inferred": ("options.posterior=0", "loss_weights.latent=0"),
    "no adversarial loss": ("loss_weights.adversarial=0",),
    "standard adversarial loss": ("options.adversarial='standard'",),
    "learning rate 3e-3": ("train.generator.learning_rate=0.003",),
    "LCGAN": ("options.paths=[]", "options.draw_paths=false", "loss_weights.consistency=0"),
    "NLCMCGAN": ("network.latent=0", "options.posterior=0", "loss_weights.latent=0"),
    "five layers": ("network.layers=5",),
    "six layers": ("network.layers=6",),
    "the paper's, literal": (
        "network.upsampling='deconvolution'", "options.hops=2", "options.fakes=['direct', 'two-hop']",
        "options.draw_paths=false", "options.vary=false", "options.posterior=0",
        "loss_weights.consistency=1", "loss_weights.direct=0", "loss_weights.class=0",
        "loss_weights.class_of_generated=0", "loss_weights.latent=0", "train.generator.momentum=0.9",
        "train.discriminator={name='sgd', learning_rate=0.001, momentum=0.9}",
        "train.final_learning_rate=1", "train.average=0",
    ),
}  # fmt: skip
#: Steps that a row's cost is measured on, after as many to warm up.
TIMED = 4


def budgeted(config: Config, data: Path, seconds: float) -> Config:
    """The configuration with the epochs that fit a number of CPU-seconds."""
    dataset = PairDataset(data, "train")
    loader = Loader(dataset, config.network, config.train.batch_size, config.seed, torch.device("cpu"))
    method = make_method(config, dataset.classes, dataset.settings).to(memory_format=torch.channels_last)
    optimizers, generator = method.optimizers(), torch.Generator().manual_seed(0)
    started = 0.0
    for number, batch in enumerate(loader.epoch(0)):
        if number == TIMED:
            started = time.process_time()
        if number == 2 * TIMED:
            break
        method.train_step(batch, optimizers, generator)
    cost = (time.process_time() - started) / TIMED
    return replace(config, train=replace(config.train, epochs=max(1, round(seconds / cost / len(loader)))))


def folder(row: str, seed: int | str) -> str:
    """Name of the folder of a run."""
    return f"{row.replace(' ', '-').replace(',', '')}-{seed}"


def work(data: Path, out: Path, row: str, seed: int, seconds: float) -> None:
    """Train and evaluate one row, unless that is done; without the classifier that `cmcgan train` adds."""
    place = out / folder(row, seed)
    if (place / "evaluation.json").exists():
        return
    resume = (place / "config.toml").exists()
    config = load_config("small", settings=(*ROWS[row], f"seed={seed}", "train.sample_every=3"))
    planned = place / "epochs"
    if not planned.exists():
        place.mkdir(parents=True, exist_ok=True)
        planned.write_text(str(budgeted(config, data, seconds).train.epochs))
    config = replace(config, train=replace(config.train, epochs=int(planned.read_text())))
    started = time.process_time()
    run = Run(config, data, place, torch.device("cpu"))
    result = train(run, resume=resume, overwrite=False, on_progress=tqdm_progress())
    if not result.finished:
        raise KeyboardInterrupt
    spent = time.process_time() - started
    evaluation = evaluate(place, data, on_progress=tqdm_progress())
    document = {"steps": result.steps, "cpu_seconds": spent, **evaluation.to_dict()}
    (place / "evaluation.json").write_text(json.dumps(document, indent=1))


def figures(document: dict[str, Any]) -> dict[str, float | None]:
    """What a row of the table says of one run, by column."""
    (second,) = document["other_judges"].values()
    columns: dict[str, float | None] = {"steps": document["steps"], "CPU-s": document["cpu_seconds"]}
    for direction in ("S2I", "I2S"):
        for hops in "12":
            columns[f"{direction} {hops}"] = document["table1"][direction][hops]["test"]["micro"]
        columns[f"{direction} 1, second judge"] = second["table1"][direction]["1"]["test"]["micro"]
        quality = document["quality"][direction]["1"]
        columns[f"{direction} energy"] = quality["high_frequency"]
        columns[f"{direction} Frechet"] = quality["frechet_distance"][document["judge"]]
        columns[f"{direction} spread"] = quality["spread"]
    columns["pose"] = document["pose"]["generated"]["1"] if document["pose"] else None
    columns["classes"] = sum(counts[i] > 0 for i, counts in enumerate(document["quality"]["S2I"]["1"]["confusion"]))
    return columns


def summary(values: list[float | None]) -> str:
    """Mean, and standard deviation where there are several runs."""
    known = [value for value in values if value is not None]
    if not known:
        return "-"
    places = 0 if abs(known[0]) >= 100 else 2
    mean = f"{statistics.mean(known):.{places}f}"
    return f"{mean} ({statistics.stdev(known):.{places}f})" if len(known) > 1 else mean


def table(out: Path) -> str:
    """All rows that are done, as Markdown."""
    lines = []
    for row in ROWS:
        runs = [json.loads(file.read_text()) for file in sorted(out.glob(f"{folder(row, '*')}/evaluation.json"))]
        found = [figures(run) for run in runs]
        if found and not lines:
            lines = ["| | seeds | " + " | ".join(found[0]) + " |", "|---" * (len(found[0]) + 2) + "|"]
        if found:
            cells = [summary([run[column] for run in found]) for column in found[0]]
            lines.append(f"| {row} | {len(found)} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main(data: str, out: str, seconds: str, seeds: str, *rows: str) -> None:
    """Do the rows, then print the table."""
    torch.set_num_threads(1)
    for row in rows or ROWS:
        for seed in map(int, seeds.split(",")):
            work(Path(data), Path(out), row, seed, float(seconds))
    print(table(Path(out)))


if __name__ == "__main__":
    main(*sys.argv[1:])
