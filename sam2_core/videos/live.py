"""A video that grows while it is watched: a camera, a microscope."""

from __future__ import annotations

from collections import deque
from typing import Any

from sam2_core.errors import VideoError, reason
from sam2_core.types import Image
from sam2_core.videos.arrays import as_numpy
from sam2_core.videos.frames import check_size, existing
from sam2_core.videos.normalise import DEFAULT, ImageOptions, Normaliser, planes_of


class LiveVideo:
    """Frames are appended; only the last ``keep`` of them stay in memory.

    Args:
        size: height and width; taken from the first frame if it is not given.
        keep: how many frames can still be read.
        options: channels and contrast. Limits that are not given are those of the first frame, of whose kind
            (type of the values, number of channels shown) all frames are.
        frame_rate: frames per second, if known.
    """

    def __init__(
        self,
        size: tuple[int, int] | None = None,
        *,
        keep: int = 64,
        options: ImageOptions = DEFAULT,
        frame_rate: float | None = None,
    ) -> None:
        if keep < 1:
            raise VideoError(f"a live video keeps at least one frame; got keep={keep}")
        self.frame_rate = frame_rate
        self._size = size
        self._kind = ""  # of the values of the first frame
        self._options = options
        self._normaliser = Normaliser(options)
        self._kept: deque[Image] = deque(maxlen=keep)
        self._frames = 0

    @property
    def size(self) -> tuple[int, int]:
        """Height and width; VideoError before the first frame if it was not given."""
        if self._size is None:
            raise VideoError(
                "a live video has no size before its first frame; "
                "append a frame first, or say it: LiveVideo(size=(height, width))"
            )
        return self._size

    def __len__(self) -> int:
        """The number of frames appended so far."""
        return self._frames

    @property
    def oldest(self) -> int:
        """The first frame that can still be read."""
        return self._frames - len(self._kept)

    def __getitem__(self, frame_index: int, /) -> Image:
        """The frame as 8-bit RGB, ``(height, width, 3)``; VideoError if it is no longer kept."""
        frame_index = existing(frame_index, self._frames)
        first = self.oldest
        if frame_index < first:
            raise VideoError(
                f"frame {frame_index} is no longer kept; this live video keeps its last {self._kept.maxlen} "
                f"frames, now {first}..{self._frames - 1} (LiveVideo(keep=...) keeps more)"
            )
        return self._kept[frame_index - first].copy()

    def append(self, frame: Any) -> int:
        """Add a frame, ``(height, width)`` or ``(height, width, channels)``, and give its index.

        Raises:
            VideoError: for a frame of another size or kind; the video is as before.
        """
        try:
            image = as_numpy(frame)
        except Exception as error:  # whatever a foreign array raises
            raise VideoError(f"frame {self._frames} is no array of numbers: {reason(error)}") from error
        planes = planes_of(image, self._options)
        height, width = planes.shape[:2]
        if self._size is not None:
            check_size((height, width), self._size, f"frame {self._frames}")
        kind = f"{planes.dtype.name} with {planes.shape[2]} channel{'s' * (planes.shape[2] > 1)}"
        if self._frames and kind != self._kind:
            raise VideoError(
                f"frame {self._frames} is {kind}, the live video is {self._kind}; "
                "give all frames the same type and channels"
            )
        self._kept.append(self._normaliser(planes, lambda: [planes]))
        self._kind = kind
        self._size = (height, width)
        self._frames += 1
        return self._frames - 1
