"""The layers of one image: clicks and boxes that a user draws, masks and tracks that appear."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import pandas as pd
from napari.components import ViewerModel
from napari.layers import Image, Labels, Layer, Points, Shapes, Tracks
from numpy.typing import NDArray

from sam2_napari.axes import Axes
from sam2_napari.canvas import canvas
from sam2_napari.convert import Drawn, Key, Rows, drawn, rows
from sam2_napari.events import Shown, Tracked

CLICK, BOX = 10, 2
"""Size of a click and width of a box's edge, in pixels of the screen."""


class PromptLayers:
    """A Points, a Shapes, a Labels and a Tracks layer over an image, on its pixels.

    Args:
        viewer: where they are shown.
        image: the image.
        axes: which of its axes is what.

    Attributes:
        on_drawn: called when clicks or boxes are others than before.
        on_painted: called when the user has painted on the masks.
        object_id, positive: of the next click.
    """

    def __init__(self, viewer: ViewerModel, image: Image, axes: Axes) -> None:
        self.viewer, self.image, self.axes = viewer, image, axes
        self.on_drawn: Callable[[], None] = lambda: None
        self.on_painted: Callable[[], None] = lambda: None
        self.object_id, self.positive = 1, True
        self._quiet = False
        place = self._place()
        self.masks = Labels(canvas(axes), name=f"{image.name} masks", **place)
        self.points = Points(
            ndim=axes.ndim, name=f"{image.name} clicks", features=_features([], []), size=CLICK,
            canvas_size_limits=(CLICK, CLICK), **place,
        )  # fmt: skip
        self.boxes = Shapes(
            ndim=axes.ndim, name=f"{image.name} boxes", features=_features([], []), edge_width=BOX,
            face_color="transparent", **place,
        )  # fmt: skip
        self.tracks: Tracks | None = None
        for layer in (self.points, self.boxes):
            layer.mouse_drag_callbacks.insert(0, self._before_click)
        self.points.events.data.connect(self._drawn)
        self.boxes.events.data.connect(self._drawn)
        self.masks.events.paint.connect(self._painted)
        for layer in self.all:
            viewer.add_layer(layer)
        viewer.layers.selection.active = self.points
        self.points.mode = "add"
        self._set_defaults(True)

    @property
    def all(self) -> tuple[Labels, Shapes, Points]:
        """The layers in which a user draws, from below."""
        return self.masks, self.boxes, self.points

    def missing(self) -> list[str]:
        """The names of layers that were removed from the viewer."""
        return [layer.name for layer in self.all if layer not in self.viewer.layers]

    def show_again(self) -> None:
        """Add the layers that were removed to the viewer again; they still hold what they held."""
        for layer in self.all:
            if layer not in self.viewer.layers:
                self.viewer.add_layer(layer)

    def remove(self) -> None:
        """Take the layers out of the viewer."""
        for layer in (*self.all, self.tracks):
            if layer in self.viewer.layers:
                self.viewer.layers.remove(layer)

    # --- where the user is -----------------------------------------------------------------------

    @property
    def position(self) -> tuple[float, ...]:
        """Where the sliders stand, in the coordinates of the image's data."""
        point = self.viewer.dims.point[-self.image.ndim :]
        return tuple(float(n) for n in self.image.world_to_data(point))

    @property
    def frame_index(self) -> int:
        """The frame that is shown."""
        return self.axes.frame_of(self.position)

    def go_to(self, frame_index: int) -> None:
        """Show a frame."""
        if self.axes.time is not None:
            place = list(self.position)
            place[self.axes.time] = frame_index
            axis = self.viewer.dims.ndim - self.axes.ndim + self.axes.time
            self.viewer.dims.set_point(axis, self.image.data_to_world(place)[self.axes.time])

    def choose(self, object_id: int, *, positive: bool = True) -> None:
        """The object and the sign of the next click, box or stroke."""
        self.object_id, self.positive = object_id, positive
        self.masks.selected_label = object_id
        self._set_defaults(positive)

    # --- what is drawn -----------------------------------------------------------------------------

    def drawn(self) -> dict[Key, Drawn]:
        """What is drawn, by frame and object."""
        clicks, boxes = self.points.features, self.boxes.features
        return drawn(
            self.axes,
            self.points.data,
            clicks["positive"],
            clicks["object"],
            self.boxes.data,
            boxes["object"],
        )

    def draw(self, found: Mapping[Key, Drawn]) -> None:
        """Hold this, and nothing else."""
        with self._silent():
            content = rows(self.axes, found, self.position)
            self._fill(content)

    def _fill(self, content: Rows) -> None:
        self.points.selected_data = set()
        self.points.data = content.points
        self.points.features = _features(content.point_ids, content.signs)
        self.boxes.selected_data = set()
        self.boxes.data = []
        if content.rectangles:
            self.boxes.add_rectangles(content.rectangles)
        self.boxes.features = _features(content.rectangle_ids, [True] * len(content.rectangles))
        self._style()
        self._set_defaults(self.positive)

    def painted(self) -> NDArray[np.int32]:
        """The labels of the frame that is shown, as the user has painted them; a copy."""
        return np.array(self.masks.data[self.axes.index(self.frame_index, self.position)], np.int32)

    # --- what is shown -----------------------------------------------------------------------------

    def show(self, shown: Shown) -> None:
        """Paint a frame."""
        self.masks.data[self.axes.index(shown.frame_index, self.position)] = shown.labels
        if shown.frame_index == self.frame_index:
            self.masks.refresh()

    def show_tracks(self, tracked: Tracked) -> None:
        """Show where the objects were; the layer appears with the first two places of an object."""
        if self.axes.time is None:
            return
        data = _track_rows(self.axes, tracked.rows, self.position)
        if self.tracks is None:
            if len(data) < 2:
                return
            self.tracks = Tracks(
                data, graph=dict(tracked.graph), name=f"{self.image.name} tracks", **self._place()
            )
            active = self.viewer.layers.selection.active
            self.viewer.add_layer(self.tracks)
            self.viewer.layers.selection.active = active
        elif not len(data):
            self.viewer.layers.remove(self.tracks)
            self.tracks = None
        elif self.tracks in self.viewer.layers:  # else the user does not want it
            self.tracks.graph = {}
            self.tracks.data = data
            self.tracks.graph = dict(tracked.graph)

    # --- events of the layers ------------------------------------------------------------------------

    def _before_click(self, layer: Layer, event: Any) -> Iterator[None]:
        """With Ctrl a click says: not this."""
        self._set_defaults(self.positive and "Control" not in event.modifiers)
        yield
        self._set_defaults(self.positive)

    def _set_defaults(self, positive: bool) -> None:
        self.points.feature_defaults = _features([self.object_id], [positive])
        self.boxes.feature_defaults = _features([self.object_id], [True])

    def _drawn(self, event: Any) -> None:
        action = str(getattr(event, "action", ""))
        if self._quiet or action in ("adding", "changing", "removing"):
            return
        with self._silent():
            self._style()
        self.on_drawn()

    def _painted(self, event: Any) -> None:
        if not self._quiet:
            self.on_painted()

    @contextmanager
    def _silent(self) -> Iterator[None]:
        before, self._quiet = self._quiet, True
        try:
            yield
        finally:
            self._quiet = before

    def _style(self) -> None:
        """Colours of objects, a cross where a click says: not this."""
        if len(self.points.data):
            signs = self.points.features["positive"].astype(bool)
            self.points.face_color = self._colours(self.points.features["object"])
            self.points.border_color = ["white" if sign else "red" for sign in signs]
            self.points.symbol = ["disc" if sign else "x" for sign in signs]
        if len(self.boxes.data):
            self.boxes.edge_color = self._colours(self.boxes.features["object"])

    def _colours(self, ids: pd.Series) -> NDArray[np.float64]:
        return np.array([self.masks.get_color(int(i)) for i in ids], np.float64).reshape(-1, 4)

    def _place(self) -> dict[str, Any]:
        """Where the image lies in the world: so that what is drawn lands where it is drawn."""
        image, ndim = self.image, self.axes.ndim
        return {
            "scale": image.scale[-ndim:], "translate": image.translate[-ndim:], "rotate": image.rotate,
            "shear": image.shear, "units": image.units, "axis_labels": image.axis_labels,
        }  # fmt: skip


def _features(object_ids: list[int], signs: list[bool]) -> pd.DataFrame:
    ids, positive = pd.Series(object_ids, dtype="int64"), pd.Series(signs, dtype="bool")
    return pd.DataFrame({"object": ids, "positive": positive})


def _track_rows(axes: Axes, found: NDArray[np.float64], position: tuple[float, ...]) -> NDArray[np.float64]:
    """Rows as napari wants them: object, time, other axes, y, x."""
    data = np.empty((len(found), axes.ndim + 1))
    data[:, 0] = found[:, 0]
    data[:, 1:-2] = position[:-2]
    data[:, -2:] = found[:, 2:]
    if axes.time is not None:
        data[:, 1 + axes.time] = found[:, 1]
    return data
