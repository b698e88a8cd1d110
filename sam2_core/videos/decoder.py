"""One video stream, decoded from wherever it is wanted: the part that knows PyAV."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import av
from av.container import InputContainer
from av.error import FFmpegError
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from sam2_core.errors import VideoError, reason
from sam2_core.videos.frame_index import FrameIndex, Stamp
from sam2_core.videos.gifs import completed
from sam2_core.videos.truncation import loss_of

COVER = 0x400
"""The disposition of a picture that is attached to a film or a song (AV_DISPOSITION_ATTACHED_PIC)."""


class Decoder:
    """Gives the frames of a file one after another, from a place that can be moved.

    Damaged packets cost their frames, not the rest of the file.

    Raises:
        VideoError: if the file cannot be opened, or holds no video.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._gif = _completed_gif(path)
        self._container, self._stream = self._opened()
        self._frames = _decoded(self._container, self._stream)

    @property
    def frame_rate(self) -> float | None:
        """Frames per second on average, None if the file does not say."""
        rate = self._stream.average_rate
        return float(rate) if rate else None

    @property
    def start_time(self) -> int | None:
        """The time of the first frame, in ticks, None if the file does not say."""
        return self._stream.start_time

    @property
    def ticks_per_frame(self) -> float | None:
        """Ticks between two frames on average, None if the file does not say."""
        rate, tick = self._stream.average_rate, self._stream.time_base
        return float(1 / (rate * tick)) if rate and tick else None

    def next_frame(self) -> VideoFrame | None:
        """The next frame that can be decoded, in the order of showing; None at the end."""
        return next(self._frames, None)

    def jump(self, time: int | None) -> None:
        """Go to the keyframe at or before a time, in ticks; to the beginning if it is None."""
        try:
            if time is not None:
                self._container.seek(time, stream=self._stream)
                self._frames = _decoded(self._container, self._stream)
                return
        except FFmpegError:  # not every container can
            pass
        self._container.close()
        self._container, self._stream = self._opened()
        self._frames = _decoded(self._container, self._stream)

    def close(self) -> None:
        """Close the file."""
        self._container.close()

    def count(self) -> int | None:
        """The number of frames, if the header of the file says it in a way that can be trusted."""
        stream = self._stream
        entries = getattr(stream, "index_entries", None)  # PyAV 15
        if "mov" not in self._container.format.name or not entries or len(entries) != stream.frames:
            return None
        file_size = self._path.stat().st_size
        complete = all(not e.is_discard and e.pos + e.size <= file_size for e in entries)
        return len(entries) if complete and entries[0].is_keyframe else None

    def promised(self, index: FrameIndex) -> str | None:
        """How many frames the header of the file promises, in words; None if the index has them all.

        Args:
            index: of the file, from whose pace the number is estimated if only the duration is known.
        """
        stream, duration = self._stream, self._container.duration
        is_mov = "mov" in self._container.format.name
        if self._gif is not None:
            return "an unknown number"
        if stream.frames:
            entries = getattr(stream, "index_entries", None) or ()  # PyAV 15
            hidden = sum(entry.is_discard for entry in entries) if is_mov else 0
            return str(stream.frames - hidden) if stream.frames - hidden > len(index) else None
        if is_mov or not (duration and stream.time_base and index.pace):
            return "an unknown number"  # each fragment of an MP4 tells of itself only
        frames = round(duration / av.time_base / (index.pace * stream.time_base))
        return f"about {frames}" if frames > len(index) else None

    def index(self) -> FrameIndex:
        """Where the frames are; reads the whole file once, without decoding."""
        container, stream = self._opened()
        with container:
            # AVI keeps no times of frames: those of reordered ones are guesses.
            reliable = not (container.format.name == "avi" and stream.codec_context.has_b_frames)
            stamps = list(_stamps(container, stream))
            complete = 0 < stream.frames <= len(stamps) or loss_of(self._path) is None
            return FrameIndex(stamps, reliable=reliable, complete=complete)

    def _opened(self) -> tuple[InputContainer, VideoStream]:
        return opened(self._path, self._gif)


def _decoded(container: InputContainer, stream: VideoStream) -> Iterator[VideoFrame]:
    packets = _packets(container, stream)
    while True:
        try:
            packet = next(packets, None)
        except FFmpegError:  # the file ends in the middle of something
            packet = None
        with suppress(FFmpegError):  # a damaged packet, or nothing left
            yield from stream.decode(packet)
        if packet is None:
            return


def _packets(container: InputContainer, stream: VideoStream) -> Iterator[Packet[VideoStream]]:
    """All packets of a stream, also behind those of streams that the file named too late."""
    while True:
        try:
            yield from container.demux(stream)
            return
        except IndexError:  # PyAV has no stream for the packet, which may come of damage
            continue


def _stamps(container: InputContainer, stream: VideoStream) -> Iterator[Stamp]:
    last, found = None, 0
    with suppress(FFmpegError):  # truncated: what was found up to here can be read
        for packet in _packets(container, stream):
            if packet.size:
                if last is not None:
                    yield _stamp(last)
                last, found = packet, found + 1
    # A last packet that is not complete is no frame; a single one was decoded when the file was opened.
    if last is not None and (found == 1 or not last.is_corrupt):
        yield _stamp(last)


def _stamp(packet: Packet[VideoStream]) -> Stamp:
    return Stamp(packet.pts, packet.dts, packet.is_keyframe, not packet.is_discard)


def opened(path: Path, data: bytes | None = None) -> tuple[InputContainer, VideoStream]:
    """The file and its main video stream; VideoError if there is none.

    Args:
        path: the file.
        data: what to read in its place.
    """
    try:
        # With "file:", a colon in the name is no protocol.
        container = av.open(f"file:{path}" if data is None else io.BytesIO(data), mode="r")
    except (FFmpegError, OSError, ValueError) as error:
        raise VideoError(
            f"cannot read {path.name!r} as a video: {reason(error)}; it {damage_of(path)}"
        ) from error
    stream = _main_stream(container)
    if stream is None:
        container.close()
        raise VideoError(f"{path.name!r} holds no video stream; give a file with moving images")
    stream.thread_type = "AUTO"
    return container, stream


def _completed_gif(path: Path) -> bytes | None:
    """What to read in place of a GIF that is cut off, or has no control extensions."""
    if path.suffix.lower() != ".gif":
        return None
    try:
        return completed(path.read_bytes())
    except OSError:  # ``opened`` says so
        return None


def damage_of(path: Path) -> str:
    """Why a file may not be readable, as the end of a message."""
    loss = loss_of(path)
    return f"{loss}; copy it again" if loss else "may be damaged or incomplete"


def _main_stream(container: InputContainer) -> VideoStream | None:
    """The video, and not the picture of a song or the cover of a film."""
    films = [s for s in container.streams.video if not getattr(s, "disposition", 0) & COVER]  # PyAV 14
    try:
        best = container.streams.best("video")
    except IndexError:  # a damaged file can name a stream that it does not have
        best = None
    return best if isinstance(best, VideoStream) and best in films else next(iter(films), None)
