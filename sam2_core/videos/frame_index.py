"""Which frame of a video file is where: found from its packets, without decoding any."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from operator import itemgetter
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Times = NDArray[np.int64]


class Stamp(NamedTuple):
    """What a packet says about its frame, in ticks of the stream; packets come in the order of decoding."""

    shown: int | None
    decoded: int | None
    is_key: bool
    is_shown: bool = True  # False: only decoded, since frames need it that were left when the film was cut


class Start(NamedTuple):
    """Where decoding may start: at a time, or at the beginning (None); frames before ``first`` are void."""

    time: int | None
    first: int


class FrameIndex:
    """The frames of a stream in the order in which they are shown.

    Frames before the first keyframe cannot be decoded and do not count.

    Args:
        stamps: of all packets, in the order of decoding.
        reliable: whether the times of the container are those of the frames.
        complete: whether the file has an end; if not, frames behind one that may be lost do not count.

    Attributes:
        exact: whether frames can be told by their times; if not, they are counted from the beginning.
    """

    def __init__(self, stamps: Iterable[Stamp], *, reliable: bool = True, complete: bool = True) -> None:
        found = list(stamps)
        found = found[next((i for i, stamp in enumerate(found) if stamp.is_key), 0) :]
        keys = [stamp for i, stamp in enumerate(found) if stamp.is_key or i == 0]
        shown = [stamp.shown for stamp in found if stamp.is_shown]
        times = sorted(time for time in shown if time is not None)
        key_times = [(stamp.shown, stamp.decoded) for stamp in keys if stamp.shown is not None]
        unique = len(set(times)) == len(shown) and len(key_times) == len(keys)
        self.exact = reliable and unique and bool(times)
        self._key_times = sorted(key_times, key=itemgetter(0))
        self._times: Times = np.array(times if self.exact else [], dtype=np.int64)
        if self.exact and found[0].shown is not None:
            # Frames that are shown before the first keyframe need what was cut off.
            self._times = self._times[self._times >= found[0].shown]
            if not complete:
                self._times = self._times[self._times <= _last_sure_time(found)]
        self._keys: Times = np.searchsorted(self._times, [time for time, _ in self._key_times] or [0])
        self._frames = len(self._times) if self.exact else len(shown)

    def __len__(self) -> int:
        return self._frames

    @property
    def pace(self) -> float | None:
        """Ticks between two frames on average, None if that is not known."""
        if len(self._times) < 2:
            return None
        return float(self._times[-1] - self._times[0]) / (len(self._times) - 1)

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
                for time in dict.fromkeys(self._key_times[position]):
                    if time is not None:
                        yield Start(time, int(self._keys[position]))
        yield Start(None, 0)

    def _key_position(self, frame_index: int) -> int:
        return max(int(np.searchsorted(self._keys, frame_index, side="right")) - 1, 0)


def _last_sure_time(stamps: Iterable[Stamp]) -> float:
    """Up to which time no later packet can bring a frame; decoding times grow from packet to packet."""
    known = [(stamp.shown, stamp.decoded) for stamp in stamps]
    pairs = [(shown, decoded) for shown, decoded in known if shown is not None and decoded is not None]
    if not pairs:
        return float("inf")
    return pairs[-1][1] + min(shown - decoded for shown, decoded in pairs)
