"""Checkpoints: one self-sufficient file with weights, configuration, classes and feature settings.

A checkpoint that a run can resume from also holds the training state. A checkpoint is a safetensors file, whose
metadata is one JSON document. Loading it never unpickles, so it never runs code.
"""

import itertools
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated, Any

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
from cmcgan_core.utils.names import require_classes
from cmcgan_core.utils.schema import MOST, Count, Range, build, parse_json
from cmcgan_core.utils.tensors import is_finite

#: The model that ships with cmcgan: a run folder inside the package, with the files that using the run needs.
BOX = Path(__file__).parent / "box"
#: Version of the format that this code reads and writes.
FORMAT = 2
#: What safetensors calls the types of numbers that weights may be stored in. The box stores half precision.
FLOATS = ("F64", "F32", "F16", "BF16")
#: What safetensors calls the other types that networks have.
INTEGERS = {torch.int64: "I64", torch.int32: "I32", torch.uint8: "U8", torch.bool: "BOOL"}
#: What to do with a checkpoint that cannot be used, for messages.
NEXT_STEP = "restore it from a backup, or train again with: cmcgan train DATA"

#: A number that divides logits. Outside of this range, probabilities would not be numbers.
Temperature = Annotated[float, Range(minimum=1e-6, maximum=1e6)]


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

    @property
    def card(self) -> Path:
        """The model card of a saved model, see `inference.pretrained`."""
        return self.path / "README.md"


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
    step: Annotated[int, Range(minimum=0, maximum=MOST)]
    steps: Count
    data: str
    content: str
    best: float | None = None
    completed_by: str = ""
    temperatures: dict[str, Temperature] = field(default_factory=dict)

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
            document = parse_json((file.metadata() or {}).get("cmcgan", ""))
        version = document.pop("version", "unknown")
        if document.pop("format", None) != FORMAT:
            raise CheckpointError(
                f"{path} was written by cmcgan {version} in a format that this version cannot read; train again with: "
                "cmcgan train DATA"
            )
        about = build(About, document, str(path))
        if not about.classes:
            raise ValueError("it has no classes")
        require_classes(about.classes)
    except (SafetensorError, OSError, ValueError, ConfigError) as error:
        raise CheckpointError(
            f"{path} is not a cmcgan checkpoint, or is damaged ({_in_one_line(error)}); {NEXT_STEP}"
        ) from error
    return about


def _in_one_line(error: Exception) -> str:
    """Return the message of an error without line breaks."""
    return " ".join(str(error).split())


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
            f"{path} describes no network that can be built ({_in_one_line(error)}); {NEXT_STEP}"
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
