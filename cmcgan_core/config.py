"""Configuration: small, typed, frozen, strict; a preset, then a file, then `--set a.b=c`; all faults told at once.

A configuration is TOML. Presets ship inside the package (`cmcgan_core/presets/*.toml`). What is not in the file has the
default written here, and what is not written here is a fault, with the nearest name that is.
"""

import difflib
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import MISSING, asdict, dataclass, field, fields, is_dataclass
from importlib.resources import files
from math import isfinite
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, TypeVar, get_args, get_origin, get_type_hints

from cmcgan_core.errors import ConfigError

C = TypeVar("C")


@dataclass(frozen=True)
class Range:
    """Bounds of a number: `minimum` and `maximum` belong to it, `above` does not."""

    minimum: float | None = None
    maximum: float | None = None
    above: float | None = None

    def fault(self, value: float) -> str | None:
        """Why the value is outside, or None."""
        if self.above is not None and not value > self.above:
            return f"should be greater than {self.above:g}"
        if self.minimum is not None and not value >= self.minimum:
            return f"should be at least {self.minimum:g}"
        if self.maximum is not None and not value <= self.maximum:
            return f"should be at most {self.maximum:g}"
        return None


Positive = Annotated[float, Range(above=0)]
Count = Annotated[int, Range(minimum=1)]
Share = Annotated[float, Range(minimum=0, maximum=1)]
Seed = Annotated[int, Range(minimum=0, maximum=2**31 - 1)]


@dataclass(frozen=True)
class NetworkConfig:
    """Sizes of the networks.

    Attributes:
        encoder: name in `networks.ENCODERS`.
        width: factor on every channel count of the paper's layers; the 64 channels of the code stay.
        picture_size: side of the pictures that the networks see and make, pixels (paper: 128, the most that seven
            halvings take to one).
        lms_bands: bands that the networks see and make (paper: 128).
        lms_frames: frames that the networks see and make (paper: 32, resized from 44).
        latent: size of the Gaussian latent vector z (paper: 100); 0 for none (its NLCMCGAN).
        layers: of encoders and decoders (paper: 7; its Figure 4 compares 5, 6 and 7); of CMAV's sound encoder (3, 4).
        upsampling: how decoders double a map: by "deconvolution" (paper), or "resize" and convolve, three by three.
    """

    encoder: str = "conv"
    width: Positive = 1.0
    picture_size: Annotated[int, Range(minimum=16, maximum=128)] = 128
    lms_bands: Annotated[int, Range(minimum=8, maximum=128)] = 128
    lms_frames: Annotated[int, Range(minimum=8, maximum=128)] = 32
    latent: Annotated[int, Range(minimum=0)] = 100
    layers: Annotated[int, Range(minimum=3, maximum=7)] = 7
    upsampling: Literal["deconvolution", "resize"] = "deconvolution"

    @property
    def lms_size(self) -> tuple[int, int]:
        """(bands, frames) of the spectrograms that the networks see and make."""
        return self.lms_bands, self.lms_frames


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
        generator: optimizer of what generates (of the whole network, where nothing is adversarial).
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


def build(cls: type[C], table: Mapping[str, Any], what: str) -> C:
    """A dataclass from nested tables.

    Raises:
        ConfigError: lists every fault: names that do not exist, types and ranges that do not fit.
    """
    faults: list[str] = []
    built = _build(cls, table, "", faults)
    if faults:
        raise ConfigError(f"{what} is not a valid configuration:\n" + "\n".join(f"  {f}" for f in faults))
    return built  # type: ignore[no-any-return]


def merge(base: Mapping[str, Any], change: Mapping[str, Any]) -> dict[str, Any]:
    """`base` with the values of `change`, table by table."""
    merged = dict(base)
    for key, value in change.items():
        if isinstance(value, Mapping) and isinstance(merged.get(key), Mapping):
            merged[key] = merge(merged[key], value)
        else:
            merged[key] = value
    return merged


def read_toml(file: Path) -> dict[str, Any]:
    """A TOML file as nested dictionaries.

    Raises:
        ConfigError: it cannot be read or is not TOML.
    """
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{file} cannot be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{file} is not TOML: {error}") from error


def _read_preset(name: str) -> dict[str, Any]:
    resource = files("cmcgan_core").joinpath("presets", f"{name}.toml")
    if name not in preset_names():
        raise ConfigError(f"no preset is called {name!r}{did_you_mean(name, preset_names())} "
                          f"(known: {', '.join(preset_names())})")  # fmt: skip
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


def _build(cls: Any, table: Mapping[str, Any], path: str, faults: list[str]) -> Any:
    hints = get_type_hints(cls, include_extras=True)
    known = {f.name for f in fields(cls)}
    for name in table.keys() - known:
        faults.append(f"{path}{name}: there is no such setting{did_you_mean(name, known)}")
    values = {}
    for f in fields(cls):
        if f.name in table:
            values[f.name] = _convert(hints[f.name], table[f.name], f"{path}{f.name}", faults)
        elif f.default is MISSING and f.default_factory is MISSING:
            faults.append(f"{path}{f.name}: is missing")
    return cls(**values) if not faults else None


def _convert(hint: Any, value: Any, path: str, faults: list[str]) -> Any:  # noqa: PLR0911 - a case a kind of hint
    """The value as the type hint wants it; appends to `faults` where it does not fit."""
    if is_dataclass(hint):
        return _build(hint, value, f"{path}.", faults) if _is(Mapping, value, path, "a table", faults) else None
    origin = get_origin(hint)
    if origin is Annotated:
        return _convert_number(hint, value, path, faults)
    if origin is UnionType:
        (kind,) = (one for one in get_args(hint) if one is not NoneType)
        return None if value is None else _convert(kind, value, path, faults)
    if origin is Literal:
        if value not in get_args(hint):
            faults.append(f"{path}: should be one of {', '.join(map(repr, get_args(hint)))}, not {value!r}")
        return value
    if origin in (tuple, list) and _is((list, tuple), value, path, "a list", faults):
        return origin(_convert(get_args(hint)[0], v, f"{path}[{i}]", faults) for i, v in enumerate(value))
    if origin is dict and _is(Mapping, value, path, "a table", faults):
        return {k: _convert(get_args(hint)[1], v, f"{path}.{k}", faults) for k, v in value.items()}
    if origin in (tuple, list, dict) or hint is Any:
        return value
    return _convert_scalar(hint, value, path, faults)


def _convert_number(hint: Any, value: Any, path: str, faults: list[str]) -> Any:
    kind, bounds = get_args(hint)
    before = len(faults)
    number = _convert_scalar(kind, value, path, faults)
    if len(faults) == before and (fault := bounds.fault(number)):
        faults.append(f"{path}: {fault}, not {value!r}")
    return number


def _convert_scalar(kind: type, value: Any, path: str, faults: list[str]) -> Any:
    names = {int: "a whole number", float: "a number", bool: "true or false", str: "a text"}
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if kind is float and isinstance(value, float) and not isfinite(value):
        faults.append(f"{path}: should be finite, not {value}")
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        faults.append(f"{path}: should be {names[kind]}, not {value!r}")
    return value


def _is(kind: Any, value: Any, path: str, name: str, faults: list[str]) -> bool:
    if not isinstance(value, kind):
        faults.append(f"{path}: should be {name}, not {value!r}")
        return False
    return True


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """A question to end an error with, where a known name resembles the given one."""
    close = difflib.get_close_matches(name, list(known), n=1)
    return f" (did you mean {close[0]}?)" if close else ""
