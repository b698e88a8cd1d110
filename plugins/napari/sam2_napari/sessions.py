"""The images of one window that were worked on; each keeps its session while the user looks at another.

They are the window's, not the panel's: a panel that is closed and opened again finds them as they were.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterable
from typing import Any

from napari.layers import Labels
from napari.utils import notifications
from qtpy.QtWidgets import QWidget

from sam2_napari.control import Control

MOST = 4
"""Sessions at a time: each may hold some hundred megabytes of features. Beyond, the one used longest ago is
closed; its work is kept, as that of a window that was closed."""

_of_windows: list[Sessions] = []


class Sessions:
    """The sessions of a window. Knows no Qt of the panel, so that it can outlive it.

    Args:
        viewer: the viewer of the window.
    """

    def __init__(self, viewer: Any) -> None:
        self._viewer = weakref.ref(viewer)
        self._window: weakref.ref[QWidget] | None = None
        self._controls: list[Control] = []  # the last one used is the last

    @classmethod
    def of_viewer(cls, viewer: Any) -> Sessions:
        """The sessions of the window of a viewer: those that there are, or none yet."""
        real = getattr(viewer, "__wrapped__", viewer)  # napari hands widgets a proxy, each time another one
        _of_windows[:] = [sessions for sessions in _of_windows if sessions._viewer() is not None]
        for sessions in _of_windows:
            if sessions._viewer() is real:
                return sessions
        _of_windows.append(cls(real))
        return _of_windows[-1]

    def end_with(self, widget: QWidget) -> None:
        """Close them all with the window in which this widget is docked, whatever becomes of the widget."""
        while (parent := widget.parentWidget()) is not None:
            widget = parent
        if self._window is None or self._window() is not widget:
            self._window = weakref.ref(widget)
            widget.destroyed.connect(lambda: self.close())

    def of(self, image: Any) -> Control | None:
        """The session of an image, which is used now; None if it has none."""
        for control in self._controls:
            if control.image is image:
                self._controls.remove(control)
                self._controls.append(control)
                return control
        return None

    def latest(self, images: Iterable[Any]) -> Any:
        """That one of these images which was worked on last; None if none was."""
        among = [control.image for control in self._controls]
        return max((i for i in images if i in among), key=among.index, default=None)

    @property
    def masks(self) -> list[Labels]:
        """The layers in which masks are shown."""
        return [control.layers.masks for control in self._controls]

    def add(self, control: Control) -> None:
        """Keep a session."""
        self._controls.append(control)
        if len(self._controls) > MOST:
            self.end(self._controls[0])

    def keep_only(self, images: Iterable[Any]) -> None:
        """Close the sessions of images that are gone; their work is kept."""
        there = [*images]
        for control in [*self._controls]:
            if control.image not in there:
                self.end(control)

    def stop(self) -> None:
        """Stop all tracking; what is done is kept."""
        for control in self._controls:
            control.stop()

    def end(self, control: Control) -> None:
        """Close a session and take its layers away; its work is kept."""
        if control in self._controls:
            self._controls.remove(control)
            control.close()
            control.layers.remove()
            if control.document.objects:
                notifications.show_info(
                    f"the work on {control.image.name!r} is kept; it is offered where that is worked on again"
                )

    def close(self, wait: float = 0.0) -> None:
        """Close all; the layers stay.

        Args:
            wait: seconds to wait for each; a window that closes does not wait.
        """
        closed, self._controls = self._controls, []
        for control in closed:
            control.close(wait)
