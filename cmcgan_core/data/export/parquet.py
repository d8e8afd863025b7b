"""Write Parquet files in the layout that `datasets.load_dataset` of Hugging Face reads, with a dataset card.

Source: https://huggingface.co/docs/datasets; the layout is the one that `Dataset.push_to_hub` writes.
"""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from cmcgan_core.data.export.card import quote, split_name, write_card
from cmcgan_core.data.export.pairs import ExportedPair, ShardTask, read_pairs
from cmcgan_core.data.exported import ExportedDataset, ExportedShard
from cmcgan_core.data.index import read_about
from cmcgan_core.errors import ConfigError
from cmcgan_core.features.settings import FeatureSettings
from cmcgan_core.utils.batches import in_batches
from cmcgan_core.utils.files import atomic_write
from cmcgan_core.utils.schema import build

#: The number of pairs of a row group, which readers load together.
ROW_GROUP = 128
#: The columns besides `image`, `spectrogram` and `label`, with their types.
COLUMNS = {
    "id": "string",
    "recording": "string",
    "player": "string",
    "start": "float64",
    "sound_file": "string",
    "picture_file": "string",
    "checksum": "string",
}


def require_packages() -> None:
    """Check that PyArrow is installed.

    Raises:
        ConfigError: it is not.
    """
    try:
        import pyarrow  # noqa: F401
    except ImportError as error:
        raise ConfigError("--to hf needs PyArrow; install it with: pip install 'cmcgan[hf]'") from error


def shard_name(split: str, number: int, count: int) -> str:
    """Return the file of a shard in the folder of the export; `number` counts from 0 to `count` - 1."""
    return f"data/{split_name(split)}-{number:05d}-of-{count:05d}.parquet"


def write_shard(out: Path, task: ShardTask) -> None:
    """Write a shard. The same pairs and the same version of PyArrow give the same bytes.

    Raises:
        DataError: the dataset is damaged.
        OSError: the shard cannot be written.
    """
    import pyarrow.parquet

    about = read_about(task.root)
    settings = build(FeatureSettings, about["features"], "[features]")
    schema = _schema(about["classes"], (settings.bins, settings.frames))
    with atomic_write(out) as temporary, pyarrow.parquet.ParquetWriter(temporary, schema) as writer:
        for pairs in in_batches(read_pairs(task), ROW_GROUP):
            writer.write_table(_table(pairs, schema))


def finish(out: Path, exported: ExportedDataset) -> None:
    """Write the dataset card, whose header says which columns the dataset has."""
    settings = exported.features
    side, bins, frames = settings.picture_size, settings.bins, settings.frames
    contents = f"""```python
from datasets import load_dataset

dataset = load_dataset("FOLDER OR NAME", split="train").with_format("numpy")
dataset[0]["image"], dataset[0]["spectrogram"], dataset[0]["label"]
```

- `image`: the picture, RGB, {side} x {side} pixels.
- `spectrogram`: the sound, {bins} x {frames} values of 16 bits, lowest frequency first.
- `label`: the class."""
    patterns = {split: f"data/{split_name(split)}-*" for split in exported.splits}
    write_card(out, exported, patterns, _info(out, exported), contents)


def _schema(classes: list[str], shape: tuple[int, int]) -> Any:
    """Return the Arrow schema of a shard. Its metadata tell `datasets` what pictures and classes are.

    Args:
        classes: the names of the classes.
        shape: the shape of a spectrogram.
    """
    import pyarrow as pa

    types = {"string": pa.string(), "float64": pa.float64()}
    features = {
        "image": {"_type": "Image"},
        "spectrogram": {"_type": "Array2D", "shape": list(shape), "dtype": "float16"},
        "label": {"_type": "ClassLabel", "names": classes},
        **{name: {"_type": "Value", "dtype": dtype} for name, dtype in COLUMNS.items()},
    }
    return pa.schema(
        [
            ("image", pa.struct([("bytes", pa.binary()), ("path", pa.string())])),
            ("spectrogram", pa.list_(pa.list_(pa.float16()))),
            ("label", pa.int64()),
            *((name, types[dtype]) for name, dtype in COLUMNS.items()),
        ],
        metadata={"huggingface": json.dumps({"info": {"features": features}})},
    )


def _table(pairs: list[ExportedPair], schema: Any) -> Any:
    """Return some pairs as an Arrow table."""
    import pyarrow as pa

    spectrograms = np.stack([pair.spectrogram for pair in pairs])
    count, rows, frames = spectrograms.shape
    row_starts = np.arange(count * rows + 1, dtype=np.int32) * frames
    spectrogram_starts = np.arange(count + 1, dtype=np.int32) * rows
    values = pa.ListArray.from_arrays(row_starts, pa.array(spectrograms.reshape(-1)))
    columns = {
        "image": pa.array(
            [{"bytes": pair.png, "path": f"{pair.key}.png"} for pair in pairs], schema.field("image").type
        ),
        "spectrogram": pa.ListArray.from_arrays(spectrogram_starts, values),
        "label": pa.array([pair.about["class"] for pair in pairs], pa.int64()),
        **{name: pa.array([pair.about[name] for pair in pairs], schema.field(name).type) for name in COLUMNS},
    }
    return pa.table(columns, schema=schema)


def _info(out: Path, exported: ExportedDataset) -> list[str]:
    """Return the lines of the card's header about columns and splits, in YAML."""
    settings = exported.features
    lines = [
        "dataset_info:\n  features:",
        "  - name: image\n    dtype: image",
        "  - name: spectrogram\n    dtype:\n      array2_d:",
        f"        shape: [{settings.bins}, {settings.frames}]\n        dtype: float16",
        "  - name: label\n    dtype:\n      class_label:\n        names:",
        *(f"          {quote(str(i))}: {quote(name)}" for i, name in enumerate(exported.classes)),
        *(f"  - name: {name}\n    dtype: {dtype}" for name, dtype in COLUMNS.items()),
        "  splits:",
    ]
    for split, shards in exported.splits.items():
        lines += [f"  - name: {quote(split_name(split))}", f"    num_bytes: {_uncompressed(out, shards)}"]
        lines += [f"    num_examples: {sum(shard.pairs for shard in shards)}"]
    return lines


def _uncompressed(out: Path, shards: Iterable[ExportedShard]) -> int:
    """Return the uncompressed size of some shards in bytes."""
    import pyarrow.parquet

    size = 0
    for shard in shards:
        metadata = pyarrow.parquet.read_metadata(out / shard.file)
        size += sum(metadata.row_group(i).total_byte_size for i in range(metadata.num_row_groups))
    return size
