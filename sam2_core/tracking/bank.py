"""The memory bank of one object: which memories a frame reads, and which may be forgotten.

SAM 2 (section 4 of the paper) keeps the memories of all prompted frames and of the last six tracked ones,
and the object pointers of the last fifteen. Nothing older is ever read again, so nothing older is kept.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import NamedTuple

from sam2_core.hookspecs import Memory, VideoModel


class Spans(NamedTuple):
    """How many steps back spatial memories and faded ones (pointers) are read."""

    memory: int
    pointer: int

    @classmethod
    def of(cls, model: VideoModel) -> Spans:
        """The spans that the model reads."""
        return cls(model.memory_span, model.pointer_span)


@dataclass(frozen=True, eq=False)
class Recalled:
    """What one frame reads; see ``hookspecs.Memories``."""

    conditioning: Sequence[tuple[float, Memory]]
    recent: Sequence[tuple[int, Memory]]


@dataclass(frozen=True, eq=False)
class MemoryBank:
    """The memories of one object, a value: ``remember`` gives a new bank and shares the memories.

    Attributes:
        spans: how far back the model reads.
        conditioning: memories of the prompted frames, by frame.
        recent: memories of tracked frames, by frame, at most ``spans.pointer`` of them.
    """

    spans: Spans
    conditioning: Mapping[int, Memory] = field(default_factory=dict)
    recent: Mapping[int, Memory] = field(default_factory=dict)

    @property
    def nbytes(self) -> int:
        """Bytes of the tracked memories (the prompted ones are shared by all banks of an object)."""
        return sum(memory.nbytes for memory in self.recent.values())

    def conditioned_on(self, conditioning: Mapping[int, Memory]) -> MemoryBank:
        """The same tracked memories beside other prompted frames."""
        return replace(self, conditioning=conditioning)

    def remember(self, frame_index: int, memory: Memory, step: int) -> MemoryBank:
        """The bank after a tracked frame, without what the next frame can no longer read."""
        recent = {frame_index: memory}
        for index, old in self.recent.items():
            ahead = _steps(frame_index + step, index, step)
            if index == frame_index or ahead is None or not 1 <= ahead <= self.spans.pointer:
                continue
            recent[index] = old if ahead <= self.spans.memory else old.faded()
        return replace(self, recent=MappingProxyType(recent))

    def recall(self, frame_index: int, step: int, limit: int | None = None) -> Recalled:
        """What a frame reads when tracking goes by ``step``.

        Args:
            frame_index: the frame to be tracked.
            step: direction and stride; -1 is backward.
            limit: at most so many prompted frames: the closest before, the closest after, then the nearest.
        """
        chosen = _closest(self.conditioning, frame_index, step, limit)
        conditioning = [((frame_index - i) / step, self.conditioning[i]) for i in chosen]
        tracked = {i: m for i, m in self.recent.items() if i not in self.conditioning}
        # A prompted frame that was not chosen still counts as a recent one.
        tracked |= {i: m for i, m in self.conditioning.items() if i not in chosen}
        recent = []
        for index, memory in tracked.items():
            back = _steps(frame_index, index, step)
            if back is not None and 1 <= back <= self.spans.pointer:
                recent.append((back, memory if back <= self.spans.memory else memory.faded()))
        return Recalled(conditioning, sorted(recent, key=lambda pair: pair[0]))


def _steps(frame_index: int, earlier: int, step: int) -> int | None:
    """How many steps lie between two frames; None if the stride passes over the earlier one."""
    steps, rest = divmod(frame_index - earlier, step)
    return steps if rest == 0 else None


def _closest(frames: Mapping[int, Memory], frame_index: int, step: int, limit: int | None) -> list[int]:
    ordered = sorted(frames)
    if limit is None or len(ordered) <= limit:
        return ordered
    behind = [i for i in ordered if (frame_index - i) * step > 0]
    ahead = [i for i in ordered if (frame_index - i) * step <= 0]

    def distance(index: int) -> int:
        return abs(frame_index - index)

    first = [min(side, key=distance) for side in (behind, ahead) if side][:limit]
    rest = sorted((i for i in ordered if i not in first), key=distance)
    return sorted(first + rest[: limit - len(first)])
