"""A saved session finds its video again, and notices another one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from sam2_core import LiveVideo, Session, SessionError, open_session, open_video
from sam2_core.videos import ImageOptions
from tests.conftest import model
from tests.sessions_for_tests import click, same
from tests.videos_for_tests import Disks

COPY = model("copy")


@pytest.fixture
def npy(tmp_path: Path) -> Path:
    np.save(tmp_path / "v.npy", np.stack([Disks()[i] for i in range(12)]))
    return tmp_path / "v.npy"


def saved(source: Any, folder: Path, prompted: int = 2) -> Path:
    session = open_session(source, model=COPY)
    session.add_prompt(click(prompted))
    list(session.propagate())
    session.save(folder / "s.sam2")
    return folder / "s.sam2"


def encoded(path: Path, frames: list[NDArray[np.uint8]], **options: Any) -> Path:
    with av.open(str(path), "w") as file:
        stream: Any = file.add_stream("mpeg4", rate=10)
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt = "yuv420p"
        stream.bit_rate = options.get("bit_rate", 2_000_000)
        for frame in frames:
            file.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        file.mux(stream.encode(None))
    return path


def scene(seed: int, shift: int = 0) -> NDArray[np.uint8]:
    """Blobs on a ground, as a microscope shows them, ``(240, 320, 3)``."""
    random = np.random.default_rng(seed)
    rows, columns = np.ogrid[:240, :320]
    image = np.full((240, 320), 40.0)
    for y, x, radius in zip(random.integers(0, 240, 12), random.integers(0, 320, 12), [9] * 12, strict=True):
        image[(rows - y) ** 2 + (columns - x - shift) ** 2 <= radius**2] = 170
    image += np.random.default_rng(99).normal(0, 4, image.shape)
    return np.repeat(image.clip(0, 255).astype(np.uint8)[..., None], 3, axis=2)


# --- the source is remembered ------------------------------------------------------------------------


def test_a_session_on_an_opened_video_remembers_its_path(npy: Path, tmp_path: Path) -> None:
    path = saved(open_video(npy), tmp_path)
    with open_session(path) as again:
        assert again.source == str(npy.resolve())
        assert len(again.masklets()[1]) == 12


def test_the_path_is_where_the_file_was_when_it_was_opened(
    npy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    video = open_video("v.npy")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    with open_session(saved(video, tmp_path / "elsewhere")) as again:
        assert again.source == str(npy.resolve())


def test_how_the_frames_were_read_is_remembered(tmp_path: Path) -> None:
    stack = np.random.default_rng(0).integers(0, 4000, (3, 4, 48, 64), np.uint16)
    np.save(tmp_path / "v.npy", stack)
    options = ImageOptions(contrast_limits=(0, 3000), z=2, axes="TZYX")
    video = open_video(tmp_path / "v.npy", options)
    path = saved(video, tmp_path, prompted=0)
    with open_session(path) as again:
        assert np.array_equal(again.video[1], video[1])
        again.save(path)
    (tmp_path / "moved").mkdir()
    (tmp_path / "v.npy").rename(tmp_path / "moved" / "w.npy")
    with open_session(path, video=tmp_path / "moved" / "w.npy") as again:
        assert np.array_equal(again.video[1], video[1])


def test_an_array_has_no_path(tmp_path: Path) -> None:
    path = saved(np.stack([Disks()[i] for i in range(12)]), tmp_path)
    with pytest.raises(SessionError, match="video="):
        open_session(path)


def test_the_callers_video_stays_open_and_the_sessions_own_is_closed(tmp_path: Path) -> None:
    film = encoded(tmp_path / "a.mp4", [scene(1, i) for i in range(5)])
    mine = open_video(film)
    open_session(mine, model=COPY).close()
    assert mine[0].shape == (240, 320, 3)
    with open_session(film, model=COPY) as session:
        closed: list[bool] = []
        session.video.close = lambda: closed.append(True)  # type: ignore[attr-defined]
    assert closed


def test_a_video_that_takes_no_attributes_is_opened_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    from sam2_core import plugins

    class Slotted(Disks):
        __slots__ = ()

        def __setattr__(self, name: str, value: object) -> None:
            if name == "origin":
                raise AttributeError(name)
            super().__setattr__(name, value)

    monkeypatch.setattr(plugins.default_manager().hook, "sam2_open_video", lambda source, options: Slotted())
    video = open_video("camera://1")
    assert plugins.origin_of(video) is None


# --- another video is noticed ------------------------------------------------------------------------


def test_another_video_of_the_same_size_and_length_is_refused(tmp_path: Path) -> None:
    films = [encoded(tmp_path / f"{seed}.mp4", [scene(seed, i) for i in range(12)]) for seed in (1, 2)]
    path = saved(films[0], tmp_path)
    with pytest.raises(SessionError, match="looks unlike") as error:
        open_session(path, video=films[1])
    assert "\n" not in str(error.value)
    assert "check_video=False" in str(error.value)
    with open_session(path, video=films[1], check_video=False) as anyway:
        assert len(anyway.masklets()[1]) == 12


def test_the_file_that_took_the_place_of_the_video_is_refused(npy: Path, tmp_path: Path) -> None:
    path = saved(npy, tmp_path)
    np.save(npy, np.load(npy)[:, ::-1])
    with pytest.raises(SessionError, match="looks unlike"):
        open_session(path)


def test_noise_of_another_seed_is_another_video(tmp_path: Path) -> None:
    first, second = (np.random.default_rng(i).integers(0, 256, (3, 512, 512, 3), np.uint8) for i in (0, 1))
    path = saved(first, tmp_path)
    with pytest.raises(SessionError, match="looks unlike"):
        open_session(path, model=COPY, video=second)


def test_a_copy_that_was_encoded_again_is_taken(tmp_path: Path) -> None:
    frames = [scene(1, i) for i in range(12)]
    path = saved(encoded(tmp_path / "good.mp4", frames), tmp_path)
    poor = encoded(tmp_path / "poor.mp4", frames, bit_rate=60_000)
    assert not np.array_equal(open_video(poor)[2], open_video(tmp_path / "good.mp4")[2])
    with open_session(path, video=poor) as again:
        assert len(again.masklets()[1]) == 12


def test_the_same_frames_in_another_order_are_refused(tmp_path: Path) -> None:
    frames = np.stack([scene(1, 12 * i) for i in range(6)])
    path = saved(frames, tmp_path)
    with pytest.raises(SessionError, match="looks unlike"):
        open_session(path, video=frames[::-1])


def test_a_live_video_that_has_forgotten_the_frame_cannot_be_compared(tmp_path: Path) -> None:
    live = LiveVideo(keep=4)
    live.append(Disks()[0])
    session = Session(live, COPY)
    session.add_prompt(click(0))
    for i in range(1, 12):
        live.append(Disks()[i])
        list(session.propagate(range(i, i + 1)))
    session.save(tmp_path / "s")
    with open_session(tmp_path / "s", model=COPY, video=live) as again:
        assert same(again.masklets(), session.masklets())


def test_a_session_without_prompts_is_saved(npy: Path, tmp_path: Path) -> None:
    with open_session(npy, model=COPY) as session:
        session.save(tmp_path / "s")
    with open_session(tmp_path / "s") as again:
        assert again.object_ids == ()


def test_sparse_cells_elsewhere_are_another_video_and_a_brighter_copy_is_not(tmp_path: Path) -> None:
    def dim(seed: int) -> NDArray[np.uint8]:
        image = np.full((256, 256), 20, np.uint8)
        for y, x in np.random.default_rng(seed).integers(10, 240, (4, 2)):
            image[y : y + 8, x : x + 8] = 60
        return np.repeat(image[None, :, :, None], 3, axis=3)

    path = saved(dim(1), tmp_path, prompted=0)
    with pytest.raises(SessionError, match="looks unlike"):
        open_session(path, model=COPY, video=dim(2))
    open_session(path, model=COPY, video=dim(1) * 2 + 10).close()
