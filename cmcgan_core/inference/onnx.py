"""One direction of a checkpoint as an ONNX file, which runs without torch and without cmcgan; see `docs/export.md`."""

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
from cmcgan_core.checkpoint import About, load_checkpoint
from cmcgan_core.errors import CheckpointError, ConfigError
from cmcgan_core.inference.translate import require_translator
from cmcgan_core.modality import Direction
from cmcgan_core.nn.capabilities import Translator
from cmcgan_core.utils.files import atomic_write

if TYPE_CHECKING:
    from torch.onnx import ONNXProgram

#: What the extra `cmcgan[onnx]` installs: torch's exporter is written in onnxscript.
PACKAGES = ("onnx", "onnxscript", "onnxruntime")
#: How far onnxruntime's maps may be from torch's, both in [-1, 1]: a hundredth of a grey level, or of a decibel.
TOLERANCE = 1e-4
#: Batch sizes at which they are compared.
BATCHES = (1, 2, 5)


@dataclass(frozen=True)
class Exported:
    """An ONNX file that agrees with its checkpoint.

    Attributes:
        checkpoint: that it was made of.
        out: the file.
        direction: "a2v" or "v2a".
        hops: number of subnetworks in a row, and of latents; see `cmcgan.Options.hops`.
        shapes: of inputs and output by name; "batch" may be any number.
        opset: version of the ONNX operators.
        difference: largest of onnxruntime's maps from torch's, in [-1, 1].
    """

    checkpoint: Path
    out: Path
    direction: Direction
    hops: int
    shapes: dict[str, tuple[int | str, ...]]
    opset: int
    difference: float


def export_onnx(checkpoint: Path, direction: Direction, out: Path, hops: int | None = None) -> Exported:
    """Write one direction of a checkpoint as ONNX, and compare what onnxruntime makes of it with what torch makes.

    Inputs are the maps that the network sees, in [-1, 1], and latents z of N(0, 1); the output are the maps of the
    other modality, in [-1, 1]. `Exported.shapes` has their names and shapes. The file's metadata hold one JSON document
    under "cmcgan": direction, hops, classes, feature settings and configuration.

    Args:
        checkpoint: file of a generating run.
        direction: "a2v" or "v2a".
        out: file to write, whole or not at all; replaced if it exists.
        hops: see `cmcgan.Options.hops`; None is the checkpoint's own.

    Raises:
        ConfigError: `out` has another suffix than .onnx, or a package of the extra is missing.
        CheckpointError: the checkpoint cannot be read, does not go in that direction or cannot be expressed in ONNX;
            or the two differ by more than `TOLERANCE`, and then nothing is kept.
    """
    _check(out)
    trained = load_checkpoint(checkpoint, torch.device("cpu"))
    network, about = require_translator(trained, direction, hops=hops), trained.about
    hops = hops or network.hops
    program = _to_onnx(network, about, direction, hops, checkpoint)
    document = {"version": __version__, "direction": direction, "hops": hops, **asdict(about)}
    program.model.metadata_props["cmcgan"] = json.dumps(document)
    with atomic_write(out) as temporary:
        program.save(temporary)
        difference = _compare(temporary, network, about, direction, hops)
        if not difference <= TOLERANCE:
            raise CheckpointError(
                f"{out} was not kept: onnxruntime's maps differ from torch's by {difference:.2g}, "
                f"more than {TOLERANCE:g}"
            )
    opset = program.model.opset_imports[""]
    return Exported(checkpoint, out, direction, hops, _shapes(network, about, direction, hops), opset, difference)


class _Direction(nn.Module):
    """One direction of a translator, under the signature that is exported."""

    def __init__(self, network: Translator, direction: Direction) -> None:
        super().__init__()
        self.network = network
        self.direction = direction

    def forward(self, source: Tensor, z: Tensor) -> Tensor:
        """See `Translator.translate`."""
        return self.network.translate(self.direction, source, z)


def _check(out: Path) -> None:
    if out.suffix != ".onnx":
        raise ConfigError(f"{out} is no name of an ONNX file; take --out {out.with_suffix('.onnx').name}")
    if lacking := [name for name in PACKAGES if importlib.util.find_spec(name) is None]:
        raise ConfigError(f"export needs {' and '.join(lacking)}; install with: pip install 'cmcgan[onnx]'")


def _to_onnx(network: Translator, about: About, direction: Direction, hops: int, checkpoint: Path) -> "ONNXProgram":
    """The network as ONNX, without the exporter's notes on where in our source files each operator came from."""
    from onnx_ir.passes.common import ClearMetadataAndDocStringPass

    batch = torch.export.Dim("batch")
    try:
        with _quiet(), torch.no_grad():
            program = torch.onnx.export(
                _Direction(network, direction).eval(),
                _example(network, about, direction, hops, 2),
                dynamo=True,
                input_names=[str(direction.source), "z"],
                output_names=[str(direction.target)],
                dynamic_shapes=({0: batch}, {1: batch}),
                verbose=False,
            )
    except torch.onnx.errors.OnnxExporterError as error:
        reason = str(error).strip().splitlines()[0]
        raise CheckpointError(f"{checkpoint} cannot be expressed in ONNX: {reason}") from error
    assert program is not None
    ClearMetadataAndDocStringPass()(program.model)
    return program


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the exporter's warnings, which are about itself and about packages that it does not need."""
    logger = logging.getLogger("torch.onnx._internal.exporter")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


def _example(network: Translator, about: About, direction: Direction, hops: int, count: int) -> tuple[Tensor, Tensor]:
    """Maps and latents of `count` items, as the network takes them."""
    rng = torch.Generator().manual_seed(count)
    shape = _shapes(network, about, direction, hops)[str(direction.source)][1:]
    source = torch.rand(count, *map(int, shape), generator=rng) * 2 - 1
    return source, network.draw(count, rng, hops)


def _compare(file: Path, network: Translator, about: About, direction: Direction, hops: int) -> float:
    """Largest difference of onnxruntime's maps from torch's over `BATCHES`."""
    import onnxruntime

    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    differences = []
    for count in BATCHES:
        source, z = _example(network, about, direction, hops, count)
        with torch.inference_mode():
            ours = network.translate(direction, source, z)
        (theirs,) = session.run(None, {str(direction.source): source.numpy(), "z": z.numpy()})
        differences.append((ours - torch.from_numpy(theirs)).abs().max())
    return float(torch.stack(differences).max())


def _shapes(network: Translator, about: About, direction: Direction, hops: int) -> dict[str, tuple[int | str, ...]]:
    """Return the shapes of inputs and output, by name."""
    network_config = about.config.network
    maps: dict[str, tuple[int | str, ...]] = {
        str(m): ("batch", m.channels, *network_config.size(m)) for m in (direction.source, direction.target)
    }
    return {**maps, "z": (hops, "batch", network.latent)}
