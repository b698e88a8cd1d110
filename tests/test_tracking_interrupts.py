"""Whatever strikes, and at whatever line: a later propagation gives what a fresh session gives."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import pytest

import sam2_core
from sam2_core import Limits, Masklet, Point, Prompt, Session
from sam2_core.tracking.tracker import Tracker
from tests.hashing_for_tests import SIZE, Hashing, Numbers
from tests.sessions_for_tests import same

FRAMES = 9
FORWARD, BACKWARD, STRIDE = range(3, FRAMES), range(6, -1, -1), range(1, FRAMES, 2)
PAINTED = np.arange(32).reshape(SIZE) % 3 == 0


def prompted(model: Hashing) -> Session:
    """Object 1 has prompts on two frames, object 2 comes later; few restart points, few features."""
    session = Session(Numbers(FRAMES), model, Limits(feature_bytes=0, restart_bytes=0))  # type: ignore[arg-type]
    session.add_prompt(Prompt(2, 1, (Point(1, 1), Point(2, 2))))
    session.add_prompt(Prompt(5, 1, mask=PAINTED))
    session.add_prompt(Prompt(4, 2, (Point(3, 3),)))
    return session


def corrected(model: Hashing) -> Session:
    session = prompted(model)
    list(session.propagate())
    session.add_prompt(Prompt(3, 1, (Point(5, 2),)))
    session.add_prompt(Prompt(6, 2, (Point(6, 1),)))
    return session


CANONICAL: dict[str, dict[int, Masklet]] = {}


def canonical(prompts: tuple[Prompt, ...]) -> dict[int, Masklet]:
    if (said := repr(prompts)) not in CANONICAL:
        fresh = Session(Numbers(FRAMES), Hashing())  # type: ignore[arg-type]
        for prompt in prompts:
            fresh.add_prompt(prompt)
        list(fresh.propagate())
        CANONICAL[said] = fresh.masklets()
    return CANONICAL[said]


@cache
def never_interrupted(action: str) -> dict[int, Masklet]:
    start, act = ACTIONS[action]
    session = start(Hashing())
    act(session)
    return session.masklets()


def propagating(frames: range | None) -> Callable[[Session], object]:
    return lambda session: list(session.propagate(frames))


ACTIONS: dict[str, tuple[Callable[[Hashing], Session], Callable[[Session], object]]] = {
    "canonical": (prompted, propagating(None)),
    "canonical again": (corrected, propagating(None)),
    "forward": (corrected, propagating(FORWARD)),
    "backward": (corrected, propagating(BACKWARD)),
    "stride": (corrected, propagating(STRIDE)),
    "add": (corrected, lambda session: session.add_prompt(Prompt(7, 1, (Point(1, 2),)))),
    "replace": (corrected, lambda session: session.add_prompt(Prompt(5, 1, (Point(1, 2),)))),
    "paint": (corrected, lambda session: session.add_prompt(Prompt(2, 1, mask=PAINTED))),
    "remove": (corrected, lambda session: session.remove_prompt(5, 1)),
}


def check(session: Session, action: str) -> None:
    """What goes on after an interrupt ends as if there had been none."""
    if action == "forward":  # others begin anew from the prompts, or from where a canonical pass began
        ACTIONS[action][1](session)
        assert same(never_interrupted(action), session.masklets())
    list(session.propagate())
    assert same(canonical(session.prompts), session.masklets())
    assert not any(frame.stale for masklet in session.masklets().values() for frame in masklet.values())


class Striking:
    """Raises an error at the call of that number, once.

    Attributes:
        left: how many calls are left till then.
    """

    def __init__(self, error: type[BaseException]) -> None:
        self.error, self.left = error, 0

    def __call__(self, verb: str = "") -> None:
        self.left -= 1
        if self.left == 0:
            raise self.error


def strike_all(action: str, striking: Striking, model: Hashing) -> int:
    """Let an error strike at each call of an action in turn; gives the number of calls."""
    start, act = ACTIONS[action]
    for number in range(1, 1000):
        striking.left = 0
        session = start(model)
        striking.left = number
        try:
            act(session)
        except striking.error:
            striking.left = 0
            check(session, action)
        else:
            return number - 1
    raise AssertionError("it never ended")


@pytest.mark.parametrize("error", [KeyboardInterrupt, MemoryError])
@pytest.mark.parametrize("action", ["canonical", "canonical again", "forward", "backward", "stride"])
def test_an_error_of_the_model_costs_nothing_but_time(action: str, error: type[BaseException]) -> None:
    striking = Striking(error)
    assert strike_all(action, striking, Hashing(striking)) > 10


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("name", ["add_restart", "track", "condition", "banks_before"])
@pytest.mark.parametrize("action", ["canonical", "canonical again", "forward", "backward", "stride"])
def test_an_interrupt_in_a_step_of_a_pass_leaves_no_trace(
    action: str, name: str, after: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    striking = Striking(KeyboardInterrupt)
    original = getattr(Tracker, name)

    def struck(*given: Any) -> Any:
        if not after:
            striking()
        found = original(*given)
        if after:
            striking()
        return found

    monkeypatch.setattr(Tracker, name, struck)
    strike_all(action, striking, Hashing())


# --- every line --------------------------------------------------------------------------------------

CODE = (str(Path(sam2_core.__file__).parent / "tracking"), str(Path(sam2_core.__file__).parent / "session"))


@contextmanager
def each_line(hear: Callable[[tuple[str, int]], None]) -> Iterator[None]:
    """Tell of every line of the session and of tracking before it runs."""

    def local(frame: FrameType, event: str, argument: object) -> Any:
        if event == "line":
            hear((frame.f_code.co_filename, frame.f_lineno))
        return local

    def trace(frame: FrameType, event: str, argument: object) -> Any:
        return local if frame.f_code.co_filename.startswith(CODE) else None

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        yield
    finally:
        sys.settrace(before)


def occasions(lines: list[tuple[str, int]]) -> list[int]:
    """Of each line the first time, one in the middle and the last."""
    total, seen, chosen = Counter(lines), Counter[tuple[str, int]](), []
    for number, line in enumerate(lines):
        seen[line] += 1
        if seen[line] in (1, total[line] // 2, total[line]):
            chosen.append(number)
    return chosen


@pytest.mark.parametrize("action", ACTIONS)
def test_an_interrupt_at_any_line_leaves_no_trace(action: str) -> None:
    start, act = ACTIONS[action]
    lines: list[tuple[str, int]] = []
    with each_line(lines.append):
        session = start(Hashing())
        begun = len(lines)
        act(session)
    del lines[:begun]
    for number in occasions(lines):
        session, left = start(Hashing()), [number]

        def strike(line: tuple[str, int], left: list[int] = left) -> None:
            left[0] -= 1
            if left[0] < 0:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt), each_line(strike):
            act(session)
        check(session, action)
