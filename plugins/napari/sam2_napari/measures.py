"""Where masks are: their centres, each computed once."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from sam2_core import Masklet, RunLengths


class Centres:
    """The centres of masklets; what was computed for a mask is kept as long as that mask is shown."""

    def __init__(self) -> None:
        self._known: dict[tuple[int, int], tuple[RunLengths, tuple[float, float]]] = {}

    def rows(self, masklets: Mapping[int, Masklet]) -> NDArray[np.float64]:
        """Object, frame, y and x of each mask, sorted by object and frame, ``(masks, 4)``."""
        known = {}
        for object_id in sorted(masklets):
            for frame_index, frame in masklets[object_id].items():
                if frame.encoded.area:
                    key = (object_id, frame_index)
                    mask, found = self._known.get(key, (None, None))
                    if mask is not frame.encoded or found is None:
                        found = frame.encoded.centroid()
                    known[key] = (frame.encoded, found)
        self._known = known
        rows = [(*key, *found) for key, (_, found) in known.items()]
        return np.array(rows, np.float64).reshape(-1, 4)
