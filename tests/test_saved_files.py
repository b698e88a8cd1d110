"""The file of a session: what it may replace, who else may write it, and what it may claim to hold."""

from __future__ import annotations

import os
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from sam2_core import (
    Point,
    Prompt,
    Session,
    SessionError,
    SessionVideoError,
    VideoError,
    open_session,
    plugins,
    saved,
)
from tests.conftest import model
from tests.saved_for_tests import again, going_on, run, started, whole
from tests.sessions_for_tests import click, same
from tests.videos_for_tests import Disks


def short() -> Session:
    session = Session(Disks(3), model("copy"))
    session.add_prompt(click(0))
    return session


def test_masks_that_compress_well_can_be_opened_again(tmp_path: Path) -> None:
    """A painted grid that is the same on 400 frames packs some 260 times."""
    video = np.broadcast_to(np.zeros((1, 300, 480), np.uint8), (400, 300, 480))
    grid = np.zeros((300, 480), np.bool_)
    grid[:, ::3] = True
    session = open_session(video, model=model("copy"))
    session.add_prompt(Prompt(0, 1, mask=grid))
    list(session.propagate())
    session.save(tmp_path / "s")
    stored = sum(4 * len(frame.encoded.counts) for frame in session.masklets()[1].values())
    assert stored > max(2**26, 220 * (tmp_path / "s").stat().st_size)
    with open_session(tmp_path / "s", model=model("copy"), video=video) as opened:
        assert opened.result(399).encoded == session.result(399).encoded


@pytest.mark.parametrize("content", [b"II*\0a TIFF", b"PK\3\4another zip"])
def test_what_is_no_saved_session_is_not_replaced(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "cells.tif"
    path.write_bytes(content)
    for save in (short().save, saved.check_target):
        with pytest.raises(SessionError, match=r"cells\.tif' is there and is no saved session; give another"):
            save(path)
    assert path.read_bytes() == content
    assert list(tmp_path.iterdir()) == [path]


def test_a_session_an_empty_file_and_nothing_may_be_replaced(tmp_path: Path) -> None:
    path = tmp_path / "new" / "s.sam2"
    saved.check_target(str(path))
    assert not path.parent.exists()
    short().save(path)
    short().save(path)
    path.write_bytes(b"")
    short().save(path)
    assert saved.is_session(path)


def test_what_is_no_file_is_left_alone(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    for path, said in (
        (pipe, "a device or a pipe"),
        (Path(os.devnull), "a device or a pipe"),
        (tmp_path, "a folder is there"),
        ("", "a folder is there"),
        (".", "a folder is there"),
        ("/", "a folder is there"),
        ("a\0b", "no file can have this name"),
        (tmp_path / "\ud800", "no file can have this name"),
    ):
        for save in (short().save, saved.check_target):
            with pytest.raises(SessionError, match=f"cannot write .*{said}") as error:
                save(path)
            assert "\n" not in str(error.value)
    assert stat.S_ISFIFO(pipe.stat().st_mode)
    assert list(tmp_path.iterdir()) == [pipe]


# --- nothing that only adorns a session makes saving fail ---------------------------------------------


class Odd(Disks):
    """A video of a user: its size is of NumPy's numbers, and its disk goes away."""

    gone = False

    def __init__(self, frames: int = 12) -> None:
        super().__init__(frames)
        self.size = (np.int64(48), np.int64(64))  # type: ignore[assignment]

    def __getitem__(self, frame_index: int) -> NDArray[np.uint8]:
        if self.gone:
            raise OSError("the disk is gone")
        return super().__getitem__(frame_index)


def test_a_frame_that_cannot_be_read_costs_the_thumbnail_only(tmp_path: Path) -> None:
    video = Odd()
    session = Session(video, model("copy"))
    session.add_prompt(click(0))
    list(session.propagate())
    video.gone = True
    session.save(tmp_path / "s")
    with open_session(tmp_path / "s", model=model("copy"), video=video) as opened:
        assert same(session.masklets(), opened.masklets())
    with open_session(tmp_path / "s", model=model("copy"), video=np.zeros((12, 48, 64), np.uint8)) as opened:
        assert same(session.masklets(), opened.masklets())  # there is nothing to compare


def test_a_size_of_numpys_numbers_is_saved(tmp_path: Path) -> None:
    session = Session(Odd(), model("copy"))
    session.add_prompt(click(0))
    list(session.propagate())
    session.add_prompt(session.correction(3, 1, Point(20, 20)))
    session.save(tmp_path / "s")
    for video in (Odd(), Disks()):
        with open_session(tmp_path / "s", model=model("copy"), video=video) as opened:
            assert same(session.masklets(), opened.masklets())
    with pytest.raises(SessionVideoError, match=r"this video has 5 of \[48, 64\]"):
        open_session(tmp_path / "s", model=model("copy"), video=Odd(5))


def test_memories_that_cannot_be_made_are_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    session = started("copy")
    run(session, 5)

    def broken(memory: object) -> object:
        raise RuntimeError("the device\nis lost")

    monkeypatch.setattr(session.model, "memory_arrays", broken)
    session.save(tmp_path / "s")
    monkeypatch.undo()
    other, counting = again(tmp_path / "s", "copy")
    assert same(session.masklets(), other.masklets())
    assert going_on(other, counting) == []


def test_whatever_else_fails_is_one_line_and_leaves_the_old_file(tmp_path: Path) -> None:
    class Lost:
        """A model whose device is lost."""

        def __getattr__(self, name: str) -> object:
            if name == "identity":
                raise RuntimeError("the device\nis lost")
            return getattr(model("copy"), name)

    short().save(tmp_path / "s")
    old = (tmp_path / "s").read_bytes()
    session = Session(Disks(3), Lost())  # type: ignore[arg-type]
    session.add_prompt(click(1))
    with pytest.raises(SessionError, match=r"cannot write .*s': the device is lost$"):
        session.save(tmp_path / "s")
    assert (tmp_path / "s").read_bytes() == old
    assert list(tmp_path.iterdir()) == [tmp_path / "s"]


@pytest.mark.parametrize("name", ["x" * 5000, "x/" * 3000, "a\0b"])
def test_a_name_that_no_file_can_have_is_no_session(name: str) -> None:
    assert not saved.is_session(name)
    with pytest.raises(VideoError) as error:
        open_session(name)
    assert "\n" not in str(error.value)


def test_a_source_of_a_plugin_may_be_longer_than_any_file_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = "camera://" + "x" * 5000
    session = Session(video := Disks(3), model("copy"))
    video.origin = plugins.Origin(url)  # type: ignore[attr-defined]
    session.add_prompt(click(0))
    session.save(tmp_path / "s")
    asked: list[object] = []

    def open_video(source: object, options: object) -> Disks:
        asked.append(source)
        return Disks(3)

    monkeypatch.setattr(plugins, "open_video", open_video)
    open_session(tmp_path / "s", model=model("copy")).close()
    assert asked == [url]


def test_a_link_is_written_through(tmp_path: Path) -> None:
    link, target = tmp_path / "link.sam2", tmp_path / "elsewhere" / "s.sam2"
    link.symlink_to(target)
    for _ in range(2):  # it points at nothing, then at a session
        short().save(link)
        assert link.is_symlink()
        assert saved.is_session(target)
    assert [path.name for path in target.parent.iterdir()] == ["s.sam2"]


def test_the_file_may_be_read_as_any_other_new_file(tmp_path: Path) -> None:
    short().save(tmp_path / "s")
    (tmp_path / "other").write_bytes(b"")
    assert (tmp_path / "s").stat().st_mode == (tmp_path / "other").stat().st_mode


def test_threads_may_save_to_one_file(tmp_path: Path) -> None:
    path = tmp_path / "s.sam2"
    sessions = [short() for _ in range(4)]
    with ThreadPoolExecutor(4) as pool:
        for saving in [pool.submit(session.save, path) for session in sessions * 5]:
            saving.result()
    with open_session(path, model=model("copy"), video=Disks(3)) as opened:
        assert opened.object_ids == (1,)
    assert list(tmp_path.iterdir()) == [path]


def test_flipped_memories_with_the_right_sum_of_the_zip_are_left_alone(tmp_path: Path) -> None:
    session = started("sam2")
    run(session, 5)
    session.save(tmp_path / "s")
    with np.load(tmp_path / "s") as file:
        arrays = dict(file)
    for place in (0, arrays["memories"].size // 2, -1):
        flipped = arrays["memories"].copy()
        flipped[place] ^= 64
        with (tmp_path / "s").open("wb") as target:
            np.savez_compressed(target, **(arrays | {"memories": flipped}))
        other, counting = again(tmp_path / "s", "sam2")
        assert going_on(other, counting) == []
        list(other.propagate())
        assert same(whole("sam2"), other.masklets())
