"""Whether a video is the one on which a session was made: a small picture of one of its frames.

One frame is read. Two pictures are alike if their gray levels go together: a copy that was encoded again,
even badly, or made brighter, correlates by more than 0.99; other films, other fields of view and frames half
a second later by less than 0.9, unless the camera looks at something that does not move.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sam2_core.errors import VideoError
from sam2_core.types import Image, Video

CELLS = 32
"""Rows and columns of the small picture, at most."""

CORRELATION = 0.95
"""The least correlation of two pictures that are alike."""

NOISE = 4
"""Gray levels (of 255) that say nothing: where no cell differs by more, pictures are alike."""


def of(video: Video, frame_index: int) -> dict[str, Any] | None:
    """The small picture of a frame, for JSON; None if the frame cannot be read (any more)."""
    try:
        cells = _cells(video[frame_index])
    except (VideoError, IndexError):
        return None
    return {"frame": frame_index, "gray": cells.round().astype(np.uint8).tobytes().hex()}


def alike(video: Video, look: Mapping[str, Any] | None) -> bool:
    """Whether a video looks like what ``of`` gave; True where there is nothing to compare."""
    now = None if look is None else of(video, look["frame"])
    if look is None or now is None:
        return True
    then, there = (np.frombuffer(bytes.fromhex(each["gray"]), np.uint8).astype(float) for each in (look, now))
    if then.shape != there.shape:
        return False
    if np.abs(then - there).max() <= NOISE:
        return True
    then, there = then - then.mean(), there - there.mean()
    return bool((then * there).sum() >= CORRELATION * np.sqrt((then**2).sum() * (there**2).sum()) > 0)


def _cells(image: Image) -> NDArray[np.float64]:
    """The mean gray of each cell, ``(rows, columns)``."""
    gray: NDArray[np.float64] = image.mean(axis=2)
    for axis in (0, 1):
        length = gray.shape[axis]
        edges = np.arange(min(CELLS, length)) * length // min(CELLS, length)
        counts = np.diff(edges, append=length)
        gray = np.add.reduceat(gray, edges, axis=axis) / np.expand_dims(counts, 1 - axis)
    return gray
