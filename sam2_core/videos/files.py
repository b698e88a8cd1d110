"""Video files: any frame, exactly; reading on, or backward, decodes each frame once."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from av.error import FFmpegError
from av.video.frame import VideoFrame
from av.video.reformatter import VideoReformatter
from numpy.typing import NDArray

from sam2_core.errors import VideoError
from sam2_core.types import Image
from sam2_core.videos.decoder import Decoder, damage_of
from sam2_core.videos.frame_index import FrameIndex
from sam2_core.videos.frames import check_size, existing
from sam2_core.videos.normalise import DEFAULT, ImageOptions, Normaliser, Planes, planes_of, sampled
from sam2_core.videos.orientation import orientation_of
from sam2_core.videos.truncation import loss_of, warn_of_the_end

CACHE_BYTES = 128 * 2**20
"""For frames decoded on a jump: enough for a group of pictures, so that reading backward is cheap."""

READ_ON_BYTES = 16 * 2**20
"""For frames decoded while reading on, of which few are wanted again."""


class VideoFile:
    """A video file as its player shows it: frames in the order of showing, upright.

    The first frame is read without looking at the rest of the file. Later frames are counted while they come
    at a constant pace; for anything else (a jump, a variable frame rate, damage) the packets of the file are
    listed once, without decoding. The last decoded frames are kept, so that reading backward decodes each
    group of pictures once if it fits into ``cache_bytes``; while reading on, fewer are kept.

    Args:
        path: the file.
        options: channels and contrast; also for films in 16-bit gray.
        cache_bytes: the most that decoded frames may take.

    Attributes:
        size: height and width after rotation.
        frame_rate: frames per second on average, None if the file does not say.

    Warns:
        IncompleteVideoWarning: if the file is cut off; the frames that it holds can be read.

    Raises:
        VideoError: if the file cannot be opened, or holds no frame that can be decoded.
    """

    def __init__(
        self, path: Path | str, options: ImageOptions = DEFAULT, *, cache_bytes: int = CACHE_BYTES
    ) -> None:
        self._name = Path(path).name
        self._options = options
        self._normaliser = Normaliser(options)
        self._reformatter = VideoReformatter()
        self._cache_bytes = cache_bytes
        self._cache = _FrameCache(min(READ_ON_BYTES, cache_bytes))
        path = Path(path)
        self._decoder = Decoder(path)
        self.frame_rate = self._decoder.frame_rate
        self._step = self._decoder.ticks_per_frame
        self._expected: float | None = self._decoder.start_time
        self._index: FrameIndex | None = None
        self._next = 0  # the frame that the decoder gives next
        self._broken: set[int] = set()
        self._is_closed = False
        first = self._decode_on()
        if first is None:
            self._decoder.close()
            raise VideoError(f"no frame of {self._name!r} can be decoded; the file {damage_of(path)}")
        self._orientation = orientation_of(first)
        height, width = self._orientation.applied(np.empty((first.height, first.width))).shape
        self.size = (height, width)
        self._count = self._decoder.count()
        self._warn_if_cut_off(path)

    def __len__(self) -> int:
        if self._count is None:
            self._count = len(self._listed())
        return self._count

    def __getitem__(self, frame_index: int, /) -> Image:
        """The frame as 8-bit RGB, ``(height, width, 3)``; VideoError names a frame that cannot be decoded."""
        return self._normaliser(self._planes(existing(frame_index, len(self))), self._sample)

    def close(self) -> None:
        """Close the file and forget the decoded frames."""
        self._is_closed = True
        self._decoder.close()
        self._cache = _FrameCache(0)

    def _warn_if_cut_off(self, path: Path) -> None:
        if (loss := loss_of(path)) and (promised := self._decoder.promised(self._listed())):
            warn_of_the_end(self._name, len(self), promised, loss)

    def _sample(self) -> Iterator[Planes]:
        return sampled(self._planes, len(self))

    def _planes(self, frame_index: int) -> Planes:
        frame = self._frame(frame_index)
        image = self._orientation.applied(self._pixels(frame))
        check_size((image.shape[0], image.shape[1]), self.size, f"frame {frame_index} of {self._name!r}")
        return planes_of(image, self._options)

    def _pixels(self, frame: VideoFrame) -> NDArray[Any]:
        deep_gray = frame.format.name.startswith("gray") and frame.format.components[0].bits > 8
        try:
            shown = self._reformatter.reformat(frame, format="gray16le" if deep_gray else "rgb24")
        except (FFmpegError, ValueError) as error:
            raise VideoError(
                f"the pixels of {self._name!r} ({frame.format.name}) cannot be shown; convert it to yuv420p"
            ) from error
        return shown.to_ndarray()

    def _frame(self, frame_index: int) -> VideoFrame:
        if self._is_closed:
            raise VideoError(f"the video {self._name!r} was closed; open it again")
        if (frame := self._cache.get(frame_index)) is not None:
            return frame
        if frame_index not in self._broken:
            if self._is_ahead(frame_index):
                self._cache.most_bytes = min(READ_ON_BYTES, self._cache_bytes)
                self._decode_to(frame_index, 0)
            if (frame := self._cache.get(frame_index) or self._decode_anew(frame_index)) is not None:
                return frame
            self._broken.add(frame_index)
        raise VideoError(
            f"frame {frame_index} of {self._name!r} cannot be decoded; the file may be damaged there"
        )

    def _is_ahead(self, frame_index: int) -> bool:
        """Whether reading on is the shortest way."""
        if frame_index <= self._next:
            return frame_index == self._next
        return self._listed().key_before(frame_index) <= self._next

    def _decode_anew(self, frame_index: int) -> VideoFrame | None:
        """The frame, decoded from the keyframe before it; None if it is not in the file."""
        index = self._listed()
        self._cache.most_bytes = self._cache_bytes
        for start in index.starts(frame_index):
            self._decoder.jump(start.time)
            self._next = 0
            came = self._decode_to(frame_index, start.first)
            if (frame := self._cache.get(frame_index)) is not None:
                return frame
            if came is not None and came <= index.key_before(frame_index):
                return None  # decoding began early enough, and the frame did not come
        return None

    def _decode_to(self, frame_index: int, first: int) -> int | None:
        """Decode until a frame or a later one comes; the number of the first that came."""
        came: int | None = None
        while self._decode_on(first) is not None:
            came = self._next - 1 if came is None else came
            if self._next > frame_index:
                break
        return came

    def _decode_on(self, first: int = 0) -> VideoFrame | None:
        """One more frame, None at the end; it is kept unless its number lies before ``first``."""
        while (frame := self._decoder.next_frame()) is not None:
            number = self._number(frame)
            if number is None:
                continue
            self._next = number + 1
            if number >= first:
                self._cache.put(number, frame)
            return frame
        return None

    def _number(self, frame: VideoFrame) -> int | None:
        if self._index is None and self._on_pace(frame):
            return self._next
        index = self._listed()
        return index.number(frame.pts) if index.exact else self._next

    def _on_pace(self, frame: VideoFrame) -> bool:
        """Whether this must be the next frame, since none was skipped."""
        if self._step is None or self._expected is None or frame.pts is None:
            return False
        late = abs(frame.pts - self._expected)
        self._expected = frame.pts + self._step
        return late <= self._step / 10

    def _listed(self) -> FrameIndex:
        if self._index is None:
            self._index = self._decoder.index()
        return self._index


class _FrameCache:
    """The frames used last, as the decoder gave them (YUV: half of RGB), within a number of bytes."""

    def __init__(self, most_bytes: int) -> None:
        self.most_bytes = most_bytes
        self._bytes = 0
        self._frames: OrderedDict[int, VideoFrame] = OrderedDict()

    def get(self, number: int) -> VideoFrame | None:
        if number in self._frames:
            self._frames.move_to_end(number)
        return self._frames.get(number)

    def put(self, number: int, frame: VideoFrame) -> None:
        """Keep a frame; the last one is kept however large it is."""
        if number in self._frames:
            self._bytes -= _size(self._frames.pop(number))
        self._frames[number] = frame
        self._bytes += _size(frame)
        while self._bytes > self.most_bytes and len(self._frames) > 1:
            self._bytes -= _size(self._frames.popitem(last=False)[1])


def _size(frame: VideoFrame) -> int:
    return sum(plane.buffer_size for plane in frame.planes)
