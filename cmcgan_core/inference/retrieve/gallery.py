"""Bring the embeddings of the files that are searched up to date in the index."""

import hashlib
import time
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from cmcgan_core.checkpoint import Trained
from cmcgan_core.errors import ConfigError, MediaError
from cmcgan_core.inference.retrieve.embedding import Embeddings, embed_files
from cmcgan_core.inference.retrieve.files import Gallery
from cmcgan_core.inference.retrieve.index import FileState, Index
from cmcgan_core.media.files import MediaKind, media_kind, require_file
from cmcgan_core.modality import Modality
from cmcgan_core.progress import OnProgress, Progress, silent
from cmcgan_core.utils.files import error_reason

#: Seconds of work after which new embeddings are saved. A process that is killed loses at most this.
SAVE_SECONDS = 5.0
#: What a file of each kind can be found as.
MODALITIES: dict[MediaKind | None, tuple[Modality, ...]] = {
    "sound": (Modality.AUDIO,),
    "picture": (Modality.VISUAL,),
    "video": (Modality.AUDIO, Modality.VISUAL),
    None: (),
}


@dataclass(frozen=True)
class Indexed:
    """A gallery whose embeddings are in the index.

    Attributes:
        contents: the content of each file that was read, see `hash_file`.
        embedded: number of contents that were embedded now; the others were in the index.
        faults: for each file that could not be read, what is wrong with it.
    """

    contents: dict[Path, bytes]
    embedded: int
    faults: tuple[str, ...]


def update_index(
    trained: Trained,
    gallery: Gallery,
    modalities: Collection[Modality],
    index: Index,
    *,
    on_progress: OnProgress = silent,
) -> Indexed:
    """Embed the files that are new or have changed, and remove those that have gone.

    Whether a file has changed is told by its size and its time of modification. What was embedded is saved every few
    seconds, and also if the work is interrupted. A file that cannot be read is tried again each time: the next time its
    decoder may be installed.

    Args:
        trained: a network that embeds both modalities.
        gallery: the files.
        modalities: what is searched; files of other kinds are not embedded.
        index: the index of the network's checkpoint.
        on_progress: called after every file that is read.

    Raises:
        ConfigError: no file can be found as one of `modalities`.
    """
    # A file of no known kind is named as a fault.
    kinds = {kind for kind, found in MODALITIES.items() if kind is None or not set(found).isdisjoint(modalities)}
    files = [path for path in gallery.files if media_kind(path) in kinds]
    if not files:
        words = " or ".join(f"{modality.word}s" for modality in modalities)
        raise ConfigError(f"the searched files hold no {words}; choose other ones with --in, or another --to")
    update = _Update(index, on_progress)
    update.check(files)
    try:
        update.embed(trained)
    finally:
        update.save()
    index.remove_missing(gallery.folders, gallery.files)
    return Indexed(update.contents, update.embedded, tuple(update.faults.values()))


def hash_file(path: Path) -> bytes:
    """Return the hash of a file's content and its kind, because the kind decides how it is read.

    Raises:
        MediaError: the file cannot be read.
    """
    require_file(path)
    digest = hashlib.sha256(str(media_kind(path)).encode())
    try:
        with path.open("rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
    except OSError as error:
        raise MediaError(f"{path}: {error_reason(error, path)}") from error
    return digest.digest()


class _Update:
    """One update of an index.

    Attributes:
        contents: the content of each file that is in the index.
        faults: what is wrong with each file that cannot be read.
        embedded: number of contents that were embedded.
    """

    def __init__(self, index: Index, on_progress: OnProgress) -> None:
        self.contents: dict[Path, bytes] = {}
        self.faults: dict[Path, str] = {}
        self.embedded = 0
        self._index, self._on_progress = index, on_progress
        #: Size and time of modification of each file that is new or has changed.
        self._changed: dict[Path, tuple[int, int]] = {}
        #: Number of files that need not be read.
        self._settled = 0
        #: The files of each content that is being embedded.
        self._waiting: dict[bytes, list[Path]] = {}
        #: What is not saved yet.
        self._states: dict[Path, FileState] = {}
        self._embeddings: dict[bytes, dict[Modality, Embeddings]] = {}
        self._saved = time.monotonic()

    def check(self, files: Sequence[Path]) -> None:
        """Find out which files are new or have changed."""
        known = self._index.states(files)
        for path in files:
            try:
                stat = path.stat()
            except OSError as error:
                self.faults[path] = f"{path}: {error_reason(error, path)}"
                continue
            state = known.get(path)
            if state is not None and state[:2] == (stat.st_size, stat.st_mtime_ns):
                self.contents[path] = state.content
            else:
                self._changed[path] = stat.st_size, stat.st_mtime_ns
        self._settled = len(self.contents) + len(self.faults)

    def embed(self, trained: Trained) -> None:
        """Embed the new contents, and save them from time to time."""
        contents: dict[Path, bytes] = {}
        for path, found in embed_files(trained, self._hash_changed(contents)):
            content = contents.pop(path)
            for same in self._waiting.pop(content):
                if isinstance(found, MediaError):
                    self.faults[same] = str(found) if same == path else f"{same}: is a copy of {found}"
                else:
                    self._add(same, content)
            if not isinstance(found, MediaError):
                self._embeddings[content] = found
                self.embedded += 1
            self._report()
            if time.monotonic() - self._saved >= SAVE_SECONDS:
                self.save()

    def save(self) -> None:
        """Save what is new."""
        self._index.save(self._states, self._embeddings)
        self._states, self._embeddings = {}, {}
        self._saved = time.monotonic()

    def _hash_changed(self, contents: dict[Path, bytes]) -> Iterator[Path]:
        """Yield the files whose contents are not in the index, each content once; enter their hashes in `contents`."""
        for path in self._changed:
            try:
                content = hash_file(path)
            except MediaError as error:
                self.faults[path] = str(error)
                continue
            if content in self._waiting:
                self._waiting[content].append(path)
            elif content in self._embeddings or self._index.has(content):
                self._add(path, content)
                self._report()
            else:
                self._waiting[content] = [path]
                contents[path] = content
                yield path

    def _add(self, path: Path, content: bytes) -> None:
        self.contents[path] = content
        self._states[path] = FileState(*self._changed[path], content)

    def _report(self) -> None:
        done = len(self.contents) + len(self.faults) - self._settled
        self._on_progress(Progress("indexing", done, len(self._changed), "files"))
