"""Restart points: memory banks kept along the video, so that a correction need not start at frame 0.

A bank is kept for every frame until there are too many; then every second one is dropped, and so on.
Memory is therefore bounded whatever the length of the video, and a restart in the middle costs at most
one interval of frames, which are tracked again to the same memories.
"""

from __future__ import annotations

from typing import NamedTuple

from sam2_core.tracking.bank import MemoryBank


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

    def __len__(self) -> int:
        return len(self._banks)

    def add(self, frame_index: int, bank: MemoryBank, limit: int) -> None:
        """Keep the bank after ``frame_index``, and not more than ``limit`` (at least 2) of them."""
        if frame_index % self._interval:
            return
        self._banks[frame_index] = bank
        while len(self._banks) > max(2, limit):
            self._interval *= 2
            self._banks = {i: b for i, b in self._banks.items() if i % self._interval == 0}

    def before(self, frame_index: int) -> RestartPoint | None:
        """The nearest point from which tracking comes to the frame; None if there is none."""
        behind = [i for i in self._banks if (frame_index - i) * self._step > 0]
        if not behind:
            return None
        nearest = min(behind, key=lambda i: abs(frame_index - i))
        return RestartPoint(nearest, self._banks[nearest])
