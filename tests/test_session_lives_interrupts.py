"""Whatever strikes while objects begin, end, divide or change their ids: it has happened or it has not."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from sam2_core import (
    Point,
    Prompt,
    Session,
    SessionClosedError,
)
from tests.biographies_for_tests import Storing, alike, opened
from tests.test_tracking_interrupts import each_line, occasions


def dividing() -> Session:
    session = opened()
    for prompt in (Prompt(2, 1, (Point(1, 1),)), Prompt(6, 2, (Point(2, 2),)), Prompt(7, 3, (Point(3, 3),))):
        session.add_prompt(prompt)
    list(session.propagate())
    session.divide(5, 1, [2, 3])
    return session


ACTIONS: dict[str, Callable[[Session], object]] = {
    "lifetime": lambda session: session.set_lifetime(1, range(1, 4)),
    "division": lambda session: session.divide(8, 3, [4]),
    "undivide": lambda session: session.undivide(1),
    "rename": lambda session: session.rename_object(1, 9),
    "remove": lambda session: session.remove_object(1),
    "restore": lambda session: session.restore(session.snapshot()),
    "track": lambda session: list(session.propagate()),
}


def told(session: Session) -> object:
    said = [(p.frame_index, p.object_id, p.points) for p in session.prompts]
    return said, dict(session.lineage), [session.lifetime(i) for i in session.object_ids]


@pytest.mark.parametrize("action", ACTIONS)
def test_an_interrupt_at_any_line_leaves_what_was_or_what_is_said(action: str) -> None:
    def start() -> Session:
        session = dividing()
        session.add_prompt(Prompt(9, 4, (Point(4, 3),)))
        return session

    lines: list[tuple[str, int]] = []
    done = start()
    before = told(done)
    with each_line(lines.append):
        ACTIONS[action](done)
    after = told(done)
    list(done.propagate())
    expected = {repr(after): done.masklets()}
    unchanged = start()
    list(unchanged.propagate())
    expected[repr(before)] = unchanged.masklets()
    assert len(occasions(lines)) > 5
    for number in occasions(lines):
        session, left = start(), [number]

        def strike(line: tuple[str, int], left: list[int] = left) -> None:
            left[0] -= 1
            if left[0] < 0:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt), each_line(strike):
            ACTIONS[action](session)
        said = told(session)
        assert repr(said) in expected
        list(session.propagate())
        assert alike(expected[repr(said)], session.masklets())


def test_a_closed_session_says_so() -> None:
    session = opened()
    session.add_prompt(Prompt(2, 1, (Point(1, 1),)))
    kept = session.snapshot()
    session.close()
    for asked in (
        lambda: session.set_lifetime(1, None),
        lambda: session.lifetime(1),
        lambda: session.divide(3, 1, [2]),
        lambda: session.undivide(1),
        lambda: session.rename_object(1, 2),
        session.snapshot,
        lambda: session.restore(kept),
    ):
        with pytest.raises(SessionClosedError):
            asked()


def test_the_hashing_model_is_one_that_stores_memories() -> None:
    from sam2_core.hookspecs import stores_memories

    assert stores_memories(Storing())
