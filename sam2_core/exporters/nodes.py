"""Objects on frames, for tables and graphs: where an object is, and which pixels it has."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sam2_core.exporters.frames import Size, on_frame
from sam2_core.results import Masklet, MaskletFrame


@dataclass(frozen=True, eq=False)
class Node:
    """One object on one frame, with at least one pixel.

    Attributes:
        object_id: the object.
        frame_index: the frame.
        known: its mask and score.
        rows, columns: its pixels, ``(pixels,)`` each.
    """

    object_id: int
    frame_index: int
    known: MaskletFrame
    rows: NDArray[np.intp]
    columns: NDArray[np.intp]

    @property
    def area(self) -> int:
        """The number of its pixels."""
        return len(self.rows)

    @property
    def centroid(self) -> tuple[float, float]:
        """The mean row and column of its pixels, to a ten-thousandth of a pixel."""
        row, column = self.known.encoded.centroid()
        return round(row, 4), round(column, 4)

    @property
    def edges(self) -> tuple[int, int, int, int]:
        """The first row and column, and the last row and column, that hold pixels of it."""
        rows, columns = self.rows, self.columns
        return int(rows.min()), int(columns.min()), int(rows.max()), int(columns.max())


def nodes_on(masklets: Mapping[int, Masklet], frame_index: int, size: Size) -> list[Node]:
    """The objects with pixels on a frame, in the order of the masklets.

    Raises:
        ExportError: if a mask has another size than the video.
    """
    found = []
    for object_id, known in on_frame(masklets, frame_index, size).items():
        rows, columns = np.nonzero(known.encoded.crop())
        if len(rows):
            top, left = known.encoded.top, known.encoded.left
            found.append(Node(object_id, frame_index, known, rows + top, columns + left))
    return found
