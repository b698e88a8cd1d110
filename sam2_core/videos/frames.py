"""What every video of this package checks before it reads a frame."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np

from sam2_core.errors import VideoError
from sam2_core.types import Image, Video


class _NoFrameError(VideoError, IndexError):
    """A frame that does not exist; also an IndexError, so that ``for frame in video`` ends."""


def existing(frame_index: int, frames: int) -> int:
    """The frame index as an int; VideoError if the video has no such frame."""
    number = operator.index(frame_index)
    if not 0 <= number < frames:
        known = f"the video has frames 0..{frames - 1}" if frames else "the video has no frames yet"
        raise _NoFrameError(f"frame {number} does not exist; {known}")
    return number


def check_size(size: tuple[int, int], expected: tuple[int, int], what: str) -> None:
    """VideoError unless the frame has the height and width of the others."""
    if size != expected:
        raise VideoError(
            f"{what} has {size[0]} x {size[1]} pixels (height x width), the video has "
            f"{expected[0]} x {expected[1]}; all frames must have the same size"
        )


def frame_of(video: Video, frame_index: int) -> Image:
    """A frame of any video, also of the user's own.

    Raises:
        VideoError: if it cannot be read, or is not ``(height, width, 3)`` of uint8 and of the video's size.
    """
    frame: Any = video[frame_index]
    needed = (*video.size, 3)
    if isinstance(frame, np.ndarray) and frame.dtype == np.uint8 and frame.shape == needed:
        return frame
    shape, dtype = getattr(frame, "shape", None), getattr(frame, "dtype", "")
    got = f"a {type(frame).__name__}" + ("" if shape is None else f" {tuple(shape)} of {dtype}")
    raise VideoError(
        f"frame {frame_index} of the video ({type(video).__name__}) is {got}, "
        f"an array {needed} of uint8 is needed; "
        "give arrays to open_video for other kinds: it normalises them"
    )
