"""Reading ahead while the user thinks: what it saves, what it leaves alone, where it ends."""

from __future__ import annotations

import pytest

from sam2_core import Limits, Point, Prompt, Session, load_model
from sam2_core.errors import SessionClosedError, SessionError
from sam2_core.hookspecs import VideoModel
from sam2_core.tracking.windows import Window
from tests.conftest import model as random_model
from tests.models_for_tests import Counting, encoded_views
from tests.sessions_for_tests import click
from tests.videos_for_tests import Disks

FRAMES = 8


@pytest.fixture(scope="module")
def model() -> VideoModel:
    return load_model("nano", "cpu", windows=False)


def session_of(model: VideoModel, limits: Limits | None = None) -> tuple[Session, Counting]:
    counting = Counting(model)
    session = Session(Disks(FRAMES), counting, limits)  # type: ignore[arg-type]
    session.add_prompt(Prompt(0, 1, (Point(15, 12),)))
    return session, counting


def test_propagation_encodes_nothing_that_was_read_ahead(model: VideoModel) -> None:
    session, counting = session_of(model)
    assert list(session.prefetch(range(1, FRAMES))) == list(range(1, FRAMES))
    assert counting.calls["encode_image"] == FRAMES
    results = list(session.propagate())
    assert counting.calls["encode_image"] == FRAMES
    plain, _ = session_of(model)
    for ahead, result in zip(results, plain.propagate(), strict=True):
        assert (ahead.mask(1) == result.mask(1)).all()


def test_nothing_is_encoded_before_it_is_asked_for(model: VideoModel) -> None:
    session, counting = session_of(model)
    ahead = session.prefetch(range(1, FRAMES))
    assert counting.calls["encode_image"] == 1
    assert next(ahead) == 1
    assert counting.calls["encode_image"] == 2


def test_a_click_meanwhile_disturbs_nothing(model: VideoModel) -> None:
    session, _ = session_of(model)
    ahead = session.prefetch(range(1, FRAMES))
    next(ahead)
    clicked = session.add_prompt(Prompt(0, 2, (Point(40, 30),)))
    plain, _ = session_of(model)
    assert (clicked.mask(2) == plain.add_prompt(Prompt(0, 2, (Point(40, 30),))).mask(2)).all()
    assert next(ahead) == 2


def test_of_frames_that_are_there_those_ahead_stay(model: VideoModel) -> None:
    one = model.encode_image(Disks(1)[0]).nbytes
    session, counting = session_of(model, Limits(feature_bytes=4 * one))
    for frame_index in (3, 7, 0):  # one that lies ahead, one that does not, and the one that is shown
        session.add_prompt(Prompt(frame_index, 1, (Point(15, 12),)))
        session.add_prompt(Prompt(frame_index, 2, (Point(40, 30),)))
    counting.calls["encode_image"] = 0
    assert list(session.prefetch(range(1, 4))) == [1, 2, 3]
    assert counting.calls["encode_image"] == 2


def test_it_ends_where_the_budget_does_and_keeps_the_frame_that_is_shown(model: VideoModel) -> None:
    one = model.encode_image(Disks(1)[0]).nbytes
    session, counting = session_of(model, Limits(feature_bytes=4 * one))
    assert list(session.prefetch(range(1, FRAMES))) == [1, 2, 3]
    assert counting.calls["encode_image"] == 4
    assert list(session.prefetch(range(1, FRAMES))) == [1, 2, 3]
    session.add_prompt(Prompt(0, 2, (Point(40, 30),)))
    assert counting.calls["encode_image"] == 4


def test_windows_are_not_in_its_way() -> None:
    model = load_model("nano", "cpu")
    session = Session(Disks(FRAMES), model)
    session.add_prompt(Prompt(0, 1, (Point(15, 12),)))
    assert list(session.prefetch(range(1, 4))) == [1, 2, 3]
    assert (
        session._tracker.features.nbytes
        > 3 * load_model("nano", "cpu", windows=False).encode_image(Disks(1)[0]).nbytes
    )


@pytest.mark.parametrize("frames", [[1, 2], 3, None])
def test_what_is_no_range_is_refused(frames: range, model: VideoModel) -> None:
    session, _ = session_of(model)
    with pytest.raises(SessionError, match="range"):
        session.prefetch(frames)


def test_frames_that_the_video_has_not_are_left_out(model: VideoModel) -> None:
    session, _ = session_of(model)
    assert list(session.prefetch(range(FRAMES - 2, FRAMES + 6))) == [FRAMES - 2, FRAMES - 1]
    assert list(session.prefetch(range(1, -3, -1))) == [1, 0]
    assert list(session.prefetch(range(FRAMES - 1, 10**12, 5))) == [FRAMES - 1]
    assert not list(session.prefetch(range(FRAMES, FRAMES + 8)))


def test_what_does_not_fit_into_memory_goes_to_the_disk(model: VideoModel) -> None:
    session, counting = session_of(model, Limits(feature_bytes=0, feature_disk_bytes=2**30))
    assert list(session.prefetch(range(1, FRAMES))) == list(range(1, FRAMES))
    assert counting.calls["encode_image"] == FRAMES
    list(session.propagate())
    assert counting.calls["encode_image"] == FRAMES
    one = model.encode_image(Disks(1)[0]).nbytes
    session, counting = session_of(model, Limits(feature_bytes=0, feature_disk_bytes=int(3.5 * one)))
    assert list(session.prefetch(range(1, FRAMES))) == [1, 2, 3]


def test_windows_are_encoded_where_objects_were(monkeypatch: pytest.MonkeyPatch) -> None:
    windowed = random_model("windows")
    encoded = encoded_views(windowed, monkeypatch)
    session = Session(Disks(FRAMES), windowed)
    session.add_prompt(click(0))
    next(session.propagate(range(1)))
    encoded.clear()
    list(session.prefetch(range(1, 4)))
    ahead = len(encoded)
    assert ahead >= 3
    list(session.propagate(range(1, 4)))
    assert len(encoded) - ahead < ahead  # an object that leaves its window costs another


def test_a_closed_session_reads_nothing(model: VideoModel) -> None:
    session, _ = session_of(model)
    ahead = session.prefetch(range(1, FRAMES))
    session.close()
    with pytest.raises(SessionClosedError):
        next(ahead)


def test_the_windows_of_the_shown_frame_are_not_expected_of_those_ahead() -> None:
    whole = random_model("windows")
    one = whole.encode_image(Disks(1)[0])
    one.encode(None)
    shown = 3 * one.nbytes
    counting = Counting(whole)
    session = Session(Disks(FRAMES), counting, Limits(feature_bytes=shown + 4 * one.nbytes))  # type: ignore[arg-type]
    session.add_prompt(click(0))
    list(session.prefetch(range(1, 2)))
    features = session._tracker.features
    for window in (Window(0, 0, 32), Window(8, 8, 32), Window(16, 16, 32)):
        features[0][window]  # type: ignore[index]
    assert features[0].nbytes > 2 * one.nbytes
    assert len(list(session.prefetch(range(2, FRAMES)))) >= 3
