"""When an object exists, and whose daughter it is."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field

ENDLESS = sys.maxsize
"""Where an object ends that lives on to the end of the video, however far that grows."""


@dataclass(frozen=True)
class Life:
    """The lifetime of an object; a value.

    It exists where its user says so, as far as its own division and that of its mother leave it.

    Attributes:
        start: its first frame, as the user said.
        stop: the frame after its last, as the user said; ``ENDLESS``: the end of the video.
        mother: the object by whose division it came to be, if it did.
        born: the frame on which its mother divides, else 0.
        divides: the frame on which it divides itself, else ``ENDLESS``.
        frames: the frames on which it exists, of a video without end.
    """

    start: int = 0
    stop: int = ENDLESS
    mother: int | None = None
    born: int = 0
    divides: int = ENDLESS
    frames: range = field(init=False, compare=False)

    def __post_init__(self) -> None:
        """Find the frames once: they are asked for with every mask."""
        frames = range(max(self.start, self.born), min(self.stop, self.divides))
        object.__setattr__(self, "frames", frames)

    def within(self, length: int) -> range:
        """The frames on which it exists, of a video of so many."""
        return range(self.frames.start, min(self.frames.stop, length))


ALWAYS = Life()
"""The life of an object of which nothing is said: the whole video, and nobody's daughter."""
