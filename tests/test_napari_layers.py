"""The layers of the panel, in a real window: what a user does to them, and what appears in them."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from sam2_napari import mask_array
from sam2_napari.axes import Axes
from sam2_napari.convert import Drawn, PromptKey
from sam2_napari.events import Shown, Tracked
from sam2_napari.layers import PromptLayers

from sam2_core import Box, Point
from tests.napari_for_tests import Window, needs_a_screen

needs_a_screen()

Open = Callable[..., tuple[Window, PromptLayers]]


@pytest.fixture
def open_layers(make_napari_viewer: Any, qtbot: Any) -> Iterator[Open]:
    """Opens a window with an image and the layers over it, without a session."""

    def opened(shape: tuple[int, ...], axes: Axes | None = None, **image: Any) -> tuple[Window, PromptLayers]:
        viewer = make_napari_viewer(show=True)
        data = np.full(shape, 20, np.uint8)
        layer = viewer.add_image(data, name="film", contrast_limits=(0, 255), **image)
        viewer.window._qt_window.resize(1200, 800)
        layers = PromptLayers(viewer, layer, axes or Axes(shape, time=0))
        window = Window(viewer, qtbot)
        window.panel = SimpleNamespace(
            control=SimpleNamespace(image=layer, layers=layers), close_session=lambda wait: None
        )
        viewer.dims.set_point(0, 0)
        viewer.reset_view()
        qtbot.wait(100)
        return window, layers

    return opened


def counted(layers: PromptLayers) -> list[str]:
    """Notes each time that the layers tell of something."""
    told: list[str] = []
    layers.on_drawn = lambda: told.append("drawn")
    layers.on_painted = lambda: told.append("painted")
    return told


def picture(window: Window) -> NDArray[np.int64]:
    """What is on the mask_array, RGB."""
    window.qtbot.wait(200)
    shot = window.viewer.screenshot(canvas_only=True, flash=False)
    return np.asarray(shot[..., :3], np.int64)


TWO = {
    PromptKey(0, 1): Drawn((Point(20, 10), Point(30, 12, False)), Box(10.25, 5.1, 40.3, 30.7)),
    PromptKey(2, 5): Drawn((Point(50, 40),)),
}


# --- what is drawn ---------------------------------------------------------------------------------


def test_clicks_and_boxes_come_back_and_nothing_is_told_when_they_are_put_there(open_layers: Open) -> None:
    _, layers = open_layers((4, 60, 80))
    told = counted(layers)
    layers.draw(TWO)
    drawn = layers.drawn()
    assert drawn[PromptKey(2, 5)] == TWO[PromptKey(2, 5)]
    assert drawn[PromptKey(0, 1)].points == TWO[PromptKey(0, 1)].points
    assert drawn[PromptKey(0, 1)].box == Box(*np.float32(TWO[PromptKey(0, 1)].box).tolist())
    layers.draw(drawn)
    assert layers.drawn() == drawn
    layers.draw({})
    assert layers.drawn() == {}
    assert told == []


def test_clicks_are_moved_and_deleted_and_keep_their_object(open_layers: Open) -> None:
    window, layers = open_layers((4, 60, 80))
    told = counted(layers)
    window.click(20, 30)
    layers.choose(2)
    window.click(40, 60, control=True)
    window.click(25, 50)
    assert told == ["drawn"] * 3
    kinds = {key: [p.positive for p in d.points] for key, d in layers.drawn().items()}
    assert kinds == {PromptKey(0, 1): [True], PromptKey(0, 2): [False, True]}
    assert [str(s) for s in layers.points.symbol] == ["disc", "x", "disc"]

    layers.points.mode = "select"
    layers.points.selected_data = {0}
    window.drag((20, 30), (30, 36))
    (moved,) = layers.drawn()[PromptKey(0, 1)].points
    assert (moved.x, moved.y) == pytest.approx((36, 30), abs=0.7)

    layers.points.selected_data = {0, 1}
    told.clear()
    window.press("Del")
    assert told == ["drawn"]
    left = layers.drawn()
    assert left.keys() == {PromptKey(0, 2)}
    assert [p.positive for p in left[PromptKey(0, 2)].points] == [True]


def test_a_box_is_moved_and_deleted(open_layers: Open) -> None:
    window, layers = open_layers((4, 60, 80))
    told = counted(layers)
    window.viewer.layers.selection.active = layers.boxes
    layers.boxes.mode = "add_rectangle"
    layers.choose(3)
    window.drag((10, 10), (30, 40))
    assert told == ["drawn"]
    box = layers.drawn()[PromptKey(0, 3)].box
    assert box == pytest.approx((10, 10, 40, 30), abs=0.6)
    layers.boxes.mode = "select"
    layers.boxes.selected_data = {0}
    window.drag((20, 25), (25, 35))
    moved = layers.drawn()[PromptKey(0, 3)].box
    assert moved == pytest.approx((20, 15, 50, 35), abs=1.2)
    told.clear()
    layers.boxes.selected_data = {0}
    window.press("Del")
    assert layers.drawn() == {}
    assert told == ["drawn"]


def test_clicks_beside_the_image_are_told_as_they_are(open_layers: Open) -> None:
    _, layers = open_layers((4, 60, 80))
    layers.points.add([1, -30, 200])
    assert layers.drawn() == {PromptKey(1, 1): Drawn((Point(200, -30),))}
    layers.draw(layers.drawn())
    assert layers.drawn() == {PromptKey(1, 1): Drawn((Point(200, -30),))}


def test_clicks_land_on_pixels_of_a_scaled_image(open_layers: Open) -> None:
    window, layers = open_layers((4, 60, 80), scale=(2, 0.65, 0.65), translate=(0, 5, 7))
    window.go_to(2)
    window.click(20, 30)
    (click,) = layers.drawn()[PromptKey(2, 1)].points
    assert (click.x, click.y) == pytest.approx((30, 20), abs=0.7)


def test_what_is_drawn_on_another_plane_than_the_tracked_one_is_refused(
    open_layers: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    monkeypatch.setattr("sam2_napari.layers.notifications.show_warning", said.append)
    axes = Axes((4, 5, 60, 80), time=0)
    window, layers = open_layers((4, 5, 60, 80), axes)
    home = round(layers.position[1])
    told = counted(layers)
    window.click(20, 30)
    layers.show(Shown(0, np.ones((60, 80), np.int32)))
    window.viewer.dims.set_point(1, home + 1)
    window.click(40, 30)
    window.qtbot.wait(50)
    assert len(layers.points.data) == 1
    layers.show(Shown(1, np.ones((60, 80), np.int32)))
    window.viewer.layers.selection.active = layers.masks
    layers.masks.mode = "paint"
    window.drag((20, 20), (30, 30))
    window.qtbot.wait(50)
    assert told == ["drawn"]
    assert len(said) == 2
    assert f"{home} is tracked" in said[0]
    data = np.asarray(layers.masks.data)
    assert data[:2, home].all()
    assert not np.delete(data, home, axis=1).any()


# --- what is shown ---------------------------------------------------------------------------------


def test_no_dot_is_drawn_where_there_is_no_click(open_layers: Open) -> None:
    window, layers = open_layers((4, 60, 80))
    window.click(30, 40)
    layers.points.selected_data = set()
    window.viewer.cursor.position = (0, 0, 0)
    assert (picture(window) > 150).any()
    window.go_to(2)
    assert not (picture(window) > 150).any()


def tracks_of(ids: tuple[int, ...], frames: int, graph: dict[int, list[int]] | None = None) -> Tracked:
    """Objects that stand still."""
    rows = [(i, t, 10 * i, 12 * i) for i in ids for t in range(frames)]
    return Tracked(np.array(rows, np.float64).reshape(-1, 4), graph or {})


def ids_of(layers: PromptLayers) -> set[int]:
    assert layers.tracks is not None
    return {int(i) for i in layers.tracks.data[:, 0]}


def test_tracks_lie_under_the_clicks_and_never_become_active(open_layers: Open) -> None:
    window, layers = open_layers((4, 60, 80))
    window.viewer.layers.selection.active = layers.boxes
    layers.show_tracks(tracks_of((1, 2), 4))
    assert list(window.viewer.layers)[1:] == [layers.masks, layers.tracks, layers.boxes, layers.points]
    assert window.viewer.layers.selection.active is layers.boxes
    window.viewer.layers.selection.active = layers.points
    window.click(10, 12)  # where a track is
    assert len(layers.points.data) == 1


def test_tracks_have_the_colours_of_the_masks_also_when_these_change(open_layers: Open) -> None:
    _, layers = open_layers((4, 60, 80))
    layers.draw({PromptKey(0, 7): Drawn((Point(3, 3),))})
    for labels in ((3, 7), (3, 7, 12), (7,)):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            layers.show_tracks(tracks_of(labels, 4))
        assert layers.tracks is not None
        _same_colours(layers)
    layers.masks.new_colormap(seed=5)
    _same_colours(layers)
    assert np.allclose(layers.points.face_color[0], layers.masks.get_color(7), atol=0.01)


def _same_colours(layers: PromptLayers) -> None:
    assert layers.tracks is not None
    colours = layers.tracks.track_colors
    for label, colour in zip(layers.tracks.data[:, 0], colours, strict=True):
        assert np.allclose(colour, layers.masks.get_color(int(label)), atol=0.01)


def test_tracks_come_and_go_with_the_objects_and_divisions(open_layers: Open) -> None:
    window, layers = open_layers((4, 60, 80))
    layers.show_tracks(tracks_of((), 0))
    assert ids_of(layers) == {0}  # no object
    assert layers.tracks is not None
    layers.show_tracks(tracks_of((1, 2, 3), 4, {2: [1], 3: [1]}))
    assert layers.tracks.graph == {2: [1], 3: [1]}
    rebuilt: list[int] = []
    layers.tracks.events.data.connect(lambda event: rebuilt.append(1))
    layers.show_tracks(tracks_of((1, 2, 3), 4, {2: [1], 3: [1]}))
    assert rebuilt == []  # nothing has changed
    layers.show_tracks(tracks_of((1,), 1))
    assert layers.tracks.graph == {}
    picture(window)
    layers.show_tracks(tracks_of((), 0))
    assert ids_of(layers) == {0}
    layers.show_tracks(tracks_of((4,), 3))
    window.viewer.layers.remove(layers.tracks)  # by the user, who does not want it
    layers.show_tracks(tracks_of((4,), 4))
    layers.show_tracks(tracks_of((), 0))
    assert len(window.viewer.layers) == 4


def test_masks_appear_in_all_channels(open_layers: Open) -> None:
    axes = Axes((4, 2, 60, 80), time=0, channel=1)
    _, layers = open_layers((4, 2, 60, 80), axes)
    layers.show(Shown(3, np.full((60, 80), 6, np.int32)))
    assert (np.asarray(layers.masks.data[3]) == 6).all()
    assert not np.asarray(layers.masks.data[:3]).any()


@pytest.mark.parametrize("channel", [None, 1])
def test_masks_on_the_disk_are_shown_painted_and_undone(
    open_layers: Open, monkeypatch: pytest.MonkeyPatch, channel: int | None
) -> None:
    monkeypatch.setattr(mask_array, "IN_MEMORY", 1000)
    shape = (4, 60, 80) if channel is None else (4, 2, 60, 80)
    window, layers = open_layers(shape, Axes(shape, time=0, channel=channel))
    assert not isinstance(layers.masks.data, np.ndarray)
    told = counted(layers)
    labels = np.zeros((60, 80), np.int32)
    labels[10:20, 10:20] = 9
    layers.show(Shown(0, labels))
    layers.show(Shown(2, labels))
    assert np.array_equal(layers.painted(), labels)
    assert all(
        np.array_equal(plane, labels) for plane in np.asarray(layers.masks.data[2]).reshape(-1, 60, 80)
    )
    assert (picture(window).max(-1) > 60).sum() > 500
    window.viewer.layers.selection.active = layers.masks
    layers.masks.mode = "paint"
    layers.choose(4)
    window.drag((40, 40), (45, 50))
    assert told
    assert set(np.unique(layers.painted())) == {0, 4, 9}
    layers.masks.undo()
    assert np.array_equal(layers.painted(), labels)


def test_painting_keeps_other_labels_where_the_user_preserves_them(open_layers: Open) -> None:
    window, layers = open_layers((4, 60, 80))
    labels = np.zeros((60, 80), np.int32)
    labels[10:30, 10:30] = 9
    layers.show(Shown(0, labels))
    window.viewer.layers.selection.active = layers.masks
    layers.masks.mode = "paint"
    layers.masks.preserve_labels = True
    layers.choose(4)
    window.drag((20, 20), (20, 50))
    painted = layers.painted()
    assert (painted[labels == 9] == 9).all()
    assert (painted == 4).any()


def test_the_layers_go_and_come_back_with_all_they_hold(open_layers: Open) -> None:
    window, layers = open_layers((4, 60, 80))
    layers.draw(TWO)
    drawn = layers.drawn()
    layers.show_tracks(tracks_of((1, 2), 4))
    layers.remove()
    assert len(window.viewer.layers) == 1
    assert len(layers.missing()) == 3
    layers.show_again()
    assert layers.missing() == []
    assert layers.drawn() == drawn
