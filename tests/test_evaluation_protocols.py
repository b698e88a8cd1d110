"""What the simulated user does with a session, and what it finds. The tracker repeats masks (``copy``)."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from sam2_core import Prompt, Session, masks, open_session
from sam2_core.errors import ExportError
from sam2_core.evaluation import protocols
from sam2_core.evaluation.protocols import PROMPTERS, Interaction
from sam2_core.evaluation.runs import PROTOCOLS, Task, mean_curve, mean_of
from sam2_core.evaluation.scores import Counted, score
from sam2_core.evaluation.truth import Truth
from tests.masklets_for_tests import masklets_of

SIZE, FRAMES = (48, 64), 12


def square(t: int, left: int = 4) -> np.ndarray:
    mask = np.zeros(SIZE, np.bool_)
    mask[10:22, left + 2 * t : left + 12 + 2 * t] = True
    return mask


@pytest.fixture
def truth() -> Truth:
    """Object 1 on all frames; object 2, which does not move, from frame 4 on."""
    late = np.zeros(SIZE, np.bool_)
    late[30:40, 40:52] = True
    objects = masklets_of(
        {1: {t: square(t) for t in range(FRAMES)}, 2: dict.fromkeys(range(4, FRAMES), late)}
    )
    return Truth(tuple(range(FRAMES)), objects)


@pytest.fixture
def opened(truth: Truth) -> Callable[[], Session]:
    """Opens a film in which the objects are bright."""
    video = np.full((FRAMES, *SIZE, 3), 40, np.uint8)
    for t in range(FRAMES):
        for object_id, value in ((1, 200), (2, 120)):
            video[t][truth.mask(object_id, t, SIZE)] = value
    return lambda: open_session(video, model="copy")


@pytest.mark.parametrize("prompt", PROMPTERS)
def test_each_object_is_prompted_where_it_first_is_seen_and_tracked_forward(prompt, truth, opened):
    with opened() as session:
        masklets = protocols.semi_supervised(session, truth, PROMPTERS[prompt])
        prompts = {p.object_id: p for p in session.prompts}
    assert {i: p.frame_index for i, p in prompts.items()} == {1: 0, 2: 4}
    assert min(masklets[2]) == 4
    assert sorted(masklets[1]) == list(range(FRAMES))
    kinds = {"mask": prompts[1].mask is not None, "box": prompts[1].box is not None}
    assert kinds.get(prompt, len(prompts[1].points) >= 1)


def test_the_box_goes_through_the_outer_pixels(truth, opened):
    with opened() as session:
        protocols.box(session, 0, 1, square(0))
        assert session.prompts[0].box == masks.bounding_box(masks.encode(square(0)))


def test_clicks_stop_when_the_mask_is_right(truth, opened):
    """The region of one colour around the first click is the object."""
    with opened() as session:
        protocols.clicks(5)(session, 0, 1, square(0))
        assert len(session.prompts[0].points) == 1
        assert masks.iou(session.masklets()[1][0].mask(), square(0)) == 1


def test_clicks_go_where_the_mask_is_wrong(truth, opened):
    with opened() as session:
        session.add_prompt(Prompt(0, 1, mask=np.roll(square(0), 5, 1)))
        protocols.clicks(1)(session, 0, 1, square(0))
        (prompt,) = session.prompts
        click = prompt.points[-1]
        assert square(0)[int(click.y), int(click.x)] == click.positive


def test_the_image_task_looks_at_each_object_and_frame_on_its_own(truth, opened):
    with opened() as session:
        found = protocols.single_frames(session, truth)
        assert session.prompts == ()
    assert found == {1: {1: 1.0, 3: 1.0, 5: 1.0}, 2: {1: 1.0, 3: 1.0, 5: 1.0}}


def test_offline_prompts_the_worst_frame_next_and_keeps_all_prompts(truth, opened):
    with opened() as session:
        points = list(protocols.offline(session, truth, 1, Counted.ALL, rounds=3))
        prompted = [p.frame_index for p in session.prompts]
    assert [p.frames for p in points] == [1, 2, 3]
    assert prompted[0] == 0
    assert 6 in prompted  # the first that has no pixel in common with the copy
    assert points[0].scores["J"] < points[1].scores["J"] < points[2].scores["J"]


def test_online_pauses_where_the_mask_gets_worse_than_three_quarters(truth, opened):
    """A square of 12 that moves by 2: copied, its IoU is .71 after one step."""
    points = list(protocols.online(opened, truth, 1, Counted.ALL, rounds=4))
    assert [p.frames for p in points] == [1, 2, 3, 4]
    js = [p.scores["J"] for p in points]
    assert js == sorted(js)
    assert js[0] < js[-1]


def test_online_prompts_change_nothing_that_came_before(truth, opened):
    alone = Truth(truth.frames, {1: truth.objects[1]})
    shown = []
    for prompts in (1, 3):
        with opened() as session:
            assert protocols._paused_pass(session, alone, 1, prompts) == prompts
            shown.append({t: known.mask() for t, known in session.masklets()[1].items()})
    assert np.array_equal(shown[0][0], shown[1][0])
    assert not np.array_equal(shown[0][FRAMES - 1], shown[1][FRAMES - 1])


def test_online_gives_one_value_where_no_pause_is_needed(truth, opened):
    """Object 2 does not move."""
    points = list(protocols.online(opened, truth, 2, Counted.ALL, rounds=4))
    assert {tuple(p.scores.values()) for p in points} == {(1.0, 1.0, 1.0)}
    assert len({p.seconds for p in points}) == 1


def test_one_more_prompted_frame_may_make_online_tracking_worse():
    """Trap 11: curves need not rise. On frame 3 the object is elsewhere, and almost hidden.

    The copy of the first prompt is right on all other frames; with a second prompt the rest has a wrong mask.
    """
    away = np.zeros(SIZE, np.bool_)
    away[30:34, 40:44] = True
    seen = {t: away if t == 3 else square(0) for t in range(FRAMES)}
    video = np.full((FRAMES, *SIZE, 3), 40, np.uint8)
    for t, mask in seen.items():
        video[t][mask] = 200
    alone = Truth(tuple(range(FRAMES)), masklets_of({1: seen}))
    points = list(
        protocols.online(lambda: open_session(video, model="copy"), alone, 1, Counted.ALL, rounds=2)
    )
    assert points[0].scores["J"] == pytest.approx(0.9)
    assert points[1].scores["J"] == pytest.approx(0.3)


@pytest.mark.parametrize(("protocol", "expected"), [("offline", 84.0), ("online", 49.0)])
def test_eight_prompted_frames_of_fifty_take_the_time_of_the_paper(protocol, expected):
    """EVALUATION: 50 frames; the same model gives 10.5 s for one prompted frame."""
    video = np.zeros((50, *SIZE, 3), np.uint8)
    objects = masklets_of({1: {t: np.roll(square(0), 3 * t, 1) for t in range(50)}})
    moving = Truth(tuple(range(50)), objects)

    def opened() -> Session:
        return open_session(video, model="copy")

    if protocol == "online":
        points = list(protocols.online(opened, moving, 1, Counted.ALL))
    else:
        with opened() as session:
            points = list(protocols.offline(session, moving, 1, Counted.ALL))
    assert (points[0].seconds, points[-1].seconds) == (10.5, expected)


@pytest.mark.parametrize("name", PROTOCOLS)
def test_every_protocol_fills_its_columns(name, truth, opened):
    outcome = PROTOCOLS[name].run(Task(opened, truth, "mask", Counted.SINCE_SEEN))
    assert sorted(outcome.objects) == [1, 2]
    for numbers in outcome.objects.values():
        assert set(PROTOCOLS[name].columns) <= set(numbers)
        assert all(0 <= numbers[column] <= 1 for column in PROTOCOLS[name].columns)
    assert bool(outcome.curves) == (name in ("offline", "online"))


def test_the_numbers_of_a_run_are_those_of_its_masklets(truth, opened):
    outcome = PROTOCOLS["vos"].run(Task(opened, truth, "mask", Counted.ALL))
    with opened() as session:
        masklets = protocols.semi_supervised(session, truth, protocols.paint)
        found = score(masklets, truth, SIZE, Counted.ALL)
    assert outcome.objects[1]["J"] == found[1].mean["J"]
    assert set(outcome.objects[1]) == {"J", "F", "J&F", "J-recall", "J-decay", "F-recall", "F-decay"}
    assert outcome.objects[1]["J-decay"] > 0.3


def test_curves_are_averaged_point_by_point():
    one = (Interaction(1, 10.0, {"J": 0.2}), Interaction(2, 20.0, {"J": 0.4}))
    two = (Interaction(1, 30.0, {"J": 0.6}), Interaction(2, 40.0, {"J": 0.8}))
    points = mean_curve([one, two])
    assert [(p.frames, p.seconds, round(p.scores["J"], 6)) for p in points] == [(1, 20, 0.4), (2, 30, 0.6)]


@pytest.mark.parametrize("name", PROTOCOLS)
def test_a_truth_without_objects_has_no_numbers(name, opened):
    outcome = PROTOCOLS[name].run(Task(opened, Truth(tuple(range(FRAMES)), {}), "mask", Counted.ALL))
    assert (dict(outcome.objects), dict(outcome.curves)) == ({}, {})


@pytest.mark.parametrize("name", ["vos", "offline", "online"])
def test_an_object_of_which_no_frame_counts_is_left_out(name, truth, opened):
    """Object 2 is to be seen on the last frame only; tracking backward finds it nowhere else."""
    last = Truth((4, FRAMES - 1), truth.objects)
    assert PROTOCOLS[name].run(Task(opened, last, "mask", Counted.ALL)).objects == {}
    late = masklets_of({1: {t: square(t) for t in range(FRAMES)}, 2: {FRAMES - 1: square(2)}})
    outcome = PROTOCOLS[name].run(Task(opened, Truth(truth.frames, late), "mask", Counted.SINCE_SEEN))
    assert all(np.isfinite([*numbers.values()]).all() for numbers in outcome.objects.values())
    assert 1 in outcome.objects


def test_a_truth_on_a_video_has_its_size_and_what_is_seen_there():
    wide = np.zeros((48, 66), np.bool_)
    wide[:, 65] = True
    whole = np.ones((48, 66), np.bool_)
    truth = Truth((0, 2), masklets_of({1: {0: wide, 2: whole}, 2: {0: wide}}))
    fitted = truth.on(SIZE, 3)
    assert list(fitted.objects) == [1]
    assert fitted.first(1) == 2
    assert fitted.mask(1, 2, SIZE).all()
    assert list(truth.on((48, 66), 3).objects) == [1, 2]


def test_a_video_that_is_shorter_than_its_annotations_is_refused(truth):
    with pytest.raises(ExportError, match="annotations need 12 frames, and its video has 11"):
        truth.on(SIZE, FRAMES - 1)


@pytest.mark.parametrize("shape", [(1, 9), (9, 1), (1, 1)])
def test_an_object_of_one_pixels_width_gets_a_box(shape, opened):
    thin = np.zeros(SIZE, np.bool_)
    thin[20 : 20 + shape[0], 30 : 30 + shape[1]] = True
    with opened() as session:
        protocols.box(session, 0, 1, thin)
        box = session.prompts[0].box
    assert box.right - box.left == max(shape[1] - 1, 1)
    assert (box.left + box.right) / 2 == 30 + (shape[1] - 1) / 2
    assert (box.top + box.bottom) / 2 == 20 + (shape[0] - 1) / 2


def test_points_are_about_objects_that_count_after_each_number_of_clicks(truth, opened, monkeypatch):
    """By SA-V's rule an object that truth shows only on frame 0 counts only where it is still shown."""
    once = Truth(truth.frames, {1: truth.objects[1], 3: masklets_of({3: {0: square(0, 30)}})[3]})
    seen = PROTOCOLS["vos"].run(Task(opened, once, "1-click", Counted.SINCE_SEEN))
    assert sorted(seen.objects) == [1, 3]
    calls = []

    def forgetful(predicted, *rest):
        calls.append(None)
        return score(predicted if len(calls) == 1 else {1: predicted[1]}, *rest)

    monkeypatch.setattr("sam2_core.evaluation.runs.score", forgetful)
    found = PROTOCOLS["points"].run(Task(opened, once, "mask", Counted.SINCE_SEEN))
    assert sorted(found.objects) == [1]
    assert set(found.objects[1]) == {"1-click", "3-click", "5-click"}


@pytest.mark.parametrize("name", PROTOCOLS)
def test_whoever_watches_sees_every_frame_of_the_work_and_changes_nothing(name, truth, opened):
    seen: dict[str, list[int]] = {}

    def watch(items, total, what):
        for count, item in enumerate(items, start=1):
            seen[what] = [count, total]
            yield item

    outcome = PROTOCOLS[name].run(Task(opened, truth, "mask", Counted.ALL, watch))
    assert outcome.objects == PROTOCOLS[name].run(Task(opened, truth, "mask", Counted.ALL)).objects
    whole = {what: counts for what, counts in seen.items() if not what.startswith("object")}
    assert all(count == total for count, total in whole.values())
    expected = {
        "vos": {"prompting": 2, "tracking": FRAMES, "scoring": 2 * (FRAMES - 2)},
        "points": {"prompting": 2, "tracking": FRAMES, "scoring": 2 * (FRAMES - 2)},
        "image": {"clicking": FRAMES},
    }.get(name, {"scoring": FRAMES - 2})
    assert {what: total for what, (_, total) in whole.items()} == expected
    if name == "offline":
        assert seen["object 2, pass 8"] == [FRAMES, FRAMES]


def test_tracking_is_timed_from_the_first_prompt_to_the_last_mask(truth, opened):
    late = Truth(truth.frames, {2: truth.objects[2]})
    outcome = PROTOCOLS["vos"].run(Task(opened, late, "mask", Counted.ALL))
    assert outcome.frames == FRAMES - 4
    assert outcome.seconds > 0


def test_means_are_over_those_that_have_a_number():
    assert mean_of([{"J": 0.2, "J&F-back": 0.5}, {"J": 0.4}]) == {"J": pytest.approx(0.3), "J&F-back": 0.5}
    assert mean_of([]) == {}
