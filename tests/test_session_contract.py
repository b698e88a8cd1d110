"""What any Session must do, whatever its model and wherever it runs."""

from __future__ import annotations

from itertools import pairwise, permutations
from typing import cast

import numpy as np
import pytest

from sam2_core import (
    Box,
    Masklet,
    Point,
    Prompt,
    PromptError,
    Session,
    SessionClosedError,
    SessionError,
    SupersededError,
)
from tests.biographies_for_tests import Open
from tests.models_for_tests import Counting
from tests.sessions_for_tests import click, same
from tests.videos_for_tests import Disks


def canonical(open_it: Open, prompts: tuple[Prompt, ...]) -> dict[int, Masklet]:
    fresh = open_it(Disks())
    for prompt in prompts:
        fresh.add_prompt(prompt)
    list(fresh.propagate())
    return fresh.masklets()


# --- prompts ---------------------------------------------------------------------------------------


def test_a_prompt_gives_the_mask_of_its_frame_at_once_and_reads_no_other_frame(open_it: Open) -> None:
    video = Disks()
    result = open_it(video).add_prompt(Prompt(3, 7, mask=video.mask(3)))
    assert result.frame_index == 3
    assert result.object_ids == (7,)
    assert result.mask(7).shape == video.size
    assert np.array_equal(result.mask(7), video.mask(3))
    assert set(video.reads) == {3}


def test_a_prompt_replaces_the_one_of_its_frame_and_object(session: Session) -> None:
    session.add_prompt(click(0))
    session.add_prompt(Prompt(0, 1, mask=Disks().mask(0, 1)))
    assert len(session.prompts) == 1
    assert np.array_equal(session.result(0).mask(1), Disks().mask(0, 1))


def test_the_same_prompt_twice_changes_nothing(session: Session) -> None:
    first = session.add_prompt(click(0))
    steps = session.propagate()
    next(steps)
    second = session.add_prompt(click(0))
    next(steps)  # not superseded
    assert np.array_equal(first.mask(1), second.mask(1))
    assert len(session.prompts) == 1


def test_clicks_given_one_by_one_or_at_once_give_the_same_mask(open_it: Open) -> None:
    prompt = click(0)
    one_by_one, at_once = open_it(Disks()), open_it(Disks())
    one_by_one.add_prompt(prompt)
    one_by_one.add_prompt(prompt.with_point(20, 12))
    prompt = prompt.with_point(20, 12).with_point(50, 40, positive=False)
    assert np.array_equal(one_by_one.add_prompt(prompt).mask(1), at_once.add_prompt(prompt).mask(1))


@pytest.mark.parametrize(
    ("prompt", "says"),
    [
        (Prompt(99, 1, (Point(5, 5),)), "frames 0..11"),
        (Prompt(-1, 1, (Point(5, 5),)), "frames 0..11"),
        (Prompt(0, 1, (Point(64, 5),)), "outside"),
        (Prompt(0, 1, (Point(5, -0.6),)), "outside"),
        (Prompt(0, 1, box=Box(70, 5, 90, 20)), "outside"),
        (Prompt(0, 1, mask=np.ones((64, 48))), "48 x 64"),
    ],
)
def test_a_prompt_that_does_not_fit_is_refused_and_loses_nothing(
    session: Session, prompt: Prompt, says: str
) -> None:
    session.add_prompt(click(0))
    list(session.propagate())
    before = session.masklets()
    with pytest.raises(PromptError, match=says) as error:
        session.add_prompt(prompt)
    assert "\n" not in str(error.value)
    assert same(before, session.masklets())
    assert not session.result(5).stale.any()


def test_removing_the_last_prompt_removes_the_object(session: Session) -> None:
    session.add_prompt(click(0))
    list(session.propagate())
    session.remove_prompt(0, 1)
    assert session.object_ids == ()
    assert session.masklets() == {}
    with pytest.raises(PromptError, match="no prompt on frame 0"):
        session.remove_prompt(0, 1)


def test_ids_are_the_users_and_stay(session: Session) -> None:
    session.add_prompt(click(0, 40))
    session.add_prompt(click(2, 7, disk=1))
    assert session.object_ids == (40, 7)
    session.remove_object(40)
    assert session.object_ids == (7,)
    with pytest.raises(PromptError, match="no object 40; there are: 7"):
        session.remove_object(40)


def test_candidates_come_best_first_and_change_nothing(session: Session) -> None:
    readings = session.candidates(click(0))
    assert 1 <= len(readings) <= 3
    assert all(a.score >= b.score for a, b in pairwise(readings))
    assert readings[0].mask().shape == session.video.size
    assert session.prompts == ()


# --- propagation -----------------------------------------------------------------------------------


def test_propagation_covers_the_video_forward_then_backward(session: Session) -> None:
    session.add_prompt(click(4))
    assert [r.frame_index for r in session.propagate()] == [*range(4, 12), *range(3, -1, -1)]
    assert list(session.masklets()[1]) == list(range(12))


def test_an_object_may_come_late_and_others_are_not_touched(session: Session) -> None:
    session.add_prompt(click(0))
    list(session.propagate())
    before = session.masklets()
    session.add_prompt(click(6, 2, disk=1))
    list(session.propagate())
    assert same(before, {1: session.masklets()[1]})
    assert list(session.masklets()[2]) == list(range(12))


def test_the_result_is_canonical_whatever_the_history(open_it: Open) -> None:
    prompts = (click(2), click(7), click(5, 2, disk=1))
    expected = canonical(open_it, prompts)
    for order in permutations(prompts):
        session = open_it(Disks())
        for prompt in order:
            session.add_prompt(prompt)
            list(session.propagate(range(prompt.frame_index, 12)))
            list(session.propagate(range(prompt.frame_index, -1, -2)))
        session.add_prompt(click(9))
        list(session.propagate())
        session.remove_prompt(9, 1)
        list(session.propagate())
        assert same(expected, session.masklets())


def test_stopping_is_to_stop_iterating_and_going_on_computes_the_rest(open_it: Open) -> None:
    video = Disks()
    session = open_it(video)
    session.add_prompt(click(1))
    for result in session.propagate():
        if result.frame_index == 6:
            break
    assert list(session.masklets()[1]) == list(range(1, 7))
    video.reads.clear()
    list(session.propagate())
    assert not set(video.reads) & {3, 4, 5}  # not computed again
    assert same(canonical(open_it, (click(1),)), session.masklets())


def test_what_is_up_to_date_is_served_without_computing(open_it: Open) -> None:
    video = Disks()
    session = open_it(video)
    session.add_prompt(click(0))
    first = list(session.propagate())
    asked = dict(cast(Counting, session.model).calls)
    video.reads.clear()
    second = list(session.propagate())
    third = list(session.propagate(range(0, 12)))
    assert video.reads == []
    assert cast(Counting, session.model).calls == asked
    assert [r.frame_index for r in first] == [r.frame_index for r in second] == [r.frame_index for r in third]


def test_a_correction_is_kept_in_every_order_of_calls(session: Session) -> None:
    session.add_prompt(click(0))
    list(session.propagate())
    corrected = session.add_prompt(Prompt(6, 1, mask=Disks().mask(6, 1))).mask(1)
    for frames in (range(6, 12), range(6, -1, -1), range(0, 12), None):
        for result in session.propagate(frames):
            if result.frame_index == 6:
                assert np.array_equal(result.mask(1), corrected)
    assert np.array_equal(session.masklets()[1].mask(6), corrected)


def test_a_quick_correction_leaves_frames_outside_the_range_and_marks_them(session: Session) -> None:
    session.add_prompt(click(0))
    session.add_prompt(click(0, 2, disk=1))
    list(session.propagate())
    before = session.masklets()
    session.add_prompt(Prompt(5, 1, mask=Disks().mask(5, 1)))
    assert [f.stale for f in session.masklets()[1].values()] == [False] + [True] * 4 + [False] + [True] * 6
    list(session.propagate(range(5, 9)))
    after = session.masklets()
    assert same({2: before[2]}, {2: after[2]})
    assert [i for i, f in after[1].items() if f.stale] == [1, 2, 3, 4, 9, 10, 11]
    for i in (1, 2, 3, 4, 9, 10, 11):
        assert np.array_equal(after[1].mask(i), before[1].mask(i))


def test_frames_before_the_first_prompt_come_from_backward_tracking_only(session: Session) -> None:
    session.add_prompt(click(5))
    assert [len(r) for r in session.propagate(range(2, 8))] == [0, 0, 0, 1, 1, 1]
    assert [len(r) for r in session.propagate(range(4, 1, -1))] == [1, 1, 1]


def test_only_the_chosen_objects_are_tracked(session: Session) -> None:
    session.add_prompt(click(0))
    session.add_prompt(click(0, 2, disk=1))
    assert {r.object_ids for r in session.propagate(object_ids=[2])} == {(2,)}
    assert list(session.masklets()[1]) == [0]


def test_a_new_prompt_supersedes_a_running_propagation(session: Session) -> None:
    session.add_prompt(click(0))
    steps = session.propagate()
    next(steps)
    session.add_prompt(click(0, 2, disk=1))
    with pytest.raises(SupersededError):
        next(steps)
    assert [r.frame_index for r in session.propagate()] == list(range(12))


@pytest.mark.parametrize("change", ["remove_object", "remove_prompt"])
def test_a_removal_supersedes_a_running_propagation(session: Session, change: str) -> None:
    session.add_prompt(click(0))
    session.add_prompt(click(0, 2, disk=1))
    steps = session.propagate()
    next(steps)
    session.remove_object(2) if change == "remove_object" else session.remove_prompt(0, 2)
    with pytest.raises(SupersededError):
        next(steps)


def test_a_propagation_made_before_a_removal_does_not_start(session: Session) -> None:
    session.add_prompt(click(0))
    session.add_prompt(click(0, 2, disk=1))
    steps = session.propagate()
    session.remove_object(2)
    with pytest.raises(SupersededError):
        next(steps)


def test_bad_requests_say_what_to_do(session: Session) -> None:
    with pytest.raises(SessionError, match="add a prompt first"):
        session.propagate()
    session.add_prompt(click(0))
    with pytest.raises(SessionError, match=r"frames 0\.\.11"):
        session.propagate(range(5, 50))
    with pytest.raises(PromptError, match="no object 3; there are: 1"):
        session.propagate(object_ids=[3])
    with pytest.raises(SessionError, match="frames are a range"):
        session.propagate([3, 4])  # type: ignore[arg-type]
    with pytest.raises(SessionError, match=r"frames 0\.\.11"):
        session.result(12)
    with pytest.raises(PromptError, match="no object 3"):
        session.result(0, [3])
    assert session.result(0, [1, 1]).object_ids == (1,)


def test_an_empty_range_yields_nothing(session: Session) -> None:
    session.add_prompt(click(0))
    assert list(session.propagate(range(5, 5))) == []


# --- corrections that start from the tracked mask ----------------------------------------------------


def test_a_correction_starts_from_the_tracked_mask_and_is_part_of_the_document(open_it: Open) -> None:
    session = open_it(Disks())
    session.add_prompt(Prompt(0, 1, mask=Disks().mask(0)))
    list(session.propagate())
    tracked = session.result(4).mask(1)
    prompt = session.correction(4, 1, Point(15, 12))
    assert prompt.previous is None if not tracked.any() else np.array_equal(prompt.previous, tracked)
    kept = session.add_prompt(prompt).mask(1)
    list(session.propagate())
    assert same(canonical(open_it, session.prompts), session.masklets())
    assert np.array_equal(session.masklets()[1].mask(4), kept)


def test_a_correction_of_a_prompted_frame_adds_to_its_points(session: Session) -> None:
    session.add_prompt(click(0))
    prompt = session.correction(0, 1, Point(3, 3, False))
    assert prompt.points == (*click(0).points, Point(3, 3, False))
    assert session.correction(5, 1, Point(3, 3)).previous is None  # nothing is known there


# --- life ------------------------------------------------------------------------------------------


def test_an_image_is_a_video_of_one_frame(open_it: Open) -> None:
    session = open_it(Disks(frames=1))
    session.add_prompt(click(0))
    assert [r.frame_index for r in session.propagate()] == [0]
    session.add_prompt(session.correction(0, 1, Point(3, 3, False)))
    (result,) = session.propagate()
    assert np.isfinite(result.scores).all()


def test_a_closed_session_says_so(session: Session) -> None:
    session.add_prompt(click(0))
    steps = session.propagate()
    next(steps)
    session.close()
    session.close()
    with pytest.raises(SessionClosedError):
        next(steps)
    with pytest.raises(SessionClosedError):
        session.add_prompt(click(0))
    with pytest.raises(SessionClosedError):
        session.masklets()
    with pytest.raises(SessionClosedError):
        session.result(0)
