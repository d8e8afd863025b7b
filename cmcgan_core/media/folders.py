"""Find the media files of a folder. These are the rules for every command that searches folders.

A media file is recognised by its suffix. Links are followed, and each folder is read once. Hidden files and folders,
and those that operating systems make (`utils.names`), are ignored. What only looks like a media file, such as a
pipe or a link to a file that does not exist, is returned too, so that whoever reads it names it.
"""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

from cmcgan_core.media.files import media_kind
from cmcgan_core.utils.names import is_ignored


def find_media(
    root: Path,
    on_error: Callable[[OSError], None],
    excluded: Callable[[str], bool] = lambda folder: False,
    wanted: Callable[[Path], object] = media_kind,
) -> Iterator[Path]:
    """Yield the media files below a folder. The files of each folder are in alphabetical order.

    Args:
        root: the folder.
        on_error: called with an error that names the folder (`filename`) for each folder that cannot be read.
        excluded: whether a folder, given by its real path, is left out.
        wanted: whether a file is returned, by its name; by default, media files are.
    """
    # A link to a folder around the root would lead to everything else in that folder.
    around = {str(folder) for folder in Path(os.path.realpath(root)).parents}
    visited: set[str] = set()
    for folder, subfolders, names in os.walk(root, onerror=on_error, followlinks=True):
        real = os.path.realpath(folder)
        if real in visited or real in around or excluded(real):
            subfolders.clear()
            continue
        visited.add(real)
        subfolders[:] = sorted(name for name in subfolders if not is_ignored([name]))
        for name in sorted(names):
            if wanted(Path(name)) and not is_ignored([name]):
                yield Path(folder, name)
