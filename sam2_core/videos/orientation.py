"""How a video file wants its frames turned before they are shown: its display matrix."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, TypeVar, cast

import numpy as np
from av.video.frame import VideoFrame
from numpy.typing import NDArray

Pixels = TypeVar("Pixels", bound=NDArray[Any])


class Orientation(NamedTuple):
    """The signs (-1, 0, 1) of ``x' = a x + c y`` and ``y' = b x + d y``: turns by 90 degrees, mirrors."""

    a: int = 1
    b: int = 0
    c: int = 0
    d: int = 1

    def applied(self, image: Pixels) -> Pixels:
        """The image upright, ``(height, width, ...)``; a view."""
        if self.a == self.d == 0:
            return image.swapaxes(0, 1)[:: self.b or 1, :: self.c or 1]  # type: ignore[return-value]  # a view
        return image[:: self.d or 1, :: self.a or 1]  # type: ignore[return-value]  # a view


def orientation_of(frame: VideoFrame) -> Orientation:
    """What the display matrix of the frame says; turns by other angles than 90 degrees are left alone."""
    side_data = cast(Mapping[str, Any], frame.side_data)
    if "DISPLAYMATRIX" not in side_data:
        return Orientation()
    # 3 x 3 numbers (ISO 14496-12, 6.2.2): a b u, c d v, x y w.
    matrix = np.frombuffer(bytes(side_data["DISPLAYMATRIX"]), dtype=np.int32)
    a, b, c, d = (int(sign) for sign in np.sign(matrix[[0, 1, 3, 4]]))
    right_angle = (a == d == 0 and b and c) or (b == c == 0 and a and d)
    return Orientation(a, b, c, d) if right_angle else Orientation()
