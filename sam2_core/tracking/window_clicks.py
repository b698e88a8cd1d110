"""What a single click means, which says nothing of the object's size: read in several windows."""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from functools import cache, partial
from itertools import pairwise

from sam2_core import masks
from sam2_core.hookspecs import Segmentation
from sam2_core.prompts import Prompt
from sam2_core.tracking.sam2_model import Sam2Model
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
        read = cache(partial(self._readings, features, click))
        if self._model.network.config.mirrored_clicks:  # a network that cannot judge its own large answers
            found = self._smallest_steady(read, windows)
            if found is None and read(None):
                return None, self._steadiest_mirrored(features, click, read(None))
            return found
        large = bool(windows and read(None)) and not self._fits(read(None)[0], windows[-1])
        return None if large else self._smallest_steady(read, windows)

    def _smallest_steady(
        self, read: Callable[[Window | None], Sequence[Segmentation]], windows: Sequence[Window]
    ) -> tuple[Window | None, Segmentation] | None:
        """The reading of the smallest window with which the window of twice the size agrees."""
        for window, wider in pairwise([*windows, None]):
            pairs = [(masks.overlap(n.encoded, f.encoded), n) for n in read(window) for f in read(wider)]
            agreement, reading = max(pairs, key=operator.itemgetter(0), default=(0.0, None))
            if reading is not None and agreement >= self._windows.steady:
                return window, reading
        return None

    def _steadiest_mirrored(
        self, features: Views, click: Prompt, wide: Sequence[Segmentation]
    ) -> Segmentation:
        """The reading of the whole frame that its mirror image gives too, weighed by predicted IoU."""
        turned = self._model.candidates(features.mirrored, mirrored_click(click, features.size[1]))
        others = [mirrored(reading.encoded) for reading in turned]

        def steadiness(reading: Segmentation) -> float:
            return reading.score * max(masks.overlap(reading.encoded, other) for other in others)

        return max(wide, key=steadiness)

    def _readings(self, features: Views, click: Prompt, window: Window | None) -> list[Segmentation]:
        """The readings of a click that fit the window, best predicted IoU first."""
        found = self._model.candidates(features[window], prompt_in(click, window))
        readings = [on_frame(reading, window, features.size) for reading in found]
        return [reading for reading in readings if reading.encoded.area and self._fits(reading, window)]

    def _fits(self, found: Segmentation, window: Window | None) -> bool:
        """Whether an object is not too large for a window, if it is there at all."""
        place = Place.of(found.encoded)
        return window is None or place is None or self._windows.means(place, window)
