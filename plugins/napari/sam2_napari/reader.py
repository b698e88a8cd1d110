"""Saved sessions, dropped on napari's window: the panel goes on with them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import napari
from napari.layers import Image
from napari.utils import notifications

from sam2_core import SAM2Error, saved_source
from sam2_napari.widget import SegmentAndTrack

DOCK = "Segment and track (SAM 2)"

NOTHING: list[tuple[None]] = [(None,)]
"""What a reader gives that adds no layer of its own."""


def get_reader(path: str | Sequence[str]) -> Callable[[Any], list[tuple[None]]] | None:
    """The reader of one saved session; None for anything else."""
    return read if isinstance(path, str) and path.endswith(".sam2") and Path(path).is_file() else None


def read(path: str) -> list[tuple[None]]:
    """Open the image of a saved session if it is not there, and go on with the session in the panel."""
    viewer = napari.current_viewer()
    if viewer is None:
        raise RuntimeError("a saved session is opened in a window of napari; start napari first")
    try:
        source = saved_source(path)
    except SAM2Error as error:
        notifications.show_error(str(error))
        return NOTHING
    panel = _panel(viewer)
    image = _opened_from(viewer, source)
    if image is None and source is not None and Path(source).exists():
        try:
            viewer.open(source, plugin=None)
        except Exception as error:  # whatever a reader of any plugin raises
            notifications.show_error(f"{source}, on which {path} was made, cannot be opened: {error}")
            return NOTHING
        image = _opened_from(viewer, source)
    if image is not None:
        panel.choose(image)
    panel.resume(Path(path))
    return NOTHING


def _panel(viewer: Any) -> SegmentAndTrack:
    """The panel that is there, or a new one under the name by which napari's menu knows it."""
    for widget in viewer.window.dock_widgets.values():
        if isinstance(widget, SegmentAndTrack):
            return widget
    panel = SegmentAndTrack(viewer)
    viewer.window.add_dock_widget(panel, name=DOCK)
    return panel


def _opened_from(viewer: Any, source: str | None) -> Image | None:
    for layer in viewer.layers:
        path = layer.source.path if isinstance(layer, Image) and source is not None else None
        if path is not None and Path(path).resolve() == Path(source or "").resolve():
            return layer
    return None
