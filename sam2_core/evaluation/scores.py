"""J and F of masklets against ground truth: per object, per sequence, over a data set."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum

import numpy as np
from numpy.typing import NDArray

from sam2_core import masks
from sam2_core.evaluation import metrics
from sam2_core.evaluation.truth import Truth
from sam2_core.evaluation.watching import Watcher, unwatched
from sam2_core.results import Masklet
from sam2_core.types import Mask

NAMES = ("J", "F", "J&F")
"""Columns of every table."""


class Counted(Enum):
    """Whose rules hold: which annotated frames count, and what J and F are.

    ``ALL`` (DAVIS 2017): all frames but the first and the last, also those on which neither truth nor
    prediction shows the object (J and F are 1 there). ``SINCE_SEEN`` (SA-V, vos-benchmark): of these, those
    from the frame on where one of them first does. ``LVOS``: those between the first and the last that
    truth shows the object on. ``MOSE2`` (MOSE v2): as DAVIS, with its own J and F.
    """

    ALL = "davis"
    SINCE_SEEN = "sav"
    LVOS = "lvos"
    MOSE2 = "mosev2"

    @property
    def columns(self) -> tuple[str, ...]:
        """What its tables have besides J and F."""
        return {Counted.LVOS: ("V",), Counted.MOSE2: ("J&F-gone", "J&F-back")}.get(self, ())


@dataclass(frozen=True, eq=False)
class ObjectScores:
    """J and F of an object on each frame that counts.

    Attributes:
        j: region similarity in 0..1, ``(frames,)``.
        f: contour accuracy in 0..1, ``(frames,)``.
        shown: whether truth shows the object there, ``(frames,)``.
        counted: whose rules hold.
    """

    j: NDArray[np.float64]
    f: NDArray[np.float64]
    shown: NDArray[np.bool_]
    counted: Counted

    @property
    def mean(self) -> dict[str, float]:
        """J, F and their mean, by the names of the tables."""
        j, f = float(self.j.mean()), float(self.f.mean())
        return {"J": j, "F": f, "J&F": (j + f) / 2}

    @property
    def details(self) -> dict[str, float]:
        """What is said besides: recall and decay (DAVIS 2017), and what the rules ask for.

        LVOS: V. MOSE v2: J&F while the object is gone, and once it is back; nothing if it never is.
        """
        found = {
            "J-recall": metrics.recall(self.j),
            "J-decay": metrics.decay(self.j),
            "F-recall": metrics.recall(self.f),
            "F-decay": metrics.decay(self.f),
        }
        if self.counted is Counted.LVOS:
            found["V"] = metrics.variability(self.j, self.f)
        if self.counted is Counted.MOSE2:
            gone, back = metrics.after_absence((self.j + self.f) / 2, self.shown)
            found |= {"J&F-gone": gone, "J&F-back": back}
        return {name: value for name, value in found.items() if not np.isnan(value)}


def score(
    predicted: Mapping[int, Masklet],
    truth: Truth,
    size: tuple[int, int],
    counted: Counted = Counted.ALL,
    watch: Watcher = unwatched,
) -> dict[int, ObjectScores]:
    """J and F of each true object; what was predicted besides is not looked at.

    An object that was not predicted scores as one that is nowhere. One of which no frame counts is left out.

    Args:
        predicted: masklets by object id.
        truth: the ground truth.
        size: height and width of the video.
        counted: whose rules hold.
        watch: sees the frames of all objects go by.
    """
    pairs = [(object_id, t) for object_id in truth.objects for t in _frames(truth, object_id, counted)]
    found: dict[int, list[tuple[float, float, bool]]] = {}
    for object_id, frame_index in watch(pairs, len(pairs), "scoring"):
        masklet = predicted.get(object_id)
        known = masklet[frame_index] if masklet is not None and frame_index in masklet else None
        shown = np.zeros(size, np.bool_) if known is None else known.mask()
        wanted = truth.mask(object_id, frame_index, size)
        if counted is not Counted.SINCE_SEEN or object_id in found or shown.any() or wanted.any():
            found.setdefault(object_id, []).append((*_measured(shown, wanted, counted), bool(wanted.any())))
    return {object_id: _gathered(rows, counted) for object_id, rows in found.items()}


def _frames(truth: Truth, object_id: int, counted: Counted) -> Sequence[int]:
    """The annotated frames that may count."""
    if counted is not Counted.LVOS:
        return truth.frames[1:-1]
    shown = [t for t, known in truth.objects[object_id].items() if known.encoded.area]
    return [t for t in truth.frames if min(shown) < t < max(shown)]


def _measured(shown: Mask, wanted: Mask, counted: Counted) -> tuple[float, float]:
    """J and F."""
    if counted is Counted.MOSE2:
        within = metrics.adaptive_tolerance(wanted)
        return metrics.smoothed_iou(shown, wanted), metrics.contour_accuracy(shown, wanted, within)
    return masks.iou(shown, wanted), metrics.contour_accuracy(shown, wanted)


def _gathered(rows: Sequence[tuple[float, float, bool]], counted: Counted) -> ObjectScores:
    j, f, shown = zip(*rows, strict=True)
    return ObjectScores(np.array(j, np.float64), np.array(f, np.float64), np.array(shown, np.bool_), counted)


def mean(scores: Iterable[ObjectScores]) -> dict[str, float]:
    """The mean over objects of J, F and J&F; nan if there are none."""
    every = [of.mean for of in scores] or [dict.fromkeys(NAMES, float("nan"))]
    return {name: float(np.mean([of[name] for of in every])) for name in NAMES}
