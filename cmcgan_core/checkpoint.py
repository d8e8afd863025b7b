"""Checkpoints: one self-sufficient file with weights, configuration, classes and feature settings.

A checkpoint that a run can resume from also holds the training state. A checkpoint is a safetensors file, whose
metadata is one JSON document. Loading it never unpickles, so it never runs code.
"""

import itertools
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
from cmcgan_core.methods import METHODS, Method
from cmcgan_core.modality import Modality
from cmcgan_core.nn.capabilities import embeds
from cmcgan_core.nn.familiarity import PREFIX, Familiarity, read_familiarity
from cmcgan_core.utils.files import atomic_write
from cmcgan_core.utils.schema import build

#: The model that ships with cmcgan: a run folder inside the package, with the files that using the run needs.
BOX = Path(__file__).parent / "box"
#: Version of the format that this code reads and writes.
FORMAT = 2


@dataclass(frozen=True)
class RunFolder:
    """The files of a run.

    Attributes:
        path: the folder.
    """

    path: Path

    @property
    def config(self) -> Path:
        """The resolved configuration."""
        return self.path / "config.toml"

    @property
    def info(self) -> Path:
        """The dataset, the device and the versions of packages."""
        return self.path / "run.toml"

    @property
    def log(self) -> Path:
        """The log: losses and validation losses over the steps."""
        return self.path / "metrics.jsonl"

    @property
    def last(self) -> Path:
        """The last checkpoint, for using the run and for resuming it."""
        return self.path / "last.safetensors"

    @property
    def best(self) -> Path:
        """The checkpoint with the lowest validation loss, for using the run."""
        return self.path / "best.safetensors"

    @property
    def classifier(self) -> Path:
        """The multimodal classifier of a run that generates."""
        return self.path / "classifier.safetensors"


@dataclass(frozen=True)
class About:
    """The metadata of a checkpoint.

    Attributes:
        config: configuration of the run.
        classes: names of the classes, by index.
        settings: feature settings of the pairs that it was trained on.
        step: number of finished training steps.
        steps: number of planned training steps.
        data: name of the dataset that it was trained on.
        content: hash of that dataset's content, from its `dataset.toml`; "" if it has none.
        best: lowest validation loss so far, or None.
        completed_by: hash of the checkpoint that completed pairs when a classifier was trained; "" for none.
        temperatures: temperatures that calibrate the logits of a classifier, fitted on held-out pairs, by case
            (`modality.REAL_PAIR` or a `Direction.completed`).
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
        """Whether all planned steps are done."""
        return self.step >= self.steps


@dataclass(frozen=True)
class Trained:
    """A trained network in evaluation mode, on its device.

    Attributes:
        about: metadata of its checkpoint.
        network: the network. Its type says what it can do, see `nn.capabilities`.
        path: its checkpoint.
        familiarity: tells which inputs are unlike the training data, by modality; only classifiers of runs have it.
    """

    about: About
    network: nn.Module
    path: Path
    familiarity: Mapping[Modality, Familiarity] = field(default_factory=dict)

    @property
    def device(self) -> torch.device:
        """The device that its weights are on."""
        return next(itertools.chain(self.network.parameters(), self.network.buffers())).device


def embedder_of(modality: Modality, generating: Trained, classifier: Trained) -> Trained | None:
    """Return the network whose codes tell whether an input is unlike the training data.

    It is the generating run's if that can embed the modality, because its codes tell best; otherwise its classifier's.
    None if neither can.
    """
    return next((trained for trained in (generating, classifier) if embeds(trained.network, modality)), None)


def save_checkpoint(path: Path, about: About, tensors: Mapping[str, Tensor]) -> None:
    """Write a checkpoint whole or not at all.

    Args:
        path: the file.
        about: the metadata to write.
        tensors: tensors as `network_tensors` or `training_tensors` return them.
    """
    document = {"format": FORMAT, "version": __version__, **asdict(about)}
    # Clones: safetensors refuses tensors that share memory or are laid out with their channels last.
    plain = {name: t.detach().cpu().clone(memory_format=torch.contiguous_format) for name, t in tensors.items()}
    with atomic_write(path) as temporary:
        save_file(plain, temporary, metadata={"cmcgan": json.dumps(document)})


def find_checkpoint(path: Path) -> Path:
    """Return the checkpoint file that a path means.

    Args:
        path: a checkpoint file, a run folder, the name of a folder below `runs/`, or "box" for the model that ships
            with cmcgan.

    Raises:
        CheckpointError: the checkpoint does not exist.
    """
    if not path.exists():
        named = BOX if path == Path("box") else Path("runs") / path
        path = named if named.is_dir() else path
    file = RunFolder(path).last if path.is_dir() else path
    if not file.is_file():
        fault = f"has no {file.name}" if path.is_dir() else "does not exist"
        raise CheckpointError(f"{path} {fault}; train a model with: cmcgan train DATA --out {path}")
    return file


def newest_runs() -> list[Path]:
    """Return the last checkpoints of the runs in `runs/`, the newest first.

    Runs are the folders directly below `runs/`. The run of a demonstration is never one of them: it is in a folder two
    levels below `--out`.
    """
    return sorted(Path("runs").glob("*/last.safetensors"), key=lambda file: file.stat().st_mtime, reverse=True)


def read_about(path: Path) -> About:
    """Read the metadata of a checkpoint, without its weights.

    Raises:
        CheckpointError: the file is missing, damaged, not a checkpoint of cmcgan, or of another version.
    """
    if not path.is_file():
        raise CheckpointError(f"{path} does not exist; train a model with: cmcgan train DATA")
    try:
        with safe_open(path, framework="pt") as file:
            document = json.loads((file.metadata() or {})["cmcgan"])
        if document.pop("format") != FORMAT:
            raise CheckpointError(
                f"{path} was written by cmcgan {document['version']} in a format that this version cannot read"
            )
        document.pop("version")
        return build(About, document, str(path))
    except (SafetensorError, OSError, KeyError, ValueError, ConfigError) as error:
        raise CheckpointError(f"{path} is not a cmcgan checkpoint, or is damaged: {error}") from error


def load_checkpoint(path: Path, device: torch.device) -> Trained:
    """Load the trained network of a checkpoint, without the parts that only training needs.

    Raises:
        CheckpointError: as `read_about`; or the weights do not fit the configuration.
    """
    about = read_about(path)
    with torch.random.fork_rng(devices=[]):
        network = METHODS.get(about.config.method).build_network(about.config, about.classes, about.settings)
    load_weights(network, read_tensors(path, "network."), path)
    familiarity = read_familiarity(read_tensors(path, PREFIX))
    return Trained(about, network.to(device).eval(), path, familiarity)


def read_tensors(path: Path, prefix: str) -> dict[str, Tensor]:
    """Read the tensors whose names begin with `prefix`; the prefix is removed."""
    with safe_open(path, framework="pt") as file:
        return {name.removeprefix(prefix): file.get_tensor(name) for name in file.keys() if name.startswith(prefix)}  # noqa: SIM118


def load_weights(module: nn.Module, tensors: Mapping[str, Tensor], path: Path) -> None:
    """Load weights into a module.

    Raises:
        CheckpointError: names or shapes do not fit.
    """
    try:
        module.load_state_dict(dict(tensors))
    except RuntimeError as error:
        raise CheckpointError(f"the weights in {path} do not fit its configuration: {error}") from error


def network_tensors(network: nn.Module) -> dict[str, Tensor]:
    """Return the tensors that using a model needs."""
    return {f"network.{name}": t for name, t in network.state_dict().items()}


def training_tensors(method: Method[Any], network: nn.Module, optimizers: Mapping[str, Optimizer]) -> dict[str, Tensor]:
    """Return the tensors that using a model and resuming its training need; no weight is stored twice.

    Args:
        method: the method, with its networks.
        network: the network that the run is used with: the method's own, or an average of it.
        optimizers: optimizers of the method.
    """
    tensors = network_tensors(network)
    averaged = network is not method.network
    own = {name: t for name, t in method.state_dict().items() if averaged or not name.startswith("network.")}
    tensors |= {f"method.{name}": t for name, t in own.items()}
    # This marks the training state: an optimizer without momentum has no tensors.
    tensors["optimizers"] = torch.tensor(len(optimizers))
    for name, optimizer in optimizers.items():
        for index, values in optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer.{name}.{index}.{key}": v for key, v in values.items() if isinstance(v, Tensor)}
    return tensors


def load_training(path: Path, method: Method[Any], network: nn.Module, optimizers: Mapping[str, Optimizer]) -> None:
    """Load what `training_tensors` returned; the arguments are the same.

    Raises:
        CheckpointError: the checkpoint has no training state, or that of another model.
    """
    if not read_tensors(path, "optimizer"):
        raise CheckpointError(f"{path} has no training state; resume from the run's last.safetensors")
    used = read_tensors(path, "network.")
    weights = read_tensors(path, "method.")
    if network is method.network:
        weights |= {f"network.{name}": t for name, t in used.items()}
    else:
        load_weights(network, used, path)
    load_weights(method, weights, path)
    for name, optimizer in optimizers.items():
        _load_optimizer(optimizer, read_tensors(path, f"optimizer.{name}."))


def _load_optimizer(optimizer: Optimizer, tensors: Mapping[str, Tensor]) -> None:
    """Load the state of an optimizer from tensors that are named INDEX.KEY."""
    state: dict[int, dict[str, Any]] = {}
    for name, tensor in tensors.items():
        index, key = name.split(".", 1)
        state.setdefault(int(index), {})[key] = tensor
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
    for parameter, values in optimizer.state.items():
        for key, value in values.items():
            if value.shape == parameter.shape:  # with the memory layout of the parameter, which makes a step fast
                values[key] = torch.empty_like(parameter).copy_(value)
