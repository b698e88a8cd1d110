"""Objects that are not in their windows any more are searched on the rest of the frame (ADR 13)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

from sam2_core import masks
from sam2_core.hookspecs import Memories, Segmentation
from sam2_core.tracking.bank import Recalled
from sam2_core.tracking.sam2_model import Sam2Model
from sam2_core.tracking.sam2_values import Sam2Memory
from sam2_core.tracking.views import Views, answer
from sam2_core.tracking.windows import Place, Spot, Window, Windows

MIDDLE: Spot = (0.5, 0.5)

LOOKS = 2
"""So many windows of the tour are looked at on each frame."""

BELIEVED = 0.8
"""What a tour finds must have such a predicted IoU; on empty ground nano's stayed below .75."""

FAINT = 0.2
"""What nano tracks with a smaller predicted IoU is mostly a scrap of ground (mean IoU below .15)."""

ALIKE = 0.7
"""Something else in the window with such a predicted IoU is a look-alike: then nothing is believed."""

_EIGHTHS = (1 / 8, 3 / 8, 5 / 8, 7 / 8)
"""Rows and columns of the spots where look-alikes are looked for."""

_ELSEWHERE = 0.1
"""What overlaps less with a finding (IoU) is something else."""


class Lost(NamedTuple):
    """An object that is not where it was: what is remembered, and the window in which it was looked for."""

    memories: Memories
    window: Window


class Search(Protocol):
    """Looks for lost objects."""

    faint: float
    """Who is seen with a smaller predicted IoU is searched for too; it stays if nothing is found."""

    def find(self, features: Views, lost: Mapping[int, Lost]) -> dict[int, Segmentation]:
        """Those that are there, by their keys."""


def search(model: Sam2Model, windows: Windows) -> Search:
    """The search that suits a network.

    One whose memories move with the object (ADR 11) finds it about where they are moved to, so it tours the
    frame. Others were trained to find it anywhere on the whole frame.
    """
    moves = model.network.config.previous_mask_tracking
    return Tour(model, windows) if moves else WholeFrame(model, windows)


class WholeFrame:
    """Looks at the whole frame; what seems to be an object is looked at in a window again.

    Args:
        model: tracks in one view.
        windows: in which a finding is looked at.
    """

    faint = 0.0

    def __init__(self, model: Sam2Model, windows: Windows) -> None:
        self._model, self._windows = model, windows

    def find(self, features: Views, lost: Mapping[int, Lost]) -> dict[int, Segmentation]:
        """Those that are there, by their keys."""
        known = {i: read for i, one in lost.items() if (read := _prompted(one.memories)).conditioning}
        if not known:
            return {}
        coarse = self._model.track(features[None], list(known.values()))
        found: dict[int, Segmentation] = {}
        for i, one in zip(known, coarse, strict=True):
            place = Place.of(one.encoded) if one.visible else None
            window = None if place is None else self._windows.holding(place, features.size)
            if place is None or window is None:  # nothing, or something large
                continue
            seen = as_prompted(lost[i], window, features.size, window.spot(place))
            (close,) = self._model.track(features[window], [seen])
            if (one := answer(close, window, features.size)).visible:
                found[i] = one
        return found


class Tour:
    """Looks at a few windows of each frame, at others on the next one, as if the object were in the middle.

    Which windows these are depends on the distance to the first prompted frame that is read, so a replay
    finds the same. Among look-alikes nobody is believed to be the one.

    Args:
        model: tracks in one view.
        windows: how windows lie.
    """

    faint = FAINT

    def __init__(self, model: Sam2Model, windows: Windows) -> None:
        self._model, self._windows = model, windows

    def find(self, features: Views, lost: Mapping[int, Lost]) -> dict[int, Segmentation]:
        """Those that are there, by their keys."""
        looks = [(i, window) for i in lost for window in self._next(lost[i], features.size)]
        seen = [as_prompted(lost[i], window, features.size, MIDDLE) for i, window in looks]
        found = self._model.track_each(features.each([window for _, window in looks]), seen)
        best: dict[int, tuple[Window, Segmentation]] = {}
        for (i, window), inside in zip(looks, found, strict=True):
            one = answer(inside, window, features.size)
            if one.visible and one.score >= max(BELIEVED, best[i][1].score if i in best else 0):
                best[i] = window, one
        return {i: one for i, (window, one) in best.items() if self._alone(features, lost[i], window, one)}

    def _next(self, lost: Lost, frame: tuple[int, int]) -> Sequence[Window]:
        """The windows for this frame."""
        if not lost.memories.conditioning:
            return ()
        every = self._windows.tour(lost.window.side, frame)
        steps = int(abs(lost.memories.conditioning[0][0]))
        return [every[(steps * LOOKS + k) % len(every)] for k in range(min(LOOKS, len(every)))]

    def _alone(self, features: Views, lost: Lost, window: Window, one: Segmentation) -> bool:
        """Whether nothing else in the window looks like the object."""
        spots = [(row, column) for row in _EIGHTHS for column in _EIGHTHS]
        seen = [as_prompted(lost, window, features.size, spot) for spot in spots]
        others = [answer(other, window, features.size) for other in self._model.track(features[window], seen)]
        return not any(
            other.visible and other.score >= ALIKE and masks.overlap(other.encoded, one.encoded) < _ELSEWHERE
            for other in others
        )


def _prompted(memories: Memories) -> Recalled:
    """What is read on the whole frame: the prompted frames."""
    wide = [
        (steps, memory.memory if memory.window is None else memory.whole)
        for steps, memory in memories.conditioning
    ]
    return Recalled([(steps, memory) for steps, memory in wide if memory is not None], [])


def as_prompted(lost: Lost, window: Window, frame: tuple[int, int], spot: Spot) -> Recalled:
    """What is read in a window: the object as it was prompted, with its surroundings, at that spot."""
    seen: list[tuple[float, Sam2Memory]] = []
    for steps, memory in lost.memories.conditioning:
        view = window if memory.place is None else window.onto(memory.place, spot)
        seen.append((steps, memory.seen_from(view, frame).moved_to(spot)))
    return Recalled(seen, [])
