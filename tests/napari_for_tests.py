"""A real window of napari, driven as a user would: clicks on the canvas, keys, buttons."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray

CELLS = tifffile.imread(Path(__file__).parents[1] / "sam2_core" / "samples" / "timelapse_cells.tif")
NUMBERS = np.unique(CELLS[0])[1:].tolist()
FIRST, SECOND, THIRD = NUMBERS[:3]

SAMPLE, ENTRY = "Time-lapse of simulated cells (SAM 2)", "Segment and track (SAM 2)"
"""What the menus call the sample and the panel."""

NO_SCREEN = (
    "a window needs a screen: apt-get install xvfb and what the Makefile lists under WINDOW, then 'make test'"
)


def needs_a_screen() -> None:
    """Skip where no window can open; with CI set this is a failure, see ``tests/skips.py``."""
    if not os.environ.get("DISPLAY") and shutil.which("Xvfb") is None:
        pytest.skip(NO_SCREEN, allow_module_level=True)


class Window:
    """The window with the panel docked.

    Args:
        viewer: a viewer that is shown.
        qtbot: of pytest-qt.
    """

    def __init__(self, viewer: Any, qtbot: Any) -> None:
        self.viewer, self.qtbot = viewer, qtbot
        self.panel: Any = None

    def dock(self) -> Any:
        """Open the panel of the plugin, and wait for its model."""
        _, self.panel = self.viewer.window.add_plugin_dock_widget("sam2-core", "Segment and track")
        return self.settle()

    def open_by_menus(self) -> Any:
        """Open the sample and the panel as a user would, and wait for the model."""
        self.menu("File", "Open Sample", SAMPLE)
        self.menu("Plugins", ENTRY)
        self.panel = self.viewer.window.dock_widgets[ENTRY]
        return self.settle()

    def settle(self) -> Any:
        """The window has its size, the panel its model, and frame 0 is shown."""
        self.qtbot.wait(50)
        self.viewer.window._qt_window.resize(1500, 950)
        self.qtbot.wait(50)
        self.viewer.reset_view()
        if self.panel.control is not None:
            self.idle()
            self.go_to(0)
        return self.panel

    def close(self) -> None:
        """Let go of the session, so that no thread outlives the test."""
        if self.panel is not None:
            self.panel.close_session(wait=30)

    @property
    def control(self) -> Any:
        """What works on the image."""
        return self.panel.control

    @property
    def layers(self) -> Any:
        """The layers in which is drawn."""
        return self.control.layers

    def until(self, condition: Callable[[], bool], seconds: float = 60) -> None:
        """Wait for something."""
        self.qtbot.waitUntil(condition, timeout=int(seconds * 1000))

    def idle(self, seconds: float = 120) -> None:
        """Wait until all that was asked is done, and shown."""
        self.qtbot.wait(30)  # strokes and shapes tell of themselves a moment later
        self.until(lambda: not self.control.engine.busy, seconds)
        self.qtbot.wait(30)

    def go_to(self, frame_index: int) -> None:
        """Move the slider."""
        self.layers.go_to(frame_index)
        self.qtbot.wait(20)

    def menu(self, *texts: str) -> None:
        """Choose an entry of the menu bar, named from the menu down to the entry."""
        entries = self.viewer.window._qt_window.menuBar().actions()
        for depth, text in enumerate(texts, 1):
            named = {entry.text().replace("&", ""): entry for entry in entries}
            assert text in named, f"no {text!r} among {[*named]}"
            if depth == len(texts):
                named[text].trigger()
            else:
                named[text].menu().aboutToShow.emit()
                entries = named[text].menu().actions()
        self.qtbot.wait(50)

    # --- the canvas --------------------------------------------------------------------------------

    @property
    def canvas(self) -> Any:
        return self.viewer.window._qt_viewer.canvas  # private, but there is no other way to its widget

    def on_canvas(self, y: float, x: float) -> Any:
        """Where a pixel of the image lies on the canvas."""
        from qtpy.QtCore import QPoint

        image = self.control.image
        node = self.canvas.layer_to_visual[self.viewer.layers[image.name]].node
        mapped = node.transforms.get_transform("visual", "canvas").map([x, y, 0, 1])
        return QPoint(round(mapped[0]), round(mapped[1]))

    def click(self, y: float, x: float, *, control: bool = False) -> None:
        """Click on a pixel of the image with the left button."""
        from qtpy.QtCore import Qt
        from qtpy.QtTest import QTest

        self.dismiss()
        keys = Qt.KeyboardModifier.ControlModifier if control else Qt.KeyboardModifier.NoModifier
        place = self.on_canvas(y, x)
        QTest.mouseMove(self.canvas.native, place)
        QTest.mouseClick(self.canvas.native, Qt.MouseButton.LeftButton, keys, place)
        self.qtbot.wait(20)

    def drag(self, *places: tuple[float, float]) -> None:
        """Press on the first pixel, move over the others, release on the last."""
        from qtpy.QtCore import Qt
        from qtpy.QtTest import QTest

        left, none = Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier
        points = [self.on_canvas(y, x) for y, x in places]
        QTest.mouseMove(self.canvas.native, points[0])
        QTest.mousePress(self.canvas.native, left, none, points[0])
        for first, last in pairwise(points):
            for part in np.linspace(0, 1, 6)[1:]:
                QTest.mouseMove(self.canvas.native, first + (last - first) * float(part))
                self.qtbot.wait(5)
        QTest.mouseRelease(self.canvas.native, left, none, points[-1])
        self.qtbot.wait(20)

    def press(self, key: str) -> None:
        """Press a key, such as "Shift+F", on the canvas."""
        from qtpy.QtGui import QKeySequence
        from qtpy.QtTest import QTest

        combination = QKeySequence.fromString(key)[0]
        QTest.keyClick(self.canvas.native, combination.key(), combination.keyboardModifiers())
        self.qtbot.wait(20)

    def field(self, name: str) -> Any:
        """What Qt has for a field or button of the panel, on the tab that is shown."""
        found = getattr(self.panel.form, name).native
        for index in range(self.panel.tabs.count()):
            if self.panel.tabs.widget(index).isAncestorOf(found):
                self.panel.tabs.setCurrentIndex(index)
        self.qtbot.wait(20)
        return found

    def push(self, name: str) -> None:
        """Push a button of the panel, or a check box."""
        from qtpy.QtCore import QPoint, Qt
        from qtpy.QtWidgets import QCheckBox

        pushed = self.field(name)
        where = QPoint(8, pushed.height() // 2) if isinstance(pushed, QCheckBox) else pushed.rect().center()
        self.qtbot.mouseClick(pushed, Qt.MouseButton.LeftButton, pos=where)
        self.qtbot.wait(20)

    def help_box(self) -> Any:
        """The window with the keys; there is one."""
        from qtpy.QtWidgets import QApplication, QMessageBox

        widgets = QApplication.topLevelWidgets()
        (box,) = (x for x in widgets if isinstance(x, QMessageBox) and x.isVisible())
        return box

    def answer(self, name: str, path: Path) -> None:
        """Push a button that asks for a file or folder, write its name into the dialog, press Return."""
        from qtpy.QtCore import Qt, QTimer
        from qtpy.QtTest import QTest
        from qtpy.QtWidgets import QApplication, QFileDialog, QLineEdit

        answered = []

        def fill() -> None:
            dialog = QApplication.activeModalWidget()
            assert isinstance(dialog, QFileDialog)
            field = dialog.findChild(QLineEdit, "fileNameEdit")
            field.selectAll()
            QTest.keyClicks(field, str(path))
            field.completer().popup().hide()  # Return would take what it proposes
            field.setText(str(path))
            if [Path(chosen) for chosen in dialog.selectedFiles()] == [path]:
                QTest.keyClick(field, Qt.Key.Key_Return)
                answered.append(path)
            else:
                dialog.reject()

        QTimer.singleShot(300, fill)
        self.push(name)
        assert answered, f"the dialog of {name} did not take {path}"
        self.idle()

    def export_as(self, *names: str) -> None:
        """Choose these formats, and no others."""
        for name, box in self.panel.form.formats.items():
            box.value = name in names

    # --- what is shown -----------------------------------------------------------------------------

    def labels(self, frame_index: int) -> NDArray[np.int32]:
        """The labels of a frame, as the layer holds them."""
        index = self.layers.axes.index(frame_index, self.layers.position)
        return np.array(self.layers.masks.data[index])

    def told(self) -> list[str]:
        """What napari's notifications have said since this was asked last."""
        from napari.utils.notifications import notification_manager

        found = [record.message for record in notification_manager.records]
        notification_manager.records.clear()
        return found

    def dismiss(self) -> None:
        """Close the notifications, which lie on the canvas."""
        from napari._qt.dialogs.qt_notification import NapariQtNotification

        for popup in self.viewer.window._qt_window.findChildren(NapariQtNotification):
            popup.timer_stop()
            popup.close()
            popup.setParent(None)

    def status(self) -> str:
        """What the panel says."""
        return str(self.panel.form.status.value)


def middle(frame: int, cell: int) -> tuple[float, float]:
    """Where a cell of the truth is: y and x."""
    ys, xs = np.nonzero(CELLS[frame] == cell)
    return float(ys.mean()), float(xs.mean())


def film(window: Window) -> NDArray[np.int32]:
    """The labels of all frames."""
    return np.stack([window.labels(frame) for frame in range(window.layers.axes.frames)])


def overlap(labels: Any, label: int, frame: int, cell: int) -> float:
    """The IoU of a label with a cell of the truth."""
    mine, truth = labels == label, CELLS[frame] == cell
    return float((mine & truth).sum() / (mine | truth).sum())


def click_cells(window: Window, count: int) -> None:
    """Click so many cells of frame 0, each as an object of its own."""
    window.viewer.layers.selection.active = window.layers.points
    for number, cell in enumerate(NUMBERS[:count], 1):
        window.control.choose(number)
        window.click(*middle(0, cell))
    window.idle()
    assert len(window.control.document.objects) == count


def fails(window: Window, do: Callable[[], Any], says: str) -> None:
    """It says so once, on one line, and the session is as before."""
    before, picture = window.control.document, window.labels(window.layers.frame_index)
    window.told()
    do()
    window.idle()
    told = window.told()
    assert len(told) == 1, told
    assert re.search(says, told[0]), told
    assert "\n" not in told[0]
    after = window.control.document
    assert (after.prompts, after.objects) == (before.prompts, before.objects)
    assert np.array_equal(window.labels(window.layers.frame_index), picture)
