"""A correction refuses what no prompt could say, and never contradicts the click that asks for it."""

from __future__ import annotations

import numpy as np
import pytest

from sam2_core import Point, Prompt, PromptError, Session, SessionClosedError, masks
from sam2_core.prompting import deepest_point
from tests.conftest import MODELS, model
from tests.sessions_for_tests import same
from tests.videos_for_tests import Disks


@pytest.fixture(params=MODELS)
def session(request: pytest.FixtureRequest) -> Session:
    session = Session(Disks(), model(request.param))
    session.add_prompt(Prompt(0, 1, mask=Disks().mask(0)))
    list(session.propagate(range(8)))
    return session


@pytest.mark.parametrize(
    ("frame_index", "object_id", "points", "says"),
    [
        (99, 1, [Point(5, 5)], "frames 0..11"),
        (-1, 1, [Point(5, 5)], "frames 0..11"),
        (4, 1, [Point(64, 5)], "outside"),
        (4, 1, [Point(5, -9, False)], "outside"),
        (4, 1, [Point(5, 5), Point(float("nan"), 5)], "finite"),
        (4, 1, [], "at least one point"),
        (0, 1, [], "at least one point"),
        (4, 9, [Point(5, 5)], "no object 9; there are: 1"),
        (4.5, 1, [Point(5, 5)], "whole number"),
        (4, 1, ["here"], "a click is"),
    ],
)
def test_what_no_prompt_could_say_is_refused(
    session: Session, frame_index: int, object_id: int, points: list[Point], says: str
) -> None:
    before = session.masklets()
    with pytest.raises(PromptError, match=says) as error:
        session.correction(frame_index, object_id, *points)
    assert "\n" not in str(error.value)
    assert same(before, session.masklets())


def test_numbers_of_numpy_and_plain_pairs_are_taken(session: Session) -> None:
    prompt = session.correction(np.int64(4), np.int64(1), (14, 12), (3, 3, 0))  # type: ignore[arg-type]
    assert (prompt.frame_index, prompt.object_id) == (4, 1)
    assert prompt.points[-2:] == (Point(14, 12), Point(3, 3, False))


def test_a_closed_session_corrects_nothing(session: Session) -> None:
    session.close()
    with pytest.raises(SessionClosedError):
        session.correction(4, 1, Point(5, 5))


@pytest.fixture
def tracked() -> Session:
    """Object 1 is a disk of radius 7 around (10, 12), whatever the frame."""
    session = Session(Disks(), model("copy"))
    session.add_prompt(Prompt(0, 1, mask=Disks().mask(0)))
    list(session.propagate())
    return session


def distance(first: Point, second: Point) -> float:
    return float(np.hypot(first.x - second.x, first.y - second.y))


@pytest.mark.parametrize("wrong", [Point(10, 12, False), Point(11, 13, False), Point(8, 12, False)])
def test_the_point_inside_keeps_away_from_a_negative_click(tracked: Session, wrong: Point) -> None:
    mask = tracked.result(4).mask(1)
    prompt = tracked.correction(4, 1, wrong)
    chosen, said = prompt.points
    assert said == wrong
    assert chosen.positive
    assert mask[int(chosen.y), int(chosen.x)]
    assert distance(chosen, wrong) >= 3


def test_a_click_elsewhere_leaves_the_point_in_the_middle(tracked: Session) -> None:
    middle = Point(*masks.middle(tracked.result(4).mask(1)))
    for click_ in (Point(40, 40, False), Point(10, 12, True), Point(18, 12, False)):
        assert tracked.correction(4, 1, click_).points[0] == middle


def test_a_second_negative_click_moves_the_point_again(tracked: Session) -> None:
    first = tracked.correction(4, 1, Point(40, 40, False))
    tracked.add_prompt(first)
    wrong = Point(first.points[0].x, first.points[0].y, False)
    second = tracked.correction(4, 1, wrong)
    assert second.points[1:] == (Point(40, 40, False), wrong)
    assert distance(second.points[0], wrong) >= 3
    assert np.array_equal(second.previous, first.previous)  # type: ignore[arg-type]
    tracked.add_prompt(second)
    third = tracked.correction(4, 1, Point(1, 1, False))
    assert third.points == (*second.points, Point(1, 1, False))


def test_negative_clicks_on_all_of_a_mask_are_no_reason_to_fail(tracked: Session) -> None:
    mask = np.zeros((48, 64), bool)
    mask[20, 30:33] = True
    clicks = [Point(x, 20, False) for x in (30, 31, 32)]
    assert deepest_point(mask, clicks)[:2] == masks.middle(mask)
    assert mask[int(deepest_point(mask, clicks[:2]).y), int(deepest_point(mask, clicks[:2]).x)]
    mask[:] = True
    corner = deepest_point(mask, [Point(63.5, 47.5, False), Point(-0.5, -0.5, False)])
    assert mask[int(corner.y), int(corner.x)]


def test_the_mask_of_a_painted_prompt_is_corrected_in_the_same_way(tracked: Session) -> None:
    prompt = tracked.correction(0, 1, Point(10, 12, False))
    assert np.array_equal(prompt.previous, Disks().mask(0))  # type: ignore[arg-type]
    assert distance(prompt.points[0], Point(10, 12)) >= 3


def test_a_correction_survives_propagation(session: Session) -> None:
    corrected = session.add_prompt(session.correction(4, 1, Point(14, 12, False)))
    list(session.propagate())
    assert np.array_equal(session.masklets()[1].mask(4), corrected.mask(1))
