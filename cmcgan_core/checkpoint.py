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
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.optim import Optimizer

from cmcgan_core import __version__
from cmcgan_core.errors import CheckpointError, ConfigError
from cmcgan_core.methods import METHODS, Method
from cmcgan_core.modality import Modality
from cmcgan_core.nn.capabilities import embeds
from cmcgan_core.nn.familiarity import PREFIX, Familiarity, read_familiarity
from cmcgan_core.run_folder import FORMAT, NEXT_STEP, About, in_one_line, read_about
from cmcgan_core.utils.files import atomic_write
from cmcgan_core.utils.tensors import is_finite

#: What safetensors calls the types of numbers that weights may be stored in. The box stores half precision.
FLOATS = ("F64", "F32", "F16", "BF16")
#: What safetensors calls the other types that networks have.
INTEGERS = {torch.int64: "I64", torch.int32: "I32", torch.uint8: "U8", torch.bool: "BOOL"}


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


def require_finite(trained: Trained, values: Tensor) -> Tensor:
    """Return what a network has computed, if all values are finite.

    Raises:
        CheckpointError: a value is not finite, because weights are too large.
    """
    if not is_finite(values):
        raise CheckpointError(f"{trained.path} computes values that are not finite, so it is damaged; {NEXT_STEP}")
    return values


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


def load_checkpoint(path: Path, device: torch.device) -> Trained:
    """Load the trained network of a checkpoint, without the parts that only training needs.

    Raises:
        CheckpointError: as `read_about`; or the weights do not fit the configuration, or are not finite.
    """
    about = read_about(path)
    network = _build_network(about, path)
    types = {name: tensor.dtype for name, tensor in network.state_dict().items()}
    weights = read_tensors(path, "network.")
    # The weights become those of the network, rather than being copied into weights that it does not have yet.
    network.load_state_dict({name: t.to(types[name], copy=True) for name, t in weights.items()}, assign=True)
    try:
        familiarity = read_familiarity(read_tensors(path, PREFIX))
    except ValueError as error:
        raise CheckpointError(f"{path} is damaged ({error}); {NEXT_STEP}") from error
    return Trained(about, network.to(device).eval(), path, familiarity)


def _build_network(about: About, path: Path) -> nn.Module:
    """Build the network that a checkpoint describes, with weights that have shapes and types, but no values.

    The network is built on torch's meta device, which allocates nothing, and compared with the header of the file. So
    a file that claims a large network needs no memory.

    Raises:
        CheckpointError: there is no such network, or the weights do not fit it.
    """

    def build_on(device: str) -> nn.Module:
        with torch.random.fork_rng(devices=[]), torch.device(device):
            network: nn.Module = METHODS.get(about.config.method).build_network(
                about.config, about.classes, about.settings
            )
        return network

    try:
        try:
            network = build_on("meta")
        except (NotImplementedError, RuntimeError):  # The network of a plugin may read values while it is built.
            network = build_on("cpu")
    except ConfigError as error:
        raise CheckpointError(
            f"{path} describes no network that can be built ({in_one_line(error)}); {NEXT_STEP}"
        ) from error
    expected = network.state_dict()
    _check_layout(path, "network.", expected)
    return build_on("cpu") if _has_other_tensors(network, expected) else network


def _check_layout(path: Path, prefix: str, expected: Mapping[str, Tensor]) -> None:
    """Compare the names, shapes and types of tensors with the header of a checkpoint, without reading a tensor.

    Raises:
        CheckpointError: they differ.
    """
    with safe_open(path, framework="pt") as file:
        slices = {name.removeprefix(prefix): file.get_slice(name) for name in file.keys() if name.startswith(prefix)}  # noqa: SIM118
        stored = {name: (_kind(part.get_dtype()), tuple(part.get_shape())) for name, part in slices.items()}
    needed = {
        name: ("numbers" if t.is_floating_point() else INTEGERS.get(t.dtype, str(t.dtype)), tuple(t.shape))
        for name, t in expected.items()
    }
    if stored == needed:
        return
    name = min(name for name in stored.keys() | needed.keys() if stored.get(name) != needed.get(name))
    found, wanted = (f"{of[name][0]} {of[name][1]}" if name in of else "nothing" for of in (stored, needed))
    raise CheckpointError(
        f"the weights in {path} do not fit its configuration: {prefix}{name} is {found}, but should be {wanted}; "
        f"{NEXT_STEP}"
    )


def _kind(dtype: str) -> str:
    """Return "numbers" for all types of floating-point numbers, and the name of other types."""
    return "numbers" if dtype in FLOATS else dtype


def _has_other_tensors(network: nn.Module, stored: Mapping[str, Tensor]) -> bool:
    """Return whether a network has tensors that are not stored, as those of plugins may have; they need values."""
    buffers = any(name not in stored for name, _ in network.named_buffers())
    return buffers or any(isinstance(value, Tensor) for m in network.modules() for value in vars(m).values())


def read_tensors(path: Path, prefix: str) -> dict[str, Tensor]:
    """Read the tensors whose names begin with `prefix`; the prefix is removed.

    Raises:
        CheckpointError: a value is not finite, or a variance is below 0.
    """
    with safe_open(path, framework="pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys() if name.startswith(prefix)}  # noqa: SIM118
    for name, tensor in tensors.items():
        if not is_finite(tensor):
            raise CheckpointError(f"{path} is damaged ({name} has values that are not finite); {NEXT_STEP}")
        if name.endswith("running_var") and tensor.numel() and bool(tensor.min() < 0):
            raise CheckpointError(f"{path} is damaged ({name} has variances below 0); {NEXT_STEP}")
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items()}


def load_weights(module: nn.Module, tensors: Mapping[str, Tensor], path: Path) -> None:
    """Load weights into a module.

    Raises:
        CheckpointError: names or shapes do not fit.
    """
    try:
        module.load_state_dict(dict(tensors))
    except RuntimeError as error:
        raise CheckpointError(f"the weights in {path} do not fit its configuration: {error}; {NEXT_STEP}") from error


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
        try:
            _load_optimizer(optimizer, read_tensors(path, f"optimizer.{name}."))
        except ValueError as error:
            raise CheckpointError(
                f"{path} is damaged (optimizer.{name}.{error}); start again with --overwrite"
            ) from error


def _load_optimizer(optimizer: Optimizer, tensors: Mapping[str, Tensor]) -> None:
    """Load the state of an optimizer from tensors that are named INDEX.KEY.

    Raises:
        ValueError: a tensor belongs to no parameter; the message begins with its name.
    """
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    shapes = {str(index): (parameter.shape, torch.Size()) for index, parameter in enumerate(parameters)}
    state: dict[int, dict[str, Any]] = {}
    for name, tensor in tensors.items():
        index, _, key = name.partition(".")
        if tensor.shape not in shapes.get(index, ()) or not tensor.is_floating_point():
            raise ValueError(f"{name} belongs to no parameter")
        state.setdefault(int(index), {})[key] = tensor
    keys = [set(values) for values in state.values()]
    if any(of_parameter != keys[0] for of_parameter in keys):
        raise ValueError("* is incomplete")
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
    for parameter, values in optimizer.state.items():
        for key, value in values.items():
            if value.shape == parameter.shape:  # with the memory layout of the parameter, which makes a step fast
                values[key] = torch.empty_like(parameter).copy_(value)
