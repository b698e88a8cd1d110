"""Sessions that stop in the middle, are saved and go on."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

from sam2_core import Limits, Masklet, Session, open_session
from tests.conftest import model
from tests.models_for_tests import Counting
from tests.sessions_for_tests import click
from tests.videos_for_tests import Disks

FRAMES = 8


def started(name: str, first: int = 0, limits: Limits | None = None) -> Session:
    session = Session(Disks(FRAMES), model(name), limits)
    session.add_prompt(click(first).with_point(40, 40, positive=False))
    session.add_prompt(click(first + 2, 2, disk=1))
    return session


def run(session: Session, steps: int) -> None:
    for _, _ in zip(range(steps), session.propagate(), strict=False):
        pass


@cache
def whole(name: str, first: int = 0) -> dict[int, Masklet]:
    """What a session gives that never stopped."""
    session = started(name, first)
    run(session, 2 * FRAMES)
    return session.masklets()


def again(path: Path, name: str, **options: Any) -> tuple[Session, Counting]:
    """The saved session, opened on a model that counts from then on."""
    counting = Counting(model(name))
    session = open_session(path, model=counting, video=Disks(FRAMES), **options)
    counting.calls = dict.fromkeys(counting.calls, 0)
    return session, counting


def going_on(session: Session, counting: Counting) -> list[int]:
    """The objects that go on with their missing frames; the others are tracked again from their prompt.

    Every object is brought to its canonical result, one after another.
    """
    found = []
    for object_id in session.object_ids:
        missing = len(session.video) - len(session.masklets()[object_id])
        prompted = sum(prompt.object_id == object_id for prompt in session.prompts)
        before = dict(counting.calls)
        list(session.propagate(object_ids=[object_id]))
        tracked = counting.calls["track"] - before["track"]
        assert 0 < missing < len(session.video) - prompted, "both would look alike"
        assert tracked in (missing, len(session.video) - prompted)
        if tracked == missing:
            found.append(object_id)
    return found
