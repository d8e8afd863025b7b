"""The layouts of recordings that `cmcgan prepare` reads. Each layout is a `Source`."""

from pathlib import Path

from cmcgan_core.data.prepare.folders import ClassFolders, VideoFolders
from cmcgan_core.data.prepare.recording import RawPair, Recording, Skipped, Source, SourceOptions
from cmcgan_core.data.prepare.urmp import SubUrmp, Urmp
from cmcgan_core.data.prepare.webdataset import TAR_SUFFIX, WebDataset
from cmcgan_core.errors import DataError
from cmcgan_core.registry import Registry

__all__ = ["SOURCES", "RawPair", "Recording", "Skipped", "Source", "SourceOptions", "find_source"]

#: The layouts by name, in the order in which they are tried. Plugins add more.
SOURCES: Registry[Source] = Registry(
    "cmcgan.sources",
    {
        "sub-urmp": SubUrmp(),
        "urmp": Urmp(),
        "classes": ClassFolders(),
        "videos": VideoFolders(),
        "webdataset": WebDataset(),
    },
)


def find_source(root: Path) -> str:
    """Return the name of the first layout that the folder looks like.

    Raises:
        DataError: the path is not a folder, the folder is empty, or it looks like none of the layouts.
    """
    require_folder(root)
    for name in SOURCES.names():
        if SOURCES.get(name).detects(root):
            return name
    known = ", ".join(SOURCES.names())
    raise DataError(
        f"{root} has none of the known layouts ({known}): put sounds and pictures, or videos, into one folder for "
        "each class, or name the layout with --source"
    )


def require_folder(root: Path) -> None:
    """Raise a `DataError` if a path is neither a tar file nor a folder, cannot be read, or is an empty folder."""
    try:
        empty = not any(root.iterdir())
    except NotADirectoryError as error:
        if root.suffix.lower() == TAR_SUFFIX:
            return
        raise DataError(f"{root} is a file; give the folder that contains it") from error
    except OSError as error:
        raise DataError(f"{root}: {(error.strerror or str(error)).lower()}") from error
    if empty:
        raise DataError(f"{root} is empty")
