"""What everything speaks of: images, masks, videos, points and boxes; plain values, NumPy only.

Coordinates are pixels of the video: x to the right, y down, and ``(0, 0)`` is the centre of the first pixel.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]
"""An RGB image, ``(height, width, 3)``."""

Mask = NDArray[np.bool_]
"""A binary mask, ``(height, width)``."""

SHOWN = 6
"""How many points or object ids are written out where a value is printed."""

HIGHEST_ID = 2**31 - 1
"""Object ids are the pixel values of label images, which are ``int32``."""


@runtime_checkable
class Video(Protocol):
    """Random access to frames; decoding is lazy, one frame at a time."""

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of every frame, in pixels."""

    def __len__(self) -> int:
        """The number of frames known so far (a live video grows)."""

    def __getitem__(self, frame_index: int, /) -> Image:
        """The frame, ``(height, width, 3)`` RGB; VideoError if it cannot be read."""


def is_live(video: Video) -> bool:
    """Whether a video grows and forgets: it says its ``oldest`` frame."""
    return hasattr(video, "oldest")


class Point(NamedTuple):
    """A click: on the object if positive, beside it if not."""

    x: float
    y: float
    positive: bool = True


class Box(NamedTuple):
    """A rectangle drawn around the object, corners in pixels."""

    left: float
    top: float
    right: float
    bottom: float


def brief(items: Sequence[object]) -> str:
    """A sequence as a tuple on one line; of many items the first few, and how many there are."""
    if len(items) <= SHOWN:
        return repr(tuple(items))
    return f"({', '.join(map(repr, items[:SHOWN]))}, ... {len(items)} in all)"
