"""Frames are tracked again once for all objects, and prompts are segmented and remembered once."""

from __future__ import annotations

import gc
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import ndimage

from sam2_core import Box, Limits, LiveVideo, Masklet, Point, Prompt, Session, masks
from sam2_core.tracking.sam2_values import Decoded
from sam2_core.tracking.track import ObjectTrack
from sam2_core.tracking.tracker import KEPT_CLICKS, steps_of
from tests.conftest import MODELS, model
from tests.hashing_for_tests import SIZE, Hashing, Numbers
from tests.sessions_for_tests import click, held, same
from tests.videos_for_tests import Disks

FEW = Limits(feature_bytes=0, restart_bytes=0)
PAINTED = np.arange(32).reshape(SIZE) % 3 == 0

# --- a correction replays all objects together -----------------------------------------------------


def corrected(objects: range, batch: int = 1, limits: Limits = FEW) -> tuple[Session, Numbers]:
    """Objects that come one after another, some with a second prompt, then corrected on frame 40."""
    video = Numbers(60)
    session = Session(video, Hashing(batch=batch), limits)  # type: ignore[arg-type]
    for object_id in objects:
        session.add_prompt(Prompt(7 * object_id, object_id, (Point(1, object_id % 4),)))
        if object_id % 2:
            session.add_prompt(Prompt(37, object_id, (Point(4, object_id % 4),)))
    list(session.propagate())
    for object_id in objects:
        session.add_prompt(Prompt(40, object_id, (Point(2, object_id % 4),)))
    return session, video


def alone(object_id: int, frames: range) -> dict[int, Masklet]:
    """What an object becomes whose restart points are so many that no frame is tracked again."""
    session, _ = corrected(range(object_id, object_id + 1), limits=Limits())
    list(session.propagate(frames))
    return session.masklets()


@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("frames", [range(40, 60), range(40, -1, -1)], ids=["forward", "backward"])
def test_a_correction_encodes_each_frame_once_for_all_objects(frames: range, batch: int) -> None:
    session, video = corrected(range(1, 6), batch)
    video.reads.clear()
    list(session.propagate(frames))
    again = Counter(video.reads)
    del again[40]  # the prompts of that frame, whose memories are encoded too
    assert max(again.values()) == 1
    for object_id in session.object_ids:
        assert same(alone(object_id, frames), {object_id: session.masklets()[object_id]})


def test_objects_are_replayed_in_batches() -> None:
    calls: list[str] = []
    session, video = corrected(range(1, 6), batch=5)
    session.model.asked = calls.append  # type: ignore[attr-defined]
    video.reads.clear()
    list(session.propagate(range(40, 60)))
    assert calls.count("track") == len(set(video.reads))


def test_an_object_whose_frames_are_lost_holds_up_no_other() -> None:
    """Object 1 was left behind on frame 1 and begins from its prompts; object 2 goes on from its memories."""

    def prepared(objects: tuple[int, ...]) -> Session:
        video, session = LiveVideo(keep=8), None
        for i in range(20):
            video.append(Numbers(20)[i])
            session = session or Session(video, Hashing(), Limits(0, 0))  # type: ignore[arg-type]
            if i == 0:
                for object_id in objects:
                    session.add_prompt(Prompt(0, object_id, (Point(object_id, 1),)))
            following = [n for n in objects if n == 2 or i < 2]
            if following:
                list(session.propagate(range(i, i + 1), object_ids=following))
        assert session is not None
        for object_id in objects:
            session.add_prompt(Prompt(16, object_id, (Point(object_id, 2),)))
        list(session.propagate(range(16, 20)))
        return session

    together = prepared((1, 2)).masklets()
    for object_id in (1, 2):
        assert same(prepared((object_id,)).masklets(), {object_id: together[object_id]})


# --- a prompt is segmented once -------------------------------------------------------------------


@pytest.mark.parametrize("painted", [True, False], ids=["painted", "clicked"])
@pytest.mark.parametrize("same_frame", [True, False], ids=["one frame", "many frames"])
def test_a_prompt_is_segmented_and_remembered_once(painted: bool, same_frame: bool) -> None:
    calls: list[str] = []
    session = Session(Numbers(40), Hashing(calls.append))  # type: ignore[arg-type]
    for i in range(30):
        said: dict[str, Any] = {"mask": np.roll(PAINTED, i)} if painted else {"points": ((i % 8, 1), (2, 2))}
        session.add_prompt(Prompt(0 if same_frame else i, i + 1, **said))
    tracked = sum(len(session.video) - 1 for _ in session.object_ids)
    assert calls.count("segment") == (30 if painted else 60)
    list(session.propagate())
    assert calls.count("segment") == (30 if painted else 60)
    assert calls.count("encode_memory") == 30 + tracked


def test_a_frame_is_not_read_again_for_the_memory_of_a_click() -> None:
    video = Numbers(40)
    session = Session(video, Hashing(), Limits(feature_bytes=0))  # type: ignore[arg-type]
    for i in range(30):
        session.add_prompt(Prompt(i, 1, ((1, 1),)))  # type: ignore[arg-type]
    assert video.reads == list(range(30))


def at(frame_index: int, *points: tuple[int, int]) -> Prompt:
    return Prompt(frame_index, 1, points)  # type: ignore[arg-type]


def painted(session: Session) -> None:
    session.add_prompt(Prompt(3, 1, mask=PAINTED))


def removed(session: Session) -> None:
    session.remove_prompt(3, 1)


def clicked_elsewhere(session: Session) -> None:
    session.add_prompt(at(3, (4, 1)))
    session.remove_prompt(3, 1)
    session.add_prompt(at(3, (1, 1), (2, 2)))


def another_object(session: Session) -> None:
    session.remove_object(1)
    session.add_prompt(Prompt(3, 1, mask=PAINTED))


def interrupted(session: Session) -> None:
    def strike(*given: object) -> None:
        raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ObjectTrack, "set_prompt", strike)
        with pytest.raises(KeyboardInterrupt):
            session.add_prompt(at(3, (7, 3)))


@pytest.mark.parametrize("change", [painted, removed, clicked_elsewhere, another_object, interrupted])
def test_the_memory_of_a_prompt_that_was_changed_is_not_kept(change: Callable[[Session], None]) -> None:
    session = Session(Numbers(9), Hashing())  # type: ignore[arg-type]
    session.add_prompt(at(3, (1, 1)))
    session.add_prompt(at(5, (1, 2)))
    change(session)
    for object_id in range(2, 2 * KEPT_CLICKS):  # pushes the clicks of object 1 out
        session.add_prompt(Prompt(3, object_id, ((2, 1),)))  # type: ignore[arg-type]
    list(session.propagate())
    fresh = Session(Numbers(9), Hashing())  # type: ignore[arg-type]
    for prompt in session.prompts:
        if prompt.object_id == 1:
            fresh.add_prompt(prompt)
    list(fresh.propagate())
    assert same(fresh.masklets(), {1: session.masklets()[1]})


@pytest.mark.parametrize("painted", [True, False], ids=["painted", "clicked"])
def test_hundreds_of_prompts_do_not_keep_hundreds_of_logits(painted: bool) -> None:
    session = Session(Disks(), model("sam2"))
    for object_id in range(1, 101):
        seed = click(0, object_id, object_id % 2)
        session.add_prompt(Prompt(0, object_id, mask=Disks().mask(0, object_id % 2)) if painted else seed)
    gc.collect()
    kept = sum(isinstance(found, Decoded) for found in held(session))
    assert kept == (0 if painted else KEPT_CLICKS)


@pytest.mark.parametrize("name", MODELS)
def test_prompts_of_hundreds_of_objects_give_the_masks_of_each_alone(name: str) -> None:
    def session_of(objects: range) -> Session:
        session = Session(Disks(3), model(name))
        for object_id in objects:
            disk = Disks().mask(0, object_id % 2)
            seed = Prompt(0, object_id, mask=disk) if object_id % 3 == 0 else click(0, object_id)
            session.add_prompt(seed)
        list(session.propagate())
        return session

    together = session_of(range(1, 41)).masklets()
    for object_id in (1, 2, 3, 40):
        assert same(session_of(range(object_id, object_id + 1)).masklets(), {object_id: together[object_id]})


# --- one more click ------------------------------------------------------------------------------


@pytest.mark.parametrize("box", [None, Box(0, 0, 5, 3)])
def test_a_prompt_grows_by_a_point_at_a_time(box: Box | None) -> None:
    points = tuple(Point(x, 1) for x in range(4))
    prompt = Prompt(0, 1, points, box, previous=PAINTED)
    grown = steps_of(prompt)
    assert [step.points for step in grown] == [points[:n] for n in range(box is None, 5)]
    assert all(step.box == box and np.array_equal(step.previous, PAINTED) for step in grown)
    assert [step.points for step in steps_of(prompt, 2)] == [step.points for step in grown[2:]]
    assert steps_of(prompt, len(grown)) == []


@pytest.mark.parametrize(
    ("change", "steps"),
    [
        ({}, 1),
        ({"points": ((0, 1), (1, 1), (2, 1), (3, 1), (4, 1))}, 2),
        ({"points": ((0, 1), (1, 1))}, 0),
        ({"points": ((0, 1), (7, 1), (2, 1))}, 2),
        ({"points": ((7, 1), (0, 1))}, 2),
        ({"box": Box(1, 1, 5, 3)}, 5),
        ({"previous": ~PAINTED}, 4),
        ({"previous": None}, 4),
        ({"mask": PAINTED, "points": (), "previous": None}, 1),
    ],
)
def test_only_steps_that_are_missing_are_built_and_segmented(
    change: dict[str, Any], steps: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[str] = []
    session = Session(Numbers(3), Hashing(calls.append))  # type: ignore[arg-type]
    session.add_prompt(Prompt(0, 1, ((0, 1), (1, 1), (2, 1)), previous=PAINTED))  # type: ignore[arg-type]
    prompt = replace(session.prompts[0], **{"points": ((0, 1), (1, 1), (2, 1), (3, 1))} | change)
    calls.clear()
    built: list[Prompt] = []
    monkeypatch.setattr(Prompt, "__post_init__", lambda made: built.append(made))
    shown = session.add_prompt(prompt).mask(1)
    monkeypatch.undo()
    assert calls == ["segment"] * steps + ["encode_memory"] * (prompt.mask is not None)
    assert len(built) == max(0, steps - 1)
    fresh = Session(Numbers(3), Hashing())  # type: ignore[arg-type]
    assert np.array_equal(fresh.add_prompt(prompt).mask(1), shown)


# --- the middle of a mask ------------------------------------------------------------------------


def middle_of_the_full_frame(mask: Any) -> tuple[float, float]:
    depth = ndimage.distance_transform_edt(np.pad(mask, 1))[1:-1, 1:-1]
    y, x = np.unravel_index(int(depth.argmax()), mask.shape)
    return float(x), float(y)


@given(
    arrays(bool, st.tuples(st.integers(1, 12), st.integers(1, 12))),
    st.tuples(*[st.integers(0, 9)] * 4),
    st.booleans(),
)
@settings(max_examples=300, deadline=None, derandomize=True, database=None)
def test_the_middle_is_that_of_the_full_frame(mask: Any, around: tuple[int, ...], value: bool) -> None:
    mask = np.pad(mask ^ value, (around[:2], around[2:]))
    assert masks.middle(mask) == middle_of_the_full_frame(mask)


def test_the_middle_is_looked_for_in_the_box_of_the_mask(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[int, ...]] = []
    original = ndimage.distance_transform_edt
    monkeypatch.setattr(
        ndimage, "distance_transform_edt", lambda of: [seen.append(of.shape), original(of)][1]
    )
    mask = np.zeros((2048, 2048), bool)
    mask[2000:, 1000:1030] = True
    assert masks.middle(mask) == (1014.0, 2014.0)
    assert seen == [(50, 32)]
