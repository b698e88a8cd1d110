"""With another model, precision or device a session shows what it had; it is stale until it is tracked."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from sam2_core import LiveVideo, Session, VideoError, open_session
from tests.conftest import model
from tests.saved_for_tests import FRAMES, run, started, whole
from tests.sessions_for_tests import click, same
from tests.videos_for_tests import Disks


def stale(session: Session) -> list[tuple[int, int]]:
    """The stale masks: object and frame."""
    return [(k, i) for k, masklet in session.masklets().items() for i, f in masklet.items() if f.stale]


def opened(path: Path, name: str) -> Session:
    return open_session(path, model=model(name), video=Disks(FRAMES))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A finished session of the model "copy": object 1 prompted on frame 0, object 2 on frame 2."""
    session = started("copy")
    list(session.propagate())
    session.save(tmp_path / "s.sam2")
    return tmp_path / "s.sam2"


EVERYTHING = [(k, i) for k in (1, 2) for i in range(FRAMES)]


def test_masks_of_another_model_are_shown_as_stale(path: Path) -> None:
    with opened(path, "sam2") as again:
        assert same(whole("copy"), again.masklets())
        assert stale(again) == EVERYTHING
        assert again.result(0).stale.all()


def test_another_precision_loses_no_mask(tmp_path: Path) -> None:
    with open_session(Disks(6), precision="exact") as session:
        session.add_prompt(click(0))
        run(session, 3)
        session.save(tmp_path / "s")
        with open_session(tmp_path / "s", precision="auto", video=Disks(6)) as again:
            assert same(session.masklets(), again.masklets())
            assert stale(again) == [(1, 0), (1, 1), (1, 2)]


def test_saving_again_loses_no_mask_and_does_not_make_them_fresh(path: Path) -> None:
    for name in ("sam2", "sam2", "copy"):
        with opened(path, name) as again:
            again.save(path)
        with opened(path, name) as again:
            assert same(whole("copy"), again.masklets())
            assert stale(again) == EVERYTHING


def test_propagating_computes_them_anew(path: Path) -> None:
    with opened(path, "sam2") as again:
        list(again.propagate())
        assert same(whole("sam2"), again.masklets())
        assert stale(again) == []
        again.save(path)
    with opened(path, "sam2") as again:
        assert stale(again) == []


def test_a_range_computes_its_own_frames_only(path: Path) -> None:
    with opened(path, "sam2") as again:
        list(again.propagate(range(1, 4)))
        assert stale(again) == [(k, i) for k, i in EVERYTHING if i not in range(1, 4) or (k, i) == (2, 1)]
        list(again.propagate())
        assert same(whole("sam2"), again.masklets())


def test_prompts_on_every_frame_are_computed_anew_too(tmp_path: Path) -> None:
    masklets = {}
    for name in ("copy", "sam2"):
        with Session(Disks(2), model(name)) as session:
            for frame_index in range(2):
                session.add_prompt(click(frame_index))
            masklets[name] = session.masklets()
            session.save(tmp_path / name)
    with open_session(tmp_path / "copy", model=model("sam2"), video=Disks(2)) as again:
        assert same(masklets["copy"], again.masklets())
        assert [result.stale.any() for result in again.propagate()] == [False, False]
        assert same(masklets["sam2"], again.masklets())


def test_the_same_prompt_given_again_is_computed_anew(path: Path) -> None:
    """So does a host that replays its prompts."""
    with opened(path, "sam2") as again:
        first = again.prompts[0]
        result = again.add_prompt(first)
        assert result.stale.tolist() == [False, True]  # object 2 was not given again
        again.add_prompt(first)  # and now it says what is known
        assert np.array_equal(again.result(0).mask(1), whole("sam2")[1].mask(0))


def test_a_prompt_that_is_taken_back_leaves_no_trace(path: Path) -> None:
    with opened(path, "sam2") as again:
        again.add_prompt(click(4))
        again.remove_prompt(0, 1)
        again.add_prompt(click(0).with_point(40, 40, positive=False))
        again.remove_prompt(4, 1)
        list(again.propagate())
        assert same(whole("sam2"), again.masklets())


def test_masks_on_lost_frames_of_a_live_video_stay_readable(tmp_path: Path) -> None:
    live = LiveVideo(keep=2)
    live.append(Disks()[0])
    session = Session(live, model("copy"))
    session.add_prompt(click(0))
    for i in range(1, 5):
        live.append(Disks()[i])
        list(session.propagate(range(i, i + 1)))
    session.save(tmp_path / "s")
    with open_session(tmp_path / "s", model=model("sam2"), video=live) as again:
        assert same(session.masklets(), again.masklets())
        with pytest.raises(VideoError, match="no longer kept"):
            list(again.propagate())
        again.save(tmp_path / "s")
        assert stale(again) == [(1, i) for i in range(5)]


def test_prompts_of_another_model_on_lost_frames_hold_up_nobody(tmp_path: Path) -> None:
    live = LiveVideo(keep=4)
    live.append(Disks()[0])
    session = Session(live, model("copy"))
    for object_id in (1, 2, 3):
        session.add_prompt(click(0, object_id))
    for i in range(1, 6):
        live.append(Disks()[i])
        list(session.propagate(range(i, i + 1)))
    session.add_prompt(click(4, 2))
    session.save(tmp_path / "s")
    with open_session(tmp_path / "s", model=model("sam2"), video=live) as again:
        again.add_prompt(click(3, 3))
        shown = [r.frame_index for r in again.propagate()]
        assert {2, 3, 4, 5} <= set(shown)
        assert stale(again) == [(1, i) for i in range(6)] + [(2, 0), (2, 1), (3, 0), (3, 1)]
        assert [r.frame_index for r in again.propagate(range(4, 6))] == [4, 5]
        with pytest.raises(VideoError, match="no longer kept"):
            list(again.propagate(object_ids=[1]))
