"""Several processes that train together: gradients, batches, files, stops."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing
from conftest import tiny_config
from safetensors.torch import load_file
from torch import Tensor, nn

from cmcgan_core.data.dataset import open_dataset
from cmcgan_core.data.loader import Loader
from cmcgan_core.errors import ConfigError, Interrupted
from cmcgan_core.methods.base import update
from cmcgan_core.progress import Progress, silent
from cmcgan_core.run_folder import read_about
from cmcgan_core.training.log import read_log
from cmcgan_core.training.run import Run, train
from cmcgan_core.training.train import train_run
from cmcgan_core.utils import distributed

CPU = torch.device("cpu")
#: Settings of a run of four steps, with drawn paths, so that processes differ in the parameters that they use.
SETTINGS = ("train.steps=4", "options.draw_paths=true")
Results = list[dict[str, Any]]


def train_network(inputs: Tensor, targets: Tensor) -> dict[str, Tensor]:
    """Train a network without batch statistics for three steps, and return its weights."""
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 36, 2))
    optimizer = torch.optim.Adam(network.parameters(), 0.01)
    for _ in range(3):
        update(optimizer, (network(inputs) - targets).square().mean())
    return network.state_dict()


def pairs() -> tuple[Tensor, Tensor]:
    rng = torch.Generator().manual_seed(1)
    return torch.randn(8, 1, 8, 8, generator=rng), torch.randn(8, 2, generator=rng)


def one_branch() -> list[Tensor | None]:
    """Return the gradients of three weights: all processes use the first, one uses the second, none the third."""
    weights = [nn.Parameter(torch.ones(2)) for _ in range(3)]
    used = weights[:1] if distributed.is_first() else weights[:2]
    torch.stack([weight.sum() for weight in used]).sum().backward()
    distributed.average_gradients(weights)
    return [weight.grad for weight in weights]


def stop_at(step: int, number: int) -> Callable[[Progress], None]:
    """Send SIGTERM to process `number` after a step."""

    def on_progress(progress: Progress) -> None:
        if progress.done == step and distributed.rank() == number:
            os.kill(os.getpid(), signal.SIGTERM)

    return on_progress


def work(rank: int, data: Path, out: Path) -> None:
    """Do everything that the tests look at in one of two processes, and save what came out."""
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{out}/store", rank=rank, world_size=2)
    result: dict[str, Any] = {}
    inputs, targets = pairs()
    result["weights"] = train_network(inputs[rank::2], targets[rank::2])
    result["gradients"] = one_branch()
    result["any"] = distributed.any_process(rank == 1, False)
    dataset = open_dataset(data)
    config = tiny_config(*SETTINGS)
    run = Run(config, dataset, out / "whole", CPU)
    result["order"] = [list(run.loader.order(epoch)) for epoch in range(2)]
    train(run, resume=False, overwrite=False, on_progress=silent)
    result["run"] = {**run.method.state_dict(), **{f"average.{k}": v for k, v in run.network.state_dict().items()}}
    try:
        train(Run(config, dataset, out / "stopped", CPU), resume=False, overwrite=False, on_progress=stop_at(2, 1))
    except Interrupted as stop:
        result["stop"] = str(stop)
    train_run(config, dataset, out / "command")
    torch.save(result, out / f"{rank}.pt")
    dist.destroy_process_group()


@pytest.fixture(scope="module")
def folder(prepared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that the two processes have worked in."""
    out = tmp_path_factory.mktemp("together")
    torch.multiprocessing.spawn(work, (prepared, out), nprocs=2)
    return out


@pytest.fixture(scope="module")
def results(folder: Path) -> Results:
    """What each of the two processes saved."""
    return [torch.load(folder / f"{rank}.pt", weights_only=False) for rank in range(2)]


def test_training_in_parts_equals_training_with_whole_batches(results: Results) -> None:
    whole = train_network(*pairs())
    for result in results:
        for name, weight in whole.items():
            torch.testing.assert_close(result["weights"][name], weight, rtol=1e-5, atol=1e-6)


def test_a_weight_that_one_process_did_not_use_counts_as_zero_there(results: Results) -> None:
    for result in results:
        first, second, third = result["gradients"]
        assert first.tolist() == [1, 1]
        assert second.tolist() == [0.5, 0.5]
        assert third is None
    assert [result["any"] for result in results] == [[True, False]] * 2


def test_each_process_gets_its_part_of_the_batches_of_one_process(results: Results, prepared: Path) -> None:
    config = tiny_config()
    loader = Loader(open_dataset(prepared).split("train"), config.network, config.train.batch_size, 0, CPU)
    for epoch in range(2):
        for whole, *parts in zip(loader.order(epoch), *(result["order"][epoch] for result in results), strict=True):
            assert [len(part) for part in parts] == [8, 8]
            assert sorted(parts[0] + parts[1]) == sorted(whole)


def test_all_processes_end_with_the_same_weights_and_statistics(results: Results) -> None:
    first, second = (result["run"] for result in results)
    assert any("running_mean" in name for name in first)
    for name, tensor in first.items():
        torch.testing.assert_close(second[name], tensor, rtol=0, atol=0, msg=name)


def test_the_first_process_writes_the_run(results: Results, folder: Path) -> None:
    assert read_about(folder / "whole/last.safetensors").finished
    stored = load_file(folder / "whole/last.safetensors")
    name = next(name for name in stored if name.endswith("weight"))
    expected = results[1]["run"]["average." + name.removeprefix("network.")]
    torch.testing.assert_close(stored[name], expected, rtol=0, atol=0)
    steps = [record["step"] for record in read_log(folder / "whole/metrics.jsonl") if "direct" in record]
    assert steps == [3, 4]  # the last step of an epoch, and the last step; each once
    assert read_about(folder / "command/classifier.safetensors").temperatures


def test_a_signal_to_one_process_stops_all_and_one_process_can_resume(
    results: Results, folder: Path, prepared: Path
) -> None:
    assert all("stopped at step 2 of 4" in result["stop"] for result in results)
    run = Run(tiny_config(*SETTINGS), open_dataset(prepared), folder / "stopped", CPU)
    assert train(run, resume=True, overwrite=False, on_progress=silent).steps == 4
    assert read_about(folder / "stopped/last.safetensors").finished


def test_a_batch_that_cannot_be_divided_is_refused(prepared: Path) -> None:
    split = open_dataset(prepared).split("train")
    with pytest.raises(ConfigError, match=r"a batch of 16 pairs cannot be divided among 3 processes.*example 15"):
        Loader(split, tiny_config().network, 16, 0, CPU, parts=3)


@pytest.mark.slow
def test_if_one_process_is_killed_all_end_and_the_run_can_be_resumed(prepared: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    command += ["-m", "cmcgan_cli", "train", str(prepared), "--preset", "tiny", "--out", str(out)]
    command += ["--set", "train.steps=300", "--set", "train.sample_every=1"]
    training = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    wait_for((out / "last.safetensors").exists)
    workers = subprocess.run(["pgrep", "-P", str(training.pid)], capture_output=True, text=True, check=True)
    os.kill(int(workers.stdout.split()[-1]), signal.SIGKILL)
    training.communicate(timeout=60)
    assert training.returncode == 1
    about = read_about(out / "last.safetensors")
    assert 0 < about.step < about.steps
    resume = [sys.executable, "-m", "cmcgan_cli", "train", "--resume", str(out)]
    resumed = subprocess.Popen(resume, stderr=subprocess.PIPE, text=True)
    wait_for(lambda: read_about(out / "last.safetensors").step > about.step)
    resumed.send_signal(signal.SIGINT)
    assert resumed.wait(60) == 130


def wait_for(happened: Callable[[], bool], seconds: float = 90) -> None:
    """Wait until something has happened."""
    end = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < end
        time.sleep(0.2)
