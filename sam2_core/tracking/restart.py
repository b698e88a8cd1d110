"""Restart points: memory banks kept along the video, so that a correction need not start at frame 0.

A bank is kept for every frame until there are too many; then every second one is dropped, and so on.
Memory is therefore bounded whatever the length of the video, and a restart in the middle costs at most
one interval of frames, which are tracked again to the same memories. The newest banks are always there (they
share most of their memories), so that a live video can be corrected.
"""

from __future__ import annotations

from typing import NamedTuple

from sam2_core.tracking.bank import MemoryBank
from sam2_core.tracking.life import ALWAYS

NEWEST = 8
"""How many of the newest banks are kept beside the thinned ones, whatever the budget."""


class RestartPoint(NamedTuple):
    """The bank as it stood after a frame."""

    frame_index: int
    bank: MemoryBank


class RestartPoints:
    """The restart points of one object in one direction.

    Args:
        step: 1 for forward, -1 for backward.
    """

    def __init__(self, step: int) -> None:
        self._step = step
        self._interval = 1
        self._banks: dict[int, MemoryBank] = {}
        self._newest: dict[int, MemoryBank] = {}
        self._start: RestartPoint | None = None
        self._shares = False

    def copy(self) -> RestartPoints:
        """Others of the same state; what both hold is shared until one of them changes it."""
        other = RestartPoints(self._step)
        self._shares = other._shares = True
        other._interval, other._start = self._interval, self._start
        other._banks, other._newest = self._banks, self._newest
        return other

    def _own(self) -> None:
        """Share the points with no copy, before they change."""
        if self._shares:
            self._banks, self._newest = dict(self._banks), dict(self._newest)
            self._shares = False

    def __len__(self) -> int:
        return len(self._banks)

    def start(self, frame_index: int, bank: MemoryBank) -> None:
        """Keep the bank with which a pass starts after ``frame_index``, beside all other points."""
        self._start = RestartPoint(frame_index, bank)

    def add(self, frame_index: int, bank: MemoryBank, limit: int) -> None:
        """Keep the bank after ``frame_index``, and not more than ``limit`` (at least 2) of them."""
        self._own()
        self._newest.pop(frame_index, None)
        self._newest[frame_index] = bank
        while len(self._newest) > NEWEST:
            del self._newest[next(iter(self._newest))]
        if frame_index % self._interval:
            return
        self._banks[frame_index] = bank
        self.thin(limit)

    def thin(self, limit: int) -> None:
        """Drop every second point, and so on, until there are not more than ``limit`` (at least 2)."""
        while len(self._banks) > max(2, limit):
            self._interval *= 2
            self._banks = {i: b for i, b in self._banks.items() if i % self._interval == 0}

    @property
    def newest(self) -> RestartPoint | None:
        """The point that was kept last."""
        return RestartPoint(*next(reversed(self._newest.items()))) if self._newest else None

    def drop(self, frame_index: int) -> None:
        """Forget the bank after a frame whose mask is no longer the tracked one."""
        self._own()
        self._banks.pop(frame_index, None)
        self._newest.pop(frame_index, None)

    def before(self, frame_index: int, lived: range = ALWAYS.frames) -> RestartPoint | None:
        """The nearest point from which tracking comes to the frame; None if there is none.

        Args:
            frame_index: the frame.
            lived: the frames on which the object exists; points elsewhere do not count.
        """
        points = [RestartPoint(i, bank) for i, bank in (self._banks | self._newest).items()]
        points += [self._start] if self._start else []
        behind = [
            point
            for point in points
            if point.frame_index in lived and (frame_index - point.frame_index) * self._step > 0
        ]
        return min(behind, key=lambda point: abs(frame_index - point.frame_index), default=None)
