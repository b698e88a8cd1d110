"""Undo and redo: a snapshot brings back what was said and known."""

from __future__ import annotations

import gc
from collections.abc import Callable
from typing import cast

import pytest

from sam2_core import Masklet, Point, Prompt, Session, SessionError, SupersededError
from sam2_core.session_document import Snapshot
from tests.biographies_for_tests import FRAMES, alike, opened, stale
from tests.conftest import MODELS, model
from tests.models_for_tests import Counting
from tests.sessions_for_tests import click, held
from tests.videos_for_tests import Disks


@pytest.fixture(params=MODELS)
def session(request: pytest.FixtureRequest) -> Session:
    session = Session(Disks(), Counting(model(request.param)))
    session.add_prompt(click(1))
    session.add_prompt(click(5, 2))
    return session


CHANGES: dict[str, Callable[[Session], object]] = {
    "prompt": lambda session: session.add_prompt(click(3)),
    "replace": lambda session: session.add_prompt(click(1).with_point(30, 30, positive=False)),
    "another object": lambda session: session.add_prompt(click(0, 3, disk=1)),
    "remove": lambda session: session.remove_object(1),
    "remove all": lambda session: [*map(session.remove_object, session.object_ids)],
    "lifetime": lambda session: session.set_lifetime(1, range(0, 3)),
    "division": lambda session: session.divide(4, 1, [2]),
    "rename": lambda session: [*map(session.rename_object, (1, 2), (7, 1))],
    "track": lambda session: list(session.propagate()),
    "correct": lambda session: [session.add_prompt(click(3)), *session.propagate(range(3, 8))],
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_snapshot_brings_everything_back_in_any_order(session: Session, change: str) -> None:
    list(session.propagate())
    session.add_prompt(click(8, 2))
    list(session.propagate(range(8, 11)))
    before, first, said = session.masklets(), session.snapshot(), session.prompts
    assert any(stale(before).values())
    CHANGES[change](session)
    after, second = session.masklets(), session.snapshot()
    for snapshot, expected in ((first, before), (second, after), (second, after), (first, before)):
        session.restore(snapshot)
        assert alike(expected, session.masklets())
        list(session.propagate() if session.object_ids else ())  # what comes later does not touch it
    session.restore(first)
    assert session.prompts == said
    assert session.lineage == {}
    assert session.lifetime(1) == range(12)


def test_propagation_goes_on_where_it_was(session: Session) -> None:
    for result in session.propagate():
        if result.frame_index == 8:
            break
    snapshot = session.snapshot()
    list(session.propagate())
    expected = session.masklets()
    calls = cast(Counting, session.model).calls
    session.add_prompt(click(3))
    list(session.propagate())
    session.restore(snapshot)
    assert list(session.masklets()[1]) == [*range(1, 9)]
    asked = calls["track"]
    list(session.propagate())
    assert calls["track"] <= asked + 3 + 1 + 3 + 1 + 4  # forward 9, 10, 11 of both, then backward; one each
    assert alike(expected, session.masklets())


def test_corrections_after_an_undo_are_what_they_were(session: Session) -> None:
    """A quick correction goes on from the memories as they are; those come back too."""
    list(session.propagate())
    session.add_prompt(click(6))
    list(session.propagate(range(6, 9)))
    snapshot = session.snapshot()

    def corrected() -> dict[int, Masklet]:
        session.add_prompt(Prompt(4, 1, mask=Disks().mask(4, 1)))
        list(session.propagate(range(4, 12)))
        list(session.propagate(range(4, -1, -1)))
        return session.masklets()

    expected = corrected()
    session.restore(snapshot)
    session.remove_prompt(6, 1)
    list(session.propagate())
    session.restore(snapshot)
    assert alike(expected, corrected())


def test_restoring_supersedes_what_runs_and_a_snapshot_does_not(session: Session) -> None:
    running = session.propagate()
    next(running)
    snapshot = session.snapshot()
    next(running)
    session.restore(snapshot)
    with pytest.raises(SupersededError):
        next(running)


def test_a_snapshot_of_another_session_is_refused(session: Session) -> None:
    other = Session(session.video, session.model)
    other.add_prompt(click(0))
    with pytest.raises(SessionError, match="of another session; restore one that this session made"):
        session.restore(other.snapshot())
    with pytest.raises(SessionError, match="give a Snapshot"):
        session.restore(cast(Snapshot, session.prompts))
    assert session.object_ids == (1, 2)
    assert repr(session.snapshot()) == "Snapshot(object_ids=(1, 2))"


def test_snapshots_share_what_does_not_change() -> None:
    """A snapshot of fifty objects of which one changed costs no masks, memories or tables of the others."""
    session = opened(200)
    for number in range(1, 51):
        session.add_prompt(Prompt(0, number, (Point(number % 8, number % 4),)))
    list(session.propagate())

    def tables(snapshots: list[Snapshot]) -> int:
        known = {id(found) for found in held(session)}
        seen: set[int] = set()
        for snapshot in snapshots:
            for track in snapshot._tracks.values():
                parts = (track.known, track.restart[1]._banks, track.restart[1]._newest)
                seen |= {id(part) for part in parts if len(part) > 1}
        return len(seen - known)

    snapshots = [session.snapshot() for _ in range(10)]
    assert tables(snapshots) == 0
    session.add_prompt(Prompt(3, 1, (Point(1, 1),)))
    list(session.propagate())
    snapshots += [session.snapshot() for _ in range(10)]
    assert 0 < tables(snapshots) <= 3


def test_a_snapshot_that_is_dropped_holds_nothing() -> None:
    session = opened()
    session.add_prompt(Prompt(0, 1, (Point(1, 1),)))
    list(session.propagate())
    counts = []
    for _ in range(4):
        for i in range(1, FRAMES):
            snapshot = session.snapshot()
            session.add_prompt(Prompt(i, 1, (Point(1, 2),)))
            list(session.propagate())
            session.restore(snapshot)
        del snapshot
        gc.collect()
        counts.append(sum(1 for _ in held(session)))
    assert counts[1] == counts[2] == counts[3]
