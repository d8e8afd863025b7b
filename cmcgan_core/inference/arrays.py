"""Convert sounds and pictures of Python users: files, numpy arrays, tensors and Pillow images."""

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

#: A file, or floats in [-1, 1] of one channel (L,) or several channels (channels, L), with a separate sample rate.
Sound: TypeAlias = str | Path | NDArray[Any] | Tensor
#: A file, an image, an array (H, W, 3) or a tensor (3, H, W); values are uint8, or floats in [0, 1].
Picture: TypeAlias = Union[str, Path, "Image", NDArray[Any], Tensor]
#: An array with more rows than this is refused: its axes are probably swapped.
MAX_CHANNELS = 32


def to_windows(sound: Sound, sample_rate: int | None, settings: FeatureSettings) -> Windows:
    """Return the half seconds of a sound. Several channels are mixed to one, as `read_sound` does.

    Args:
        sound: see `Sound`.
        sample_rate: sample rate of an array or a tensor in Hz. None for a file, which has its own.
        settings: the sample rate of the result, and the length of a half second.

    Raises:
        MediaError: a file cannot be read, the values are not a sound, or their sample rate is missing.
    """
    if isinstance(sound, str | Path):
        if sample_rate is not None:
            raise MediaError(f"{sound}: a file has a sample rate of its own; leave out sample_rate")
        return open_windows(Path(sound), settings)
    waveform = _mix_to_mono(sound)
    if sample_rate is None or sample_rate <= 0:
        raise MediaError("the sample rate of the sound is missing; pass it, for example sample_rate=44_100")
    return Windows(ffmpeg.resample([(waveform, sample_rate)], settings.sample_rate), settings)


def to_picture(picture: Picture, size: int) -> NDArray[np.uint8]:
    """Return a picture (size, size, 3), as `read_picture` reads it from a file. It is a copy, so it may be changed.

    Raises:
        MediaError: a file cannot be read, or the values are not a picture.
    """
    from PIL import Image

    if isinstance(picture, str | Path):
        return read_picture(Path(picture), size).copy()
    image = picture if isinstance(picture, Image.Image) else Image.fromarray(_to_pixels(picture))
    return fit_picture(image, size).copy()


def _mix_to_mono(sound: NDArray[Any] | Tensor) -> NDArray[np.float32]:
    """Return the mean of the channels (L,).

    Raises:
        MediaError: the values are not floats, not finite, or have the wrong shape.
    """
    values = _to_numpy(sound)
    if not np.issubdtype(values.dtype, np.floating):
        raise MediaError(
            f"a sound consists of floats in [-1, 1], not of {values.dtype}; scale it to floats in this range"
        )
    if values.ndim not in (1, 2) or not values.size or (values.ndim == 2 and len(values) > MAX_CHANNELS):
        raise MediaError(f"a sound has the shape (L,) or (channels, L), not {values.shape}")
    if not np.isfinite(values).all():
        raise MediaError("the sound contains samples that are not numbers (NaN or infinite)")
    waveform: NDArray[np.float32] = np.atleast_2d(values).mean(axis=0, dtype=np.float32)
    return waveform


def _to_pixels(picture: NDArray[Any] | Tensor) -> NDArray[np.uint8]:
    """Return the pixels (H, W, 3) of an array or a tensor.

    Raises:
        MediaError: the values have the wrong type, range or shape.
    """
    values = _to_numpy(picture)
    if values.ndim == 3 and isinstance(picture, Tensor):
        values = values.transpose(1, 2, 0)
    if values.ndim != 3 or values.shape[2] != 3 or not values.size:
        raise MediaError(f"a picture is an array (H, W, 3) or a tensor (3, H, W), not {tuple(picture.shape)}")
    if np.issubdtype(values.dtype, np.floating):
        if not (values.min() >= 0 and values.max() <= 1):
            raise MediaError("the floats of a picture lie in [0, 1]; these do not")
        values = (values * 255).round().astype(np.uint8)
    if values.dtype != np.uint8:
        raise MediaError(f"a picture consists of uint8, or of floats in [0, 1], not of {values.dtype}")
    return np.ascontiguousarray(values)


def _to_numpy(values: NDArray[Any] | Tensor) -> NDArray[Any]:
    return values.detach().cpu().numpy() if isinstance(values, Tensor) else np.asarray(values)
