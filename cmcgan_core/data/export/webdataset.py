"""Write WebDataset shards: tar files in which the files of a pair have the same name except for the suffix.

Source: the format's description at https://github.com/webdataset/webdataset; the index is that of its library wids.
"""

import io
import json
import tarfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from cmcgan_core.data.export.card import write_card
from cmcgan_core.data.export.pairs import ShardTask, read_pairs
from cmcgan_core.data.exported import ExportedDataset, ExportedShard
from cmcgan_core.utils.files import atomic_write, write_text

#: The end of the name of the index of a split for the library wids.
INDEX_SUFFIX = ".wids.json"


def require_packages() -> None:
    """Nothing but Python's own tarfile is needed."""


def shard_name(split: str, number: int, count: int) -> str:
    """Return the file of a shard in the folder of the export; `number` counts from 0 to `count` - 1."""
    return f"{split}-{number:06d}.tar"


def write_shard(out: Path, task: ShardTask) -> None:
    """Write a shard. The same pairs give the same bytes.

    Raises:
        DataError: the dataset is damaged.
        OSError: the shard cannot be written.
    """
    with atomic_write(out) as temporary, tarfile.open(temporary, "w", format=tarfile.USTAR_FORMAT) as tar:
        for pair in read_pairs(task):
            spectrogram = io.BytesIO()
            np.save(spectrogram, pair.spectrogram)
            about = json.dumps(pair.about, ensure_ascii=False).encode()
            for suffix, content in (("png", pair.png), ("npy", spectrogram.getvalue()), ("json", about)):
                # A new TarInfo has no owner, and the time 0.
                member = tarfile.TarInfo(f"{pair.key}.{suffix}")
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))
            tar.members = []  # type: ignore[attr-defined]  # else the memory would grow with the number of pairs


def finish(out: Path, exported: ExportedDataset) -> None:
    """Write a dataset card, and an index for each split, with which the library wids reads pairs in any order."""
    for split, shards in exported.splits.items():
        write_text(
            out / f"{split}{INDEX_SUFFIX}", json.dumps(_index(split, shards), indent=1, ensure_ascii=False) + "\n"
        )
    settings = exported.features
    side, bins, frames = settings.picture_size, settings.bins, settings.frames
    contents = f"""Each pair has three files:

- `KEY.png`: the picture, RGB, {side} x {side} pixels.
- `KEY.npy`: the spectrogram of the sound, {bins} x {frames} values of 16 bits, lowest frequency first.
- `KEY.json`: an object with these values.

- `label`, `class`: the class and its number. `split`: the split."""
    # A star would also match the shards of a split whose name begins like this one's: new-*.tar those of new-rooms.
    patterns = {split: f"{split}-{'[0-9]' * 6}.tar" for split in exported.splits}
    write_card(out, exported, patterns, [], contents)


def _index(split: str, shards: Sequence[ExportedShard]) -> dict[str, object]:
    """Return the index of a split."""
    return {
        "__kind__": "wids-shard-index-v1",
        "wids_version": 1,
        "name": split,
        "shardlist": [{"url": shard.file, "nsamples": shard.pairs, "filesize": shard.bytes} for shard in shards],
    }
