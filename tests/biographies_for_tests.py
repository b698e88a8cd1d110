"""Sessions whose objects begin, end, divide and change their ids, and what they must give."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from sam2_core import Masklet, Prompt, Session
from tests.hashing_for_tests import Hashing, Number, Numbers
from tests.sessions_for_tests import click, same
from tests.videos_for_tests import Disks

FRAMES = 10


class Storing(Hashing):
    """A hashing model whose memories are saved: saved sessions go on."""

    name = identity = "storing"

    def memory_arrays(self, memory: Number) -> Mapping[str, NDArray[np.int64]]:
        return {"number": np.array([memory.value, memory.nbytes])}

    def memory_from(self, arrays: Mapping[str, NDArray[np.int64]]) -> Number:
        return Number(*map(int, arrays["number"]))


Open = Callable[[Disks], Session]
"""Opens a session of the model that is tested."""


def opened(frames: int = FRAMES) -> Session:
    return Session(Numbers(frames), Storing())


@dataclass
class Biography:
    """What is said in a session: the oracle of the tests.

    Attributes:
        prompts: by object and frame.
        lifetimes: the first frame and the one after the last of those of whom that was said.
        divisions: frame and daughters, by mother.
    """

    prompts: dict[tuple[int, int], Prompt] = field(default_factory=dict)
    lifetimes: dict[int, tuple[int, int]] = field(default_factory=dict)
    divisions: dict[int, tuple[int, tuple[int, ...]]] = field(default_factory=dict)

    def copy(self) -> Biography:
        return Biography(dict(self.prompts), dict(self.lifetimes), dict(self.divisions))

    @property
    def objects(self) -> set[int]:
        return {number for number, _ in self.prompts}

    @property
    def mothers(self) -> dict[int, int]:
        return {daughter: mother for mother, (_, born) in self.divisions.items() for daughter in born}

    def prompted(self, number: int) -> list[int]:
        return sorted(frame for other, frame in self.prompts if other == number)

    def born(self, number: int) -> int:
        mother = self.mothers.get(number)
        return 0 if mother is None else self.divisions[mother][0]

    def divides(self, number: int) -> int:
        return self.divisions.get(number, (FRAMES, ()))[0]

    def lifetime(self, number: int) -> range:
        start, stop = self.lifetimes.get(number, (0, FRAMES))
        return range(max(start, self.born(number)), min(stop, self.divides(number)))

    def may_live(self, number: int, frames: range) -> bool:
        return (
            {*self.prompted(number)} <= {*frames}
            and frames.start >= self.born(number)
            and frames.stop <= self.divides(number)
        )

    def live(self, number: int, frames: range | None) -> None:
        self.lifetimes.pop(number, None)
        if frames is not None:
            start = 0 if frames.start == self.born(number) else frames.start
            stop = FRAMES if frames.stop == self.divides(number) else frames.stop
            self.lifetimes[number] = start, stop

    def may_divide(self, frame: int, mother: int, daughters: list[int]) -> bool:
        return (
            bool(daughters)
            and mother not in daughters
            and mother not in self.divisions
            and not {*daughters} & {*self.mothers}
            and max(self.prompted(mother)) < frame
            and all(min(self.prompted(daughter)) >= frame for daughter in daughters)
        )

    def remove(self, number: int) -> None:
        self.prompts = {key: prompt for key, prompt in self.prompts.items() if key[0] != number}
        self.lifetimes.pop(number, None)
        self.divisions.pop(number, None)
        left = {m: (f, tuple(d for d in born if d != number)) for m, (f, born) in self.divisions.items()}
        self.divisions = {mother: division for mother, division in left.items() if division[1]}

    def rename(self, old: int, new: int) -> None:
        def name(number: int) -> int:
            return new if number == old else number

        self.prompts = {(name(i), f): replace(p, object_id=name(i)) for (i, f), p in self.prompts.items()}
        self.lifetimes = {name(i): lifetime for i, lifetime in self.lifetimes.items()}
        self.divisions = {name(i): (f, tuple(map(name, born))) for i, (f, born) in self.divisions.items()}

    def told_to(self, session: Session) -> dict[int, Masklet]:
        """The canonical result of a fresh session to which all of this is said."""
        for _, prompt in sorted(self.prompts.items(), key=lambda item: item[0]):
            session.add_prompt(prompt)
        for number, (start, stop) in self.lifetimes.items():
            session.set_lifetime(number, range(start, stop))
        for mother, (frame, daughters) in self.divisions.items():
            session.divide(frame, mother, daughters)
        if self.prompts:
            list(session.propagate())
        return session.masklets()


def family(session: Session) -> Session:
    """Object 1 was clicked on frame 2, objects 2 and 3 on frames 6 and 7; all are tracked."""
    for prompt in (click(2), click(6, 2), click(7, 3, disk=1)):
        session.add_prompt(prompt)
    list(session.propagate())
    return session


def alike(first: dict[int, Masklet], second: dict[int, Masklet]) -> bool:
    """Whether masklets are equal bit for bit, and stale on the same frames."""
    return same(first, second) and stale(first) == stale(second)


def stale(masklets: dict[int, Masklet]) -> dict[int, list[int]]:
    return {number: [i for i, f in masklet.items() if f.stale] for number, masklet in masklets.items()}
