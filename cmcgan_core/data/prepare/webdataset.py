"""The layout of WebDataset shards, of others and of `cmcgan export-data`. See `tars` for the format."""

import io
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from cmcgan_core.data.exported import DESCRIPTION, ExportedDataset, read_exported
from cmcgan_core.data.index import LATEST_START
from cmcgan_core.data.prepare.folders import SPLIT_FOLDERS
from cmcgan_core.data.prepare.parts import checksum
from cmcgan_core.data.prepare.recording import (
    FeaturePair,
    RawPair,
    Recording,
    Skipped,
    SourceOptions,
    cut_chunks,
    refuse_labels,
    skip_too_short,
    skip_unreadable,
    skip_unreadable_folders,
)
from cmcgan_core.data.prepare.tars import Member, TarSample, copied_member, read_member, scan_tar
from cmcgan_core.errors import DataError, MediaError
from cmcgan_core.features.settings import FeatureSettings
from cmcgan_core.media.files import (
    DECODER_ERRORS,
    MediaKind,
    fit_picture,
    media_kind,
    read_picture,
    read_sound,
    read_video,
)
from cmcgan_core.media.folders import find_media
from cmcgan_core.utils.names import from_text, name_fault, to_text
from cmcgan_core.utils.schema import parse_json, show

#: The suffix of shards.
TAR_SUFFIX = ".tar"
#: The files of a sample of an export.
EXPORTED_SUFFIXES = ("json", "npy", "png")
#: Largest file that says something about a sample, bytes.
LARGEST_TEXT = 1 << 20
#: The part of a key in front of a number at its end.
_BEFORE_NUMBER = re.compile(r"(.+)_\d+")


class _About(NamedTuple):
    """What a sample says about itself."""

    label: str
    recording: str  #: "" if it does not say
    player: str
    split: str
    start: float | None  #: seconds from the start of the recording


class _Sample(NamedTuple):
    """A sample of a shard."""

    tar: Path  #: the shard
    name: str  #: the shard, relative to the source, and the key
    key: str
    about: "_About"
    members: tuple[Member, ...]  #: the files that are read


@dataclass(frozen=True)
class WebDataset:
    """WebDataset shards of pairs: a picture and a sound, or a video, and a class.

    In shards of others, a sample is read like a recording of its own: its sound is cut into chunks. docs/data.md says
    how the class, the recording and the split of a sample are found. Pairs of an export of cmcgan are used as they are.
    """

    identity = "webdataset/1"

    def detects(self, root: Path) -> bool:
        """Return whether this is a tar file, or a folder with tar files."""
        return _is_tar(root) if root.is_file() else next(_list_tars(root, lambda error: None), None) is not None

    def recordings(self, root: Path, options: SourceOptions) -> tuple[list[Recording], list[Skipped]]:
        """Return the recordings that the samples are from, and the samples and shards that cannot be used.

        Raises:
            DataError: the shards are an export with other feature settings, or its description is damaged.
        """
        refuse_labels(options, "WebDataset shards")
        exported = exported_shards(root)
        if exported:
            _require_settings(root, exported.features, options.settings)
        faults: list[Skipped] = []
        shards = {root.name: root}
        if root.is_dir():
            found = _list_tars(root, skip_unreadable_folders(root, faults))
            shards = {tar.relative_to(root).as_posix(): tar for tar in found}
        if exported:
            samples = _read_export(exported, shards, faults)
            if root.is_dir():
                names = (shard.file for files in exported.splits.values() for shard in files)
                faults += [Skipped(name, f"is missing; {DESCRIPTION} names it") for name in names if name not in shards]
        else:
            splits = _split_names(shards)
            samples = [
                s for name, tar in shards.items() for s in _read_samples(tar, name, faults, splits.get(name, ""))
            ]
        return _group(samples, stored=exported is not None), faults

    def read_pairs(self, recording: Recording, options: SourceOptions) -> Iterator[RawPair | FeaturePair | Skipped]:
        """Yield the pairs of the samples. A damaged sample loses only its own pairs."""
        read = _read_stored if recording.extra["stored"] else _read_media
        used: set[float] = set()
        end = 0.0
        for file, name, start, *fields in recording.extra["samples"]:
            members = {suffix: Member(suffix, *place) for suffix, *place in fields}
            try:
                for pair in read(recording.files[file], name, members, end if start is None else start, options):
                    if isinstance(pair, Skipped):
                        yield pair
                    elif (time := round(pair.start, 3)) in used:
                        yield Skipped(name, f"{time:g} s of its recording is there already")
                    else:
                        used.add(time)
                        end = max(end, pair.start + options.hop)
                        yield pair
            except MediaError as error:
                yield skip_unreadable(name, recording.files[file], error)


def exported_shards(root: Path) -> ExportedDataset | None:
    """Return the description of the export that a folder of shards, or a shard, belongs to; None if it is none.

    Raises:
        DataError: the description is damaged.
    """
    exported = read_exported(root.parent if root.is_file() else root)
    return exported if exported and exported.to == "webdataset" else None


def _is_tar(path: Path) -> bool:
    return path.suffix.lower() == TAR_SUFFIX


def _list_tars(root: Path, on_error: Callable[[OSError], None]) -> Iterator[Path]:
    """Yield the tar files below a folder in a stable order; for `on_error`, see `find_media`."""
    return find_media(root, on_error, wanted=_is_tar)


def _require_settings(root: Path, theirs: FeatureSettings, ours: FeatureSettings) -> None:
    """Raise a `DataError` if an export has other feature settings than the dataset that is prepared."""
    if theirs.representation != ours.representation:
        raise DataError(
            f"{root} has spectrograms of the representation {theirs.representation}; give --representation "
            f"{theirs.representation}"
        )
    if theirs != ours:
        raise DataError(
            f"{root} has spectrograms with other feature settings than these ({theirs}); prepare the recordings again, "
            "or pass these settings in Python (SourceOptions)"
        )


def _split_names(names: Iterable[str]) -> dict[str, str]:
    """Return the split of each shard, if the first folder or the first word of the name of every shard is a split's."""
    splits: dict[str, str | None] = {}
    for name in names:
        folder, _, file = name.rpartition("/")
        first = folder.split("/")[0].lower(), re.split(r"[^a-z]", file.lower())[0]
        splits[name] = next((SPLIT_FOLDERS[word] for word in first if word in SPLIT_FOLDERS), None)
    return {name: split for name, split in splits.items() if split} if all(splits.values()) else {}


def _read_export(exported: ExportedDataset, shards: dict[str, Path], faults: list[Skipped]) -> list[_Sample]:
    """Return the samples of an export in the order of the dataset that was exported.

    Args:
        exported: the description of the export.
        shards: the shards that are there, by name.
        faults: shards that are not of the export, lack samples or are damaged, and damaged samples, are appended to it.
    """
    announced = {shard.file: shard.pairs for files in exported.splits.values() for shard in files}
    samples: list[_Sample] = []
    for name, tar in shards.items():
        if name not in announced:
            faults.append(Skipped(name, f"is not one of the shards that {DESCRIPTION} names"))
            continue
        found = list(_read_samples(tar, name, faults, split=None))
        if len(found) != announced[name]:
            says = f"{DESCRIPTION} says {announced[name]}"
            faults.append(Skipped(name, f"has {len(found)} pairs that can be used; {says}"))
        samples += found
    return sorted(samples, key=lambda sample: sample.key)


def _read_samples(tar: Path, name: str, faults: list[Skipped], split: str | None) -> Iterator[_Sample]:
    """Yield the samples of a shard that can be used.

    Args:
        tar: the shard.
        name: its name, relative to the source.
        faults: the other samples, and what is wrong with the shard, are appended to it.
        split: the split of samples that name none, or ""; None for a shard of an export.
    """
    samples, fault = scan_tar(tar)
    if fault:
        faults.append(Skipped(name, fault))
    for sample in samples:
        if split is not None and not any(_kind(suffix) or suffix == "npy" for suffix in sample.members):
            continue  # a text about the shard, such as README.txt
        where = f"{name}/{sample.key}"
        faults += [Skipped(f"{where}.{suffix}", "is there twice") for suffix in sorted(sample.repeated)]
        try:
            members = _exported_members(sample) if split is None else _media_members(sample)
            about = _read_about(tar, sample)
        except (MediaError, ValueError) as error:
            faults.append(Skipped(where, str(error).removeprefix(f"{tar}: ")))
            continue
        if split is None:
            label, recording, player = (from_text(text) for text in (about.label, about.recording, about.player))
            about = about._replace(label=label, recording=recording, player=player)
        else:
            about = about._replace(split=SPLIT_FOLDERS.get(about.split.lower(), about.split) or split)
        yield _Sample(tar, where, sample.key, about, members)


def _exported_members(sample: TarSample) -> tuple[Member, ...]:
    """Return the files of a sample of an export.

    Raises:
        ValueError: one is missing; the message completes a sentence that starts with the sample.
    """
    if missing := [suffix for suffix in EXPORTED_SUFFIXES if suffix not in sample.members]:
        raise ValueError(f"has no .{missing[0]}")
    return tuple(sample.members[suffix] for suffix in EXPORTED_SUFFIXES)


def _media_members(sample: TarSample) -> tuple[Member, ...]:
    """Return the sound and the picture of a sample, or its video.

    Raises:
        ValueError: the sample has no sound or no picture, or several; the message completes a sentence that starts with
            the sample.
    """
    kinds: dict[MediaKind | None, list[Member]] = defaultdict(list)
    for suffix, member in sample.members.items():
        kinds[_kind(suffix)].append(member)
    for kind, members in kinds.items():
        if kind and len(members) > 1:
            raise ValueError(f"has several {kind}s: .{', .'.join(sorted(member.suffix for member in members))}")
    if not kinds["sound"] and not kinds["video"]:
        other = f" but a spectrogram, which needs the {DESCRIPTION} of its export" if "npy" in sample.members else ""
        raise ValueError(f"has no sound{other}")
    if not kinds["picture"] and not kinds["video"]:
        raise ValueError("has no picture")
    chosen = [*kinds["sound"], *kinds["picture"]]
    return tuple(chosen if len(chosen) == 2 else [*chosen, *kinds["video"]])


def _kind(suffix: str) -> MediaKind | None:
    """Return the kind of a file of a sample. A suffix with a second dot, as in `a.mask.png`, is of another file."""
    return None if "." in suffix else media_kind(Path(f"sample.{suffix}"))


def _read_about(tar: Path, sample: TarSample) -> _About:
    """Return what a sample says about itself.

    Raises:
        MediaError: the shard cannot be read.
        ValueError: it has no class, or a value is not possible; the message completes a sentence that starts with the
            sample.
    """
    suffixes = [suffix for suffix in ("json", "cls", "txt") if suffix in sample.members]
    texts = {suffix: _read_text(tar, sample.members[suffix]) for suffix in suffixes}
    try:
        table = parse_json(texts["json"]) if "json" in texts else {}
    except ValueError as error:
        raise ValueError(f"has a .json that cannot be read ({error})") from error
    label = table.get("label", table.get("class", texts.get("cls", texts.get("txt"))))
    if not isinstance(label, str | int) or isinstance(label, bool):
        raise ValueError("has no class: neither label nor class in .json, nor .cls, nor .txt")
    label = str(label).strip()
    if fault := name_fault(to_text(label)):
        raise ValueError(f"has the class {show(label)}, which {fault}")
    recording, player, split = (_text_value(table, name) for name in ("recording", "player", "split"))
    if split and (fault := name_fault(split)):
        raise ValueError(f"has the split {show(split)}, which {fault}")
    return _About(label, recording, player, split, _start_value(table))


def _read_text(tar: Path, member: Member) -> str:
    """Return the content of a text file of a sample.

    Raises:
        MediaError: the shard cannot be read.
        ValueError: the file is too large, or is not UTF-8.
    """
    if member.size > LARGEST_TEXT:
        raise ValueError(f"has a .{member.suffix} of more than {LARGEST_TEXT} bytes")
    return read_member(tar, member).decode("utf-8-sig")


def _text_value(table: dict[str, Any], name: str) -> str:
    """Return a value of a sample as text; "" if it is missing.

    Raises:
        ValueError: it is neither text nor a whole number.
    """
    value = table.get(name)
    if value is None:
        return ""
    if not isinstance(value, str | int) or isinstance(value, bool):
        raise ValueError(f"has a {name} that is no text in its .json")
    text = str(value)
    text.encode()  # half of a surrogate pair is a ValueError
    return text


def _start_value(table: dict[str, Any]) -> float | None:
    """Return the start of a sample in its recording in seconds, or None.

    Raises:
        ValueError: it is not possible.
    """
    start = table.get("start")
    if start is None:
        return None
    if not isinstance(start, int | float) or isinstance(start, bool) or not 0 <= start <= LATEST_START:
        raise ValueError(f"has a start of {show(start)} in its .json, not a number of seconds")
    return float(start)


def _group(samples: list[_Sample], *, stored: bool) -> list[Recording]:
    """Return the recordings that samples are from, in the order of their first samples.

    Samples of one recording that differ in class, split or player become several recordings, of one group.
    """
    names = _recording_names(samples)
    groups: dict[tuple[str, ...], list[_Sample]] = {}
    for sample, recording in zip(samples, names, strict=True):
        about = sample.about
        groups.setdefault((recording, about.label, about.split, about.player), []).append(sample)
    variants: dict[str, int] = defaultdict(int)
    for recording, *_ in groups:
        variants[recording] += 1
    recordings = []
    for (recording, label, split, player), group in groups.items():
        members = group if stored else _sort_by_start(group)
        files = tuple(dict.fromkeys(sample.tar for sample in members))
        number = {tar: i for i, tar in enumerate(files)}
        extra = {"stored": stored, "samples": [_to_list(sample, number[sample.tar]) for sample in members]}
        parts = (recording, label, split, player) if variants[recording] > 1 else (recording,)
        recordings.append(
            Recording(
                " ".join(filter(None, parts)), label, player, split or None, recording, files, extra, len(members)
            )
        )
    return recordings


def _sort_by_start(samples: list[_Sample]) -> list[_Sample]:
    """Return the samples of a recording in the order of their starts, if all have one, else in the order of shards."""
    starts = [sample.about.start for sample in samples if sample.about.start is not None]
    if len(starts) < len(samples):
        return samples
    return [samples[i] for i in sorted(range(len(starts)), key=starts.__getitem__)]


def _recording_names(samples: list[_Sample]) -> list[str]:
    """Return the name of the recording of each sample.

    It is `recording` in the sample's .json, else what is in front of a number at the end of its key, as in
    `violin06_3500`. If that is the name of a class, or occurs with several classes or with all samples, it is not the
    name of a recording. Then each sample is a recording.
    """
    prefixes = [match[1] if (match := _BEFORE_NUMBER.fullmatch(sample.key)) else "" for sample in samples]
    labels: dict[str, set[str]] = defaultdict(set)
    for sample, prefix in zip(samples, prefixes, strict=True):
        labels[prefix].add(sample.about.label)

    def is_recording(prefix: str) -> bool:
        (label, *others) = labels[prefix]
        return bool(prefix) and not others and len(labels) > 1 and prefix.rpartition("/")[2].lower() != label.lower()

    return [
        sample.about.recording or (prefix if is_recording(prefix) else sample.name)
        for sample, prefix in zip(samples, prefixes, strict=True)
    ]


def _to_list(sample: _Sample, file: int) -> list[Any]:
    """Return a sample as a list of JSON values, for `Recording.extra`."""
    return [file, sample.name, sample.about.start, *sample.members]


def _read_stored(
    tar: Path, name: str, members: dict[str, Member], start: float, options: SourceOptions
) -> Iterator[FeaturePair | Skipped]:
    """Yield the pair of a sample of an export, if it is the one that was exported.

    Raises:
        MediaError: the shard cannot be read.
    """
    settings = options.settings
    try:
        about = parse_json(read_member(tar, members["json"]))
    except ValueError:  # it has been changed since the shard was scanned
        yield Skipped(name, "has a damaged .json")
        return
    picture = _decode_png(read_member(tar, members["png"]))
    spectrogram = _decode_npy(read_member(tar, members["npy"]))
    if picture is None or picture.shape != (settings.picture_size, settings.picture_size, 3):
        yield Skipped(name, "has a damaged picture")
    elif spectrogram is None or spectrogram.shape != (settings.bins, settings.frames):
        yield Skipped(name, "has a damaged spectrogram")
    elif about.get("checksum") not in ("", checksum(picture, spectrogram)):
        yield Skipped(name, "differs from its checksum")
    else:
        sound_file, picture_file = (from_text(str(about.get(key, ""))) for key in ("sound_file", "picture_file"))
        yield FeaturePair(start, spectrogram, picture, sound_file, picture_file)


def _decode_png(content: bytes) -> NDArray[np.uint8] | None:
    """Return a picture (H, W, 3), or None if it is damaged."""
    from PIL import Image

    try:
        with Image.open(io.BytesIO(content), formats=("PNG",)) as image:
            return fit_picture(image)
    except (*DECODER_ERRORS, Image.DecompressionBombError):
        return None


def _decode_npy(content: bytes) -> NDArray[np.float16] | None:
    """Return a spectrogram (M, T) of numbers, or None if it is damaged. Nothing is unpickled."""
    try:
        spectrogram: NDArray[Any] = np.load(io.BytesIO(content), allow_pickle=False)
    except DECODER_ERRORS:
        return None
    return spectrogram if spectrogram.dtype == np.float16 and not np.isnan(spectrogram).any() else None


def _read_media(
    tar: Path, name: str, members: dict[str, Member], start: float, options: SourceOptions
) -> Iterator[RawPair | Skipped]:
    """Yield the chunks of the sound of a sample, each with the picture, or with the frame of the video.

    Args:
        tar: the shard.
        name: the name of the sample.
        members: its sound and its picture, or one of them and a video, or a video.
        start: where the sample starts in its recording, seconds.
        options: how the sample is read.

    Raises:
        MediaError: the shard cannot be read.
    """
    kinds = {_kind(suffix): member for suffix, member in members.items()}
    sound = kinds.get("sound") or kinds["video"]
    picture = kinds.get("picture") or kinds["video"]
    sound_file, picture_file = f"{name}.{sound.suffix}", f"{name}.{picture.suffix}"
    with copied_member(tar, sound) as path:
        try:
            waveform = read_sound(path, options.settings.sample_rate)
        except MediaError as error:
            yield skip_unreadable(sound_file, path, error)
            return
    if len(waveform) < options.settings.samples:
        yield skip_too_short(sound_file, options)
        return
    chunks = dict(cut_chunks(waveform, options))
    with copied_member(tar, picture) as path:
        try:
            if "picture" in kinds:
                still = read_picture(path, options.settings.picture_size)
                frames: Iterable[tuple[float, NDArray[np.uint8]]] = ((time, still) for time in chunks)
            else:
                frames = (
                    (time, frame) for time, (frame,) in read_video(path, options.hop, options.settings.picture_size)
                )
            for time, frame in frames:
                if time in chunks:
                    yield RawPair(start + time, chunks[time], frame, sound_file, picture_file)
        except MediaError as error:
            yield skip_unreadable(picture_file, path, error)
