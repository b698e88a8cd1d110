"""The way of a microscopist, in a real window: clicks on the canvas, keys, buttons."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import tifffile

from tests.napari_for_tests import CELLS, FIRST, SECOND, THIRD, Window, middle, needs_a_screen, overlap

needs_a_screen()


def test_two_clicks_one_key_and_two_cells_are_followed(window: Window) -> None:
    window.click(*middle(0, FIRST))
    window.idle()
    assert overlap(window.labels(0), 1, 0, FIRST) > 0.6
    window.press("N")
    window.click(*middle(0, SECOND))
    window.idle()
    assert overlap(window.labels(0), 2, 0, SECOND) > 0.6
    window.press("G")
    window.idle()
    for frame in (5, 15):
        assert overlap(window.labels(frame), 1, frame, FIRST) > 0.5
        assert overlap(window.labels(frame), 2, frame, SECOND) > 0.5
    tracks = window.layers.tracks
    assert {(int(i), int(t)) for i, t in tracks.data[:, :2]} == {(i, t) for i in (1, 2) for t in range(16)}

    # One undo takes the whole propagation back, another the second click; redo brings them again.
    window.press("Ctrl+Z")
    window.idle()
    assert not window.labels(5).any()
    assert overlap(window.labels(0), 2, 0, SECOND) > 0.6
    window.press("Ctrl+Z")
    window.idle()
    assert set(np.unique(window.labels(0))) == {0, 1}
    assert len(window.layers.points.data) == 1
    window.press("Ctrl+Shift+Z")
    window.press("Ctrl+Shift+Z")
    window.idle()
    assert len(window.layers.points.data) == 2
    assert overlap(window.labels(15), 2, 15, SECOND) > 0.5


def test_a_box_and_a_painted_mask_are_prompts_and_what_is_painted_is_kept(window: Window) -> None:
    layers = window.layers
    ys, xs = np.nonzero(CELLS[0] == FIRST)
    window.viewer.layers.selection.active = layers.boxes
    layers.boxes.mode = "add_rectangle"
    window.drag((ys.min() - 1, xs.min() - 1), (ys.max() + 1, xs.max() + 1))
    window.idle()
    assert overlap(window.labels(0), 1, 0, FIRST) > 0.6

    window.press("N")
    window.viewer.layers.selection.active = layers.masks
    layers.masks.mode = "paint"
    layers.masks.brush_size = 16
    y, x = middle(0, SECOND)
    window.drag((y, x - 5), (y, x + 5))
    window.idle()
    painted = window.labels(0) == 2
    assert 150 < painted.sum() < 700
    window.press("G")
    window.idle()
    assert np.array_equal(window.labels(0) == 2, painted)
    assert overlap(window.labels(3), 2, 3, SECOND) > 0.3
    assert {p.frame_index for p in window.control.document.prompts} == {0}


def test_tracking_is_stopped_half_way_and_what_is_done_is_kept(window: Window) -> None:
    for number, cell in enumerate(np.unique(CELLS[0])[1:9].tolist(), 1):
        window.control.choose(number)
        window.click(*middle(0, cell))
    window.idle()
    window.press("G")
    window.until(lambda: bool(window.labels(2).any()))
    window.press("Q")
    window.idle()
    assert "stopped" in window.status()
    done = [frame for frame in range(16) if window.labels(frame).any()]
    assert done == list(range(len(done)))
    assert 3 <= len(done) < 16
    window.press("N")  # the session goes on
    window.click(*middle(0, int(np.unique(CELLS[0])[9])))
    window.idle()
    window.press("Shift+F")
    window.idle()
    assert window.labels(15).any()


def test_a_correction_on_a_late_frame_follows_that_object_from_there(window: Window) -> None:
    window.click(*middle(0, FIRST))
    window.press("N")
    window.click(*middle(0, SECOND))
    window.press("G")
    window.idle()
    before = [window.labels(frame) for frame in range(16)]
    window.go_to(9)
    window.control.choose(1)
    window.viewer.layers.selection.active = window.layers.masks
    window.layers.masks.mode = "paint"
    window.layers.masks.brush_size = 12
    y, x = middle(9, FIRST)
    window.drag((y, x), (y + 24, x))
    window.idle()
    painted = window.labels(9)
    assert not np.array_equal(painted, before[9])
    stale = {o.object_id: o.stale for o in window.control.document.objects}
    assert stale == {1: 14, 2: 0}
    window.press("Shift+F")
    window.idle()
    assert np.array_equal(window.labels(9), painted)
    for frame in range(16):
        assert np.array_equal(window.labels(frame) == 2, before[frame] == 2)
        if frame < 9:
            assert np.array_equal(window.labels(frame), before[frame])
    assert {o.object_id: o.stale for o in window.control.document.objects} == {1: 8, 2: 0}


def test_a_division_is_marked_and_exported(window: Window, tmp_path: Path) -> None:
    window.click(*middle(0, FIRST))
    window.press("G")
    window.idle()
    window.go_to(8)
    for number, cell in ((2, SECOND), (3, THIRD)):
        window.control.choose(number)
        window.click(*middle(8, cell))
    window.idle()
    window.control.choose(1)
    window.panel.form.daughters.value = "2, 3"
    window.push("divide")
    window.idle()
    window.press("G")
    window.idle()
    for frame in range(16):
        assert set(np.unique(window.labels(frame))) == ({0, 1} if frame < 8 else {0, 2, 3})
    assert window.layers.tracks.graph == {2: [1], 3: [1]}

    from ctc_metrics.scripts.validate import validate_sequence

    (tmp_path / "out").mkdir()
    window.answer("export", tmp_path / "out")
    table = (tmp_path / "out" / "ctc" / "res_track.txt").read_text().splitlines()
    assert sorted(table) == ["1 0 7 0", "2 8 15 1", "3 8 15 1"]
    assert validate_sequence(str(tmp_path / "out" / "ctc"), threads=1)["Valid"] == 1
    written = tifffile.imread(tmp_path / "out" / "ctc" / "mask012.tif")
    assert np.array_equal(written, window.labels(12))
    rows = (tmp_path / "out" / "tracks.csv").read_text().splitlines()
    assert len(rows) == 1 + 8 + 8 + 8
    window.press("Ctrl+Z")  # tracking
    window.press("Ctrl+Z")  # the division
    window.idle()
    assert set(np.unique(window.labels(12))) == {0, 1}


def test_what_is_saved_goes_on_after_all_was_removed(window: Window, tmp_path: Path) -> None:
    window.click(*middle(0, FIRST))
    window.press("G")
    window.idle()
    before = [window.labels(frame) for frame in range(16)]
    window.answer("save", tmp_path / "work 1.5")
    assert (tmp_path / "work 1.5.sam2").is_file()
    window.push("remove")
    window.idle()
    assert not any(window.labels(frame).any() for frame in range(16))
    window.answer("open", tmp_path / "work 1.5.sam2")
    assert all(np.array_equal(window.labels(frame), before[frame]) for frame in range(16))
    assert len(window.layers.points.data) == 1
    window.press("N")
    window.click(*middle(0, SECOND))
    window.idle()
    assert overlap(window.labels(0), 2, 0, SECOND) > 0.6


def test_a_painted_mask_comes_back_when_the_click_that_corrected_it_goes(window: Window) -> None:
    window.click(*middle(0, FIRST))
    window.press("G")
    window.idle()
    layers = window.layers
    window.go_to(4)
    window.viewer.layers.selection.active = layers.masks
    layers.masks.mode, layers.masks.brush_size = "paint", 14
    y, x = middle(4, FIRST)
    window.drag((y, x), (y + 16, x))
    window.idle()
    painted = window.labels(4)
    window.viewer.layers.selection.active = layers.points
    window.click(y + 16, x, control=True)
    window.idle()
    assert len(layers.points.data) == 2
    assert not np.array_equal(window.labels(4), painted)
    layers.points.selected_data = {1}
    layers.points.remove_selected()
    window.idle()
    assert np.array_equal(window.labels(4), painted)
    assert [p.encoded_mask is not None for p in window.control.document.prompts] == [False, True]


def test_a_click_right_after_a_new_number_belongs_to_that_object(window: Window) -> None:
    window.click(*middle(0, FIRST))
    window.idle()
    window.control.renumber(9)
    y, x = middle(0, FIRST)
    window.click(y + 2, x + 2)  # before the session has answered
    window.idle()
    assert [(p.object_id, len(p.points)) for p in window.control.document.prompts] == [(9, 2)]
    assert set(window.layers.points.features["object"]) == {9}


def test_what_fails_takes_no_redo_away(window: Window) -> None:
    window.click(*middle(0, FIRST))
    window.idle()
    window.press("N")
    window.click(*middle(0, SECOND))
    window.idle()
    window.press("Ctrl+Z")
    window.idle()
    window.control.track([7])  # there is none
    window.idle()
    window.press("Ctrl+Shift+Z")
    window.idle()
    assert set(np.unique(window.labels(0))) == {0, 1, 2}
