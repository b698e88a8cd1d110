"""Windows: square parts of a frame in which an object is followed at higher resolution (ADR 13).

A network sees every image at one size. An object of 30 pixels on a frame of 2048 would be 4 pixels there; in
a window of 256 pixels around it, it keeps its 30. Which window an object gets depends on where it was and on
nothing else, so that objects stay independent; the places of windows are coarse, so that neighbours mostly
share one, and whole cells of the feature grid apart, so that memories made in one can be read in another.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sam2_core.models.resampling import Affine
from sam2_core.results import RunLengths

CELL = 16
"""The stride of the coarsest features and of the memories, in pixels of the network's input."""

MASK_STRIDE = 4
"""That of the masks."""

COARSE = 512
"""The masks of networks with an input up to this have at most 128 pixels a side."""

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

    @classmethod
    def box(cls, mask: RunLengths) -> Place:
        """The rectangle of all that is kept of a mask."""
        return cls(mask.top, mask.left, mask.top + mask.shape[0], mask.left + mask.shape[1])

    @property
    def extent(self) -> int:
        """The longer side."""
        return max(self.bottom - self.top, self.right - self.left)

    def grown(self, by: int) -> Place:
        """The rectangle with a margin around it, which may reach beyond the frame."""
        return Place(self.top - by, self.left - by, self.bottom + by, self.right + by)

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


Spot = tuple[float, float]
"""Row and column in a window, 0 to 1."""


@dataclass(frozen=True)
class Window:
    """A square part of a frame, in pixels of the video; it may reach past the lower and the right border."""

    top: int
    left: int
    side: int

    def spot(self, place: Place) -> Spot:
        """The middle of a place in this window."""
        row, column = ((low + high) / 2 for low, high in (place[::2], place[1::2]))
        return (row - self.top) / self.side, (column - self.left) / self.side

    def onto(self, place: Place, spot: Spot) -> Window:
        """One of the same size with the middle of a place at that spot; it may reach past any border."""
        row, column = self.spot(place)
        return Window(
            self.top + round((row - spot[0]) * self.side),
            self.left + round((column - spot[1]) * self.side),
            self.side,
        )


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

    Sides are those of the network's input times powers of the root of two, in whole cells.

    Attributes:
        image_size: side of the network's input; no window is smaller, or it would only be blown up.
        largest_share: of a window's side that an object takes at most when it gets the window.
        kept_shares: between these shares it stays in a window of that size.
        margin: of the side; an object that comes closer to the border of its window gets another one.
        worth: a window is worth its encoding if it shows the object so many times larger than the whole
            frame does (the geometric mean of rows and columns).
        click_worth: as ``worth``, of the windows in which a click is read.
        click_share: as ``largest_share``, of what a click may mean in a window.
        steady: readings of a click in two windows, one twice as large as the other, with such an IoU are one
            object.
    """

    image_size: int
    largest_share: float = 1 / 4
    kept_shares: tuple[float, float] = (1 / 12, 3 / 8)
    margin: float = 1 / 16
    worth: float = 2.0
    click_worth: float = 2.0
    click_share: float = 3 / 8
    steady: float = 0.75

    @classmethod
    def usual(cls, image_size: int) -> Windows:
        """Those for a network with such an input.

        One with masks of few pixels sees large objects better in a window too; the others follow these on
        the whole frame, as they were trained to.
        """
        if image_size > COARSE:
            return cls(image_size)
        return cls(image_size, largest_share=0.7, kept_shares=(1 / 4, 7 / 8), worth=1.2)

    def place(self, place: Place, frame: tuple[int, int], current: Window | None = None) -> Window | None:
        """The window in which an object is looked for; None for the whole frame.

        Args:
            place: where the object was.
            frame: height and width of the frame.
            current: the window that the object has; it stays there while it fits.
        """
        if current is None:
            return self._with_share(self.largest_share, place, frame)
        return current if self._stays(place, frame, current) else self.holding(place, frame)

    def holding(self, place: Place, frame: tuple[int, int]) -> Window | None:
        """The window of what may be an object that had one; None if it is too large even to keep one."""
        shares = (self.largest_share, self.kept_shares[1])
        fitting = (self._with_share(share, place, frame) for share in shares)
        return next((window for window in fitting if window is not None), None)

    def tour(self, side: int, frame: tuple[int, int]) -> list[Window]:
        """Windows of one size all over a frame, half a side apart."""
        cell = side * CELL // self.image_size
        rows, columns = ([*range(0, last, side // 2), last] for last in (_last(n, side, cell) for n in frame))
        return [Window(top, left, side) for top in rows for left in columns]

    def cuts(self, window: Window, place: Place, frame: tuple[int, int]) -> bool:
        """Whether an object may go on beyond a border of its window that is none of the frame."""
        pixel = window.side * MASK_STRIDE / self.image_size  # of the network's masks
        return any(
            (origin > 0 and low < origin + pixel)
            or (origin + window.side < length and high > origin + window.side - pixel)
            for (low, high, length), origin in zip(
                _spans(place, frame), (window.top, window.left), strict=True
            )
        )

    def _with_share(self, share: float, place: Place, frame: tuple[int, int]) -> Window | None:
        for side in self._sides(frame, math.sqrt(2), self.worth):
            if place.extent <= share * side:
                return self._of_side(side, place, frame)
        return None

    def around(self, place: Place, frame: tuple[int, int]) -> list[Window]:
        """The windows in which a click is read: each twice as large as the one before, around a place."""
        return [self._of_side(side, place, frame) for side in self._sides(frame, 2, self.click_worth)]

    def means(self, place: Place, window: Window) -> bool:
        """Whether a click in a window may mean an object there: it is not too large."""
        return place.extent <= self.click_share * window.side

    def _sides(self, frame: tuple[int, int], ratio: float, worth: float) -> Iterator[int]:
        """From the smallest; whole cells of whole pixels."""
        unit = self.image_size // CELL
        for power in count():
            side = round(self.image_size * ratio**power / unit) * unit
            if (side * worth) ** 2 > frame[0] * frame[1]:
                return
            yield side

    def _of_side(self, side: int, place: Place, frame: tuple[int, int]) -> Window:
        """The window around a place; as coarsely placed as the object's size allows."""
        cell = side * CELL // self.image_size
        spare = (1 - 2 * self.margin) * side - place.extent
        step = next((step for step in (8 * cell, 4 * cell, 2 * cell) if step <= spare), cell)
        top, left = (
            _origin((low + high) / 2, side, length, cell, step) for low, high, length in _spans(place, frame)
        )
        return Window(top, left, side)

    def _stays(self, place: Place, frame: tuple[int, int], window: Window) -> bool:
        small = place.extent < self.kept_shares[0] * window.side and window.side > self.image_size
        if small or place.extent > self.kept_shares[1] * window.side:
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


def _origin(centre: float, side: int, length: int, cell: int, step: int) -> int:
    """Where a window starts along an axis: whole steps or, at the border, some cells from the next one."""
    return max(0, min(_last(length, side, cell), round((centre - side / 2) / step) * step))


def _last(length: int, side: int, cell: int) -> int:
    """The last place along an axis where a window may start."""
    return math.ceil(max(0, length - side) / cell) * cell


def _spans(place: Place, frame: tuple[int, int]) -> tuple[tuple[int, int, int], tuple[int, int, int]]:
    """Start and end of a place and the length of the frame, along rows and columns."""
    return (place.top, place.bottom, frame[0]), (place.left, place.right, frame[1])


def _span(view: Window | None, frame: tuple[int, int], axis: int) -> tuple[int, int]:
    """Start and length of a view along an axis."""
    return (0, frame[axis]) if view is None else ((view.top, view.left)[axis], view.side)
