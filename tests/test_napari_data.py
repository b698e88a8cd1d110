"""Images as microscopists have them: clicks land where they are made, masks lie where the object is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from napari.layers import Image
from numpy.typing import NDArray
from sam2_napari.reader import DOCK

from tests.layers_for_tests import Counting, lazy
from tests.napari_for_tests import Window, fails, needs_a_screen

needs_a_screen()

SAMPLES = Path(__file__).parents[1] / "sam2_core" / "samples"
FILM = tifffile.imread(SAMPLES / "timelapse.tif")[:6]
CELLS = tifffile.imread(SAMPLES / "timelapse_cells.tif")[:6]
CELL = int(np.unique(CELLS[0])[1])


def show(window: Window, data: Any, **given: Any) -> Any:
    """Add an image, and work on it."""
    image = window.viewer.add_image(data, **given)
    window.panel.choose(image)
    for layer in [x for x in window.viewer.layers if isinstance(x, Image) and x is not image]:
        layer.visible = False
    window.idle()
    window.viewer.reset_view()
    window.go_to(0)
    return image


def click_and_track(window: Window) -> None:
    ys, xs = np.nonzero(CELLS[0] == CELL)
    window.click(float(ys.mean()), float(xs.mean()))
    window.idle()
    assert len(window.layers.points.data) == 1
    assert overlap(window.labels(0), 0) > 0.5, window.status()
    window.press("G")
    window.idle()
    last = window.layers.axes.frames - 1
    assert overlap(window.labels(last), min(last, 5)) > 0.4


def overlap(labels: NDArray[np.int32], frame: int) -> float:
    mine, truth = labels == 1, CELLS[frame] == CELL
    return float((mine & truth).sum() / (mine | truth).sum())


def test_sixteen_bits_channels_and_stacks(empty: Window) -> None:
    narrow = (FILM.astype(np.uint16) * 2 + 33_000).astype(np.uint16)
    show(empty, narrow, name="narrow")
    click_and_track(empty)

    channels = np.stack([np.zeros_like(FILM), FILM], axis=1)
    show(empty, channels, name="channels", axis_labels=("t", "c", "y", "x"))
    empty.viewer.dims.set_point(1, 1)
    empty.panel.form.contrast.value = "as the layer shows it"  # begins anew, on the channel that is shown
    empty.idle()
    empty.go_to(0)
    click_and_track(empty)
    assert empty.control.video[0].std(axis=2).max() == 0  # grey

    colours = np.stack([FILM, FILM // 2, np.zeros_like(FILM)], axis=1)
    show(empty, colours, name="colours", axis_labels=("t", "c", "y", "x"))
    empty.panel.form.colours.value = True
    empty.idle()
    assert [int(channel.max() > 0) for channel in np.moveaxis(empty.control.video[0], -1, 0)] == [1, 1, 0]
    empty.go_to(0)
    click_and_track(empty)
    fails(
        empty,
        lambda: setattr(empty.panel.form.colours, "value", False),
        "cannot change while there are objects",
    )
    assert empty.panel.form.colours.value
    empty.panel.form.contrast.value = "percentiles of the film"
    assert empty.panel.form.contrast.value == "as the layer shows it"  # it stays what it is, too

    show(empty, FILM, name="stack", axis_labels=("z", "y", "x"))
    click_and_track(empty)

    both = np.stack([np.zeros_like(FILM)] * 2 + [FILM] + [np.zeros_like(FILM)] * 2, axis=1)
    image = empty.viewer.add_image(both, name="both", axis_labels=("t", "z", "y", "x"))
    empty.viewer.dims.set_point(1, 2)
    empty.panel.choose(image)
    empty.idle()
    empty.go_to(0)
    assert empty.layers.position[1] == 2
    click_and_track(empty)
    assert not np.asarray(empty.layers.masks.data)[:, 0].any()  # masks lie on that z


def test_colours_a_single_picture_and_a_pyramid(empty: Window) -> None:
    show(empty, np.stack([FILM] * 3, axis=-1), name="colours", rgb=True)
    click_and_track(empty)
    show(empty, FILM[0], name="picture")
    click_and_track(empty)
    assert empty.layers.tracks is None
    show(empty, [FILM, FILM[:, ::2, ::2]], name="pyramid", multiscale=True, contrast_limits=(0, 255))
    click_and_track(empty)


def test_clicks_land_where_they_are_made_on_an_image_that_is_scaled_and_moved(empty: Window) -> None:
    image = show(
        empty, FILM, name="scaled", scale=(3, 0.5, 0.25), translate=(7, -40, 11), axis_labels=("t", "y", "x")
    )
    click_and_track(empty)
    layers = empty.layers
    for layer in layers.all:
        assert np.array_equal(layer.scale, image.scale)
        assert np.array_equal(layer.translate, image.translate)
    assert np.allclose(layers.tracks.scale, image.scale)
    ys, xs = np.nonzero(CELLS[0] == CELL)
    assert np.allclose(layers.points.data[0], (0, ys.mean(), xs.mean()), atol=1.5)
    world = image.data_to_world((5, *np.argwhere(empty.labels(5) == 1)[0]))
    assert layers.masks.get_value(world, world=True) == 1
    empty.go_to(4)
    assert layers.frame_index == 4


def test_a_thousand_chunks_of_which_only_those_that_are_needed_are_read(empty: Window) -> None:
    film = Counting(np.concatenate([FILM, np.zeros((994, *FILM.shape[1:]), np.uint8)]))
    show(empty, lazy(film), name="long", contrast_limits=(0, 255), axis_labels=("t", "y", "x"), cache=False)
    ys, xs = np.nonzero(CELLS[0] == CELL)
    assert 0 in film.read  # for the window, and to warm up
    film.read.clear()
    empty.click(float(ys.mean()), float(xs.mean()))
    empty.idle()
    assert set(film.read) <= {0}
    form = empty.panel.form
    form.limited.value, form.first.value, form.last.value = True, 0, 4
    empty.push("forward")
    empty.idle()
    assert set(film.read) - {0} == {1, 2, 3, 4}
    assert all((empty.labels(frame) == 1).any() for frame in range(5))
    assert not empty.labels(5).any()


def test_a_saved_session_that_is_dropped_opens_its_image_and_goes_on(
    empty: Window, make_napari_viewer: Any, qtbot: Any, tmp_path: Path
) -> None:
    tifffile.imwrite(tmp_path / "film.tif", FILM)
    (opened,) = empty.viewer.open(tmp_path / "film.tif")
    empty.panel.choose(opened)
    empty.idle()
    empty.viewer.reset_view()
    empty.go_to(0)
    click_and_track(empty)
    before = [empty.labels(frame) for frame in range(6)]
    empty.control.save(tmp_path / "work.sam2")
    empty.control.keeping.keep()
    empty.idle()

    # Another window; the first one never closes its session, as if it had crashed.
    other = Window(make_napari_viewer(show=True), qtbot)
    other.viewer.open(str(tmp_path / "work.sam2"), plugin=None)
    assert list(other.viewer.window.dock_widgets) == [DOCK]  # under the name that napari's menu looks for
    other.panel = other.viewer.window.dock_widgets[DOCK]
    other.idle()
    assert [layer.name for layer in other.viewer.layers if isinstance(layer, Image)] == ["film"]
    assert all(np.array_equal(other.labels(frame), before[frame]) for frame in range(6))
    assert len(other.layers.points.data) == 1
    assert other.control.keeping.has_earlier
    assert any("earlier work" in message for message in other.told())
    other.push("remove")
    other.idle()
    assert not other.labels(0).any()
    other.push("resume")
    other.idle()
    assert all(np.array_equal(other.labels(frame), before[frame]) for frame in range(6))
    other.close()


def test_a_session_of_an_image_without_a_file_goes_on_where_that_image_is_open(
    window: Window, tmp_path: Path
) -> None:
    ys, xs = np.nonzero(CELLS[0] == CELL)
    window.click(float(ys.mean()), float(xs.mean()))
    window.idle()
    before = window.labels(0)
    window.control.save(tmp_path / "sample.sam2")
    window.push("remove")
    window.idle()
    assert not window.labels(0).any()
    layers = list(window.viewer.layers)
    window.viewer.open(str(tmp_path / "sample.sam2"), plugin=None)
    window.idle()
    assert np.array_equal(window.labels(0), before)
    assert list(window.viewer.layers) == layers
