"""The work is kept without anybody asking, and a napari that is killed loses none of it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tifffile
from sam2_napari import keeping

from sam2_core import open_session
from tests.napari_for_tests import (
    ENTRY,
    FIRST,
    SAMPLE,
    SECOND,
    Window,
    click_cells,
    film,
    middle,
    needs_a_screen,
)

needs_a_screen()

ROOT = Path(__file__).parents[1]
FILM = tifffile.imread(ROOT / "sam2_core" / "samples" / "timelapse.tif")
SOON, NEVER = 50, 10**8
"""Milliseconds."""


def kept(window: Window) -> Path:
    """The file in which the work is kept."""
    return Path(window.control.keeping.autosave.file)


def objects_in(file: Path) -> dict[int, int]:
    """Objects in a file, and on how many frames each has a mask."""
    with open_session(file, video=FILM) as session:
        return {number: len(masklet) for number, masklet in session.masklets().items()}


def test_what_is_clicked_is_kept_a_moment_later(window: Window, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keeping, "AUTOSAVE_AFTER", SOON)
    file = kept(window)
    assert not file.exists()
    window.click(*middle(0, FIRST))
    window.until(file.exists)
    window.idle()
    assert objects_in(file) == {1: 1}
    written = file.stat().st_mtime_ns
    window.press("N")
    window.click(*middle(0, SECOND))
    window.until(lambda: file.stat().st_mtime_ns > written)
    window.idle()
    assert objects_in(file) == {1: 1, 2: 1}
    window.press("Ctrl+Z")
    window.press("Ctrl+Z")
    window.until(lambda: not file.exists())  # nothing is left to be kept
    assert window.told() == []


def test_while_it_tracks_what_is_done_is_kept(window: Window, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keeping, "AUTOSAVE_AFTER", NEVER)
    monkeypatch.setattr(keeping, "AUTOSAVE_WHILE_TRACKING", SOON)
    window.control.keeping.stop()  # what opening the session has started
    click_cells(window, 8)
    window.control.keeping.stop()
    file = kept(window)
    assert not file.exists()
    window.press("G")
    window.until(file.exists)
    window.press("Q")
    window.idle()
    found = objects_in(file)
    assert [*found] == [*range(1, 9)]
    assert all(1 <= frames < 16 for frames in found.values()), found
    window.press("G")  # it goes on after what was kept, too
    window.idle()
    assert all(window.labels(frame).any() for frame in range(16))


CHILD = """
import sys
from pathlib import Path

import napari
import numpy as np
from pytestqt.qt_compat import qt_api

qt_api.set_qt_api("pyqt6")
from pytestqt.qtbot import QtBot
from sam2_napari import keeping

from tests.napari_for_tests import Window, click_cells, film

keeping.AUTOSAVE_AFTER, keeping.AUTOSAVE_WHILE_TRACKING = 10**8, 50
window = Window(napari.Viewer(), QtBot(None))
window.open_by_menus()
window.control.keeping.stop()
click_cells(window, 8)
window.control.keeping.stop()
window.press("G")
window.until(lambda: window.control.keeping.autosave.file.exists() and window.labels(2).any())
np.save(sys.argv[1], film(window))
print("kept", window.control.engine.busy, flush=True)
napari.run()
"""


@pytest.fixture
def killed(tmp_path: Path) -> Path:
    """The masks that a napari showed while it tracked; then it was killed."""
    masks = tmp_path / "masks.npy"
    environment = {
        **os.environ, "SAM2_CACHE": str(tmp_path / "cache"), "NAPARI_CONFIG": str(tmp_path / "napari.yaml"),
        "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path]),
    }  # fmt: skip
    command = [sys.executable, "-c", CHILD, str(masks)]
    with subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "kept True\n"  # it is still tracking
        finally:
            process.kill()
    assert process.returncode == -signal.SIGKILL
    return masks


def test_a_napari_that_is_killed_while_it_tracks_loses_at_most_the_last_frames(
    killed: Path, bare: Window
) -> None:
    before = np.load(killed)
    bare.menu("Plugins", ENTRY)
    bare.panel = bare.viewer.window.dock_widgets[ENTRY]
    bare.told()
    bare.menu("File", "Open Sample", SAMPLE)
    bare.settle()
    assert any("earlier work found" in message for message in bare.told())
    assert bare.field("resume").isVisible()
    assert not film(bare).any()
    bare.push("resume")
    bare.idle()
    assert "the work goes on with 8 objects" in bare.told()
    after = film(bare)
    both = [frame for frame in range(16) if before[frame].any() and after[frame].any()]
    assert both[:2] == [0, 1]
    assert all(np.array_equal(after[frame], before[frame]) for frame in both)
    assert len(bare.layers.points.data) == 8
    assert not after[15].any()  # it was in the middle of it
    bare.press("G")
    bare.idle()
    assert all(bare.labels(frame).any() for frame in range(16))
