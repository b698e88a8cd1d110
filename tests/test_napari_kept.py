"""Work that goes on, is put aside or is taken out of the window is kept."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray
from sam2_napari.sessions import Sessions

from tests.napari_for_tests import NUMBERS, Window, click_cells, fails, middle, needs_a_screen, overlap

needs_a_screen()

FILM = tifffile.imread(Path(__file__).parents[1] / "sam2_core" / "samples" / "timelapse.tif")


def stroke(window: Window, number: int, mode: str, *places: tuple[float, float]) -> None:
    layers = window.layers
    window.viewer.layers.selection.active = layers.masks
    layers.masks.mode = mode
    layers.masks.brush_size = 12
    if mode == "paint":
        layers.masks.selected_label = number
    window.drag(*places)


def test_what_is_painted_while_tracking_runs_is_kept_and_nothing_else_is_touched(window: Window) -> None:
    click_cells(window, 6)
    window.go_to(9)  # on which nothing is known yet
    window.press("G")
    window.until(lambda: bool(window.labels(1).any()))
    stroke(window, 40, "paint", (128, 120), (128, 140))
    assert (window.labels(9) == 40).sum() > 100
    window.idle()
    prompts = {(p.object_id, p.frame_index) for p in window.control.document.prompts}
    assert prompts == {*((n, 0) for n in range(1, 7)), (40, 9)}
    painted = window.labels(9) == 40
    assert painted[128, 130]
    assert set(np.unique(window.labels(9))) == {0, 40, *range(1, 7)}
    window.told()
    stroke(window, 0, "erase", (128, 120), (128, 130))
    window.idle()
    erased = window.labels(9) == 40
    assert 0 < erased.sum() < painted.sum()
    assert not erased[128, 122]
    fails(window, lambda: stroke(window, 0, "erase", (128, 110), (128, 150)), "cannot be erased from frame 9")

    # Undo of a running propagation stops it and takes it back; then everything, more often than there is.
    window.go_to(0)
    window.press("Ctrl+Z")
    window.idle()
    window.control.track(None)
    window.press("Ctrl+Z")
    window.idle()
    for _ in range(40):
        window.control.undo()
    window.idle()
    assert not any(window.labels(frame).any() for frame in range(16))
    assert len(window.layers.points.data) == 0
    assert window.control.document.objects == ()
    click_cells(window, 1)


def test_images_are_renamed_reordered_and_changed_without_losing_the_work(
    window: Window, tmp_path: Path
) -> None:
    click_cells(window, 1)
    window.press("G")
    window.idle()
    viewer, panel, first = window.viewer, window.panel, window.control
    pictures = [window.labels(frame) for frame in range(16)]
    first.image.name = "renamed"
    assert [image.name for image in panel.form.image.choices if image is not None] == ["renamed"]
    assert panel.form.image.value is first.image
    viewer.layers.move(0, len(viewer.layers))
    viewer.layers.move(len(viewer.layers) - 1, 0)
    other = viewer.add_image(FILM[:5], name="other", axis_labels=("t", "y", "x"))
    assert panel.control is first
    panel.form.image.value = other
    second = panel.control
    assert second.image is other
    assert not first.layers.masks.visible
    window.idle()
    window.go_to(0)
    window.click(*middle(0, NUMBERS[1]))
    window.idle()
    assert len(second.layers.points.data) == 1
    panel.form.image.value = first.image
    assert panel.control is first
    assert all(np.array_equal(window.labels(frame), pictures[frame]) for frame in range(16))
    assert first.layers.points.mode == "add"
    window.press("N")
    window.click(*middle(0, NUMBERS[2]))
    window.idle()
    assert set(np.unique(window.labels(0))) == {0, 1, 2}
    assert len(second.layers.points.data) == 1


def test_a_panel_that_is_closed_and_opened_again_goes_on(window: Window) -> None:
    click_cells(window, 2)
    window.press("G")
    window.until(lambda: bool(window.labels(2).any()))
    viewer, panel, control = window.viewer, window.panel, window.control
    film, layers = labels_of(window), list(viewer.layers)
    viewer.window.remove_dock_widget(panel)
    window.until(lambda: not control.engine.busy)
    assert list(viewer.layers) == layers  # nothing goes
    window.press("N")  # no key of ours is bound any more
    assert control.object_id == 2
    window.dock()
    assert window.panel is not panel
    assert window.control is control
    assert list(viewer.layers) == layers
    stopped = labels_of(window)
    assert (stopped > 0).sum() >= (film > 0).sum()
    assert not stopped[15].any()
    window.press("N")
    window.click(*middle(0, NUMBERS[2]))
    window.idle()
    assert set(np.unique(window.labels(0))) == {0, 1, 2, 3}
    window.press("Ctrl+Z")
    window.press("Ctrl+Z")  # also what was done before
    window.idle()
    assert not window.labels(2).any()

    # With the window all ends, also if no panel is in it then.
    viewer.window.remove_dock_widget(window.panel)
    viewer.close()
    assert control.engine.wait(20)
    assert control.keeping.autosave.file.is_file()
    assert Sessions.of_viewer(viewer).latest([control.image]) is None


def test_an_image_that_is_taken_away_and_shown_again_offers_its_work(window: Window) -> None:
    click_cells(window, 1)
    image, control, before = window.control.image, window.control, window.labels(0)
    other = window.viewer.add_image(FILM[:3], name="other")
    window.panel.choose(other)
    window.viewer.layers.remove(image)
    assert control.engine.wait(20)
    assert not any(layer in window.viewer.layers for layer in control.layers.all)
    window.viewer.layers.append(image)
    window.told()
    window.panel.choose(image)
    assert window.control is not control
    assert any("earlier work" in message for message in window.told())
    window.idle()
    window.push("resume")
    window.idle()
    assert np.array_equal(window.labels(0), before)


def labels_of(window: Window) -> NDArray[np.int32]:
    return np.stack([window.labels(frame) for frame in range(16)])


def test_new_work_does_not_overwrite_unfinished_work(window: Window) -> None:
    click_cells(window, 2)
    before = labels_of(window)
    window.push("anew")
    assert window.control.document.objects == ()
    window.until(lambda: window.control.keeping.has_earlier)
    window.idle()
    assert not labels_of(window).any()
    window.viewer.layers.selection.active = window.layers.points
    window.click(*middle(0, NUMBERS[4]))
    window.idle()
    new = labels_of(window)
    window.control.keeping.keep()
    window.idle()
    for expected in (before, new, before):  # resume goes to and fro
        window.push("resume")
        window.idle()
        assert np.array_equal(labels_of(window), expected)


def test_of_many_images_the_one_used_longest_ago_is_closed_and_offers_its_work(window: Window) -> None:
    click_cells(window, 1)
    first, before = window.control, window.labels(0)
    for number in range(4):
        window.panel.choose(window.viewer.add_image(FILM[:2], name=f"other {number}"))
    assert first.engine.wait(20)
    assert any("the work on 'time-lapse' is kept" in message for message in window.told())
    assert not any(layer in window.viewer.layers for layer in first.layers.all)
    window.panel.choose(first.image)
    window.idle()
    assert [layer.name for layer in window.viewer.layers].count("time-lapse masks") == 1
    window.push("resume")
    window.idle()
    assert np.array_equal(window.labels(0), before)


def test_a_new_session_begins_on_the_plane_that_is_shown(empty: Window) -> None:
    stack = np.stack([FILM[:4], np.roll(FILM[:4], 40, axis=2)], axis=1)
    image = empty.viewer.add_image(stack, name="stack", axis_labels=("t", "z", "y", "x"))
    empty.idle()
    empty.viewer.reset_view()
    empty.go_to(0)
    empty.viewer.dims.set_point(1, 0)
    empty.push("anew")
    empty.idle()
    click_cells(empty, 1)
    empty.viewer.dims.set_point(1, 1)
    empty.told()
    empty.click(100, 100)
    empty.idle()
    assert any("'begin anew'" in message for message in empty.told())
    empty.push("anew")
    empty.idle()
    assert empty.control.image is image
    assert empty.control.video[0].tolist() != stack[0, 0][..., None].repeat(3, -1).tolist()
    assert np.array_equal(empty.control.video[0][..., 0], stack[0, 1])
    empty.viewer.layers.selection.active = empty.layers.points
    y, x = middle(0, NUMBERS[0])
    empty.click(y, x + 40)
    empty.idle()
    assert empty.labels(0).any()


@pytest.mark.parametrize("stacked", [False, True])
def test_masks_and_tracks_lie_on_an_image_that_is_turned_and_registered(empty: Window, stacked: bool) -> None:
    film = np.stack([FILM[:4]] * 2) if stacked else FILM[:4]
    turned = np.eye(film.ndim + 1)
    turned[-3:-1, -3:] = [[0.9, -0.3, 5], [0.3, 0.9, 8]]
    empty.viewer.add_image(
        film, name="turned", rotate=20, affine=turned, scale=(1,) * (film.ndim - 2) + (2, 2),
        axis_labels=("z", "t", "y", "x")[-film.ndim :],
    )  # fmt: skip
    empty.idle()
    empty.viewer.reset_view()
    empty.go_to(0)
    click_cells(empty, 1)
    assert overlap(empty.labels(0), 1, 0, NUMBERS[0]) > 0.5
    empty.press("G")
    empty.idle()
    image = empty.control.image
    for layer in (*empty.layers.all, empty.layers.tracks):
        for place in ((0, 3, 7), (1, 200, 31)):
            full = (0,) * (film.ndim - 3) + place
            there = layer.data_to_world(full[-layer.ndim :])
            assert np.allclose(there, image.data_to_world(full)[-layer.ndim :])
