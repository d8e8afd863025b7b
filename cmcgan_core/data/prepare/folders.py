"""Layouts for a user's own recordings: sounds and pictures, or videos, in one folder for each class."""

import csv
import itertools
import random
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cmcgan_core.data.prepare.recording import (
    RawPair,
    Recording,
    Skipped,
    SourceOptions,
    cut_chunks,
    refuse_labels,
    require_distinct,
    skip_too_short,
    skip_unreadable,
    skip_unreadable_folders,
)
from cmcgan_core.errors import DataError, MediaError
from cmcgan_core.media.files import MediaKind, media_kind, read_picture, read_sound, read_video
from cmcgan_core.media.folders import find_media
from cmcgan_core.utils.names import is_ignored, name_fault, to_text
from cmcgan_core.utils.schema import show

#: The split of the recordings in folders of these names. It applies if all folders of the root have one of these names,
#: in upper or lower case.
SPLIT_FOLDERS = {"train": "train", "val": "validation", "validation": "validation", "test": "test"}


@dataclass(frozen=True)
class ClassFolders:
    """Sounds and pictures that belong together by class only, as in INIS (Chen et al., ACM MM 2017).

    The layout is `<root>/<class>/**` if one folder contains both, else `<root>/<anything>/<class>/**`. Folders named in
    `SPLIT_FOLDERS` may contain either layout. Each sound file is a recording. The pictures of a class (within a split
    folder) are dealt to its recordings at random, each picture to one recording. If there are fewer pictures than
    recordings, several recordings share a picture and form one group.
    """

    identity = "classes/2"

    def detects(self, root: Path) -> bool:
        """Return whether there are sounds and pictures in folders."""
        kinds = set()
        for name, path in _list_media(root):
            kinds.add(media_kind(path) if "/" in name else None)
            if {"sound", "picture"} <= kinds:
                return True
        return False

    def recordings(self, root: Path, options: SourceOptions) -> tuple[list[Recording], list[Skipped]]:
        """Return the sounds of the classes that have sounds and pictures, and an entry for each other class."""
        refuse_labels(options, "class folders")
        recordings: list[Recording] = []
        faults: list[Skipped] = []
        for (top, label), media in sorted(_group_by_class(root, faults).items()):
            if "sound" in media and "picture" in media:
                pictures = list(_filter_readable(media["picture"], faults))
                if not pictures:
                    faults.append(Skipped(label, "the class has no picture that can be read"))
                    continue
                split = SPLIT_FOLDERS.get(top.lower())
                dealt = _deal_pictures(label, media["sound"], pictures, options.seed)
                recordings += [replace(recording, split=split) for recording in dealt]
            else:
                name = f"{top}/{label}" if top else label
                content = "sounds but no pictures" if "sound" in media else "pictures but no sounds"
                faults.append(Skipped(name, f"the class has {content if media else 'neither sounds nor pictures'}"))
        return recordings, faults

    def read_pairs(self, recording: Recording, options: SourceOptions) -> Iterator[RawPair | Skipped]:
        """Yield the chunks of the sound, each with a picture of the recording.

        The pictures come in random order. Each picture is used once before any is used again.
        """
        sound, *paths = recording.files
        sound_file, *names = recording.extra["names"]
        pictures: dict[str, NDArray[np.uint8]] = {}
        for name, path in zip(names, paths, strict=True):
            try:
                pictures[name] = read_picture(path, options.settings.picture_size)
            except MediaError as error:
                yield skip_unreadable(name, path, error)
        try:
            waveform = read_sound(sound, options.settings.sample_rate)
        except MediaError as error:
            yield skip_unreadable(sound_file, sound, error)
            return
        if len(waveform) < options.settings.samples:
            yield skip_too_short(sound_file, options)
        elif not pictures:
            yield Skipped(sound_file, "none of its pictures can be read")
        else:
            order = _cycle_shuffled(list(pictures), random.Random(_to_seed(f"{options.seed} {recording.id}")))
            for (start, chunk), name in zip(cut_chunks(waveform, options), order, strict=False):
                yield RawPair(start, chunk, pictures[name], sound_file, name)


@dataclass(frozen=True)
class VideoFolders:
    """Videos in `<root>/<class>/**`, or any folder of videos with a CSV file with the columns file,label.

    Folders named in `SPLIT_FOLDERS` may contain either layout. Each video is a recording.
    """

    identity = "videos/2"

    def detects(self, root: Path) -> bool:
        """Return whether there is a video in the folder."""
        return any(media_kind(path) == "video" for _, path in _list_media(root))

    def recordings(self, root: Path, options: SourceOptions) -> tuple[list[Recording], list[Skipped]]:
        """Return the videos that have a class, and entries for videos, labels and folders without a partner."""
        unreadable: list[Skipped] = []
        media = _list_media(root, skip_unreadable_folders(root, unreadable))
        videos = {name: path for name, path in media if media_kind(path) == "video"}
        splits = _find_split_folders(videos)
        level = 1 if splits else 0
        labels = {name: name.split("/")[level] for name in videos if name.count("/") > level}
        missing = "is not in a class folder; make one, or give --labels"
        empty = _find_empty_folders(root, level + 1)
        if options.labels is not None:
            labels, missing, empty = _read_labels(options.labels), f"has no label in {options.labels.name}", []
        require_distinct(labels.values())
        faults = unreadable + [Skipped(name, missing) for name in videos if name not in labels]
        faults += [
            Skipped(name, "has a label, but is not a video in the folder") for name in labels if name not in videos
        ]
        faults += [Skipped(name, "contains no media") for name in empty]
        recordings = [
            Recording(name, labels[name], split=splits.get(name.split("/")[0]), files=(path,))
            for name, path in videos.items()
            if name in labels
        ]
        return recordings, faults

    def read_pairs(self, recording: Recording, options: SourceOptions) -> Iterator[RawPair | Skipped]:
        """Yield the chunks of the video's sound, each with the frame at its start."""
        (video,) = recording.files
        try:
            waveform = read_sound(video, options.settings.sample_rate)
            if len(waveform) < options.settings.samples:
                yield skip_too_short(recording.id, options)
                return
            sounds = dict(cut_chunks(waveform, options))
            for start, (picture,) in read_video(video, options.hop, options.settings.picture_size):
                if start in sounds:
                    yield RawPair(start, sounds[start], picture, recording.id, recording.id)
        except MediaError as error:
            yield skip_unreadable(recording.id, video, error)


def _list_media(root: Path, on_error: Callable[[OSError], None] = lambda error: None) -> Iterator[tuple[str, Path]]:
    """Yield the relative name and the path of each media file below a folder, in a stable order.

    Args:
        root: the folder.
        on_error: called for each folder that cannot be read, see `media.folders.find_media`.
    """
    for path in find_media(root, on_error):
        yield path.relative_to(root).as_posix(), path


#: Relative names and paths of media files, by kind.
Media = dict[MediaKind, list[tuple[str, Path]]]


def _group_by_class(root: Path, faults: list[Skipped]) -> dict[tuple[str, str], Media]:
    """Return the media of each pair of a split folder ("" if the root has none) and a class.

    Args:
        root: the folder of the source.
        faults: the files outside class folders, and the folders that cannot be read, are appended to it.

    Raises:
        DataError: two classes have almost the same name.
    """
    media = _list_media(root, skip_unreadable_folders(root, faults))
    files = [(name.split("/"), media_kind(path), path) for name, path in media]
    splits = _find_split_folders("/".join(parts) for parts, _, _ in files)
    level = 1 if splits else 0
    first: dict[tuple[str, ...], set[MediaKind | None]] = {}
    for parts, kind, _ in files:
        first.setdefault(tuple(parts[: level + 1]), set()).add(kind)
    level += 0 if any({"sound", "picture"} <= kinds for kinds in first.values()) else 1
    bare = [name.split("/") for name in _find_empty_folders(root, level + 1)]
    classes: dict[tuple[str, str], Media] = {(parts[0] if splits else "", parts[-1]): {} for parts in bare}
    for parts, kind, path in files:
        if len(parts) < level + 2:
            faults.append(Skipped("/".join(parts), "is not in a class folder"))
        elif kind:
            key = (parts[0] if splits else "", parts[level])
            classes.setdefault(key, {}).setdefault(kind, []).append(("/".join(parts), path))
    require_distinct(sorted({label for _, label in classes}))
    return classes


def _find_split_folders(names: Iterable[str]) -> dict[str, str]:
    """Return the split of each top folder of some files; nothing if a top folder has a name outside `SPLIT_FOLDERS`."""
    folders = {name.split("/")[0] for name in names if "/" in name}
    splits = {folder: SPLIT_FOLDERS[folder.lower()] for folder in folders if folder.lower() in SPLIT_FOLDERS}
    return splits if len(splits) == len(folders) else {}


def _find_empty_folders(root: Path, depth: int) -> list[str]:
    """Return the names, relative to the root, of the folders at a depth that contain no media."""
    names = {folder.relative_to(root).as_posix(): folder for folder in root.glob("*/" * depth)}
    return sorted(name for name, folder in names.items() if not is_ignored(name.split("/")) and _is_empty(folder))


def _is_empty(folder: Path) -> bool:
    """Return whether a folder contains no media. A folder that cannot be read may contain some."""
    unreadable: list[OSError] = []
    return not any(_list_media(folder, unreadable.append)) and not unreadable


def _filter_readable(pictures: list[tuple[str, Path]], faults: list[Skipped]) -> Iterator[tuple[str, Path]]:
    """Yield the pictures that can be read, and append the others to `faults`.

    Damaged pictures are left out before pictures are dealt. Otherwise a sound that gets only damaged pictures would be
    lost.
    """
    for name, path in pictures:
        try:
            read_picture(path, 16)  # fast at a small size: a JPEG is decoded at an eighth of its size
        except MediaError as error:
            faults.append(skip_unreadable(name, path, error))
        else:
            yield name, path


def _deal_pictures(
    label: str, sounds: list[tuple[str, Path]], pictures: list[tuple[str, Path]], seed: int
) -> list[Recording]:
    """Return the sounds of a class as recordings, each with its share of the pictures."""
    shuffled = random.Random(_to_seed(f"{seed} {label}")).sample(pictures, len(pictures))
    shares = min(len(sounds), len(pictures))
    recordings = []
    for number, sound in enumerate(sounds):
        media = [sound, *sorted(shuffled[number % shares :: shares])]
        recordings.append(
            Recording(
                sound[0],
                label,
                group=f"{label}/{number % shares}",
                files=tuple(path for _, path in media),
                extra={"names": [name for name, _ in media]},
            )
        )
    return recordings


def _to_seed(text: str) -> bytes:
    """Return a text as a seed. `Random` takes a string only if it is valid text, which a file's name need not be."""
    return text.encode(errors="surrogateescape")


def _cycle_shuffled(names: list[str], rng: random.Random) -> Iterator[str]:
    """Yield all names in random order, then all in another random order, and so on without end."""
    return itertools.chain.from_iterable(rng.sample(names, len(names)) for _ in itertools.count())


def _read_labels(path: Path) -> dict[str, str]:
    """Read the labels of a CSV file with the columns file,label, by file name.

    Raises:
        DataError: the CSV file cannot be read, lacks one of the columns, has a row without a label, has two labels
            for one file, or has a label that cannot be the name of a folder.
    """
    labels: dict[str, str] = {}
    try:
        # The bytes of a file's name need not be text.
        with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
            rows = csv.DictReader(file)
            if not {"file", "label"} <= set(rows.fieldnames or ()):
                raise DataError(f"{path}: the first line must name the columns file,label")
            for row in rows:
                name, label = Path(row["file"] or "").as_posix(), (row["label"] or "").strip()
                if not label or labels.setdefault(name, label) != label:
                    raise DataError(
                        f"{path}, line {rows.line_num}: {name!r} has {'two labels' if label else 'no label'}"
                    )
                if fault := name_fault(to_text(label)):
                    raise DataError(f"{path}, line {rows.line_num}: the class {show(label)} {fault}; rename it")
    except (OSError, csv.Error) as error:
        raise DataError(f"{path}: cannot be read as CSV ({error})") from error
    return labels
