"""One video stream, decoded from wherever it is wanted: the part that knows PyAV."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import av
from av.container import InputContainer
from av.error import FFmpegError
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from sam2_core.errors import VideoError
from sam2_core.videos.frame_index import FrameIndex, Stamp


class Decoder:
    """Gives the frames of a file one after another, from a place that can be moved.

    Damaged packets cost their frames, not the rest of the file.

    Raises:
        VideoError: if the file cannot be opened, or holds no video.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._container, self._stream = opened(path)
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
        self._container, self._stream = opened(self._path)
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

    def index(self) -> FrameIndex:
        """Where the frames are; reads the whole file once, without decoding."""
        container, stream = opened(self._path)
        with container:
            # AVI keeps no times of frames: those of reordered ones are guesses.
            reliable = not (container.format.name == "avi" and stream.codec_context.has_b_frames)
            return FrameIndex(_stamps(container, stream), reliable=reliable)


def _decoded(container: InputContainer, stream: VideoStream) -> Iterator[VideoFrame]:
    packets = container.demux(stream)
    while True:
        try:
            packet = next(packets, None)
        except FFmpegError:  # the file ends in the middle of something
            packet = None
        with suppress(FFmpegError):  # a damaged packet, or nothing left
            yield from stream.decode(packet)
        if packet is None:
            return


def _stamps(container: InputContainer, stream: VideoStream) -> Iterator[Stamp]:
    try:
        for packet in container.demux(stream):
            if packet.size:
                yield Stamp(packet.pts, packet.dts, packet.is_keyframe, not packet.is_discard)
    except FFmpegError:  # truncated: what was found up to here can be read
        return


def opened(path: Path) -> tuple[InputContainer, VideoStream]:
    """The file and its main video stream; VideoError if there is none."""
    try:
        container = av.open(f"file:{path}")  # with "file:", a colon in the name is no protocol
    except (FFmpegError, OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise VideoError(
            f"cannot read {path.name!r} as a video: {reason}; it may be damaged or incomplete"
        ) from error
    stream = container.streams.best("video")
    if not isinstance(stream, VideoStream):
        container.close()
        raise VideoError(f"{path.name!r} holds no video stream; give a file with moving images")
    stream.thread_type = "AUTO"
    return container, stream
