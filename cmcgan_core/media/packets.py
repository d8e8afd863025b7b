"""Read the packets of an open file, with the timestamps of all its streams on one time axis.

Time 0 is the start of the file: the earliest timestamp of all its streams.
"""

from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from av import Packet
    from av.container import InputContainer
    from av.stream import Stream

#: Seconds by which the timestamps of a stream go back where another recording begins. Smaller steps are errors.
RESTART = 0.5
#: The types of streams that have packets all the time.
CONTINUOUS = ("audio", "video")
#: Why a file cannot be read on.
OTHER_TRACKS = "another recording with other tracks follows the first one; split the file there"
#: Bytes after the last packet of an FLV file that are not another recording.
FLV_REST = 4096


class Timeline:
    """Places the packets of a file on one time axis, in the order of the file.

    Recordings can be joined in one file; then the timestamps of each stream start again. The next recording is placed
    after the end of the one before, by the same shift in all streams, so sound and pictures stay synchronous.

    Attributes:
        end: the latest end so far of sound and pictures, in seconds. A caller that decodes sound may raise it, because
            some packets have neither timestamp nor duration.
    """

    def __init__(self, container: "InputContainer") -> None:
        self.end = 0.0
        self._shifts = [-first_timestamp(container)]  # of each recording, in seconds
        self._clocks: dict[int, _Clock] = {}  # by stream; streams may appear in the middle of a file

    @property
    def recordings(self) -> int:
        """The number of recordings so far."""
        return len(self._shifts)

    def place(self, packet: "Packet[Any]") -> None:
        """Shift the timestamps of the next packet of the file to the time axis."""
        clock = self._clocks.get(packet.stream_index)
        if clock is None:
            clock = self._clocks[packet.stream_index] = _Clock.of_stream(packet.stream)
            clock.recording = len(self._shifts) - 1
        if clock.continuous:
            self._follow(packet, clock)
        else:
            clock.recording = len(self._shifts) - 1
        ticks = round(self._shifts[clock.recording] / clock.unit)
        if packet.dts is not None:
            packet.dts += ticks
        if packet.pts is not None:
            packet.pts += ticks
            if clock.continuous:
                self.end = max(self.end, packet.pts * clock.unit + _seconds(packet, clock))

    def _follow(self, packet: "Packet[Any]", clock: "_Clock") -> None:
        """Find out whether another recording begins in the stream of this packet."""
        if packet.dts is None:
            return
        time = packet.dts * clock.unit
        if clock.latest is not None and time < clock.latest - RESTART:
            clock.recording += 1
            if clock.recording == len(self._shifts):
                self._shifts.append(self.end - time)
        clock.latest = time


@dataclass
class _Clock:
    """The timestamps of one stream.

    Attributes:
        unit: the unit of its timestamps, in seconds.
        period: the duration of a packet that does not tell it, in seconds.
        continuous: whether it has packets all the time.
        recording: the number of the recording that it has reached.
        latest: the decoding time of its latest packet, in seconds.
    """

    unit: float
    period: float
    continuous: bool
    recording: int = 0
    latest: float | None = None

    @classmethod
    def of_stream(cls, stream: "Stream") -> "_Clock":
        """Return the clock of a stream at its start."""
        rate = stream.average_rate if stream.type == "video" and stream.codec_context else None
        return cls(float(stream.time_base or 1), 1 / float(rate) if rate else 0.0, stream.type in CONTINUOUS)


def _seconds(packet: "Packet[Any]", clock: _Clock) -> float:
    """Return the duration of a packet in seconds; for pictures without a duration, the average frame period."""
    return packet.duration * clock.unit if packet.duration else clock.period


def read_packets(
    container: "InputContainer", streams: "Collection[Stream]", timeline: Timeline | None = None
) -> Iterator["Packet[Any]"]:
    """Yield the packets of some streams in the order of the file, at their times on the time axis.

    At the end there is an empty packet for each stream, which makes a decoder return its last frames.

    Args:
        container: the open file, at its start.
        streams: the streams.
        timeline: the time axis, for callers that need it.

    Raises:
        ValueError: FFmpeg stops where another recording begins in the file, or that one has other tracks.
    """
    timeline = timeline or Timeline(container)
    wanted = {stream.index for stream in streams}
    types = {stream.index: stream.type for stream in container.streams}
    known = set(types.values())
    last: Packet[Any] | None = None
    # All streams are read, because the time axis depends on all of them.
    for packet in container.demux():
        if packet.size:
            kind = packet.stream.type
            if kind in CONTINUOUS and (types.setdefault(packet.stream_index, kind) != kind or kind not in known):
                raise ValueError(OTHER_TRACKS)
            timeline.place(packet)
            last = packet
        if packet.stream.index in wanted:  # `packet.stream_index` of the empty packets at the end is 0
            yield packet
    # In FLV, nothing follows the last packet.
    if container.format.name == "flv" and last and (last.pos or 0) + last.size + FLV_REST < container.size:
        raise ValueError("another recording follows the first one; split the file there")


def first_timestamp(container: "InputContainer") -> float:
    """Return the earliest timestamp of all streams, in seconds. It is time 0 of the file."""
    return (container.start_time or 0) / 1e6


def measure_streams(container: "InputContainer") -> tuple[Counter[int], dict[int, float]]:
    """Return the number of packets of each stream, and the time in seconds at which its last packet ends.

    Reads the whole file, without decoding.
    """
    counts: Counter[int] = Counter()
    ends: dict[int, float] = {}
    clocks = {stream.index: _Clock.of_stream(stream) for stream in container.streams}
    for packet in read_packets(container, list(container.streams)):
        index, clock = packet.stream_index, clocks[packet.stream_index]
        counts[index] += bool(packet.size)
        if packet.size and packet.pts is not None:
            end = packet.pts * clock.unit + _seconds(packet, clock)
            ends[index] = max(end, ends.get(index, end))
    return counts, ends


def is_one_recording(container: "InputContainer", stream: "Stream") -> bool:
    """Return whether all packets of a stream have a timestamp, and belong to one recording of one format.

    Reads the whole file, without decoding.
    """
    timeline, codec = Timeline(container), stream.codec_context.codec.canonical_name
    formats = set()
    for packet in read_packets(container, [stream], timeline):
        if packet.size and packet.pts is None:
            return False
        if packet.size:
            formats.add(_sound_format(codec, bytes(packet)[:4]))
    return timeline.recordings == 1 and len(formats) == 1


def _sound_format(codec: str, header: bytes) -> tuple[int, ...]:
    """Return a code of channels and sample rate, if the packets of a codec say so themselves: AAC with ADTS, and MP3.

    Args:
        codec: FFmpeg's name of the codec.
        header: the first four bytes of a packet.
    """
    if len(header) == 4 and header[0] == 0xFF and codec == "aac" and header[1] & 0xF6 == 0xF0:
        return header[2] & 0x3D, header[3] & 0xC0  # sample rate, channels
    if len(header) == 4 and header[0] == 0xFF and codec == "mp3":
        return header[1] & 0xFE, header[2] & 0x0C, header[3] >= 0xC0  # version and layer, sample rate, mono
    return ()
