"""Region similarity J, contour accuracy F and what is made of them (Perazzi et al. 2016, DAVIS 2017).

J is ``masks.iou``. MOSE v2 (Ding et al. 2025) has variants of both, LVOS (Hong et al. 2023) a measure of
how steady a tracker is. All values are shares in 0..1; tables print them times 100.
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


def adaptive_tolerance(truth: Mask) -> float:
    """The tolerance of MOSE v2 in pixels, which is narrower for a small object.

    A tenth of the root of the object's area, rounded up, but no more than the share of the frame's diagonal
    that DAVIS rounds up.
    """
    widest = TOLERANCE * math.hypot(*truth.shape)
    area = int(truth.sum())
    return min(widest, math.ceil(0.1 * math.sqrt(area))) if area else widest


def smoothed_iou(first: Mask, second: Mask) -> float:
    """J of MOSE v2: intersection and union each have one pixel more; 1 if both masks are empty."""
    return (int((first & second).sum()) + 1) / (int((first | second).sum()) + 1)


def contour_accuracy(prediction: Mask, truth: Mask, within: float | None = None) -> float:
    """F: the harmonic mean of precision and recall of the boundary.

    1 if both masks are empty, 0 if one is. Only the part of the frame where the masks are is looked at,
    which changes nothing.

    Args:
        prediction: ``(height, width)``.
        truth: of the same shape.
        within: how many pixels apart boundaries may lie; None for the ``tolerance`` of DAVIS.
    """
    within = tolerance((truth.shape[0], truth.shape[1])) if within is None else within
    area = _around(prediction | truth, math.ceil(within) + 2)
    if area is None:
        return 1.0
    found, wanted = boundary(prediction)[area], boundary(truth)[area]
    if not found.any() or not wanted.any():
        return float(found.any() == wanted.any())
    precision = float(_near(wanted, within)[found].mean())
    recall = float(_near(found, within)[wanted].mean())
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def _near(contour: Mask, within: float) -> Mask:
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


def variability(j: ArrayLike, f: ArrayLike) -> float:
    """V of LVOS: the standard deviation of J&F over the frames; lower is steadier.

    The LVOS code rounds the variance to four digits before it takes the root; this does not.
    """
    return float(((np.asarray(j, np.float64) + np.asarray(f, np.float64)) / 2).std())


def after_absence(values: ArrayLike, shown: ArrayLike) -> tuple[float, float]:
    """MOSE v2: how good a tracker is while an object is gone, and once it has come back.

    The frames fall into stretches on which truth shows the object or does not. What is averaged are the
    means of the stretches; the first one follows nothing and does not count.

    Args:
        values: of each frame that counts, ``(frames,)``.
        shown: whether truth shows the object there, ``(frames,)``.

    Returns:
        The mean over the stretches without the object, and over those with it; nan if there are none.
    """
    numbers, there = np.asarray(values, np.float64), np.asarray(shown, np.bool_)
    starts = (np.flatnonzero(there[1:] != there[:-1]) + 1).tolist()
    stretches = [
        (there[start], part.mean()) for start, part in zip(starts, np.split(numbers, starts)[1:], strict=True)
    ]
    gone, back = ([mean for shows, mean in stretches if bool(shows) is wanted] for wanted in (False, True))
    return (float(np.mean(gone)) if gone else math.nan, float(np.mean(back)) if back else math.nan)
