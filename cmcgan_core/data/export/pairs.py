"""Read the pairs of a prepared dataset for an export, and encode them."""

import io
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from cmcgan_core.data.index import Pair
from cmcgan_core.data.prepare.parts import checksum
from cmcgan_core.errors import DataError
from cmcgan_core.utils.batches import in_batches

if TYPE_CHECKING:
    from cmcgan_core.data.dataset import PreparedDataset

#: The number of pairs that are read together.
BATCH = 32
#: zlib's level of PNG files. Level 6, the usual one, takes twice the time for files that are 7 % smaller.
PNG_LEVEL = 3


class ShardTask(NamedTuple):
    """One file of an export: consecutive pairs of a split."""

    root: Path  #: the folder of the prepared dataset
    identity: str  #: see `ExportedDataset.identity`
    split: str  #: the name of the split
    first: int  #: the position of the first pair in the split
    pairs: int  #: the number of pairs


class ExportedPair(NamedTuple):
    """A pair for an export."""

    key: str  #: the position in the index of the dataset, eight digits
    about: dict[str, Any]  #: the columns of the index, and `class`, the class index
    png: bytes  #: the picture (S, S, 3)
    spectrogram: NDArray[np.float16]  #: (M, T)


def read_pairs(task: ShardTask) -> Iterator[ExportedPair]:
    """Yield the pairs of a file of an export. Memory does not grow with their number.

    Raises:
        DataError: the dataset is damaged.
    """
    dataset = _open_once(task.root, task.identity)
    rows = dataset.split(task.split).rows[task.first : task.first + task.pairs]
    for batch in in_batches(rows, BATCH):
        for row, picture, spectrogram in zip(batch, *dataset.read(batch), strict=True):
            pair = dataset.pairs[int(row)]
            _require_unchanged(task.root, pair, picture, spectrogram)
            about = {**pair._asdict(), "class": dataset.classes.index(pair.label)}
            yield ExportedPair(f"{int(row):08d}", about, _encode_png(picture), spectrogram)


@lru_cache(maxsize=1)
def _open_once(root: Path, identity: str) -> "PreparedDataset":
    """Open a dataset, once in each process; `identity` changes with the dataset, which is then opened again."""
    # Imported here, so that only the processes that read pairs import torch.
    from cmcgan_core.data.dataset import open_dataset

    return open_dataset(root)


def _require_unchanged(root: Path, pair: Pair, picture: NDArray[np.uint8], spectrogram: NDArray[np.float16]) -> None:
    """Raise a `DataError` if a pair differs from its checksum. A dataset that others wrote may have none."""
    if pair.checksum and checksum(picture, spectrogram) != pair.checksum:
        raise DataError(f"pair {pair.id} of {root} differs from its checksum; see: cmcgan prepare --check {root}")


def _encode_png(picture: NDArray[np.uint8]) -> bytes:
    """Return a picture as a PNG file."""
    from PIL import Image

    content = io.BytesIO()
    Image.fromarray(picture).save(content, format="PNG", compress_level=PNG_LEVEL)
    return content.getvalue()
