"""Earlier work on an image: every session has a file of its own, and the first that fits is gone on with."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from sam2_napari import files, opening
from sam2_napari.autosave import GENERATIONS, WEEK, Autosave
from sam2_napari.events import Kept, Said
from sam2_napari.workspace import Workspace

from sam2_core import Prompt, Session, SessionError, open_session

FILM = np.random.default_rng(0).integers(0, 255, (3, 40, 60), np.uint8)


def disk(object_id: int) -> Prompt:
    mask = np.zeros(FILM.shape[1:], np.bool_)
    mask[5:15, 5:15] = True
    return Prompt(0, object_id, mask=mask)


@pytest.fixture
def session() -> Iterator[Session]:
    with open_session(FILM, model="copy") as found:
        yield found


def saved(path: Path, film: np.ndarray, *object_ids: int) -> Path:
    with open_session(film, model="copy") as session:
        for object_id in object_ids:
            session.add_prompt(disk(object_id))
        session.save(path)
    return path


def test_the_first_work_that_is_whole_and_of_this_image_is_gone_on_with(
    session: Session, tmp_path: Path
) -> None:
    broken = tmp_path / "broken.sam2"
    broken.write_bytes(b"x" * 100)
    other = saved(tmp_path / "other.sam2", FILM[:, ::-1].copy(), 1)
    good = saved(tmp_path / "good.sam2", FILM, 3, 4)
    session.add_prompt(disk(9))
    workspace = Workspace(session)
    said = list(opening.resume(workspace, [broken, other, good], 0, tmp_path / "aside.sam2"))
    assert workspace.session.object_ids == (3, 4)
    assert said[-1] == Said("the work goes on with 2 objects")
    with open_session(tmp_path / "aside.sam2", video=FILM, model="copy") as aside:
        assert aside.object_ids == (9,)
    workspace.close()


@pytest.mark.parametrize(
    ("names", "says"), [([], "no earlier work"), (["broken"], "broken.sam2 cannot be opened: ")]
)
def test_where_nothing_can_be_opened_the_session_goes_on(
    session: Session, tmp_path: Path, names: list[str], says: str
) -> None:
    (tmp_path / "broken.sam2").write_bytes(b"x" * 100)
    workspace = Workspace(session)
    with pytest.raises(SessionError, match=says) as error:
        list(opening.resume(workspace, [tmp_path / f"{n}.sam2" for n in names], 0, tmp_path / "aside.sam2"))
    assert "video=" not in str(error.value)
    assert "\n" not in str(error.value)
    session.add_prompt(disk(1))
    assert not (tmp_path / "aside.sam2").exists()


def test_sessions_of_one_image_never_write_the_same_file(session: Session, tmp_path: Path) -> None:
    session.add_prompt(disk(1))
    first, second = Autosave(tmp_path / "image"), Autosave(tmp_path / "image")
    assert first.earlier() == []
    assert list(files.keep(Workspace(session), first.file)) == [Kept()]
    assert second.earlier() == [first.file]
    assert first.earlier() == []
    assert list(files.keep(Workspace(session), second.file)) == [Kept()]
    assert first.earlier() == [second.file]


@pytest.mark.parametrize(("weeks", "left"), [(0.22, 5), (2.0, GENERATIONS - 1)])
def test_only_what_is_old_goes_and_never_the_latest(tmp_path: Path, weeks: float, left: int) -> None:
    now = time.time()
    for age in range(8):
        path = tmp_path / f"{age}.sam2"
        path.write_bytes(b"x")
        os.utime(path, (now, now - (age + 0.1) * weeks * WEEK))
    Autosave(tmp_path).tidy()
    assert sorted(int(path.stem) for path in tmp_path.iterdir()) == list(range(left))


def test_of_a_session_without_objects_nothing_is_kept(session: Session, tmp_path: Path) -> None:
    workspace, path = Workspace(session), tmp_path / "image" / "mine.sam2"
    session.add_prompt(disk(1))
    list(files.keep(workspace, path))
    assert path.is_file()
    session.remove_object(1)
    list(files.keep(workspace, path))
    assert not path.exists()
