"""The dataset card of an export, `README.md`. Its header tells Hugging Face's `datasets` which files belong to a split.

Source: https://huggingface.co/docs/hub/datasets-cards.
"""

import json
import re
from dataclasses import asdict
from pathlib import Path

from cmcgan_core.data.exported import ExportedDataset
from cmcgan_core.utils.files import write_text


def write_card(out: Path, exported: ExportedDataset, patterns: dict[str, str], info: list[str], contents: str) -> None:
    """Write the card of an export.

    Args:
        out: the folder of the export.
        exported: its description.
        patterns: the files of each split, as a pattern relative to the folder.
        info: further lines of the header.
        contents: what is in the files, in Markdown.
    """
    rows = "\n".join(
        f"| `{split_name(split)}` | {sum(shard.pairs for shard in shards)} | {len(shards)} |"
        for split, shards in exported.splits.items()
    )
    settings = "\n".join(f"{name} = {value!r}" for name, value in asdict(exported.features).items())
    header = "\n".join(
        [
            f"pretty_name: {quote(exported.name)}",
            "tags:\n- audio-visual\n- cross-modal-generation",
            *info,
            "configs:\n- config_name: default\n  data_files:",
            *(f"  - split: {quote(split_name(split))}\n    path: {quote(path)}" for split, path in patterns.items()),
        ]
    )
    text = f"""---
{header}
---

# {exported.name}

Pairs of half a second of sound and a picture, as `cmcgan prepare` made them, exported by `cmcgan export-data`. Please
add where the recordings are from, and their licence.

| split | pairs | files |
|---|---|---|
{rows}

All pairs of a recording are in one split.

{contents}
- `recording`, `player`, `start`: the recording, the player (may be empty), and seconds from the start of the recording.
- `id`, `sound_file`, `picture_file`: the name of the pair, and the files that it is from.
- `checksum`: 16 hexadecimal digits of BLAKE2b (8 bytes) over the bytes of the spectrogram, then of the picture.

The settings of the features:

```
{settings}
```
"""
    write_text(out / "README.md", text)


def split_name(split: str) -> str:
    """Return the name of a split on the Hub, where names have letters, digits and underscores only."""
    return re.sub(r"\W", "_", split)


def quote(text: str) -> str:
    """Return a text as a YAML scalar. JSON is YAML."""
    return json.dumps(text, ensure_ascii=False)
