"""Sounds and pictures as a Python user has them: a file, a numpy array, a tensor, an image of Pillow."""

from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, Union

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from cmcgan_core.errors import MediaError
from cmcgan_core.features.settings import FeatureSettings
from cmcgan_core.inference.windows import Windows, open_windows
from cmcgan_core.media import ffmpeg
from cmcgan_core.media.files import fit_picture, read_picture

if TYPE_CHECKING:
    from PIL.Image import Image

#: A file, or floats in [-1, 1] of one channel (L,) or several (channels, L), whose sample rate must be given.
Sound: TypeAlias = str | Path | NDArray[Any] | Tensor
#: A file, an image, an array (H, W, 3) or a tensor (3, H, W); of uint8, or floats in [0, 1].
Picture: TypeAlias = Union[str, Path, "Image", NDArray[Any], Tensor]
#: More channels than this are taken for samples: the array lies the other way round.
CHANNELS = 32


def to_windows(sound: Sound, sample_rate: int | None, settings: FeatureSettings) -> Windows:
    """A sound, of which half seconds can be asked for; several channels are mixed, as `read_sound` does.

    Args:
        sound: see `Sound`.
        sample_rate: Hz, of an array or a tensor; a file has its own.
        settings: rate of the result, and length of a half second.

    Raises:
        MediaError: a file cannot be read; or the values are no sound, or have no sample rate.
    """
    if isinstance(sound, str | Path):
        if sample_rate is not None:
            raise MediaError(f"{sound}: a file has a sample rate of its own; leave out sample_rate")
        return open_windows(Path(sound), settings)
    waveform = _mono(sound)
    if sample_rate is None or sample_rate <= 0:
        raise MediaError("the sample rate of the sound is missing; give it as sample_rate=44_100, say")
    return Windows(ffmpeg.resample([(waveform, sample_rate)], settings.sample_rate), settings)


def to_picture(picture: Picture, size: int) -> NDArray[np.uint8]:
    """A picture (size, size, 3), as `read_picture` would read it from a file; free to be changed.

    Raises:
        MediaError: a file cannot be read, or the values are no picture.
    """
    from PIL import Image

    if isinstance(picture, str | Path):
        return read_picture(Path(picture), size).copy()
    image = picture if isinstance(picture, Image.Image) else Image.fromarray(_pixels(picture))
    return fit_picture(image, size).copy()


def _mono(sound: NDArray[Any] | Tensor) -> NDArray[np.float32]:
    values = _numpy(sound)
    if not np.issubdtype(values.dtype, np.floating):
        raise MediaError(f"a sound is of floats in [-1, 1], not of {values.dtype}; divide it by its largest value")
    if values.ndim not in (1, 2) or not values.size or (values.ndim == 2 and len(values) > CHANNELS):
        raise MediaError(f"a sound is (L,) or (channels, L), not {values.shape}")
    if not np.isfinite(values).all():
        raise MediaError("the sound holds samples that are not numbers (NaN or infinite)")
    waveform: NDArray[np.float32] = np.atleast_2d(values).mean(axis=0, dtype=np.float32)
    return waveform


def _pixels(picture: NDArray[Any] | Tensor) -> NDArray[np.uint8]:
    """Pixels (H, W, 3)."""
    values = _numpy(picture)
    if values.ndim == 3 and isinstance(picture, Tensor):
        values = values.transpose(1, 2, 0)
    if values.ndim != 3 or values.shape[2] != 3 or not values.size:
        raise MediaError(f"a picture is an array (H, W, 3) or a tensor (3, H, W), not {tuple(picture.shape)}")
    if np.issubdtype(values.dtype, np.floating):
        if not (values.min() >= 0 and values.max() <= 1):
            raise MediaError("the floats of a picture lie in [0, 1]; these do not")
        values = (values * 255).round().astype(np.uint8)
    if values.dtype != np.uint8:
        raise MediaError(f"a picture is of uint8, or of floats in [0, 1], not of {values.dtype}")
    return np.ascontiguousarray(values)


def _numpy(values: NDArray[Any] | Tensor) -> NDArray[Any]:
    return values.detach().cpu().numpy() if isinstance(values, Tensor) else np.asarray(values)
