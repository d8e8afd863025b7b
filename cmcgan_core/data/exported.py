"""The description of an exported dataset, `cmcgan.json`. `docs/data.md` describes the layouts of exports."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from cmcgan_core.errors import ConfigError, DataError
from cmcgan_core.features.settings import FeatureSettings
from cmcgan_core.utils.files import error_reason
from cmcgan_core.utils.schema import build, parse_json

#: The name of the description in the folder of an export. It is written last, when the export is complete.
DESCRIPTION = "cmcgan.json"
#: The version of the layouts.
EXPORT_FORMAT = 1


@dataclass(frozen=True)
class ExportedShard:
    """A file of an export.

    Attributes:
        file: its path in the folder of the export.
        pairs: the number of its pairs.
        bytes: its size.
    """

    file: str
    pairs: int
    bytes: int


@dataclass(frozen=True)
class ExportedDataset:
    """The content of `cmcgan.json`.

    Attributes:
        format: `EXPORT_FORMAT`.
        to: the layout, "webdataset" or "hf".
        identity: a hash of everything that determines the files of the export.
        name: the name of the dataset.
        content: the hash that identifies the content of the dataset, as in its `dataset.toml`.
        classes: the names of the classes, by class index.
        splits: the files of each split.
        features: the feature settings of the pairs.
    """

    format: int
    to: str
    identity: str
    name: str
    content: str
    classes: tuple[str, ...]
    splits: dict[str, tuple[ExportedShard, ...]]
    features: FeatureSettings

    def to_json(self) -> str:
        """Return the text of the file."""
        return json.dumps(asdict(self), indent=1, ensure_ascii=False) + "\n"


def read_exported(root: Path) -> ExportedDataset | None:
    """Read the description of an export; return None if the folder has none.

    Raises:
        DataError: the file cannot be read, or has another format version.
    """
    file = root / DESCRIPTION
    if not file.is_file():
        return None
    try:
        table: dict[str, Any] = parse_json(file.read_bytes())
        if table.get("format") == EXPORT_FORMAT:
            return build(ExportedDataset, table, DESCRIPTION)
    except (OSError, ValueError, ConfigError) as error:
        raise DataError(f"{file} cannot be read ({error_reason(error)}); export the dataset again") from error
    raise DataError(
        f"{file} has format {table.get('format')}, this cmcgan reads {EXPORT_FORMAT}; export the dataset again"
    )
