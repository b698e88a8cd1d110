"""Which frame of a video file is where: found from its packets, without decoding any."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Times = NDArray[np.int64]


class Stamp(NamedTuple):
    """What a packet says about its frame, in ticks of the stream; packets come in the order of decoding."""

    shown: int | None
    decoded: int | None
    is_key: bool


class Start(NamedTuple):
    """Where decoding may start: seek to a time, or begin the file if it is None; frames before ``first`` are void."""

    time: int | None
    first: int


class FrameIndex:
    """The frames of a stream in the order in which they are shown.

    Frames before the first keyframe cannot be decoded and do not count.

    Args:
        stamps: of all packets, in the order of decoding.
        reliable: whether the times of the container are those of the frames.

    Attributes:
        exact: whether frames can be told by their times; otherwise they have to be counted from the beginning.
    """

    def __init__(self, stamps: Iterable[Stamp], *, reliable: bool = True) -> None:
        found = list(stamps)
        first_key = next((i for i, stamp in enumerate(found) if stamp.is_key), 0)
        found = found[first_key:]
        shown = [stamp.shown for stamp in found if stamp.shown is not None]
        self.exact = reliable and bool(found) and len(set(shown)) == len(found)
        self._frames = len(found)
        self._times: Times = np.zeros(0, dtype=np.int64)
        self._keys: Times = np.zeros(1, dtype=np.int64)
        self._key_stamps: list[Stamp] = []
        if self.exact:
            self._sort(found)

    def _sort(self, found: list[Stamp]) -> None:
        times = np.array([stamp.shown for stamp in found], dtype=np.int64)
        self._times = np.sort(
            times[times >= times[0]]
        )  # leading frames of an open group need what was cut off
        self._frames = len(self._times)
        keys = [stamp for i, stamp in enumerate(found) if stamp.is_key or i == 0]
        self._key_stamps = sorted(keys, key=lambda stamp: stamp.shown or 0)
        self._keys = np.searchsorted(self._times, [stamp.shown or 0 for stamp in self._key_stamps])

    def __len__(self) -> int:
        return self._frames

    def number(self, time: int | None) -> int | None:
        """The frame that is shown at this time, None if there is none."""
        if time is None:
            return None
        position = int(np.searchsorted(self._times, time))
        return position if position < len(self._times) and self._times[position] == time else None

    def key_before(self, frame_index: int) -> int:
        """The last frame up to this one with which decoding can start."""
        return int(self._keys[self._key_position(frame_index)])

    def starts(self, frame_index: int) -> Iterator[Start]:
        """Where to start decoding for a frame: the best place first, for containers that seek badly."""
        if self.exact:
            last = self._key_position(frame_index)
            for position in range(last, max(last - 3, -1), -1):
                stamp, first = self._key_stamps[position], int(self._keys[position])
                for time in dict.fromkeys((stamp.shown, stamp.decoded)):
                    if time is not None:
                        yield Start(time, first)
        yield Start(None, 0)

    def _key_position(self, frame_index: int) -> int:
        return max(int(np.searchsorted(self._keys, frame_index, side="right")) - 1, 0)
