"""The panel: which object the next click is about, help, menus, and settings."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import tifffile
from sam2_napari.keys import DRAWING, KEYS

from tests.napari_for_tests import (
    CELLS,
    ENTRY,
    FIRST,
    NUMBERS,
    SECOND,
    Window,
    click_cells,
    fails,
    film,
    middle,
    needs_a_screen,
    overlap,
)

needs_a_screen()

FILM = tifffile.imread(Path(__file__).parents[1] / "sam2_core" / "samples" / "timelapse.tif")


def type_number(window: Window, name: str, number: int) -> None:
    from qtpy.QtCore import Qt

    field = window.field(name)
    field.setFocus()
    field.selectAll()
    window.qtbot.keyClicks(field, str(number))
    window.qtbot.keyClick(field, Qt.Key.Key_Return)
    window.qtbot.wait(20)


def click_row(window: Window, row: int) -> None:
    from qtpy.QtCore import Qt

    table = window.panel.objects
    place = table.visualItemRect(table.item(row, 1)).center()
    window.qtbot.mouseClick(table.viewport(), Qt.MouseButton.LeftButton, pos=place)
    window.qtbot.wait(20)


def clicks(window: Window) -> dict[int, list[bool]]:
    """The signs of the clicks on each object, as the session has them."""
    window.idle()
    return {p.object_id: [point.positive for point in p.points] for p in window.control.document.prompts}


def chosen(window: Window) -> int:
    """The object of the next click: the field, the table and the brush agree on it."""
    number, table = window.panel.form.object.value, window.panel.objects
    assert window.field("object").value() == number == window.control.object_id
    assert [table.item(index.row(), 0).text() for index in table.selectedIndexes()][:1] == [str(number)]
    assert window.layers.masks.selected_label == number
    return int(number)


def test_keys_the_number_and_the_rows_choose_the_object_of_the_next_click(window: Window) -> None:
    click_cells(window, 3)
    assert chosen(window) == 3
    for key, number in (("K", 2), ("K", 1), ("K", 3), ("J", 1), ("J", 2)):
        window.press(key)
        assert chosen(window) == number
    y, x = middle(0, SECOND)
    window.click(y + 3, x)
    assert clicks(window) == {1: [True], 2: [True, True], 3: [True]}

    type_number(window, "object", 1)
    assert chosen(window) == 1
    y, x = middle(0, FIRST)
    window.click(y + 3, x)
    assert clicks(window) == {1: [True, True], 2: [True, True], 3: [True]}

    click_row(window, 2)
    assert chosen(window) == 3
    y, x = middle(0, NUMBERS[2])
    window.click(y + 3, x)
    assert clicks(window) == {1: [True, True], 2: [True, True], 3: [True, True]}

    type_number(window, "object", 12)  # a number that nobody has begins an object
    window.click(*middle(0, NUMBERS[3]))
    assert clicks(window)[12] == [True]
    assert chosen(window) == 12
    assert overlap(window.labels(0), 12, 0, NUMBERS[3]) > 0.6


def test_not_this_holds_for_the_next_clicks_until_it_is_taken_back_or_another_object_begins(
    window: Window,
) -> None:
    box = window.field("negative")
    window.click(*middle(0, FIRST))
    window.idle()
    before = window.labels(0) == 1
    assert not box.isChecked()
    window.press("Shift+N")
    assert box.isChecked()
    ys, xs = np.nonzero(CELLS[0] == FIRST)
    window.click(ys.max() + 6.0, xs.mean())
    window.click(ys.min() - 6.0, xs.mean())
    assert clicks(window) == {1: [True, False, False]}
    assert not np.array_equal(window.labels(0) == 1, before)
    assert [str(symbol) for symbol in window.layers.points.symbol] == ["disc", "x", "x"]

    window.push("negative")
    assert not box.isChecked()
    window.click(ys.mean() + 2.0, xs.mean())
    assert clicks(window) == {1: [True, False, False, True]}
    window.push("negative")
    assert box.isChecked()
    window.press("N")
    assert not box.isChecked()
    window.click(*middle(0, SECOND))
    assert clicks(window) == {1: [True, False, False, True], 2: [True]}


@pytest.mark.parametrize("way", ["key", "button"])
def test_the_help_lists_all_keys_and_stands_beside_the_work(window: Window, way: str) -> None:
    from qtpy.QtWidgets import QApplication, QMessageBox

    {"key": lambda: window.press("H"), "button": lambda: window.push("help")}[way]()
    box = window.help_box()
    text = box.text()
    for key in KEYS:
        assert f"<b>{key.keys.replace('Control', 'Ctrl')}</b></td><td>{key.text}<" in text
    assert all(what in text and how in text for what, how in DRAWING)
    window.click(*middle(0, FIRST))  # it is not modal
    window.press("N")
    window.idle()
    assert window.control.object_id == 2
    assert window.labels(0).any()
    box.close()
    window.qtbot.wait(50)
    assert not [x for x in QApplication.topLevelWidgets() if isinstance(x, QMessageBox)]


def test_buttons_name_their_keys_also_when_they_say_what_would_be_undone(window: Window) -> None:
    form = window.panel.form
    for tooltip, key in ((form.undo.tooltip, "(Ctrl-Z)"), (form.redo.tooltip, "(Ctrl-Shift-Z)")):
        assert key in tooltip
        assert "nothing" in tooltip
    window.click(*middle(0, FIRST))
    window.idle()
    assert form.undo.tooltip == "take back: prompt of object 1 (Ctrl-Z)"
    window.press("Ctrl+Z")
    window.idle()
    assert form.redo.tooltip == "do again: prompt of object 1 (Ctrl-Shift-Z)"


# --- menus and settings --------------------------------------------------------------------------------


def test_the_menus_open_the_sample_and_the_panel_and_find_the_same_panel_again(bare: Window) -> None:
    panel = bare.open_by_menus()
    assert [layer.name for layer in bare.viewer.layers][:1] == ["time-lapse"]
    assert panel.isVisible()
    bare.click(*middle(0, FIRST))
    bare.idle()
    before, control = bare.labels(0), bare.control
    assert overlap(before, 1, 0, FIRST) > 0.6
    bare.menu("Plugins", ENTRY)  # it goes, and comes again
    assert not panel.isVisible()
    bare.menu("Plugins", ENTRY)
    assert panel.isVisible()
    bare.menu("Layers", "Track", ENTRY)  # the same entry, in another menu
    bare.menu("Layers", "Segment", ENTRY)
    assert panel.isVisible()
    assert list(bare.viewer.window.dock_widgets) == [ENTRY]
    assert bare.viewer.window.dock_widgets[ENTRY] is panel
    assert bare.control is control
    assert np.array_equal(bare.labels(0), before)

    # The cross in its title takes it out of the window; the menu makes another, which goes on.
    dock = next(dock for dock in bare.viewer.window._wrapped_dock_widgets.values() if dock.isVisible())
    dock.title.close_button.click()
    bare.qtbot.wait(50)
    assert list(bare.viewer.window.dock_widgets) == []
    bare.menu("Plugins", ENTRY)
    bare.panel = bare.viewer.window.dock_widgets[ENTRY]
    assert bare.panel is not panel
    bare.settle()
    assert bare.control is control
    bare.press("N")
    bare.click(*middle(0, SECOND))
    bare.idle()
    assert set(np.unique(bare.labels(0))) == {0, 1, 2}


def test_another_device_keeps_the_work(window: Window) -> None:
    click_cells(window, 2)
    window.press("G")
    window.idle()
    before, objects = film(window), window.control.document.objects
    model = window.control.engine._workspace.session.model
    window.field("device").setCurrentText("cpu")
    window.idle()
    assert window.control.choice == ("nano", "cpu")
    assert window.control.engine._workspace.session.model is not model
    assert window.status().startswith("nano is ready: 16 frames of 256 x 256")
    assert np.array_equal(film(window), before)
    assert window.control.document.objects == objects
    assert len(window.layers.points.data) == 2
    window.go_to(0)
    window.press("N")
    window.click(*middle(0, NUMBERS[2]))
    window.press("G")
    window.idle()
    after = film(window)
    assert overlap(after[15], 3, 15, NUMBERS[2]) > 0.4
    for number, cell in ((1, FIRST), (2, SECOND)):
        assert overlap(after[15], number, 15, cell) > 0.5


def test_along_makes_a_stack_of_a_time_lapse_the_video(empty: Window) -> None:
    data = np.stack([FILM[:5], np.zeros_like(FILM[:5])])  # a stack, and a dark one
    empty.viewer.add_image(data, name="both", axis_labels=("t", "z", "y", "x"), contrast_limits=(0, 255))
    empty.settle()
    along = empty.field("axis")
    texts = [along.itemText(index) for index in range(along.count())]
    assert [text for text in texts if re.fullmatch(r"[tz] \(\d\)", text)] == ["t (2)", "z (5)"]
    assert along.currentText() == "t (2)"
    assert empty.panel.form.last.value == 1
    along.setCurrentText("z (5)")
    empty.settle()
    assert (empty.layers.axes.time, empty.layers.axes.frames, empty.panel.form.last.value) == (1, 5, 4)
    assert empty.status() == "nano is ready: 5 frames of 256 x 256; click on an object"
    assert len(empty.viewer.layers) == 5  # the image, and one set of layers
    empty.click(*middle(0, FIRST))
    empty.press("G")
    empty.idle()
    masks = np.asarray(empty.layers.masks.data)
    assert masks.shape == (2, 5, 256, 256)
    assert all(overlap(masks[0, z], 1, z, FIRST) > 0.5 for z in range(5))
    assert not masks[1].any()
    assert empty.layers.tracks.data[:, :2].tolist() == [[1, z] for z in range(5)]
    empty.go_to(3)
    assert empty.viewer.dims.current_step[:2] == (0, 3)
    fails(empty, lambda: along.setCurrentText("t (2)"), "cannot change while there are objects")
    assert along.currentText() == "z (5)"
