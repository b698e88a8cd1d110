"""The layers of one image: clicks and boxes that a user draws, masks and tracks that appear."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from napari.components import ViewerModel
from napari.layers import Image, Labels, Layer, Points, Shapes, Tracks
from napari.utils import notifications
from numpy.typing import NDArray
from qtpy.QtCore import QTimer

from sam2_napari.axes import Axes
from sam2_napari.convert import Drawn, PromptKey, Rows, drawn, rows, track_rows
from sam2_napari.events import Shown, Tracked
from sam2_napari.mask_array import mask_array, paint
from sam2_napari.quiet import Quiet

LEAST_CLICK, BOX_EDGE = 10, 2
"""Size of a click on a small image, and width of the edge of a box, both in pixels of the image."""

CLICK_LIMITS = (2, 10)
"""Least and largest size of a click in pixels of the screen. Not (10, 10): without clicks on a frame napari
draws one of size 0, and that would be a white dot."""

POSITIVE, NEGATIVE = (1.0, 1.0, 1.0, 1.0), (1.0, 0.0, 0.0, 1.0)
"""The border of a click: white, or red where it says: not this."""


DRAWING = {Points: "add", Shapes: "add_rectangle"}
"""The modes in which a user draws; who paints on masks chooses how."""


NOWHERE = np.zeros((1, 4))
"""What a Tracks layer holds while there are no tracks: napari takes no empty one. Nothing shows of it."""


class PromptLayers:
    """A Points, a Shapes, a Labels and a Tracks layer over an image, on its pixels.

    Args:
        viewer: where they are shown.
        image: the image.
        axes: which of its axes is what.

    Attributes:
        on_drawn: called when clicks or boxes are others than before.
        on_painted: called when the user has painted on the masks.
        on_chosen: called when the user has picked another label to paint with.
        object_id, positive: of the next click.
        masks, boxes, points: the layers in which is drawn.
        tracks: where the objects were; None for an image whose axes no Tracks layer can have.
    """

    def __init__(self, viewer: ViewerModel, image: Image, axes: Axes) -> None:
        self.viewer, self.image, self.axes = viewer, image, axes
        self.on_drawn: Callable[[], None] = lambda: None
        self.on_painted: Callable[[], None] = lambda: None
        self.on_chosen: Callable[[int], None] = lambda object_id: None
        self.object_id, self.positive = 1, True
        self._quiet = Quiet()  # what changes within was not drawn by the user
        self._home = self.position
        place = self._place()
        self.masks = Labels(mask_array(axes), name=f"{image.name} masks", **place)
        self.points = Points(
            ndim=axes.ndim, name=f"{image.name} clicks", features=_features([], []),
            size=max(LEAST_CLICK, max(axes.size) / 50), canvas_size_limits=CLICK_LIMITS,
            border_color=np.array([POSITIVE]), **place,
        )  # fmt: skip
        self.boxes = Shapes(
            ndim=axes.ndim, name=f"{image.name} boxes", features=_features([], []), edge_width=BOX_EDGE,
            face_color="transparent", **place,
        )  # fmt: skip
        self.tracks = self._new_tracks()
        for layer in (self.points, self.boxes):
            layer.mouse_drag_callbacks.insert(0, self._before_click)
        self.points.events.data.connect(self._drawn)
        self.boxes.events.data.connect(self._drawn)
        self.masks.events.paint.connect(self._painted)
        self.masks.events.selected_label.connect(self._label_chosen)
        self.masks.events.n_edit_dimensions.connect(self._one_frame_only)
        self.masks.events.colormap.connect(self._recolour)
        for layer in (self.masks, self.tracks, self.boxes, self.points):
            if layer is not None:
                viewer.add_layer(layer)
        viewer.layers.selection.active = self.points
        for layer in self.all:
            layer.mode = DRAWING.get(type(layer), layer.mode)
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
        # Without layers, as after their removal, the viewer has fewer axes than the image.
        point = ((0.0,) * self.image.ndim + tuple(self.viewer.dims.point))[-self.image.ndim :]
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

    def move_inside(self) -> None:
        """Move sliders that stand beside the image, as those of a longer one may, onto it."""
        here = self.position
        inside = [min(max(n, 0), size - 1) for n, size in zip(here, self.axes.shape, strict=True)]
        world, first = self.image.data_to_world(inside), self.viewer.dims.ndim - self.axes.ndim
        for axis in self.axes.leading:
            if here[axis] != inside[axis]:
                self.viewer.dims.set_point(first + axis, world[axis])

    def choose(self, object_id: int, *, positive: bool = True) -> None:
        """The object and the sign of the next click, box or stroke."""
        self.object_id, self.positive = object_id, positive
        self.masks.selected_label = object_id
        self._set_defaults(positive)

    # --- what is drawn -----------------------------------------------------------------------------

    def drawn(self) -> dict[PromptKey, Drawn]:
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

    def draw(self, found: Mapping[PromptKey, Drawn]) -> None:
        """Hold this, and nothing else."""
        with self._quiet:
            content = rows(self.axes, found, self._place_of_masks())
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

    def rename(self, old: int, new: int) -> None:
        """What is drawn for an object is drawn for another from now on."""
        with self._quiet:
            for layer in (self.points, self.boxes):
                layer.features = layer.features.replace({"object": {old: new}})
            self._style()

    def painted(self) -> NDArray[np.int32]:
        """The labels of the frame that is shown, as they are painted now, ``(height, width)``; a copy."""
        index = self.axes.index(self.frame_index, self._place_of_masks())
        return np.array(self.masks.data[index], np.int32)

    # --- what is shown -----------------------------------------------------------------------------

    def show(self, shown: Shown) -> None:
        """Paint a frame."""
        paint(self.masks.data, self.axes, shown.frame_index, self._place_of_masks(), shown.labels)
        if shown.frame_index == self.frame_index:
            self.masks.refresh()

    def show_tracks(self, tracked: Tracked) -> None:
        """Show where the objects were."""
        rows = tracked.rows if len(tracked.rows) else NOWHERE
        found = track_rows(self.axes, rows, self._place_of_masks())
        if self.tracks is None or found is None or self.tracks not in self.viewer.layers:
            return  # there can be none, or the user does not want it
        if not np.array_equal(found, self.tracks.data) or dict(tracked.graph) != self.tracks.graph:
            self.tracks.data = found  # takes the graph away, which may name tracks that are gone
            self.tracks.graph = dict(tracked.graph)

    def _new_tracks(self) -> Tracks | None:
        """The layer is there from the beginning: to add one stops the window for a third of a second."""
        nowhere = track_rows(self.axes, NOWHERE, self._place_of_masks())
        if nowhere is None:
            return None
        ndim, place = nowhere.shape[1] - 1, self._place()
        if ndim < self.axes.ndim:  # without the axes before the time
            place = {name: place[name][-ndim:] for name in ("units", "axis_labels")}
            place["affine"] = self._matrix()[-ndim - 1 :, -ndim - 1 :]
        colours = {"track_id": self.masks.colormap}
        return Tracks(nowhere, name=f"{self.image.name} tracks", colormaps_dict=colours, **place)

    def _matrix(self) -> NDArray[np.float64]:
        """From the pixels of the image to the world, homogeneous, ``(ndim + 1, ndim + 1)``."""
        ndim = self.axes.ndim
        matrix = np.eye(ndim + 1)
        matrix[:-1, -1] = origin = np.array(self.image.data_to_world(np.zeros(ndim)))
        for axis, unit in enumerate(np.eye(ndim)):
            matrix[:-1, axis] = np.array(self.image.data_to_world(unit)) - origin
        return matrix

    def _recolour(self, event: Any = None) -> None:
        """Clicks, boxes and tracks have the colours of the masks."""
        with self._quiet:
            self._style()
        if self.tracks is not None:
            self.tracks.colormaps_dict = {"track_id": self.masks.colormap}
            self.tracks.color_by = "track_id"

    # --- events of the layers ------------------------------------------------------------------------

    def _before_click(self, layer: Layer, event: Any) -> Iterator[None]:
        """With Ctrl a click says: not this."""
        self._set_defaults(self.positive and "Control" not in event.modifiers)
        yield
        while event.type == "mouse_move":
            yield
        # Napari adds the click when the button comes up, and asks its own callbacks after this one.
        QTimer.singleShot(0, lambda: self._set_defaults(self.positive))

    def _set_defaults(self, positive: bool) -> None:
        for layer, sign in ((self.points, positive), (self.boxes, True)):
            defaults = _features([self.object_id], [sign])
            if not layer.feature_defaults.equals(defaults):
                layer.feature_defaults = defaults

    def _drawn(self, event: Any) -> None:
        action = str(getattr(event, "action", ""))
        if self._quiet or action in ("adding", "changing", "removing"):
            return
        if self._elsewhere():
            QTimer.singleShot(0, self._forget_elsewhere)  # napari is not done with what was drawn
            return
        with self._quiet:
            self._style()
        self.on_drawn()

    def _label_chosen(self, event: Any) -> None:
        """Who picks a label, or asks napari for a new one (M), means that object."""
        label = int(self.masks.selected_label)
        if not self._quiet and label not in (0, self.object_id):
            self.on_chosen(label)

    def _one_frame_only(self, event: Any) -> None:
        """A stroke is a prompt on the frame that is shown."""
        if self.masks.n_edit_dimensions != 2:
            self.masks.n_edit_dimensions = 2

    def _painted(self, event: Any) -> None:
        if self._quiet:
            return
        if self._elsewhere():
            QTimer.singleShot(0, self._unpaint)
            return
        self.on_painted()

    # --- planes that are not tracked -----------------------------------------------------------------

    def _elsewhere(self) -> bool:
        """Whether the viewer shows another plane (a z, say) than the one that is tracked."""
        here, home = self.axes.index(0, self.position), self.axes.index(0, self._home)
        return any(here[axis] != home[axis] for axis in self.axes.fixed)

    def _place_of_masks(self) -> tuple[float, ...]:
        """Where the sliders stand, but on the plane that is tracked."""
        here = self.position
        return tuple(self._home[axis] if axis in self.axes.fixed else n for axis, n in enumerate(here))

    def _forget_elsewhere(self) -> None:
        fixed = list(self.axes.fixed)
        home = np.array(self.axes.index(0, self._home))[fixed]
        with self._quiet:
            for layer in (self.points, self.boxes):
                places = [np.atleast_2d(data)[0][fixed] for data in layer.data]
                layer.selected_data = {i for i, at in enumerate(places) if (np.round(at) != home).any()}
                layer.remove_selected()
        self._say_where()

    def _unpaint(self) -> None:
        with self._quiet:
            self.masks.undo()
        self._say_where()

    def _say_where(self) -> None:
        at = self.axes.index(0, self._home)
        names = ", ".join(f"{self.image.axis_labels[axis]} {at[axis]}" for axis in self.axes.fixed)
        notifications.show_warning(
            f"the plane {names} is tracked: draw there, or push 'begin anew' (tab model) for this one"
        )

    def _style(self) -> None:
        """Colours of objects, a cross where a click says: not this."""
        if len(self.points.data):
            signs = self.points.features["positive"].astype(bool)
            self.points.face_color = self._colours(self.points.features["object"])
            borders = np.array([POSITIVE if sign else NEGATIVE for sign in signs])
            symbols = ["disc" if sign else "x" for sign in signs]
            if not np.allclose(self.points.border_color, borders):  # each of these builds all clicks anew
                self.points.border_color = borders
            if [str(symbol) for symbol in self.points.symbol] != symbols:
                self.points.symbol = symbols
        if len(self.boxes.data):
            self.boxes.edge_color = self._colours(self.boxes.features["object"])

    def _colours(self, ids: pd.Series) -> NDArray[np.float64]:
        return np.array([self.masks.get_color(int(i)) for i in ids], np.float64).reshape(-1, 4)

    def _place(self) -> dict[str, Any]:
        """Where the image lies in the world: so that what is drawn lands where it is drawn."""
        image, ndim = self.image, self.axes.ndim
        return {
            "scale": image.scale[-ndim:], "translate": image.translate[-ndim:], "rotate": image.rotate,
            "shear": image.shear, "affine": image.affine, "units": image.units,
            "axis_labels": image.axis_labels,
        }  # fmt: skip


def _features(object_ids: list[int], signs: list[bool]) -> pd.DataFrame:
    ids, positive = pd.Series(object_ids, dtype="int64"), pd.Series(signs, dtype="bool")
    return pd.DataFrame({"object": ids, "positive": positive})


def shown_plane(labels: Labels, point: Sequence[float]) -> Callable[[], NDArray[Any]]:
    """The plane of a Labels layer that a viewer shows at a point, ``(height, width)``, when it is called for.

    What lies in memory is what it is now; the rest may have to be computed, or read.
    """
    data = labels.data[0] if labels.multiscale else labels.data
    place = labels.world_to_data(point[-labels.ndim :])[:-2]
    index = tuple(round(min(max(n, 0), size - 1)) for n, size in zip(place, data.shape, strict=False))
    now = data[index].copy() if isinstance(data, np.ndarray) else None
    return lambda: np.asarray(data[index]) if now is None else now
