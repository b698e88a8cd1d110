"""A live video forgets its oldest frames; propagation does what is left to do."""

from __future__ import annotations

from pathlib import Path

import pytest

from sam2_core import Limits, LiveVideo, Prompt, Session, VideoError, open_session
from tests.conftest import MODELS, model
from tests.models_for_tests import Counting
from tests.sessions_for_tests import click, same, state_bytes
from tests.videos_for_tests import Disks


def live(frames: int, keep: int = 8) -> LiveVideo:
    video = LiveVideo(keep=keep)
    for i in range(frames):
        video.append(Disks(frames)[i])
    return video


@pytest.mark.parametrize("name", MODELS)
def test_the_backward_pass_stops_at_the_oldest_frame_that_is_left(name: str) -> None:
    session = Session(live(20), model(name))
    session.add_prompt(click(15))
    assert [r.frame_index for r in session.propagate()] == [*range(15, 20), 14, 13, 12]
    assert list(session.masklets()[1]) == list(range(12, 20))
    assert [r.frame_index for r in session.propagate()] == [*range(15, 20), 14, 13, 12]  # served
    recorded = Session(Disks(20), model(name))
    recorded.add_prompt(click(15))
    list(recorded.propagate())
    for i, frame in session.masklets()[1].items():
        assert frame.encoded == recorded.masklets()[1][i].encoded


def test_frames_that_are_known_are_served_although_they_are_gone() -> None:
    video = live(10)
    session = Session(video, model("copy"))
    session.add_prompt(click(4))
    list(session.propagate())
    assert list(session.masklets()[1]) == list(range(2, 10))
    for i in range(10, 14):
        video.append(Disks(14)[i])
    results = [r.frame_index for r in session.propagate()]
    assert results == [*range(4, 14), 3, 2]
    assert not any(frame.stale for frame in session.masklets()[1].values())


@pytest.mark.parametrize("name", MODELS)
def test_after_a_correction_the_pass_goes_on_with_the_oldest_frame_that_is_left(name: str) -> None:
    video, session = LiveVideo(keep=8), None
    for i in range(40):
        video.append(Disks(40)[i])
        if session is None:
            session = Session(video, model(name))
            session.add_prompt(click(0))
        list(session.propagate(range(i, i + 1)))
    assert session is not None
    session.add_prompt(Prompt(35, 1, mask=Disks(40).mask(35)))
    assert [r.frame_index for r in session.propagate()] == [0, *range(32, 40)]
    stale = [i for i, frame in session.masklets()[1].items() if frame.stale]
    assert stale == list(range(1, 32))
    assert [r.frame_index for r in session.propagate()] == [0, *range(32, 40)]
    video.append(Disks(41)[40])
    assert [r.frame_index for r in session.propagate()][-1] == 40


def test_an_object_that_comes_late_does_not_ask_for_frames_that_are_gone() -> None:
    video, session = LiveVideo(keep=8), None
    for i in range(40):
        video.append(Disks(60)[i])
        if session is None:
            session = Session(video, model("sam2"))
            session.add_prompt(click(0))
        if i == 30:
            session.add_prompt(click(30, 2, disk=1))
        list(session.propagate())
    assert session is not None
    assert list(session.masklets()[1]) == list(range(40))
    assert list(session.masklets()[2]) == list(range(23, 40))
    recorded = Session(Disks(40), model("sam2"))
    recorded.add_prompt(click(0))
    list(recorded.propagate())
    assert same({1: session.masklets()[1]}, recorded.masklets())


def test_frames_that_come_while_a_pass_waits_may_push_others_out() -> None:
    video = live(10)
    session = Session(video, model("copy"))
    session.add_prompt(click(2))
    results = session.propagate()
    seen = [next(results).frame_index for _ in range(3)]
    for i in range(10, 20):
        video.append(Disks(20)[i])
    seen += [r.frame_index for r in results]
    assert seen == [2, 3, 4, *range(12, 20)]


def test_a_range_of_frames_that_are_gone_is_said() -> None:
    session = Session(live(20), model("copy"))
    session.add_prompt(click(15))
    with pytest.raises(VideoError, match="no longer kept"):
        list(session.propagate(range(15, 5, -1)))


def test_a_correction_of_the_oldest_frame_but_one_that_is_left_goes_on_from_the_memories_before_it() -> None:
    """Seven frames back, without a budget for restart points: the newest banks are there all the same."""
    video, limits = LiveVideo(keep=8), Limits(feature_bytes=0, restart_bytes=0)
    counting, session = Counting(model("sam2")), None
    for i in range(60):
        video.append(Disks(60)[i])
        if session is None:
            session = Session(video, counting, limits)  # type: ignore[arg-type]
            session.add_prompt(click(0))
        list(session.propagate(range(i, i + 1)))
    recorded = Session(Disks(60), model("sam2"))
    recorded.add_prompt(click(0))
    list(recorded.propagate())
    assert session is not None
    counting.calls.update(track=0)
    for each in (session, recorded):
        each.add_prompt(Prompt(53, 1, mask=Disks(60).mask(53)))
        list(each.propagate(range(53, 60)))
    assert same(recorded.masklets(), session.masklets())
    assert counting.calls["track"] == 7  # frames 54 to 59, and once more the frame of the correction


def test_the_state_of_a_live_session_is_flat() -> None:
    video, session = LiveVideo(keep=8), None
    sizes = {}
    for i in range(121):
        video.append(Disks(121)[i])
        if session is None:
            session = Session(video, model("sam2"), Limits(feature_bytes=2**18, restart_bytes=2**16))
            session.add_prompt(click(0))
        list(session.propagate(range(i, i + 1)))
        if i in (60, 120):
            sizes[i] = state_bytes(session)
    assert sizes[120] <= 1.3 * sizes[60]


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("again", [range(20, 21), None], ids=["range", "canonical"])
def test_a_live_session_that_was_complete_goes_on_after_it_was_saved(
    name: str, again: range | None, tmp_path: Path
) -> None:
    video = live(1)
    session = Session(video, model(name))
    session.add_prompt(click(0))
    for i in range(1, 20):
        video.append(Disks(21)[i])
        list(session.propagate())
    session.save(tmp_path / "s")
    opened = open_session(tmp_path / "s", model=model(name), video=video)
    video.append(Disks(21)[20])
    for each in (session, opened):
        list(each.propagate(again))
    assert list(opened.masklets()[1]) == list(range(21))
    assert same(session.masklets(), opened.masklets())


@pytest.mark.parametrize("name", MODELS)
def test_an_object_whose_prompted_frame_is_gone_holds_up_nobody(name: str) -> None:
    video = live(1, keep=4)
    session = Session(video, model(name), Limits(feature_bytes=0))
    for object_id in (1, 2):
        session.add_prompt(click(0, object_id, disk=object_id - 1))
    for i in range(1, 40):
        video.append(Disks(40)[i])
        list(session.propagate(range(i, i + 1), object_ids=[1]))
    assert list(session.masklets()[2]) == [0]
    assert [r.object_ids for r in session.propagate(range(39, 40))] == [(1, 2)]
    assert [r.frame_index for r in session.propagate()] == [0, *range(36, 40)]
    assert list(session.masklets()[2]) == [0, *range(36, 40)]
