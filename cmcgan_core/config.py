"""The configuration of a run: a preset, changed by a TOML file, changed by `--set a.b=c`.

A configuration is TOML, typed and strict. Presets ship inside the package (`cmcgan_core/presets/*.toml`). A setting
that is missing takes the default that is written here. An unknown setting is an error, which suggests the nearest known
name. All faults are reported at once.
"""

import tomllib
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, Literal

from cmcgan_core.errors import ConfigError
from cmcgan_core.modality import Modality
from cmcgan_core.utils.schema import (
    DEEPEST,
    MOST,
    Count,
    Positive,
    Range,
    Seed,
    build,
    did_you_mean,
    merge,
    require_plain,
)
from cmcgan_core.utils.toml import read_toml


@dataclass(frozen=True)
class NetworkConfig:
    """Architecture and sizes of the networks.

    Attributes:
        encoder: name in `nn.encoders.ENCODERS`.
        decoder: name in `nn.decoders.DECODERS`.
        discriminator: name in `nn.discriminators.DISCRIMINATORS`.
        width: factor on every channel count of the paper's layers. The code keeps its 64 channels.
        picture_size: side of the pictures that the networks read and generate, in pixels (paper: 128, the largest size
            that seven halvings reduce to one).
        bins: frequency bins of the spectrograms that the networks read and generate (paper: 128).
        frames: frames of the spectrograms that the networks read and generate (paper: 32, resized from 44).
        latent: size of the Gaussian latent vector z (paper: 100); 0 for none (the paper's NLCMCGAN).
        layers: number of layers of encoders and decoders (paper: 7; its Figure 4 compares 5, 6 and 7), or of CMAV's
            sound encoder (3 or 4).
        upsampling: how a decoder doubles a map: "deconvolution" (paper); or a 3 x 3 convolution after resizing by
            nearest neighbours ("resize"), which is linear along the time of spectrograms with "linear".
    """

    encoder: str = "conv"
    decoder: str = "deconv"
    discriminator: str = "pair"
    width: Annotated[float, Range(above=0, maximum=16)] = 1.0
    picture_size: Annotated[int, Range(minimum=16, maximum=128)] = 128
    bins: Annotated[int, Range(minimum=8, maximum=128)] = 128
    frames: Annotated[int, Range(minimum=8, maximum=128)] = 32
    latent: Annotated[int, Range(minimum=0, maximum=65_536)] = 100
    layers: Annotated[int, Range(minimum=3, maximum=7)] = 7
    upsampling: Literal["deconvolution", "resize", "linear"] = "deconvolution"

    def size(self, modality: Modality) -> tuple[int, int]:
        """Return (H, W) of the maps of a modality: (bins, frames), or (side, side) in pixels."""
        return (self.bins, self.frames) if modality is Modality.AUDIO else (self.picture_size, self.picture_size)


@dataclass(frozen=True)
class OptimizerConfig:
    """One optimizer. `momentum` is the momentum of SGD, or the first beta of Adam; both diverge at 1."""

    name: Literal["adam", "sgd"] = "adam"
    learning_rate: Positive = 1e-3
    momentum: Annotated[float, Range(minimum=0, below=1)] = 0.9


@dataclass(frozen=True)
class TrainConfig:
    """Optimizers and schedule.

    Attributes:
        epochs: passes over the training pairs.
        least_steps: minimum number of steps; a small dataset gets more epochs to reach it. A file or a setting that
            changes `epochs` also removes the preset's minimum, so that the number of epochs is exact.
        steps: exact number of steps, for example for a budget; overrides `epochs` and `least_steps`. 0 for none.
        batch_size: pairs per step.
        wrong_pairs: what makes a pair wrong for a discriminator. "class": sound and picture are of different classes
            (CMCGAN; CMAV's instrument-oriented setting). "pose": they are of one class, but of different recordings or
            of different times (CMAV's pose-oriented setting). See `data.mismatch`.
        generator: optimizer of the generator networks, or of the whole network if the method has no discriminator.
        discriminator: optimizer of the discriminator.
        generator_updates: K of Algorithm 1.
        final_learning_rate: learning rate at the end of the cosine schedule, as a share of the first; 1 keeps it
            constant.
        average: decay of the exponential moving average of the weights. A trained run uses the averaged weights.
            0 for none.
        precision: number format of the forward pass; "auto" is bfloat16 on CUDA and float32 elsewhere.
        compile: compile the networks with `torch.compile` at the start, which takes minutes. See docs/scaling.md.
        sample_every: smallest number of epochs between two validations, each of which also draws a sample grid and
            saves a checkpoint. A run has at most twelve, see `training.run.VALIDATIONS`.
    """

    epochs: Count = 200
    least_steps: Count = 1
    steps: Annotated[int, Range(minimum=0, maximum=MOST)] = 0
    batch_size: Annotated[int, Range(minimum=2, maximum=MOST)] = 64
    wrong_pairs: Literal["class", "pose"] = "class"
    generator: OptimizerConfig = field(default_factory=OptimizerConfig)
    discriminator: OptimizerConfig = field(default_factory=OptimizerConfig)
    generator_updates: Count = 1
    final_learning_rate: Annotated[float, Range(above=0, maximum=1)] = 1.0
    average: Annotated[float, Range(minimum=0, maximum=0.99999)] = 0.0
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    compile: bool = False
    sample_every: Count = 1


@dataclass(frozen=True)
class Config:
    """A whole run.

    Attributes:
        preset: name of the preset that the configuration started from.
        method: name in `methods.METHODS`.
        seed: seed of the initial weights, the order of the pairs, the wrong pairs and the latents.
        judge: preset of the classifiers that judge this run and that complete a missing modality.
        network: architecture and sizes.
        options: the method's own settings; the method checks them.
        loss_weights: weight of each loss term, by the term's name. A term that is not named has weight 0.
        train: optimizers and schedule.
    """

    preset: str = ""
    method: str = "cmcgan"
    seed: Seed = 0
    judge: str = "judge"
    network: NetworkConfig = field(default_factory=NetworkConfig)
    options: dict[str, Any] = field(default_factory=dict)
    loss_weights: dict[str, float] = field(default_factory=dict)
    train: TrainConfig = field(default_factory=TrainConfig)

    def to_dict(self) -> dict[str, Any]:
        """Return nested dictionaries of plain values, as TOML and JSON take them."""
        return asdict(self)


def shipped(folder: str) -> list[str]:
    """Return the names of the TOML files that ship in a folder of this package."""
    return sorted(p.name.removesuffix(".toml") for p in files("cmcgan_core").joinpath(folder).iterdir())


def preset_names() -> list[str]:
    """Return the names of the presets that ship with cmcgan."""
    return shipped("presets")


def recommended_presets() -> list[str]:
    """Return the names of the presets that a user trains: all but those of judges and of tests."""
    return [name for name in preset_names() if not name.startswith(("judge", "tiny"))]


def load_config(preset: str, file: Path | None = None, settings: Iterable[str] = ()) -> Config:
    """Load a preset, then apply a TOML file, then apply `a.b=c` settings.

    A change of `train.epochs` resets `train.least_steps`, unless it sets that too or a later setting does.

    Raises:
        ConfigError: the preset is unknown, the file cannot be read, or the configuration is not valid. The message
            lists every fault.
    """
    table = _read_preset(preset)
    changes = [] if file is None else [read_toml(file)]
    for change in [*changes, *map(_parse_setting, settings)]:
        if change.get("method", table["method"]) != table["method"]:
            # Options and loss weights belong to one method and have no meaning for another one.
            table = {key: value for key, value in table.items() if key not in ("options", "loss_weights")}
        if isinstance(change.get("train"), dict) and "epochs" in change["train"]:
            table = merge(table, {"train": {"least_steps": 1}})
        table = merge(table, change)
    return build(Config, table, what=str(file or f"preset {preset}"))


def _read_preset(name: str) -> dict[str, Any]:
    resource = files("cmcgan_core").joinpath("presets", f"{name}.toml")
    if name not in preset_names():
        raise ConfigError(
            f"no preset is called {name!r}{did_you_mean(name, preset_names())} "
            f"(known: {', '.join(recommended_presets())})"
        )
    table = tomllib.loads(resource.read_text(encoding="utf-8"))
    if "base" in table:
        table = merge(_read_preset(table.pop("base")), table)
    return {**table, "preset": name}


def _parse_setting(setting: str) -> dict[str, Any]:
    """Parse `a.b=c` into nested tables; c is TOML, or a bare string."""
    path, equals, text = setting.partition("=")
    keys = path.strip().split(".")
    if not equals or not all(keys):
        raise ConfigError(f"--set {setting!r} is not of the form name=value (for example train.epochs=10)")
    try:
        value = tomllib.loads(f"value = {text}")["value"]
        require_plain(value)
    except tomllib.TOMLDecodeError:
        value = text
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"--set {path.strip()}: the value is not possible: {error}") from error
    if len(keys) > DEEPEST:
        raise ConfigError(f"--set {path.strip()[:40]}...: settings are not nested so deeply")
    table: dict[str, Any] = {keys[-1]: value}
    for key in reversed(keys[:-1]):
        table = {key: table}
    return table
