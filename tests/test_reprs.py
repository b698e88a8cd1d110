"""What a user sees in a notebook is one short line, not an array."""

from __future__ import annotations

import numpy as np

from sam2_core import Box, LiveVideo, Point, Prompt, Session
from tests.conftest import model
from tests.sessions_for_tests import click
from tests.videos_for_tests import Disks


def test_a_prompt() -> None:
    assert repr(Prompt(3, 1, (Point(2.0, 4.0),))) == (
        "Prompt(frame_index=3, object_id=1, points=(Point(x=2.0, y=4.0, positive=True),))"
    )
    assert repr(Prompt(3, 1, box=Box(0, 1, 8, 9))) == (
        "Prompt(frame_index=3, object_id=1, box=Box(left=0.0, top=1.0, right=8.0, bottom=9.0))"
    )
    painted = Prompt(0, 2, mask=np.eye(64, dtype=bool))
    assert repr(painted) == "Prompt(frame_index=0, object_id=2, mask of 64 pixels)"
    many = Prompt(0, 2, tuple(Point(i, 0) for i in range(40)), previous=np.ones((48, 64), bool))
    assert "... 40 in all)" in repr(many)
    assert "previous of 3072 pixels" in repr(many)
    assert len(repr(many)) < 400


def test_a_result_a_masklet_and_a_session() -> None:
    session = Session(Disks(), model("copy"))
    session.add_prompt(click(0))
    session.add_prompt(click(0, 2, disk=1))
    *_, last = session.propagate()
    assert repr(last) == "FrameResult(frame_index=11, object_ids=(1, 2), visible 2)"
    assert repr(session) == "Session(model='copy', video of 12 frames, object_ids=(1, 2), 2 prompts)"
    assert repr(session.masklets()[1]) == "Masklet(object_id=1, 12 frames in 0..11, visible 12)"
    session.add_prompt(Prompt(3, 1, mask=Disks().mask(3)))
    assert repr(session.result(5)) == "FrameResult(frame_index=5, object_ids=(1, 2), visible 2, stale 1)"
    session.close()
    assert repr(session) == "Session(closed, model='copy')"


def test_hundreds_of_objects_are_still_one_line() -> None:
    session = Session(Disks(), model("copy"))
    for i in range(1, 301):
        session.add_prompt(click(0, i))
    for value in (session, session.result(0), session.masklets()):
        assert "\n" not in repr(value)
    assert repr(session.result(0)) == (
        "FrameResult(frame_index=0, object_ids=(1, 2, 3, 4, 5, 6, ... 300 in all), visible 300)"
    )


def test_a_session_on_a_live_video_without_a_frame() -> None:
    assert repr(Session(LiveVideo(), model("copy"))) == (
        "Session(model='copy', video of 0 frames, object_ids=(), 0 prompts)"
    )
    assert repr(Session(Disks(), model("copy")).masklets()) == "{}"
