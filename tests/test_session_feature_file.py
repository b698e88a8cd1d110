"""Features that do not fit into memory go to the disk and come back the same; the disk may fail."""

from __future__ import annotations

import gc
import inspect
import io
import os
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from sam2_core import Limits, LiveVideo, Prompt, Session
from sam2_core.bench.random_networks import random_network
from sam2_core.hookspecs import VideoModel
from sam2_core.models.config import config
from sam2_core.tracking.feature_file import FeatureFile
from sam2_core.tracking.sam2_model import Sam2Model
from sam2_core.tracking.windowed_model import WindowedModel
from sam2_core.tracking.windows import Window
from tests.conftest import model
from tests.models_for_tests import Counting, encoded_views
from tests.sessions_for_tests import click, same
from tests.skips import PLATFORM
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


def test_windows_are_not_encoded_again(monkeypatch: pytest.MonkeyPatch) -> None:
    windowed = model("windows")
    encoded = encoded_views(windowed, monkeypatch)
    counts = []
    for on_disk in (MUCH, 0):
        session, _ = session_of(windowed, on_disk)
        session.add_prompt(click(0))
        list(session.propagate())
        first = len(encoded)
        session.add_prompt(click(0, 2))  # the same disk: the same windows
        list(session.propagate())
        counts.append((first, len(encoded) - first))
        session.close()
        encoded.clear()
    (first, again), (_, without) = counts
    assert again < 0.2 * first
    assert without > 0.8 * first


def test_windows_and_mirror_images_come_back_with_the_frame() -> None:
    windowed = model("windows")
    assert isinstance(windowed, WindowedModel)
    views, window = windowed.encode_image(Disks(1)[0]), Window(8, 4, 32)
    seen = (views[None], views[window], views.mirrored)
    again = windowed.features_from(windowed.feature_arrays(views))
    assert again.nbytes == views.nbytes
    for mine, restored in zip(seen, (again[None], again[window], again.mirrored), strict=True):
        assert mine.size == restored.size
        for name, tensor in mine.image.tensors.items():
            back = restored.image.tensors[name]
            assert torch.equal(tensor, back)
            assert tensor.stride()[1:] == back.stride()[1:]  # of one frame, the first means nothing


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
    session.close()
    assert disk.nbytes == 0


class Boxes:
    """A model whose features are so many bytes, for the file alone."""

    def feature_arrays(self, features: np.ndarray) -> dict[str, np.ndarray]:
        return {"bytes": features}

    def features_from(self, arrays: dict[str, np.ndarray]) -> np.ndarray:
        return arrays["bytes"]


def box(length: int, value: int) -> np.ndarray:
    return np.full(length, value, np.uint8)


def test_a_frame_that_has_grown_is_written_again_and_its_place_is_used_again() -> None:
    file = FeatureFile(Boxes(), 4000)  # type: ignore[arg-type]
    for frame_index, length in ((0, 1000), (1, 500), (0, 900), (0, 1500), (2, 700), (3, 2000)):
        file.put(frame_index, box(length, frame_index + length % 7))
    lengths = {i: found.nbytes for i in range(4) if (found := file.get(i)) is not None}
    assert lengths == {0: 1500, 1: 500, 2: 700}
    assert file.nbytes <= 4000
    found = file.get(0), file.get(1), file.get(2)
    assert [set(one) for one in found] == [{1500 % 7}, {1 + 500 % 7}, {2 + 700 % 7}]  # type: ignore[arg-type]
    file.close()
    assert file.get(0) is None


@pytest.mark.parametrize("budget", [0, 1, 999])
def test_a_budget_below_a_frame_holds_nothing(budget: int) -> None:
    file = FeatureFile(Boxes(), budget)  # type: ignore[arg-type]
    file.put(0, box(1000, 1))
    assert file.get(0) is None
    assert file.nbytes == 0


@pytest.mark.skipif(not hasattr(os, "fork"), reason=f"{PLATFORM}it forks")
def test_a_process_that_is_forked_off_leaves_the_file_to_its_parent() -> None:
    file = FeatureFile(Boxes(), 10_000)  # type: ignore[arg-type]
    file.put(0, box(100, 1))
    child = os.fork()
    if not child:
        empty = file.get(0) is None
        for frame_index in (7, 8, 9):
            file.put(frame_index, box(100, 9))
        found = file.get(7)
        os._exit(not (empty and found is not None and set(found) == {9}))  # type: ignore[call-overload]
    _, status = os.waitpid(child, 0)
    assert status == 0
    file.put(1, box(100, 2))
    assert [set(file.get(i)) for i in (0, 1)] == [{1}, {2}]  # type: ignore[call-overload]
    assert file.get(7) is None


def test_an_interrupt_at_any_line_leaves_no_frame_with_the_features_of_another() -> None:
    lines = range(1, 1 + len(inspect.getsource(FeatureFile.put).splitlines()))
    first = FeatureFile.put.__code__.co_firstlineno
    struck = 0
    for line in lines:
        file = FeatureFile(Boxes(), 2**20)  # type: ignore[arg-type]
        file.put(0, box(100, 1))
        file.put(1, box(100, 2))

        def strike(frame: Any, event: str, _: object, at: int = first + line) -> Any:
            if frame.f_code is FeatureFile.put.__code__ and event == "line" and frame.f_lineno == at:
                raise KeyboardInterrupt
            return strike

        sys.settrace(strike)
        try:
            file.put(0, box(200, 3))
        except KeyboardInterrupt:
            struck += 1
        finally:
            sys.settrace(None)
        for frame_index, length in ((2, 100), (3, 200), (4, 100)):
            file.put(frame_index, box(length, 10 + frame_index))
        held = {i: set(found) for i in range(5) if (found := file.get(i)) is not None}  # type: ignore[call-overload]
        assert held.pop(0, {1}) in ({1}, {3})
        assert held == {1: {2}, 2: {12}, 3: {13}, 4: {14}}
    assert struck > 8


def test_a_session_that_is_dropped_drops_its_file_without_a_word() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        file = FeatureFile(Boxes(), 1000)  # type: ignore[arg-type]
        file.put(0, box(100, 1))
        opened = file._file
        del file
        gc.collect()
    assert opened is not None
    assert opened.closed


FULL = """
import resource, signal
import numpy as np
from tests.test_session_feature_file import Boxes, FeatureFile, box
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
file = FeatureFile(Boxes(), 2**30)
for frame_index, length in enumerate((90_000, 13_000, 500)):
    file.put(frame_index, box(length, frame_index + 1))
assert set(file.get(0)) == {1} and file.get(0).nbytes == 90_000
assert file.get(1) is None and file.get(2) is None
file.close()
"""


@pytest.mark.skipif(sys.platform == "win32", reason=f"{PLATFORM}it limits the size of files")
def test_what_was_written_before_the_disk_was_full_can_be_read_and_closed() -> None:
    subprocess.run([sys.executable, "-c", FULL], cwd=Path(__file__).parents[1], timeout=120, check=True)


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
