"""J and F of masklets against ground truth: per object, per sequence, over a data set."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum

import numpy as np
from numpy.typing import NDArray

from sam2_core import masks
from sam2_core.evaluation import metrics
from sam2_core.evaluation.truth import Truth
from sam2_core.results import Masklet
from sam2_core.types import Mask

NAMES = ("J", "F", "J&F")
"""Columns of every table."""


class Counted(Enum):
    """Which annotated frames count; the first and the last of all never do.

    ``ALL`` (DAVIS 2017): the others, also those on which neither truth nor prediction shows the object (J and
    F are 1 there). ``SINCE_SEEN`` (SA-V, vos-benchmark): from the frame on where one of them first does.
    """

    ALL = "davis"
    SINCE_SEEN = "sav"


@dataclass(frozen=True, eq=False)
class ObjectScores:
    """J and F of an object on each frame that counts.

    Attributes:
        j: region similarity in 0..1, ``(frames,)``.
        f: contour accuracy in 0..1, ``(frames,)``.
    """

    j: NDArray[np.float64]
    f: NDArray[np.float64]

    @property
    def mean(self) -> dict[str, float]:
        """J, F and their mean, by the names of the tables."""
        j, f = float(self.j.mean()), float(self.f.mean())
        return {"J": j, "F": f, "J&F": (j + f) / 2}

    @property
    def details(self) -> dict[str, float]:
        """What the tables of DAVIS 2017 say besides."""
        return {
            "J-recall": metrics.recall(self.j),
            "J-decay": metrics.decay(self.j),
            "F-recall": metrics.recall(self.f),
            "F-decay": metrics.decay(self.f),
        }


def score(
    predicted: Mapping[int, Masklet],
    truth: Truth,
    size: tuple[int, int],
    counted: Counted = Counted.ALL,
) -> dict[int, ObjectScores]:
    """J and F of each true object; what was predicted besides is not looked at.

    An object that was not predicted scores as one that is nowhere. One of which no frame counts is left out.

    Args:
        predicted: masklets by object id.
        truth: the ground truth.
        size: height and width of the video.
        counted: which frames count.
    """
    found = {}
    for object_id in truth.objects:
        pairs = _pairs(predicted.get(object_id), object_id, truth, size, counted)
        scores = [(masks.iou(*pair), metrics.contour_accuracy(*pair)) for pair in pairs]
        if scores:
            j, f = np.array(scores, np.float64).T
            found[object_id] = ObjectScores(j, f)
    return found


def _pairs(
    masklet: Masklet | None, object_id: int, truth: Truth, size: tuple[int, int], counted: Counted
) -> Iterator[tuple[Mask, Mask]]:
    """What is shown and what is true on each frame that counts."""
    seen = counted is Counted.ALL
    for frame_index in truth.frames[1:-1]:
        known = masklet[frame_index] if masklet is not None and frame_index in masklet else None
        shown = np.zeros(size, np.bool_) if known is None else known.mask()
        wanted = truth.mask(object_id, frame_index, size)
        seen = seen or bool(shown.any() or wanted.any())
        if seen:
            yield shown, wanted


def mean(scores: Iterable[ObjectScores]) -> dict[str, float]:
    """The mean over objects of J, F and J&F; nan if there are none."""
    every = [of.mean for of in scores] or [dict.fromkeys(NAMES, float("nan"))]
    return {name: float(np.mean([of[name] for of in every])) for name in NAMES}
