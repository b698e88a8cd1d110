"""Region similarity J, contour accuracy F and what is made of them (Perazzi et al. 2016, DAVIS 2017).

J is ``masks.iou``. All values are shares in 0..1; tables print them times 100.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage

from sam2_core.types import Mask

TOLERANCE = 0.008
"""How far two boundaries may lie apart and still match, as a share of the frame's diagonal."""


def boundary(mask: Mask) -> Mask:
    """The pixels of a mask's contour: those that differ from a neighbour to the right, below or between.

    As in the DAVIS code, one pixel wide; the frame's border is none.
    """
    padded = np.pad(mask, ((0, 1), (0, 1)), mode="edge")
    here = padded[:-1, :-1]
    differs: Mask = (here ^ padded[:-1, 1:]) | (here ^ padded[1:, :-1])
    differs[:-1, :-1] |= mask[:-1, :-1] ^ mask[1:, 1:]
    return differs


def tolerance(size: tuple[int, int]) -> int:
    """How many pixels apart boundaries may lie on a frame of this height and width."""
    return math.ceil(TOLERANCE * math.hypot(*size))


def contour_accuracy(prediction: Mask, truth: Mask) -> float:
    """F: the harmonic mean of precision and recall of the boundary, within ``tolerance``.

    1 if both masks are empty, 0 if one is. Only the part of the frame where the masks are is looked at,
    which changes nothing.

    Args:
        prediction: ``(height, width)``.
        truth: of the same shape.
    """
    within = tolerance((truth.shape[0], truth.shape[1]))
    area = _around(prediction | truth, within + 2)
    if area is None:
        return 1.0
    found, wanted = boundary(prediction)[area], boundary(truth)[area]
    if not found.any() or not wanted.any():
        return float(found.any() == wanted.any())
    precision = float(_near(wanted, within)[found].mean())
    recall = float(_near(found, within)[wanted].mean())
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def _near(contour: Mask, within: int) -> Mask:
    near: Mask = ndimage.distance_transform_edt(~contour) <= within
    return near


def _around(mask: Mask, margin: int) -> tuple[slice, slice] | None:
    """The rectangle around a mask; None if it is empty."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not len(rows):
        return None
    top, left = max(0, int(rows[0]) - margin), max(0, int(columns[0]) - margin)
    return slice(top, int(rows[-1]) + margin + 1), slice(left, int(columns[-1]) + margin + 1)


def recall(values: ArrayLike) -> float:
    """The share of frames above one half."""
    return float((np.asarray(values) > 0.5).mean())


def decay(values: Sequence[float] | NDArray[np.float64]) -> float:
    """The mean over the first quarter of the frames minus that over the last; quarters share end points.

    The DAVIS code keeps the places of the quarters in 8 bits and gives nan from 256 frames on; this does not.
    """
    array = np.asarray(values, np.float64)
    places = np.round(np.linspace(1, len(array), 5) + 1e-10).astype(int) - 1
    first, last = array[: places[1] + 1], array[places[3] :]
    return float(first.mean() - last.mean())
