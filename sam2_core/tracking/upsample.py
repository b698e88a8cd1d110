"""From mask logits to a mask at the size of the video, computed inside the object's box only."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sam2_core import masks
from sam2_core.results import RunLengths

Logits = NDArray[np.float32]


def mask_of(logits: Logits, size: tuple[int, int]) -> RunLengths:
    """The mask where the logits, resized bilinearly (``align_corners=False``) to the video, are above 0.

    Bilinear values lie between their neighbours, so that nothing farther than one logit from a positive one
    can be positive: only that part is resized.

    Args:
        logits: ``(h, w)``, as the mask decoder gives them.
        size: height and width of the video.
    """
    positive = logits > 0
    if not positive.any():
        return masks.encode(np.zeros((0, 0), np.bool_), size=size)
    rows, low_rows, row_weights = _axis(np.flatnonzero(positive.any(axis=1)), logits.shape[0], size[0])
    columns, low_columns, column_weights = _axis(
        np.flatnonzero(positive.any(axis=0)), logits.shape[1], size[1]
    )
    part = logits[low_rows[0] : low_rows[1], low_columns[0] : low_columns[1]].astype(np.float32)
    resized = _lerp(_lerp(part, row_weights).T, column_weights).T
    return masks.encode(resized > 0, size=size, top=rows, left=columns)


Weights = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]]


def _axis(positive: NDArray[np.int64], low: int, high: int) -> tuple[int, tuple[int, int], Weights]:
    """Along one axis: the first pixel of the part, the logits that it reads, and how they are mixed."""
    scale = high / low
    first = max(0, int(np.floor((positive[0] - 0.5) * scale - 0.5)))
    last = min(high - 1, int(np.ceil((positive[-1] + 1.5) * scale - 0.5)))
    place = np.maximum((np.arange(first, last + 1) + 0.5) / scale - 0.5, 0)
    below = np.minimum(place.astype(np.int64), low - 1)
    above = np.minimum(below + 1, low - 1)
    start = int(below[0])
    weights = (place - below).astype(np.float32)
    return first, (start, int(above[-1]) + 1), (below - start, above - start, weights)


def _lerp(values: Logits, weights: Weights) -> Logits:
    below, above, share = weights
    mixed: Logits = values[below] * (1 - share[:, None]) + values[above] * share[:, None]
    return mixed
