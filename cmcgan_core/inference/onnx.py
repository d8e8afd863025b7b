"""Export one direction of a checkpoint as an ONNX file, which runs without torch and without cmcgan.

`docs/export.md` shows how to use the file.
"""

import importlib.util
import json
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from cmcgan_core import __version__
from cmcgan_core.checkpoint import load_checkpoint
from cmcgan_core.config import NetworkConfig
from cmcgan_core.errors import CheckpointError, ConfigError
from cmcgan_core.inference.translate import require_translator
from cmcgan_core.modality import Direction
from cmcgan_core.nn.capabilities import Translator
from cmcgan_core.utils.files import RUN_AGAIN, atomic_write, explain_write_errors, is_folder

if TYPE_CHECKING:
    from torch.onnx import ONNXProgram

#: The packages of the extra `cmcgan[onnx]`. torch's exporter is written in onnxscript.
PACKAGES = ("onnx", "onnxscript", "onnxruntime")
#: Largest allowed difference between the maps of onnxruntime and torch, both in [-1, 1]. It equals about a hundredth of
#: a grey level, or of a decibel.
TOLERANCE = 1e-4
#: Batch sizes at which onnxruntime and torch are compared.
COMPARED_BATCH_SIZES = (1, 2, 5)


@dataclass(frozen=True)
class Exported:
    """An ONNX file that gives the same results as its checkpoint.

    Attributes:
        checkpoint: the checkpoint that was exported.
        out: the ONNX file.
        direction: the exported direction.
        hops: number of subnetworks in a row, which is also the number of latents; see `methods.cmcgan.Options.hops`.
        shapes: shapes of the inputs and the output, by name; "batch" stands for any number.
        opset: version of the ONNX operators.
        difference: largest difference between the maps of onnxruntime and torch, in [-1, 1].
    """

    checkpoint: Path
    out: Path
    direction: Direction
    hops: int
    shapes: dict[str, tuple[int | str, ...]]
    opset: int
    difference: float


def export_onnx(checkpoint: Path, direction: str, out: Path, hops: int | None = None) -> Exported:
    """Write one direction of a checkpoint as ONNX, and compare the results of onnxruntime with those of torch.

    The inputs are maps at the size of the network, in [-1, 1], and latents z from N(0, 1). The output is the maps of
    the other modality, in [-1, 1]. `Exported.shapes` has their names and shapes. The metadata of the file contain one
    JSON document under "cmcgan": direction, hops, classes, feature settings and configuration.

    Args:
        checkpoint: checkpoint file of a generating run.
        direction: "a2v" or "v2a", see `Direction`.
        out: file to write, completely or not at all; an existing file is replaced.
        hops: see `methods.cmcgan.Options.hops`; None is the checkpoint's own number.

    Raises:
        ConfigError: the direction is unknown, `out` has another suffix than .onnx, or a package of the extra is
            missing.
        CheckpointError: the checkpoint cannot be read, does not support the direction, or cannot be expressed in ONNX;
            or the results differ by more than `TOLERANCE`, and then no file is kept.
    """
    if direction not in list(Direction):
        raise ConfigError(f"unknown direction {direction!r}; known are {', '.join(Direction)}")
    _check_out_and_packages(out)
    trained = load_checkpoint(checkpoint, torch.device("cpu"))
    translator = require_translator(trained, Direction(direction), hops=hops)
    network = _OneDirection(translator, Direction(direction), hops or translator.hops, trained.about.config.network)
    program = _to_onnx(network, checkpoint)
    document = {"version": __version__, "direction": direction, "hops": network.hops, **asdict(trained.about)}
    program.model.metadata_props["cmcgan"] = json.dumps(document)
    with explain_write_errors(out, CheckpointError, RUN_AGAIN), atomic_write(out) as temporary:
        program.save(temporary)
        difference = _compare(temporary, network)
        if not difference <= TOLERANCE:
            raise CheckpointError(
                f"{out} was not kept: onnxruntime's maps differ from torch's by {difference:.2g}, "
                f"more than {TOLERANCE:g}"
            )
    opset = program.model.opset_imports[""]
    return Exported(checkpoint, out, network.direction, network.hops, network.shapes(), opset, difference)


class _OneDirection(nn.Module):
    """One direction of a translator, with the signature that is exported.

    Args:
        network: the translator.
        direction: one of its directions.
        hops: number of subnetworks in a row.
        config: configuration of the network, which has the sizes of its maps.
    """

    def __init__(self, network: Translator, direction: Direction, hops: int, config: NetworkConfig) -> None:
        super().__init__()
        self.network = network
        self.direction = direction
        self.hops = hops
        self.config = config

    def forward(self, source: Tensor, z: Tensor) -> Tensor:
        """Translate maps, see `Translator.translate`."""
        return self.network.translate(self.direction, source, z)

    def shapes(self) -> dict[str, tuple[int | str, ...]]:
        """Return the shapes of the inputs and the output, by name."""
        maps: dict[str, tuple[int | str, ...]] = {
            str(modality): ("batch", modality.channels, *self.config.size(modality))
            for modality in (self.direction.source, self.direction.target)
        }
        return {**maps, "z": (self.hops, "batch", self.network.latent)}

    def example(self, count: int) -> tuple[Tensor, Tensor]:
        """Return random maps and latents of `count` items."""
        rng = torch.Generator().manual_seed(count)
        source = self.direction.source
        maps = torch.rand(count, source.channels, *self.config.size(source), generator=rng) * 2 - 1
        return maps, self.network.draw(count, rng, self.hops)


def _check_out_and_packages(out: Path) -> None:
    """Check the name of the output, and that the extra is installed.

    Raises:
        ConfigError: the output is a folder, its suffix is not .onnx, or a package is missing.
    """
    if is_folder(out):
        raise ConfigError(f"{out} is a folder; take a name that ends in .onnx")
    if out.suffix != ".onnx":
        raise ConfigError(f"{out} does not end in .onnx; take --out {out.with_suffix('.onnx').name}")
    if missing := [name for name in PACKAGES if importlib.util.find_spec(name) is None]:
        raise ConfigError(f"export needs {' and '.join(missing)}; install with: pip install 'cmcgan[onnx]'")


def _to_onnx(network: _OneDirection, checkpoint: Path) -> "ONNXProgram":
    """Return the network as ONNX, without the exporter's notes on the source lines of each operator.

    Raises:
        CheckpointError: the network cannot be expressed in ONNX.
    """
    from onnx_ir.passes.common import ClearMetadataAndDocStringPass

    batch = torch.export.Dim("batch")
    try:
        with _hide_warnings(), torch.no_grad():
            program = torch.onnx.export(
                network.eval(),
                network.example(2),
                dynamo=True,
                input_names=[str(network.direction.source), "z"],
                output_names=[str(network.direction.target)],
                dynamic_shapes=({0: batch}, {1: batch}),
                verbose=False,
            )
    except torch.onnx.errors.OnnxExporterError as error:
        reason = str(error).strip().splitlines()[0]
        raise CheckpointError(f"{checkpoint} cannot be expressed in ONNX: {reason}") from error
    assert program is not None  # it is None only with dynamo=False
    ClearMetadataAndDocStringPass()(program.model)
    return program


@contextmanager
def _hide_warnings() -> Iterator[None]:
    """Hide the exporter's warnings, which are about itself and about packages that it does not need."""
    logger = logging.getLogger("torch.onnx._internal.exporter")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


def _compare(file: Path, network: _OneDirection) -> float:
    """Return the largest difference between the maps of onnxruntime and torch over `COMPARED_BATCH_SIZES`."""
    import onnxruntime

    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    differences = []
    for count in COMPARED_BATCH_SIZES:
        source, z = network.example(count)
        with torch.inference_mode():
            expected = network(source, z)
        (maps,) = session.run(None, {str(network.direction.source): source.numpy(), "z": z.numpy()})
        differences.append((expected - torch.from_numpy(maps)).abs().max())
    return float(torch.stack(differences).max())
