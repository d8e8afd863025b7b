"""Where recordings come from: the layouts that `cmcgan prepare` reads, each a `Source`."""

from pathlib import Path

from cmcgan_core.data.prepare.folders import ClassFolders, VideoFolders
from cmcgan_core.data.prepare.recording import RawPair, Recording, Skipped, Source, SourceOptions
from cmcgan_core.data.prepare.urmp import SubUrmp, Urmp
from cmcgan_core.errors import DataError
from cmcgan_core.registry import Registry

__all__ = ["SOURCES", "RawPair", "Recording", "Skipped", "Source", "SourceOptions", "find_source"]

#: Layouts by name, in the order in which they are tried; plugins add to them.
SOURCES: Registry[Source] = Registry(
    "cmcgan.sources", {"sub-urmp": SubUrmp(), "urmp": Urmp(), "classes": ClassFolders(), "videos": VideoFolders()}
)


def find_source(root: Path) -> str:
    """The name of the first layout that the folder looks like.

    Raises:
        DataError: it is no folder, is empty, or looks like none of them.
    """
    require_folder(root)
    for name in SOURCES.names():
        if SOURCES.get(name).detects(root):
            return name
    known = ", ".join(SOURCES.names())
    raise DataError(
        f"{root} has none of the layouts that are known ({known}): put sounds and pictures, or videos, "
        "into one folder a class, or name the layout with --source"
    )


def require_folder(root: Path) -> None:
    """Raise a `DataError` that says what is wrong with a source's folder, if anything."""
    try:
        empty = not any(root.iterdir())
    except NotADirectoryError as error:
        raise DataError(f"{root} is a file; give the folder that it lies in") from error
    except OSError as error:
        raise DataError(f"{root}: {(error.strerror or str(error)).lower()}") from error
    if empty:
        raise DataError(f"{root} is empty")
