"""Thumbnails, by which a saved session knows its video again: a small gray picture of one frame.

One frame is read. Two thumbnails match if their gray levels go together: a copy that was encoded again,
even badly, or made brighter, correlates by more than 0.99; other films, other fields of view and frames half
a second later by less than 0.9, unless the camera looks at something that does not move.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sam2_core.types import Image, Video

CELLS = 32
"""Rows and columns of a thumbnail, at most."""

CORRELATION = 0.95
"""The least correlation of two thumbnails that match."""

NOISE = 4
"""Gray levels (of 255) that say nothing: where no cell differs by more, thumbnails match."""


def thumbnail(video: Video, frame_index: int) -> dict[str, Any] | None:
    """The thumbnail of a frame, for JSON; None if it cannot be read (any more), whatever the reason."""
    try:
        cells = _cells(video[frame_index])
    except Exception:  # a user's video raises what it likes, and nobody loses a session for a thumbnail
        return None
    return {"frame": frame_index, "gray": cells.round().astype(np.uint8).tobytes().hex()}


def matches(video: Video, saved: Mapping[str, Any] | None) -> bool:
    """Whether a frame of a video looks like its thumbnail; True where there is nothing to compare."""
    present = None if saved is None else thumbnail(video, saved["frame"])
    if saved is None or present is None:
        return True
    then, now = (np.frombuffer(bytes.fromhex(t["gray"]), np.uint8).astype(float) for t in (saved, present))
    if then.shape != now.shape:
        return False
    if np.abs(then - now).max() <= NOISE:
        return True
    then, now = then - then.mean(), now - now.mean()
    return bool((then * now).sum() >= CORRELATION * np.sqrt((then**2).sum() * (now**2).sum()) > 0)


def _cells(image: Image) -> NDArray[np.float64]:
    """The mean gray of each cell, ``(rows, columns)``."""
    gray: NDArray[np.float64] = image.mean(axis=2)
    for axis in (0, 1):
        length = gray.shape[axis]
        edges = np.arange(min(CELLS, length)) * length // min(CELLS, length)
        counts = np.diff(edges, append=length)
        gray = np.add.reduceat(gray, edges, axis=axis) / np.expand_dims(counts, 1 - axis)
    return gray
