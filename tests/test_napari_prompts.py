"""What is drawn over a mask can be taken off again: the mask comes back as it was."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from numpy.typing import NDArray
from sam2_napari import tasks
from sam2_napari.workspace import Pace, Workspace

from sam2_core import Box, Point, Prompt, open_session
from tests.napari_for_tests import CELLS, FIRST

FILM = np.random.default_rng(0).integers(0, 255, (4, 256, 256), np.uint8)
BOX = Box(10, 10, 60, 70)
CELL = CELLS[0] == FIRST


@pytest.fixture
def workspace() -> Iterator[Workspace]:
    found = Workspace(open_session(FILM, model="nano"))
    yield found
    found.close()


def draw(workspace: Workspace, points: tuple[Point, ...] = (), box: Box | None = None) -> None:
    list(tasks.draw(workspace, 2, 7, points, box))


def shown(workspace: Workspace) -> NDArray[np.bool_]:
    return workspace.session.result(2).mask(7)


def middle_of_cell() -> Point:
    ys, xs = np.nonzero(CELL)
    return Point(float(xs.mean()), float(ys.mean()))


@pytest.mark.parametrize("tracked", [False, True])
def test_a_painted_mask_comes_back_from_under_a_box_and_a_click(workspace: Workspace, tracked: bool) -> None:
    if tracked:
        workspace.session.add_prompt(Prompt(0, 7, mask=CELL))
        list(workspace.session.propagate())
    workspace.session.add_prompt(Prompt(2, 7, mask=CELL))
    draw(workspace, box=BOX)
    assert not np.array_equal(shown(workspace), CELL)
    draw(workspace, (middle_of_cell(),), BOX)
    draw(workspace, (middle_of_cell(),))  # the box goes: the click corrects what was painted
    assert workspace.prompt(2, 7).previous is not None  # type: ignore[union-attr]
    draw(workspace)
    assert np.array_equal(shown(workspace), CELL)


def test_a_correction_comes_back_from_under_a_box(workspace: Workspace) -> None:
    workspace.session.add_prompt(Prompt(0, 7, mask=CELL))
    list(workspace.session.propagate())
    tracked = shown(workspace)
    beside = Point(200, 30, False)
    draw(workspace, (beside,))
    corrected, prompt = shown(workspace), workspace.prompt(2, 7)
    draw(workspace, (beside,), BOX)
    draw(workspace, (beside,))
    assert np.array_equal(shown(workspace), corrected)
    assert workspace.prompt(2, 7).points == prompt.points  # type: ignore[union-attr]
    draw(workspace)
    assert np.array_equal(shown(workspace), tracked)


def test_the_time_left_goes_by_the_last_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr("sam2_napari.workspace.time.monotonic", lambda: now[0])
    pace = Pace(100)
    assert pace.left(1) is None
    for done in range(2, 20):
        pace.left(done)  # known already: no time goes by
    for done in range(20, 40):
        now[0] += 2
        left = pace.left(done)
    assert left == pytest.approx(2 * 61)
