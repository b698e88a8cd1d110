"""Features that do not fit into memory go to the disk and come back the same; the disk may fail."""

from __future__ import annotations

import io
import tempfile
from collections.abc import Callable
from typing import Any

import pytest
import torch

from sam2_core import Limits, LiveVideo, Prompt, Session
from sam2_core.bench.random_networks import random_network
from sam2_core.hookspecs import VideoModel
from sam2_core.models.config import config
from sam2_core.tracking.sam2_model import Sam2Model
from sam2_core.tracking.windowed_model import WindowedModel
from sam2_core.tracking.windows import Window
from tests.conftest import model
from tests.models_for_tests import Counting
from tests.sessions_for_tests import click, same
from tests.videos_for_tests import Disks

FRAMES = 10
MUCH = 2**30


def session_of(model: VideoModel, on_disk: int, video: Any = None) -> tuple[Session, Counting]:
    counting = Counting(model)
    limits = Limits(feature_bytes=0, feature_disk_bytes=on_disk)
    return Session(video or Disks(FRAMES), counting, limits), counting  # type: ignore[arg-type]


def twice(session: Session) -> Session:
    """Track an object; then another one, which looks at all frames once more."""
    for object_id in (1, 2):
        session.add_prompt(click(0, object_id, object_id - 1))
        list(session.propagate())
    return session


def in_bfloat16() -> VideoModel:
    network = random_network(config("sam2.1-tiny").at_size(64))
    quick = Sam2Model(network, "random", torch.device("cpu"), "auto")
    quick._bfloat16 = True  # also where this processor would not choose it
    return quick


@pytest.mark.parametrize("make", [lambda: model("sam2"), lambda: model("windows"), in_bfloat16])
def test_each_frame_is_encoded_once_and_the_masks_are_the_same(make: Callable[[], VideoModel]) -> None:
    session, counting = session_of(make(), MUCH)
    plain, without = session_of(make(), 0)
    assert same(twice(session).masklets(), twice(plain).masklets())
    assert counting.calls["encode_image"] == FRAMES
    assert without.calls["encode_image"] > 1.8 * FRAMES


def test_windows_and_mirror_images_come_back_with_the_frame() -> None:
    windowed = model("windows")
    assert isinstance(windowed, WindowedModel)
    views, window = windowed.encode_image(Disks(1)[0]), Window(8, 4, 32)
    seen = (views[None], views[window], views.mirrored)
    again = windowed.features_from(windowed.feature_arrays(views))
    assert again.nbytes == views.nbytes
    for mine, restored in zip(seen, (again[None], again[window], again.mirrored), strict=True):
        assert mine.size == restored.size
        for stride in ("stride16", "stride8", "stride4"):
            assert torch.equal(getattr(mine.image, stride), getattr(restored.image, stride))


def test_what_does_not_fit_stays_away_and_what_came_first_stays() -> None:
    one = model("sam2").encode_image(Disks(1)[0]).nbytes
    session, counting = session_of(model("sam2"), int(4.5 * one))
    twice(session)
    disk = session._tracker.features._disk
    assert disk is not None
    assert 3.5 * one < disk.nbytes <= 4.5 * one
    assert [i for i in range(FRAMES) if i in disk] == [0, 1, 2, 3]
    assert counting.calls["encode_image"] == 2 * FRAMES - 4
    session.close()
    assert disk.nbytes == 0


def no_room(**_: object) -> io.BytesIO:
    raise OSError(28, "No space left on device")


class Full(io.BytesIO):
    def __init__(self, **_: object) -> None:
        super().__init__()

    def write(self, _: object) -> int:
        raise OSError(28, "No space left on device")


class Unreadable(Full):
    def write(self, data: Any) -> int:
        return io.BytesIO.write(self, data)

    def read(self, _: int | None = -1) -> bytes:
        raise OSError(5, "Input/output error")


@pytest.mark.parametrize("file", [no_room, Full, Unreadable])
def test_a_disk_that_fails_costs_time_and_no_masks(
    file: Callable[..., io.BytesIO], monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[object] = []

    def make(**given: object) -> io.BytesIO:
        made.append(given)
        return file(**given)

    monkeypatch.setattr(tempfile, "TemporaryFile", make)
    session, _ = session_of(model("sam2"), MUCH)
    plain, _ = session_of(model("sam2"), 0)
    assert same(twice(session).masklets(), twice(plain).masklets())
    assert len(made) == 1  # a disk that is full is not asked again


def test_live_video_and_other_models_go_without() -> None:
    live = LiveVideo()
    live.append(Disks(1)[0])
    assert session_of(model("sam2"), MUCH, live)[0]._tracker.features._disk is None
    other = Session(Disks(3), model("copy"), Limits(feature_bytes=0, feature_disk_bytes=MUCH))
    other.add_prompt(Prompt(0, 1, mask=Disks(1).mask(0, 0)))
    assert len(list(other.propagate())) == 3
