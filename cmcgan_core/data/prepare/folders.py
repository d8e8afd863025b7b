"""Folders of one's own: sounds and pictures, or videos, in one folder a class."""

import csv
import itertools
import os
import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cmcgan_core.data.prepare.recording import (
    RawPair,
    Recording,
    Skipped,
    SourceOptions,
    chunks,
    refuse_labels,
    require_distinct,
    skipped,
    too_short,
)
from cmcgan_core.errors import DataError, MediaError
from cmcgan_core.media.files import MediaKind, media_kind, read_picture, read_sound, read_video

#: Folders that fix the split of what lies in them, where all folders of the root are of these names, in any case.
SPLIT_FOLDERS = {"train": "train", "val": "validation", "validation": "validation", "test": "test"}


@dataclass(frozen=True)
class ClassFolders:
    """Sounds and pictures that belong together by class only, as in INIS (Chen et al., ACM MM 2017).

    `<root>/<class>/**` where a folder holds both, else `<root>/<anything>/<class>/**`; either may lie below
    `SPLIT_FOLDERS`. A sound file is a recording. The pictures of a class (in one split folder) are dealt out at random
    to its recordings, so that no picture serves two of them; where there are fewer pictures than recordings, recordings
    share pictures and are one group.
    """

    identity = "classes/1"

    def detects(self, root: Path) -> bool:
        """Whether there are sounds and pictures in folders."""
        kinds = set()
        for name, path in _files(root):
            kinds.add(media_kind(path) if "/" in name else None)
            if {"sound", "picture"} <= kinds:
                return True
        return False

    def recordings(self, root: Path, options: SourceOptions) -> tuple[list[Recording], list[Skipped]]:
        """The sounds of the classes that have both, and the folders that miss one."""
        refuse_labels(options, "class folders")
        found: list[Recording] = []
        faults: list[Skipped] = []
        for (top, label), media in sorted(_by_class(root, faults).items()):
            if "sound" in media and "picture" in media:
                pictures = list(_readable(media["picture"], faults))
                if not pictures:
                    faults.append(Skipped(label, "the class has no picture that can be read"))
                    continue
                dealt = _dealt(label, media["sound"], pictures, options.seed)
                found += [replace(recording, split=SPLIT_FOLDERS.get(top.lower())) for recording in dealt]
            else:
                name = f"{top}/{label}" if top else label
                there = "sounds but no pictures" if "sound" in media else "pictures but no sounds"
                faults.append(Skipped(name, f"the class has {there if media else 'neither sounds nor pictures'}"))
        return found, faults

    def read_pairs(self, recording: Recording, options: SourceOptions) -> Iterator[RawPair | Skipped]:
        """The chunks of the sound, each with the next of its pictures in random order, all before one comes again."""
        sound, *paths = recording.files
        sound_file, *names = recording.extra["names"]
        pictures: dict[str, NDArray[np.uint8]] = {}
        for name, path in zip(names, paths, strict=True):
            try:
                pictures[name] = read_picture(path, options.settings.picture_size)
            except MediaError as error:
                yield skipped(name, path, error)
        try:
            waveform = read_sound(sound, options.settings.sample_rate)
        except MediaError as error:
            yield skipped(sound_file, sound, error)
            return
        if len(waveform) < options.settings.samples:
            yield too_short(sound_file, options)
        elif not pictures:
            yield Skipped(sound_file, "none of its pictures can be read")
        else:
            order = _shuffles(list(pictures), random.Random(f"{options.seed} {recording.id}"))
            for (start, chunk), name in zip(chunks(waveform, options), order, strict=False):
                yield RawPair(start, chunk, pictures[name], sound_file, name)


@dataclass(frozen=True)
class VideoFolders:
    """`<root>/<class>/**` with videos, or any folder of them with a CSV of `file,label`; a video is a recording.

    Either may lie below `SPLIT_FOLDERS`.
    """

    identity = "videos/1"

    def detects(self, root: Path) -> bool:
        """Whether there is a video in it."""
        return any(media_kind(path) == "video" for _, path in _files(root))

    def recordings(self, root: Path, options: SourceOptions) -> tuple[list[Recording], list[Skipped]]:
        """The videos that have a class, and those that have none."""
        videos = {name: path for name, path in _files(root) if media_kind(path) == "video"}
        splits = _split_folders(videos)
        level = 1 if splits else 0
        labels = {name: name.split("/")[level] for name in videos if name.count("/") > level}
        missing = "lies in no class folder; make one, or give --labels"
        empty = _bare_folders(root, level + 1)
        if options.labels is not None:
            labels, missing, empty = _read_labels(options.labels), f"has no label in {options.labels.name}", []
        require_distinct(labels.values())
        faults = [Skipped(name, missing) for name in videos if name not in labels]
        faults += [Skipped(name, "has a label, but is no video that is there") for name in labels if name not in videos]
        faults += [Skipped(name, "holds no media") for name in empty]
        found = [
            Recording(name, labels[name], split=splits.get(name.split("/")[0]), files=(path,))
            for name, path in videos.items()
            if name in labels
        ]
        return found, faults

    def read_pairs(self, recording: Recording, options: SourceOptions) -> Iterator[RawPair | Skipped]:
        """The chunks of the video's sound, each with the frame at its start."""
        (video,) = recording.files
        try:
            waveform = read_sound(video, options.settings.sample_rate)
            if len(waveform) < options.settings.samples:
                yield too_short(recording.id, options)
                return
            sounds = dict(chunks(waveform, options))
            for start, (picture,) in read_video(video, options.hop, options.settings.picture_size):
                if start in sounds:
                    yield RawPair(start, sounds[start], picture, recording.id, recording.id)
        except MediaError as error:
            yield skipped(recording.id, video, error)


def _files(root: Path) -> Iterator[tuple[str, Path]]:
    """All media below a folder in a stable order, each with its name relative to it; links are followed, once."""
    seen = set()
    for folder, folders, names in os.walk(root, followlinks=True):
        real = os.path.realpath(folder)
        folders[:] = sorted(name for name in folders if not name.startswith(".")) if real not in seen else []
        for name in sorted(names) if real not in seen else []:
            path = Path(folder, name)
            if media_kind(path) and not name.startswith("."):
                yield path.relative_to(root).as_posix(), path
        seen.add(real)


Media = dict[MediaKind, list[tuple[str, Path]]]


def _by_class(root: Path, faults: list[Skipped]) -> dict[tuple[str, str], Media]:
    """The media, by kind, of each split folder ("" where there is none) and class."""
    files = [(name.split("/"), media_kind(path), path) for name, path in _files(root)]
    splits = _split_folders("/".join(parts) for parts, _, _ in files)
    level = 1 if splits else 0
    first: dict[tuple[str, ...], set[MediaKind | None]] = {}
    for parts, kind, _ in files:
        first.setdefault(tuple(parts[: level + 1]), set()).add(kind)
    level += 0 if any({"sound", "picture"} <= kinds for kinds in first.values()) else 1
    bare = [name.split("/") for name in _bare_folders(root, level + 1)]
    classes: dict[tuple[str, str], Media] = {(parts[0] if splits else "", parts[-1]): {} for parts in bare}
    for parts, kind, path in files:
        if len(parts) < level + 2:
            faults.append(Skipped("/".join(parts), "lies in no class folder"))
        elif kind:
            key = (parts[0] if splits else "", parts[level])
            classes.setdefault(key, {}).setdefault(kind, []).append(("/".join(parts), path))
    require_distinct(sorted({label for _, label in classes}))
    return classes


def _split_folders(names: Iterable[str]) -> dict[str, str]:
    """The split that each first folder of some files fixes; none where one of these folders is named otherwise."""
    folders = {name.split("/")[0] for name in names if "/" in name}
    splits = {folder: SPLIT_FOLDERS[folder.lower()] for folder in folders if folder.lower() in SPLIT_FOLDERS}
    return splits if len(splits) == len(folders) else {}


def _bare_folders(root: Path, depth: int) -> list[str]:
    """The folders at a depth that hold no media, relative to the root."""
    names = {folder.relative_to(root).as_posix(): folder for folder in root.glob("*/" * depth)}
    return sorted(
        name
        for name, folder in names.items()
        if not any(part.startswith(".") for part in name.split("/")) and not any(_files(folder))
    )


def _readable(pictures: list[tuple[str, Path]], faults: list[Skipped]) -> Iterator[tuple[str, Path]]:
    """The pictures that can be read: a sound that was dealt damaged ones only would be lost with them."""
    for name, path in pictures:
        try:
            read_picture(path, 16)  # small, as a JPEG is then decoded at an eighth of its size
        except MediaError as error:
            faults.append(skipped(name, path, error))
        else:
            yield name, path


def _dealt(label: str, sounds: list[tuple[str, Path]], pictures: list[tuple[str, Path]], seed: int) -> list[Recording]:
    """The sounds as recordings, each with its share of the pictures."""
    pictures = random.Random(f"{seed} {label}").sample(pictures, len(pictures))
    shares = min(len(sounds), len(pictures))
    found = []
    for number, (name, path) in enumerate(sounds):
        share = sorted(pictures[number % shares :: shares])
        names = [name, *(picture for picture, _ in share)]
        group = f"{label}/{number % shares}"
        found.append(Recording(name, label, group=group, files=(path, *(p for _, p in share)), extra={"names": names}))
    return found


def _shuffles(names: list[str], rng: random.Random) -> Iterator[str]:
    """All names in random order, then all in another, without end."""
    return itertools.chain.from_iterable(rng.sample(names, len(names)) for _ in itertools.count())


def _read_labels(path: Path) -> dict[str, str]:
    """The labels of a CSV file by file name.

    Raises:
        DataError: it cannot be read, has other columns, or names a file twice with different labels.
    """
    labels: dict[str, str] = {}
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = csv.DictReader(file)
            if not {"file", "label"} <= set(rows.fieldnames or ()):
                raise DataError(f"{path}: the first line must name the columns file,label")
            for row in rows:
                name, label = Path(row["file"] or "").as_posix(), (row["label"] or "").strip()
                if not label or labels.setdefault(name, label) != label:
                    raise DataError(
                        f"{path}, line {rows.line_num}: {name!r} has {'two labels' if label else 'no label'}"
                    )
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path}: cannot be read as CSV ({error})") from error
    return labels
