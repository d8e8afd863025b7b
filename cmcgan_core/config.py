"""Configuration: small, typed, frozen, strict; a preset, then a file, then `--set a.b=c`; all faults told at once.

A configuration is TOML. Presets ship inside the package (`cmcgan_core/presets/*.toml`). What is not in the file has the
default written here, and what is not written here is a fault, with the nearest name that is.
"""

import tomllib
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, Literal

from cmcgan_core.errors import ConfigError
from cmcgan_core.utils.schema import Count, Positive, Range, Seed, Share, build, did_you_mean, merge
from cmcgan_core.utils.toml import read_toml


@dataclass(frozen=True)
class NetworkConfig:
    """Sizes of the networks.

    Attributes:
        encoder: name in `networks.ENCODERS`.
        width: factor on every channel count of the paper's layers; the 64 channels of the code stay.
        picture_size: side of the pictures that the networks see and make, pixels (paper: 128, the most that seven
            halvings take to one).
        bins: bands that the networks see and make (paper: 128).
        frames: frames that the networks see and make (paper: 32, resized from 44).
        latent: size of the Gaussian latent vector z (paper: 100); 0 for none (its NLCMCGAN).
        layers: of encoders and decoders (paper: 7; its Figure 4 compares 5, 6 and 7); of CMAV's sound encoder (3, 4).
        upsampling: how decoders double a map: by "deconvolution" (paper), or "resize" and convolve, three by three.
    """

    encoder: str = "conv"
    width: Positive = 1.0
    picture_size: Annotated[int, Range(minimum=16, maximum=128)] = 128
    bins: Annotated[int, Range(minimum=8, maximum=128)] = 128
    frames: Annotated[int, Range(minimum=8, maximum=128)] = 32
    latent: Annotated[int, Range(minimum=0)] = 100
    layers: Annotated[int, Range(minimum=3, maximum=7)] = 7
    upsampling: Literal["deconvolution", "resize"] = "deconvolution"

    @property
    def spectrogram_size(self) -> tuple[int, int]:
        """(bands, frames) of the spectrograms that the networks see and make."""
        return self.bins, self.frames


@dataclass(frozen=True)
class OptimizerConfig:
    """One optimizer; `momentum` is SGD's, or Adam's first beta."""

    name: Literal["adam", "sgd"] = "adam"
    learning_rate: Positive = 1e-3
    momentum: Share = 0.9


@dataclass(frozen=True)
class TrainConfig:
    """How long and how fast to train.

    Attributes:
        epochs: passes over the training pairs.
        least_steps: updates below which a small dataset gets more epochs.
        steps: updates to do, whatever `epochs` and `least_steps` say, as for a budget; 0 leaves it to them.
        batch_size: pairs a step.
        wrong_pairs: what makes a pair wrong for a discriminator: that its sound and its picture are of another "class"
            (CMCGAN; CMAV's instrument-oriented setting), or of another "pose" in the same class: of another recording,
            or of another time (CMAV's pose-oriented setting); see `data.wrong`.
        rng: optimizer of what generates (of the whole network, where nothing is adversarial).
        discriminator: optimizer of the discriminator.
        generator_updates: K of Algorithm 1.
        final_learning_rate: share of the learning rates that a cosine leaves at the end; 1 keeps them constant.
        average: decay of the exponential moving average of the weights that a trained run is used with; 0 for none.
        precision: of the forward pass; "auto" is bfloat16 on CUDA and float32 elsewhere.
        channels_last: lay out maps with the channels last, which is faster with five-by-five kernels.
        sample_every: epochs between two sample grids and checkpoints.
    """

    epochs: Count = 200
    least_steps: Count = 1
    steps: Annotated[int, Range(minimum=0)] = 0
    batch_size: Annotated[int, Range(minimum=2)] = 64
    wrong_pairs: Literal["class", "pose"] = "class"
    generator: OptimizerConfig = field(default_factory=OptimizerConfig)
    discriminator: OptimizerConfig = field(default_factory=OptimizerConfig)
    generator_updates: Count = 1
    final_learning_rate: Annotated[float, Range(above=0, maximum=1)] = 1.0
    average: Annotated[float, Range(minimum=0, maximum=0.99999)] = 0.0
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    channels_last: bool = True
    sample_every: Count = 1


@dataclass(frozen=True)
class Config:
    """A whole run.

    Attributes:
        preset: the preset that it began with, for the record.
        method: name in `methods.METHODS`.
        seed: of the initial weights, the order of pairs, wrong pairs and latents.
        judge: preset of the classifiers that judge this run and complete a missing modality.
        network: sizes.
        options: the method's own settings; the method checks them.
        loss_weights: factor of each of the method's losses, under the loss's name; all must be there.
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
        """Nested dictionaries of plain values, as TOML and JSON take them."""
        return asdict(self)


def shipped(folder: str) -> list[str]:
    """Names of the TOML files that ship in a folder of this package."""
    return sorted(p.name.removesuffix(".toml") for p in files("cmcgan_core").joinpath(folder).iterdir())


def preset_names() -> list[str]:
    """Presets that ship with cmcgan."""
    return shipped("presets")


def load_config(preset: str, file: Path | None = None, settings: Iterable[str] = ()) -> Config:
    """A preset, changed by a TOML file, changed by `a.b=c` settings.

    Raises:
        ConfigError: unknown preset, unreadable file, or a configuration that is not valid; lists every fault.
    """
    table = _read_preset(preset)
    changes = [] if file is None else [read_toml(file)]
    for change in [*changes, *map(_parse_setting, settings)]:
        if change.get("method", table["method"]) != table["method"]:
            # Options and losses are the method's own; those of another one mean nothing to it.
            table = {key: value for key, value in table.items() if key not in ("options", "loss_weights")}
        table = merge(table, change)
    return build(Config, table, what=str(file or f"preset {preset}"))


def _read_preset(name: str) -> dict[str, Any]:
    resource = files("cmcgan_core").joinpath("presets", f"{name}.toml")
    if name not in preset_names():
        raise ConfigError(
            f"no preset is called {name!r}{did_you_mean(name, preset_names())} (known: {', '.join(preset_names())})"
        )
    table = tomllib.loads(resource.read_text(encoding="utf-8"))
    if "base" in table:
        table = merge(_read_preset(table.pop("base")), table)
    return {**table, "preset": name}


def _parse_setting(setting: str) -> dict[str, Any]:
    """`a.b=c` as nested tables; c is TOML, or a bare string."""
    path, equals, text = setting.partition("=")
    keys = path.strip().split(".")
    if not equals or not all(keys):
        raise ConfigError(f"--set {setting!r} is not of the form name=value (for example train.epochs=10)")
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        value = text
    for key in reversed(keys):
        value = {key: value}
    return value  # type: ignore[no-any-return]
