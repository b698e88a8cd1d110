"""Windows: square parts of a frame in which a small object is followed at its own resolution (ADR 13).

A network sees every image at one size. An object of 30 pixels on a frame of 2048 would be 4 pixels there; in
a window of 256 pixels around it, it keeps its 30. Which window an object gets depends on where it was and on
nothing else, so that objects stay independent; the places of windows are coarse, so that neighbours mostly
share one, and whole cells of the feature grid apart, so that memories made in one can be read in another.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sam2_core.models.resampling import Affine
from sam2_core.results import RunLengths

CELL = 16
"""The stride of the coarsest features and of the memories, in pixels of the network's input."""


SPECKS = 0.01
"""Of a mask's pixels, so many at most on each side do not count for its place."""


class Place(NamedTuple):
    """Where something is: rows and columns of a frame, half open."""

    top: int
    left: int
    bottom: int
    right: int

    @classmethod
    def of(cls, mask: RunLengths) -> Place | None:
        """The rectangle of a mask but for specks, which are no reason to see more; None for an empty one."""
        if not mask.area:
            return None
        inside = mask.crop()
        (top, bottom), (left, right) = (_middle_of(inside.sum(axis)) for axis in (1, 0))
        return cls(mask.top + top, mask.left + left, mask.top + bottom, mask.left + right)

    @property
    def extent(self) -> int:
        """The longer side."""
        return max(self.bottom - self.top, self.right - self.left)

    def joined(self, other: Place | None) -> Place:
        """The rectangle around both."""
        if other is None:
            return self
        return Place(
            min(self.top, other.top),
            min(self.left, other.left),
            max(self.bottom, other.bottom),
            max(self.right, other.right),
        )


@dataclass(frozen=True)
class Window:
    """A square part of a frame, in pixels of the video; it may reach past the lower and the right border."""

    top: int
    left: int
    side: int


def axes(here: Window | None, there: Window | None, frame: tuple[int, int]) -> tuple[Affine, Affine]:
    """Where the rows and the columns of one view lie in another; None is the whole frame.

    Args:
        here: the view whose positions are asked for.
        there: the view in which they are looked up.
        frame: height and width of the frame.
    """
    found = []
    for axis in (0, 1):
        (mine, length), (theirs, other) = _span(here, frame, axis), _span(there, frame, axis)
        found.append(Affine(length / other, (mine - theirs) / other))
    return found[0], found[1]


@dataclass(frozen=True)
class Windows:
    """Which window an object gets.

    Attributes:
        image_size: side of the network's input; no window is smaller, or it would only be blown up.
        largest_share: of a window's side that an object takes at most when it gets the window.
        kept_shares: between these shares it stays in a window of that size.
        margin: of the side; an object that comes closer to the border of its window gets another one.
        worth: a window is worth its encoding if it shows the object so many times larger than the whole
            frame does.
    """

    image_size: int
    largest_share: float = 1 / 4
    kept_shares: tuple[float, float] = (1 / 12, 3 / 8)
    margin: float = 1 / 16
    worth: float = 2.0

    def place(self, place: Place, frame: tuple[int, int], current: Window | None = None) -> Window | None:
        """The window in which an object is looked for; None for the whole frame.

        Args:
            place: where the object was.
            frame: height and width of the frame.
            current: the window that the object has; it stays there while it fits.
        """
        if current is not None and self._stays(place, frame, current):
            return current
        side = self.image_size
        while place.extent > self.largest_share * side:
            side *= 2
        return self._of_side(side, place, frame)

    def around(self, place: Place, frame: tuple[int, int]) -> list[Window]:
        """The windows of all sizes around a place that is small itself, from the smallest."""
        found, side = [], self.image_size
        while (window := self._of_side(side, place, frame)) is not None:
            found.append(window)
            side *= 2
        return found

    def fits(self, place: Place, window: Window) -> bool:
        """Whether an object is not too large for a window."""
        return place.extent <= self.kept_shares[1] * window.side

    def _of_side(self, side: int, place: Place, frame: tuple[int, int]) -> Window | None:
        if self.worth * side > max(frame):
            return None
        cell = side // self.image_size * CELL
        top, left = (
            _origin((low + high) / 2, side, length, cell) for low, high, length in _spans(place, frame)
        )
        return Window(top, left, side)

    def _stays(self, place: Place, frame: tuple[int, int], window: Window) -> bool:
        small = place.extent < self.kept_shares[0] * window.side and window.side > self.image_size
        if small or not self.fits(place, window):
            return False
        margin = self.margin * window.side
        return all(
            (low - origin >= margin or origin == 0)
            and (origin + window.side - high >= margin or origin + window.side >= length)
            for (low, high, length), origin in zip(
                _spans(place, frame), (window.top, window.left), strict=True
            )
        )


def _middle_of(counts: NDArray[np.int64]) -> tuple[int, int]:
    """Start and end of what is left of an axis without the outermost pixels on either side."""
    below = counts.cumsum()
    beyond = SPECKS * below[-1]
    start = int(np.searchsorted(below, beyond, "right"))
    return start, int(np.searchsorted(below, below[-1] - beyond, "left")) + 1


def _origin(centre: float, side: int, length: int, cell: int) -> int:
    """Where a window starts along an axis: half a side or, at the border, some cells from the next one."""
    step = side // 2
    last = math.ceil(max(0, length - side) / cell) * cell
    return max(0, min(last, round((centre - side / 2) / step) * step))


def _spans(place: Place, frame: tuple[int, int]) -> tuple[tuple[int, int, int], tuple[int, int, int]]:
    """Start and end of a place and the length of the frame, along rows and columns."""
    return (place.top, place.bottom, frame[0]), (place.left, place.right, frame[1])


def _span(view: Window | None, frame: tuple[int, int], axis: int) -> tuple[int, int]:
    """Start and length of a view along an axis."""
    return (0, frame[axis]) if view is None else ((view.top, view.left)[axis], view.side)
