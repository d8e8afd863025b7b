"""Measure how time and memory of the commands grow: sizes 1x, 10x and 100x, as a table and a plot.

Each command runs as a user would run it, in a process of its own with one thread. Time is the CPU-seconds of the
process and of its children, so other work on the machine counts little. Memory is the peak of the anonymous pages of
all these processes, sampled every 20 ms: what they own. The resident memory, which the table also shows, counts pages
of files too, above all those of libraries.

FOLDER gets growth.json, growth.md and growth.png, and the inputs and outputs of the commands. What growth.json has
already is not measured again, so the same command resumes. Linux only.

usage: python benchmarks/growth.py FOLDER [--sizes 1 10 100] [--only NAME ...] [--tiny]
"""

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path

import numpy as np
import soundfile
from PIL import Image

RATE = 44_100
#: Classes of the synthetic sounds and pictures.
CLASSES = ("bass", "alto", "tenor", "treble")
#: Sounds, and pictures, of the training and of the validation split of the folders that are evaluated.
KEPT = {"train": 200, "validation": 40}
#: Steps of a training that are measured, and steps before them, in which buffers are allocated.
STEPS, WARM_UP = 100, 20
#: Ends of the axis of the memory, MiB.
MEMORY = (100, 10_000)
#: Seconds between two looks at the memory.
EVERY = 0.02


@dataclass(frozen=True)
class Cost:
    """What a command costs.

    Attributes:
        cpu: CPU-seconds of the process and its children.
        owned: peak of the anonymous pages, MiB.
        resident: peak of the resident memory of the largest process, with mapped files, MiB.
    """

    cpu: float
    owned: float
    resident: float


@dataclass(frozen=True)
class Series:
    """A command at several sizes.

    Attributes:
        name: its name.
        unit: what is counted.
        base: the size that is 1x.
        measure: runs the command at a size, in a folder, and returns what it costs.
    """

    name: str
    unit: str
    base: int
    measure: Callable[[Path, int], Cost]


def run(folder: Path, words: Sequence[str | Path], *, until: Callable[[], bool] | None = None) -> Cost:
    """Run a command of cmcgan in a folder.

    Args:
        folder: the working directory.
        words: the arguments.
        until: says when to stop the command by Ctrl-C; None lets it end.
    """
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "CMCGAN_INDEX": str(folder / "index")}
    command = [sys.executable, "-m", "cmcgan_cli", *map(str, words), "--quiet"]
    with (folder / "log.txt").open("a") as log:
        process = subprocess.Popen(command, cwd=folder, env=environment, stdout=log, stderr=log)
    peaks = [0]
    watcher = threading.Thread(target=watch, args=(process.pid, peaks, until))
    watcher.start()
    _, status, used = os.wait4(process.pid, 0)
    watcher.join()
    expected = 0 if until is None else 130
    if os.waitstatus_to_exitcode(status) != expected:
        sys.exit(f"failed: {' '.join(command)}; see {folder / 'log.txt'}")
    return Cost(round(used.ru_utime + used.ru_stime, 2), round(peaks[0] / 1024), round(used.ru_maxrss / 1024))


def watch(process: int, peaks: list[int], until: Callable[[], bool] | None) -> None:
    """Keep the peak of the anonymous memory of a process and its children, KiB, until it has ended."""
    while owned := sum(map(anonymous, [process, *children(process)])):
        peaks[0] = max(peaks[0], owned)
        if until is not None and until():
            os.kill(process, signal.SIGINT)
            until = None
        time.sleep(EVERY)


def anonymous(process: int) -> int:
    """Return the anonymous memory of a process in KiB; 0 if it has ended."""
    try:
        lines = Path(f"/proc/{process}/status").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("RssAnon")), 0)


def children(process: int) -> list[int]:
    """Return the children of a process."""
    try:
        return [int(child) for child in Path(f"/proc/{process}/task/{process}/children").read_text().split()]
    except OSError:
        return []


def write_sound(path: Path, seconds: float, number: int) -> None:
    """Write a noisy tone, a second at a time, so that this process stays small."""
    rng = np.random.default_rng(number)
    with soundfile.SoundFile(path, "w", RATE, 1, "PCM_16", format="WAV") as file:
        for first in np.arange(0, seconds, 1.0):
            times = np.arange(round(min(1.0, seconds - first) * RATE)) / RATE
            tone = 0.3 * np.sin(2 * np.pi * 110 * 2 ** (number % len(CLASSES)) * times)
            file.write(tone + rng.normal(0, 0.02, len(times)))


def write_picture(path: Path, number: int) -> None:
    """Write a blurred picture of random colours."""
    rng = np.random.default_rng(number)
    Image.fromarray(rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)).resize((128, 128)).save(path)


def sounds(folder: Path, count: int) -> Path:
    """Return a folder of sounds of one second."""
    out = folder / f"sounds-{count}"
    if not out.exists():
        out.mkdir()
        for number in range(count):
            write_sound(out / f"{number:05d}.wav", 1, number)
    return out


def pictures(folder: Path, count: int) -> Path:
    """Return a folder of pictures."""
    out = folder / f"pictures-{count}"
    if not out.exists():
        out.mkdir()
        for number in range(count):
            write_picture(out / f"{number:05d}.jpg", number)
    return out


def long_sound(folder: Path, seconds: int) -> Path:
    """Return a sound of this length."""
    out = folder / f"long-{seconds}.wav"
    if not out.exists():
        write_sound(out, seconds, 0)
    return out


def media(folder: Path, tested: int) -> Path:
    """Return a folder with splits and classes: sounds of half a second, and as many pictures."""
    out = folder / f"media-{tested}"
    if not out.exists():
        for split, count in {**KEPT, "test": tested}.items():
            for name in CLASSES:
                (out / split / name).mkdir(parents=True)
            for number in range(count):
                place = out / split / CLASSES[number % len(CLASSES)]
                write_sound(place / f"{number:05d}.wav", 0.5, number)
                write_picture(place / f"{number:05d}.jpg", number)
    return out


def prepare_demo(folder: Path, pairs: int) -> Cost:
    """Render and prepare the demonstration set."""
    out = folder / f"demo-{pairs}"
    return run(folder, ["prepare", "demo", "--pairs", str(pairs), "--workers", "1", "--out", out, "--overwrite"])


def prepare_media(folder: Path, tested: int) -> Cost:
    """Prepare a folder of sounds and pictures."""
    source, out = media(folder, tested), folder / f"prepared-{tested}"
    shutil.rmtree(out, ignore_errors=True)
    return run(folder, ["prepare", source, "--workers", "1", "--out", out])


def require_demo(folder: Path, pairs: int) -> Path:
    """Return a prepared demonstration set."""
    out = folder / f"demo-{pairs}"
    if not (out / "dataset.toml").exists():
        prepare_demo(folder, pairs)
    return out


def require_prepared(folder: Path, tested: int) -> Path:
    """Return a prepared folder of sounds and pictures."""
    out = folder / f"prepared-{tested}"
    if not (out / "dataset.toml").exists():
        prepare_media(folder, tested)
    return out


@cache
def train_until_stopped(folder: Path, pairs: int) -> tuple[Cost, list[dict[str, float]]]:
    """Train, stop after some steps by Ctrl-C, and return the cost and the log."""
    data, out = require_demo(folder, pairs), folder / "runs" / f"stopped-{pairs}"
    log = out / "metrics.jsonl"

    def is_done() -> bool:
        return log.exists() and log.read_bytes().count(b"\n") > (WARM_UP + STEPS) // 10

    shutil.rmtree(out, ignore_errors=True)
    words = ["train", data, "--preset", "tiny", "--set", "train.steps=100000", "--out", out]
    cost = run(folder, words, until=is_done)
    return cost, [json.loads(line) for line in log.read_text().splitlines()]


def train_steps(folder: Path, pairs: int) -> Cost:
    """Return the cost of `STEPS` steps of a training."""
    cost, log = train_until_stopped(folder, pairs)
    first, last = (next(record for record in log if record["step"] == step) for step in (WARM_UP, WARM_UP + STEPS))
    return Cost(round(last["cpu_seconds"] - first["cpu_seconds"], 2), cost.owned, cost.resident)


def train_start(folder: Path, pairs: int) -> Cost:
    """Return the cost of a training without its steps: to start, to open the dataset, and to save."""
    cost, log = train_until_stopped(folder, pairs)
    return Cost(round(cost.cpu - log[-1]["cpu_seconds"], 2), cost.owned, cost.resident)


def require_run(folder: Path, tested: int) -> Path:
    """Return a run that was trained on the training split of a prepared folder, which all of them share."""
    out = folder / "runs" / "trained"
    if not (out / "classifier.safetensors").exists():
        run(folder, ["train", require_prepared(folder, tested), "--preset", "tiny", "--out", out])
    return out


def evaluate(folder: Path, tested: int) -> Cost:
    """Evaluate a run on a test split, when the judges are trained."""
    data, trained = require_prepared(folder, tested), require_run(folder, tested)
    words = ["evaluate", data, "--checkpoint", trained]
    if not (data / "judges").exists():
        run(folder, [*words, "--split", "validation", "--latents", "1"])
    shutil.rmtree(data / "evaluations", ignore_errors=True)
    return run(folder, words)


def generate(folder: Path, source: Path) -> Cost:
    """Generate from a file or a folder with the shipped model."""
    out = folder / "made"
    shutil.rmtree(out, ignore_errors=True)
    return run(folder, ["generate", source, "--out", out, "--checkpoint", "box"])


def retrieve(folder: Path, count: int) -> Cost:
    """Embed a folder of pictures, and search it by a sound."""
    query, gallery = sounds(folder, 1) / "00000.wav", pictures(folder, count)
    shutil.rmtree(folder / "index", ignore_errors=True)
    return run(folder, ["retrieve", query, "--in", gallery, "--checkpoint", "box"])


SERIES = (
    Series("prepare demo", "pairs", 520, prepare_demo),
    Series("prepare a folder", "sounds", 100, prepare_media),
    Series(f"train: {STEPS} steps", "pairs", 520, train_steps),
    Series("train: the rest", "pairs", 520, train_start),
    Series("evaluate", "pairs", 100, evaluate),
    Series("generate pictures", "sounds", 10, lambda folder, size: generate(folder, sounds(folder, size))),
    Series("generate sounds", "pictures", 10, lambda folder, size: generate(folder, pictures(folder, size))),
    Series("generate a film", "seconds", 6, lambda folder, size: generate(folder, long_sound(folder, size))),
    Series(
        "classify files",
        "sounds",
        10,
        lambda folder, size: run(folder, ["classify", sounds(folder, size), "--checkpoint", "box"]),
    ),
    Series(
        "classify a sound",
        "seconds",
        36,
        lambda folder, size: run(
            folder, ["classify", long_sound(folder, size), "--every", "0.5", "--checkpoint", "box"]
        ),
    ),
    Series("retrieve", "pictures", 20, retrieve),
)


def growth(sizes: Sequence[int], costs: Sequence[float]) -> list[float]:
    """Return what a further item costs, between neighbouring sizes."""
    return [(costs[i + 1] - costs[i]) / (sizes[i + 1] - sizes[i]) for i in range(len(sizes) - 1)]


def table(measured: dict[str, dict[int, Cost]]) -> str:
    """Return the Markdown table."""
    lines = [
        "| what | sizes | CPU-seconds | CPU-ms for a further item | memory, MiB | with mapped files, MiB |",
        "|---|---|---|---|---|---|",
    ]
    for series in SERIES:
        if by_size := measured.get(series.name):
            sizes, costs = list(by_size), list(by_size.values())
            further = growth(sizes, [1000 * cost.cpu for cost in costs])
            cells = (
                series.name,
                f"{', '.join(f'{size:,}' for size in sizes)} {series.unit}",
                ", ".join(f"{cost.cpu:.1f}" for cost in costs),
                ", ".join(f"{value:.2f}" for value in further),
                ", ".join(f"{cost.owned:.0f}" for cost in costs),
                ", ".join(f"{cost.resident:.0f}" for cost in costs),
            )
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def draw(measured: dict[str, dict[int, Cost]], file: Path) -> None:
    """Draw time and memory against the size, on logarithmic axes, with a guide for what is linear."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import NullLocator

    figure = Figure(figsize=(9, 4.2), layout="constrained")
    time_axes, memory_axes = figure.subplots(1, 2)
    for number, series in enumerate(SERIES):
        if by_size := measured.get(series.name):
            x, costs = [size / series.base for size in by_size], list(by_size.values())
            style = {"marker": "osv^D"[number % 5], "markersize": 4, "linewidth": 1.2, "color": f"C{number % 10}"}
            style["linestyle"] = "-" if number < 10 else "--"
            time_axes.plot(x, [cost.cpu for cost in costs], label=series.name, **style)
            memory_axes.plot(x, [cost.owned for cost in costs], **style)
    for axes, title in ((time_axes, "CPU-seconds"), (memory_axes, "memory, MiB")):
        axes.set(xscale="log", yscale="log", title=title, xlabel="size")
        multiples = sorted({x for line in axes.lines for x in line.get_xdata()})
        axes.set_xticks(multiples, [f"{multiple:g}x" for multiple in multiples], minor=False)
        axes.xaxis.set_minor_locator(NullLocator())
        axes.yaxis.set_major_formatter("{x:,g}")
        axes.grid(visible=True, color="#ddd", linewidth=0.5)
        ends, (low, high) = axes.get_xlim(), axes.get_ylim() if axes is time_axes else MEMORY
        for start in (low / 100, low / 10, low, 10 * low, 100 * low):
            axes.plot(ends, [start * end for end in ends], color="#999", linewidth=0.7, linestyle=":", zorder=0)
        axes.set(xlim=ends, ylim=(low, high))
    figure.legend(loc="outside right upper", frameon=False, fontsize=8, title="dotted: linear", title_fontsize=8)
    figure.savefig(file, dpi=100)
    Image.open(file).convert("RGB").quantize(64).save(file, optimize=True)


def read(file: Path) -> dict[str, dict[int, Cost]]:
    """Read what was measured before, by series and size."""
    if not file.exists():
        return {}
    stored = json.loads(file.read_text())
    return {name: {int(size): Cost(**cost) for size, cost in of_name.items()} for name, of_name in stored.items()}


def main() -> None:
    """Measure, and write table and plot."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--sizes", type=int, nargs="+", default=[1, 10, 100], help="multiples of the smallest size")
    parser.add_argument("--only", nargs="+", default=[series.name for series in SERIES], help="names of rows")
    parser.add_argument("--tiny", action="store_true", help="rehearse with a tenth of 1x, and twice that")
    arguments = parser.parse_args()
    folder = arguments.folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "growth.json"
    measured = read(file)
    for series in SERIES:
        base, sizes = (max(1, series.base // 10), [1, 2]) if arguments.tiny else (series.base, arguments.sizes)
        for size in (base * multiple for multiple in sizes):
            if series.name in arguments.only and size not in measured.get(series.name, {}):
                cost = series.measure(folder, size)
                measured.setdefault(series.name, {})[size] = cost
                print(
                    f"{series.name:<20}{size:>8} {series.unit:<9}{cost.cpu:9.2f} CPU-s{cost.owned:7.0f} MiB", flush=True
                )
                file.write_text(json.dumps({k: {s: asdict(c) for s, c in v.items()} for k, v in measured.items()}))
    (folder / "growth.md").write_text(table(measured))
    draw(measured, folder / "growth.png")
    print(table(measured))


if __name__ == "__main__":
    main()
