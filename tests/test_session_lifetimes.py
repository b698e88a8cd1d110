"""Objects begin, end and divide; what any session must do then, whatever its model."""

from __future__ import annotations

from typing import cast

import numpy as np
import pytest

from sam2_core import (
    LiveVideo,
    Point,
    Prompt,
    PromptError,
    Session,
    SupersededError,
    open_session,
)
from tests.biographies_for_tests import Open, alike, family, opened, stale
from tests.conftest import model
from tests.models_for_tests import Counting
from tests.sessions_for_tests import click, same
from tests.videos_for_tests import Disks


def frames(session: Session) -> dict[int, list[int]]:
    return {object_id: list(masklet) for object_id, masklet in session.masklets().items()}


# --- lifetimes -------------------------------------------------------------------------------------


def test_an_object_has_masks_in_its_lifetime_only_and_they_stay_as_they_are(session: Session) -> None:
    family(session)
    before = session.masklets()
    session.set_lifetime(2, range(3, 9))
    assert session.lifetime(2) == range(3, 9)
    assert session.lifetime(1) == range(12)
    after = session.masklets()
    assert frames(session) == {1: [*range(12)], 2: [*range(3, 9)], 3: [*range(12)]}
    assert all(np.array_equal(frame.mask(), before[2].mask(i)) for i, frame in after[2].items())
    assert not any(frame.stale for i, frame in after[2].items() if i >= 6)
    assert same({i: before[i] for i in (1, 3)}, {i: after[i] for i in (1, 3)})
    assert session.result(9).object_ids == (1, 3)
    assert session.result(9, [2]).object_ids == ()


def test_outside_of_its_lifetime_nothing_is_tracked(open_it: Open) -> None:
    video = Disks()
    session = open_it(video)
    session.add_prompt(click(6))
    session.set_lifetime(1, range(4, 9))
    found = list(session.propagate())
    assert [r.frame_index for r in found] == [*range(6, 12), *range(5, -1, -1)]
    assert {r.frame_index for r in found if len(r)} == {*range(4, 9)}
    assert set(video.reads) == {*range(4, 9)}
    list(session.propagate(range(12)))
    list(session.propagate(range(11, -1, -1)))
    list(session.propagate(range(6, 12, 2)))
    assert set(video.reads) == {*range(4, 9)}
    assert frames(session) == {1: [*range(4, 9)]}


def test_a_lifetime_said_late_gives_what_one_said_early_gives(open_it: Open) -> None:
    early, late = open_it(Disks()), open_it(Disks())
    for each in (early, late):
        each.add_prompt(click(6))
        if each is late:
            list(each.propagate())
        each.set_lifetime(1, range(3, 9))
        list(each.propagate())
    assert alike(early.masklets(), late.masklets())


def test_a_wider_lifetime_shows_again_what_is_still_right(open_it: Open) -> None:
    session = open_it(Disks())
    session.add_prompt(click(0))
    list(session.propagate())
    before = session.masklets()
    asked = dict(cast(Counting, session.model).calls)
    session.set_lifetime(1, range(5))
    list(session.propagate())
    session.set_lifetime(1, None)
    assert alike(before, session.masklets())
    list(session.propagate())
    assert cast(Counting, session.model).calls == asked


def test_a_wider_lifetime_shows_stale_what_a_prompt_has_changed_since(session: Session) -> None:
    session.add_prompt(click(0))
    list(session.propagate())
    session.set_lifetime(1, range(5))
    session.add_prompt(click(3))
    list(session.propagate())
    session.set_lifetime(1, range(0, 8))
    assert stale(session.masklets()) == {1: [5, 6, 7]}
    list(session.propagate(range(3, 12)))
    assert stale(session.masklets()) == {1: []}
    assert frames(session) == {1: [*range(8)]}


def test_a_lifetime_makes_stale_only_what_read_the_frames_that_went() -> None:
    """The hashing model reads memories of five frames back."""
    session = opened()
    session.add_prompt(Prompt(3, 1, (Point(1, 1),)))
    list(session.propagate())
    for told, expected in (
        (range(0, 8), []),  # the last that was read is frame 7
        (range(1, 8), []),
        (range(1, 7), [1, 2]),
    ):
        session.set_lifetime(1, told)
        assert stale(session.masklets()) == {1: expected}
    list(session.propagate())
    session.set_lifetime(1, None)
    assert stale(session.masklets()) == {1: [0, 1, 2]}
    fresh = opened()
    fresh.add_prompt(Prompt(3, 1, (Point(1, 1),)))
    list(fresh.propagate())
    assert not same(fresh.masklets(), session.masklets())
    list(session.propagate())
    assert alike(fresh.masklets(), session.masklets())


def test_a_prompt_outside_is_refused_and_says_what_to_do(session: Session) -> None:
    session.add_prompt(click(4))
    session.set_lifetime(1, range(2, 6))
    for prompt in (click(7), click(1)):
        for refused in (
            lambda prompt=prompt: session.add_prompt(prompt),
            lambda prompt=prompt: session.candidates(prompt),
            lambda prompt=prompt: session.correction(prompt.frame_index, 1, Point(20, 20)),
        ):
            with pytest.raises(PromptError, match=r"frames 2\.\.5; widen that with set_lifetime") as error:
                refused()
            assert "\n" not in str(error.value)
    session.set_lifetime(1, range(2, 12))
    with pytest.raises(PromptError, match="from frame 2 on"):
        session.add_prompt(click(1))
    assert len(session.prompts) == 1


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (range(5, 9), "prompt on frame 4, outside"),
        (range(0, 4), "prompt on frame 4, outside"),
        (range(3, 13), "frames 0..11"),
        (range(-1, 9), "frames 0..11"),
        (range(8, 2), "one after another"),
        (range(0, 12, 2), "one after another"),
        (range(11, -1, -1), "one after another"),
        ((2, 9), "one after another"),
    ],
)
def test_a_lifetime_that_cannot_be_is_refused(session: Session, given: range, says: str) -> None:
    session.add_prompt(click(4))
    list(session.propagate())
    session.set_lifetime(1, range(1, 12))
    before, running = session.masklets(), session.propagate()
    with pytest.raises(PromptError, match=says) as error:
        session.set_lifetime(1, given)
    assert "\n" not in str(error.value)
    assert alike(before, session.masklets())
    assert session.lifetime(1) == range(1, 12)
    next(running)


def test_a_lifetime_to_the_end_grows_with_a_live_video() -> None:
    video = LiveVideo()
    for i in range(6):
        video.append(Disks()[i])
    session = open_session(video, model=model("copy"))
    for number in (1, 2, 3):
        session.add_prompt(click(3, number))
    session.set_lifetime(1, range(3, 6))
    session.set_lifetime(2, range(3, 5))
    list(session.propagate())
    for i in range(6, 9):
        video.append(Disks()[i])
        list(session.propagate(range(i, i + 1)))
    assert [session.lifetime(i) for i in (1, 2, 3)] == [range(3, 9), range(3, 5), range(9)]
    assert [list(masklet)[-1] for masklet in session.masklets().values()] == [8, 4, 8]


def test_a_changed_lifetime_supersedes_what_runs_and_the_same_one_does_not(session: Session) -> None:
    session.add_prompt(click(0))
    running = session.propagate()
    next(running)
    session.set_lifetime(1, None)
    session.set_lifetime(1, range(12))
    next(running)
    session.set_lifetime(1, range(8))
    with pytest.raises(SupersededError):
        next(running)


# --- divisions -------------------------------------------------------------------------------------


def test_a_division_ends_the_mother_and_begins_the_daughters(session: Session) -> None:
    family(session)
    before = session.masklets()
    session.divide(6, 1, [2, 3])
    assert session.lineage == {2: 1, 3: 1}
    assert frames(session) == {1: [*range(6)], 2: [*range(6, 12)], 3: [*range(6, 12)]}
    after = session.masklets()
    assert [after[i].mother for i in (1, 2, 3)] == [None, 1, 1]
    assert session.result(5).object_ids == (1,)
    assert session.result(6).object_ids == (2, 3)
    session.undivide(1)
    assert session.lineage == {}
    list(session.propagate())
    assert alike(before, session.masklets())


def test_a_division_said_late_gives_what_one_said_early_gives(open_it: Open) -> None:
    late, early = family(open_it(Disks())), open_it(Disks())
    for prompt in late.prompts:
        early.add_prompt(prompt)
    for each in (early, late):
        each.divide(6, 1, [2, 3])
        list(each.propagate())
    assert alike(early.masklets(), late.masklets())


def test_lifetimes_hold_beside_divisions(session: Session) -> None:
    family(session)
    session.set_lifetime(1, range(1, 10))
    session.set_lifetime(2, range(5, 9))
    session.set_lifetime(3, range(7, 12))
    session.divide(6, 1, (2, 3))
    assert [session.lifetime(i) for i in (1, 2, 3)] == [range(1, 6), range(6, 9), range(7, 12)]
    for object_id, given in ((1, range(1, 7)), (2, range(5, 9)), (3, range(0, 12))):
        with pytest.raises(PromptError, match=r"undivide\(1\)"):
            session.set_lifetime(object_id, given)
    session.set_lifetime(1, range(0, 5))
    session.set_lifetime(2, range(6, 12))
    session.undivide(1)
    assert [session.lifetime(i) for i in (1, 2, 3)] == [range(5), range(12), range(7, 12)]


def test_an_end_that_a_division_sets_goes_with_it(session: Session) -> None:
    family(session)
    session.divide(6, 1, [2])
    session.set_lifetime(1, range(1, session.lifetime(1).stop))
    session.undivide(1)
    assert session.lifetime(1) == range(1, 12)


def test_daughters_divide_too(session: Session) -> None:
    family(session)
    session.add_prompt(click(10, 4))
    session.divide(4, 1, [2, 3])
    session.divide(9, 2, [4])
    assert session.lineage == {2: 1, 3: 1, 4: 2}
    assert session.lifetime(2) == range(4, 9)
    with pytest.raises(TypeError):
        session.lineage[4] = 1  # type: ignore[index]


@pytest.mark.parametrize(
    ("frame", "mother", "daughters", "says"),
    [
        (6, 1, [], "at least one daughter"),
        (6, 1, [1, 2], "cannot be a daughter of its own"),
        (6, 1, [7], "no object 7"),
        (6, 7, [2], "no object 7"),
        (2, 1, [2, 3], "prompt on frame 2 and cannot divide on frame 2"),
        (7, 1, [2, 3], "object 2 has a prompt on frame 6, before the division on frame 7"),
        (6, 2, [1], "object 2 has a prompt on frame 6"),
        (8, 4, [5], r"object 4 divides on frame 9 already, into 5; take that back with undivide\(4\)"),
        (9, 1, [5], r"object 5 is a daughter of object 4 already; take that back with undivide\(4\)"),
        (6, 1, 2, "are a sequence"),
        (6.5, 1, [2], "whole number"),
    ],
)
def test_a_division_that_cannot_be_is_refused(
    session: Session, frame: int, mother: int, daughters: list[int], says: str
) -> None:
    family(session)
    session.add_prompt(click(8, 4))
    session.add_prompt(click(9, 5))
    session.divide(9, 4, [5])
    before = session.masklets()
    with pytest.raises(PromptError, match=says) as error:
        session.divide(frame, mother, daughters)
    assert "\n" not in str(error.value)
    assert session.lineage == {5: 4}
    assert alike(before, session.masklets())


def test_the_same_division_once_more_changes_nothing(session: Session) -> None:
    family(session).divide(6, 1, [2, 3])
    running = session.propagate()
    next(running)
    session.divide(6, 1, (3, 2))
    next(running)
    session.undivide(1)
    with pytest.raises(SupersededError):
        next(running)
    with pytest.raises(PromptError, match="object 1 does not divide"):
        session.undivide(1)


def test_a_prompt_on_the_wrong_side_of_a_division_says_what_to_do(session: Session) -> None:
    family(session).divide(6, 1, [2, 3])
    with pytest.raises(PromptError, match=r"prompt one of its daughters \(2, 3\), or .* undivide\(1\)"):
        session.add_prompt(click(8))
    with pytest.raises(PromptError, match=r"object 1 divides into it on frame 6; prompt object 1, or .*"):
        session.add_prompt(click(5, 2))


def test_who_is_removed_leaves_the_lineage(session: Session) -> None:
    family(session).divide(6, 1, [2, 3])
    session.remove_object(3)
    assert session.lineage == {2: 1}
    assert session.lifetime(1) == range(6)
    session.remove_prompt(6, 2)  # the last of the only daughter
    assert session.lineage == {}
    assert session.lifetime(1) == range(12)
    session.add_prompt(click(7, 2))
    session.divide(5, 1, [2])
    session.remove_object(1)
    assert session.lineage == {}
    assert session.lifetime(2) == range(12)
    assert session.masklets()[2].mother is None
