"""What a user paints on the masks, while tracking may paint there as well."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import QTimer

from sam2_napari.events import Shown
from sam2_napari.layers import PromptLayers


class Strokes:
    """The strokes on the layer of masks: while one lasts, nothing else is painted on its frame.

    Args:
        layers: the layers of an image.
        painted: called with a frame, its labels ``(height, width)`` after a stroke, and those before it.
    """

    def __init__(
        self,
        layers: PromptLayers,
        painted: Callable[[int, NDArray[np.int32], NDArray[np.int32] | None], None],
    ) -> None:
        self._layers, self._painted = layers, painted
        self._before: NDArray[np.int32] | None = None  # the frame of the stroke, as it was
        self._held: Shown | None = None
        self._timer = QTimer()
        self._timer.setSingleShot(True)
        self._timer.timeout.connect(self._take)
        layers.on_painted = lambda: self._timer.start(0)  # one stroke may tell of itself several times
        layers.masks.mouse_drag_callbacks.insert(0, self._while_painting)

    def show(self, shown: Shown) -> None:
        """Paint a frame, now or when the stroke on it has ended."""
        if self._before is not None and shown.frame_index == self._layers.frame_index:
            self._held = shown
        else:
            self._layers.show(shown)

    def close(self) -> None:
        """Tell of the last stroke, and hear of no more."""
        if self._timer.isActive():
            self._take()
        self._timer.stop()
        self._layers.on_painted = lambda: None
        self._layers.masks.mouse_drag_callbacks.remove(self._while_painting)

    def _while_painting(self, layer: Any, event: Any) -> Iterator[None]:
        if layer.mode not in ("paint", "erase", "fill", "polygon"):
            return
        self._before = self._layers.painted()
        yield
        while event.type == "mouse_move":
            yield
        QTimer.singleShot(0, self._ended)

    def _ended(self) -> None:
        if self._before is not None and not self._timer.isActive():  # it changed nothing
            self._before, held, self._held = None, self._held, None
            if held is not None:
                self._layers.show(held)

    def _take(self) -> None:
        before = self._before
        self._before = self._held = None  # the labels of this frame come again with what was painted
        self._painted(self._layers.frame_index, self._layers.painted(), before)
