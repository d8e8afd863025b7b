"""The gallery: the files that are searched. The command line imports this module, so it does not import torch."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from cmcgan_core.inference.inputs import expand


@dataclass(frozen=True)
class Gallery:
    """The files that are searched.

    Attributes:
        files: the files, in their order, each once.
        folders: the folders that they were found in. Files that have gone from these are removed from the index.
    """

    files: Sequence[Path]
    folders: Sequence[Path]


def find_gallery(sources: Sequence[str], listed: str = "", outputs: Iterable[Path] = ()) -> Gallery:
    """Return the files that the sources name.

    Args:
        sources: see `inference.inputs.expand`.
        listed: see `inference.inputs.expand`.
        outputs: files that the results are written to; they are not searched.

    Raises:
        ConfigError: a folder or a pattern contains no media file.
    """
    written = {path.absolute() for path in outputs}
    files = [item.path for item in expand(sources, listed=listed) if item.path.absolute() not in written]
    return Gallery(files, [Path(source) for source in sources if Path(source).is_dir()])
