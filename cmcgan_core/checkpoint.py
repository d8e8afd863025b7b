"""One self-sufficient file: weights, configuration, classes, feature settings and, to go on training, the state.

A checkpoint is a safetensors file. Its metadata is one JSON document; loading it never unpickles, so never runs code.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.optim import Optimizer

from cmcgan_core import __version__
from cmcgan_core.config import Config
from cmcgan_core.errors import CheckpointError, ConfigError
from cmcgan_core.features.settings import FeatureSettings
from cmcgan_core.methods import Method, make_method
from cmcgan_core.utils.files import atomic_write
from cmcgan_core.utils.schema import build

#: The model in the box: a run folder inside the package, with what it takes to use the run.
BOX = Path(__file__).parent / "box"
#: Version of the format that this code reads and writes.
FORMAT = 1


@dataclass(frozen=True)
class About:
    """What a checkpoint says of itself.

    Attributes:
        config: of the run.
        classes: names of the classes, by index.
        settings: feature settings of the pairs that it was trained on.
        step: updates done.
        steps: updates planned.
        data: name of the dataset that it was trained on.
        content: hash of that dataset's content, as its `dataset.toml` has it; "" where it has none.
        best: lowest validation loss so far, or None.
        completed_by: of a classifier, hash of the checkpoint that completed pairs of its training; "" for none.
        temperatures: of a classifier, by case (see `completion.CASES`), what calibrates its logits; fitted on held-out
            pairs.
    """

    config: Config
    classes: tuple[str, ...]
    settings: FeatureSettings
    step: int
    steps: int
    data: str
    content: str
    best: float | None = None
    completed_by: str = ""
    temperatures: dict[str, float] = field(default_factory=dict)

    @property
    def finished(self) -> bool:
        """Whether all planned updates are done."""
        return self.step >= self.steps


@dataclass(frozen=True)
class Trained:
    """A trained network, ready to be used: in evaluation mode, on its device."""

    about: About
    network: nn.Module
    path: Path


def save_checkpoint(path: Path, about: About, tensors: Mapping[str, Tensor]) -> None:
    """Write a checkpoint whole or not at all; `tensors` as `network_tensors` or `training_tensors` give them."""
    document = {"format": FORMAT, "version": __version__, **asdict(about)}
    # Clones: safetensors refuses tensors that share memory or are laid out with their channels last.
    plain = {name: t.detach().cpu().clone(memory_format=torch.contiguous_format) for name, t in tensors.items()}
    with atomic_write(path) as temporary:
        save_file(plain, temporary, metadata={"cmcgan": json.dumps(document)})


def find_checkpoint(given: Path | None, name: str = "last.safetensors") -> Path:
    """The checkpoint file that a user means.

    Args:
        given: a checkpoint file, a run folder, the name of one below `runs/`, "box" for the model that ships with
            cmcgan, or None for the newest run below `runs/` or `cmcgan-demo/` and, where there is none, the box.
        name: file to take in a run folder.

    Raises:
        CheckpointError: there is none.
    """
    if given is None:
        runs = [*Path("runs").glob(f"*/{name}"), *Path("cmcgan-demo").glob(f"*/{name}")]
        given = max(runs, key=lambda run: run.stat().st_mtime, default=BOX)
    if not given.exists():
        named = BOX if given == Path("box") else Path("runs") / given
        given = named if named.is_dir() else given
    found = given / name if given.is_dir() else given
    if not found.is_file():
        what = f"has no {name}" if given.is_dir() else "does not exist"
        raise CheckpointError(f"{given} {what}; train a model with: cmcgan train DATA --out {given}")
    return found


def read_about(path: Path) -> About:
    """What a checkpoint says of itself, without its weights.

    Raises:
        CheckpointError: it is missing, damaged, not ours, or of another version.
    """
    if not path.is_file():
        raise CheckpointError(f"{path} does not exist; train a model with: cmcgan train DATA")
    try:
        with safe_open(path, framework="pt") as file:
            document = json.loads((file.metadata() or {})["cmcgan"])
        if document.pop("format") != FORMAT:
            raise CheckpointError(
                f"{path} was written by cmcgan {document['version']} in a format that this one cannot read"
            )
        document.pop("version")
        return build(About, document, str(path))
    except (SafetensorError, OSError, KeyError, ValueError, ConfigError) as error:
        raise CheckpointError(f"{path} is not a cmcgan checkpoint, or is damaged: {error}") from error


def load_checkpoint(path: Path, device: torch.device) -> Trained:
    """The trained network of a checkpoint, ready to be used.

    Raises:
        CheckpointError: see `read_about`; also if its weights do not fit its configuration.
    """
    about = read_about(path)
    with torch.random.fork_rng(devices=[]):
        network = make_method(about.config, about.classes, about.settings).network
    load_weights(network, read_tensors(path, "network."), path)
    return Trained(about, network.to(device).eval(), path)


def read_tensors(path: Path, prefix: str) -> dict[str, Tensor]:
    """The tensors whose names begin with `prefix`, without it."""
    with safe_open(path, framework="pt") as file:
        return {name.removeprefix(prefix): file.get_tensor(name) for name in file.keys() if name.startswith(prefix)}  # noqa: SIM118


def load_weights(module: nn.Module, tensors: Mapping[str, Tensor], path: Path) -> None:
    """Fill a module with weights.

    Raises:
        CheckpointError: names or shapes do not fit.
    """
    try:
        module.load_state_dict(dict(tensors))
    except RuntimeError as error:
        raise CheckpointError(f"the weights in {path} do not fit its configuration: {error}") from error


def network_tensors(network: nn.Module) -> dict[str, Tensor]:
    """What it takes to use a model."""
    return {f"network.{name}": t for name, t in network.state_dict().items()}


def training_tensors(method: Method, network: nn.Module, optimizers: Mapping[str, Optimizer]) -> dict[str, Tensor]:
    """What it takes to go on training a model, and to use it."""
    tensors = network_tensors(network)
    tensors |= {f"method.{name}": t for name, t in method.state_dict().items()}
    for name, optimizer in optimizers.items():
        for index, values in optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer.{name}.{index}.{key}": v for key, v in values.items() if isinstance(v, Tensor)}
    return tensors


def half_precision(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Weights as float16, which halves a file; running statistics, whose range is wider, stay as they are."""
    return {name: t if "running" in name or not t.is_floating_point() else t.half() for name, t in tensors.items()}


def load_training(path: Path, method: Method, network: nn.Module, optimizers: Mapping[str, Optimizer]) -> None:
    """The inverse of `training_tensors`.

    Raises:
        CheckpointError: the checkpoint has no training state, or another model's.
    """
    weights = read_tensors(path, "method.")
    if not weights:
        raise CheckpointError(f"{path} has no training state; resume from the run's last.safetensors")
    load_weights(method, weights, path)
    if network is not method.network:
        load_weights(network, read_tensors(path, "network."), path)
    for name, optimizer in optimizers.items():
        state: dict[int, dict[str, Any]] = {}
        for place, tensor in read_tensors(path, f"optimizer.{name}.").items():
            index, key = place.split(".", 1)
            state.setdefault(int(index), {})[key] = tensor
        optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
        for parameter, values in optimizer.state.items():
            for key, value in values.items():
                if value.shape == parameter.shape:  # laid out as the parameter is, which is what makes a step fast
                    values[key] = torch.empty_like(parameter).copy_(value)
