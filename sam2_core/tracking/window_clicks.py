"""What a single click means, which says nothing of the object's size: read in several windows."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise, product
from typing import Literal

from sam2_core import masks
from sam2_core.hookspecs import Segmentation
from sam2_core.prompts import Prompt
from sam2_core.tracking.sam2_model import Sam2Model
from sam2_core.tracking.sam2_values import Frame
from sam2_core.tracking.views import Views
from sam2_core.tracking.window_prompts import around, mirrored, mirrored_click, on_frame, prompt_in
from sam2_core.tracking.windows import Place, Window, Windows


class Clicks:
    """Reads single clicks.

    The smallest reading that stays the same when looked at from farther away is the object; a part of a
    large one, or junk around a tiny one, changes.

    Args:
        model: reads a click in one view.
        windows: in which a click is read.
    """

    def __init__(self, model: Sam2Model, windows: Windows) -> None:
        self._model, self._windows = model, windows

    def read(self, features: Views, click: Prompt) -> tuple[Window | None, Segmentation] | None:
        """The window of the object, and what it is; None if the whole frame shall have the word."""
        windows = self._windows.around(around(click.points, None), features.size)
        readings = Readings(self._model, self._windows, features, click)
        if self._model.network.config.mirrored_clicks:  # a network that cannot judge its own large answers
            found = self._smallest_steady(readings, windows)
            return found or self._steadiest_mirrored(readings)
        large = windows and (whole := readings[None]) and not readings.fits(whole[0], windows[-1])
        return None if large else self._smallest_steady(readings, windows)

    def _smallest_steady(
        self, readings: Readings, windows: Sequence[Window]
    ) -> tuple[Window | None, Segmentation] | None:
        """The reading of the smallest window with which the window of twice the size agrees."""
        for window, wider in pairwise([*windows, None]):
            readings.see(window, wider)
            both = product(readings[window], readings[wider])
            pairs = [(masks.overlap(near.encoded, far.encoded), near) for near, far in both]
            agreement, reading = max(pairs, key=operator.itemgetter(0), default=(0.0, None))
            if reading is not None and agreement >= self._windows.steady:
                return window, reading
        return None

    def _steadiest_mirrored(self, readings: Readings) -> tuple[None, Segmentation] | None:
        """The reading of the whole frame that its mirror image gives too, weighed by predicted IoU."""

        def steadiness(reading: Segmentation) -> float:
            agreement = (masks.overlap(reading.encoded, other.encoded) for other in readings["mirror"])
            return reading.score * max(agreement, default=0.0)

        whole = max(readings[None], key=steadiness, default=None)
        return None if whole is None else (None, whole)


View = Window | None | Literal["mirror"]
"""A window, the whole frame, or its mirror image."""


class Readings:
    """The readings of a click that fit, best predicted IoU first, in the pixels of the frame."""

    def __init__(self, model: Sam2Model, windows: Windows, features: Views, click: Prompt) -> None:
        self._model, self._windows, self._features, self._click = model, windows, features, click
        self._seen: dict[View, list[Segmentation]] = {}

    def __getitem__(self, view: View) -> list[Segmentation]:
        self.see(view)
        return self._seen[view]

    def see(self, *views: View) -> None:
        """Read the click in several views in one call."""
        new = [view for view in views if view not in self._seen]
        if not new:
            return
        clicks = [self._click_in(view) for view in new]
        for view, found in zip(new, self._model.readings(clicks), strict=True):
            readings = [self._on_frame(reading, view) for reading in found]
            self._seen[view] = [one for one in readings if one.encoded.area and self.fits(one, view)]

    def fits(self, found: Segmentation, view: View) -> bool:
        """Whether an object is not too large for a window, if it is there at all."""
        place = Place.of(found.encoded)
        return not isinstance(view, Window) or place is None or self._windows.means(place, view)

    def _click_in(self, view: View) -> tuple[Frame, Prompt]:
        if view == "mirror":
            return self._features.mirrored, mirrored_click(self._click, self._features.size[1])
        return self._features[view], prompt_in(self._click, view)

    def _on_frame(self, found: Segmentation, view: View) -> Segmentation:
        if view == "mirror":
            return replace(found, encoded=mirrored(found.encoded))
        return on_frame(found, view, self._features.size)
