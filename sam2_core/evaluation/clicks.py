"""The simulated user: where it clicks next (SAM 2, appendix E.1.2)."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from sam2_core.types import Mask, Point


def next_click(prediction: Mask, truth: Mask) -> Point | None:
    """The click that mends most: deepest inside the larger error, missed or painted too much.

    Depth is the distance to the error's border, and to that of the frame. A tie goes to what is painted too
    much. With an empty prediction it is the point of the object farthest from its border.

    Args:
        prediction: the mask that is shown, ``(height, width)``.
        truth: the mask that is wanted.

    Returns:
        The click; None if the two are equal.
    """
    missed, surplus = _deepest(truth & ~prediction), _deepest(prediction & ~truth)
    depth, x, y = max(missed, surplus) if missed[0] != surplus[0] else surplus
    return Point(x, y, missed[0] > surplus[0]) if depth else None


def _deepest(error: Mask) -> tuple[float, int, int]:
    """Depth, x and y of the first of the deepest points; depth 0 if there is no error.

    Only the rectangle around the error is looked at, which changes nothing.
    """
    rows, columns = np.flatnonzero(error.any(axis=1)), np.flatnonzero(error.any(axis=0))
    if not len(rows):
        return 0.0, 0, 0
    top, left = int(rows[0]), int(columns[0])
    part = error[top : rows[-1] + 1, left : columns[-1] + 1]
    depth = ndimage.distance_transform_edt(np.pad(part, 1))[1:-1, 1:-1]
    y, x = np.unravel_index(int(depth.argmax()), part.shape)
    return float(depth[y, x]), left + int(x), top + int(y)
