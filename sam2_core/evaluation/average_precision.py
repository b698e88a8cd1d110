"""AP of objects in videos (YouTube-VIS, Yang et al. 2019): COCO's, with IoU summed over time.

The IoU of two masklets is the sum of their intersections over the sum of their unions. All else is COCO's:
ten thresholds from .50 to .95, precision at 101 recalls, the mean over categories; an object is small below
a mean area of 128 x 128 pixels while it is visible, large above 256 x 256.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sam2_core import masks
from sam2_core.errors import ExportError
from sam2_core.exporters.coco import segmentation
from sam2_core.exporters.files import inside, load_json, reading

THRESHOLDS = np.linspace(0.5, 0.95, 10)
RECALLS = np.linspace(0, 1, 101)
COUNTS = (1, 10, 100)
"""Predictions per category and video for which the recall is said: those with the highest scores."""

MOST = COUNTS[-1]
"""So many predictions count, at most."""

SIZES: Mapping[str, tuple[float, float]] = {
    "AP": (0, math.inf),
    "AP-small": (0, 128**2),
    "AP-medium": (128**2, 256**2),
    "AP-large": (256**2, math.inf),
}
"""The mean areas of the objects, in pixels, that each number is about."""


@dataclass(frozen=True, eq=False)
class Instance:
    """One object of one video, predicted or true.

    Attributes:
        video_id: of which video.
        category_id: what it is.
        rles: its mask on each frame, as COCO's compressed run lengths; None where it is not to be seen.
        score: how sure a prediction is.
        crowd: whether truth says that these are many, which need not be found.
    """

    video_id: int
    category_id: int
    rles: tuple[dict[str, Any] | None, ...]
    score: float = 1.0
    crowd: bool = False

    @property
    def area(self) -> float:
        """The mean over the frames that show it, in pixels."""
        from pycocotools import mask as coco

        areas = [float(coco.area(rle)) for rle in self.rles if rle is not None]
        seen = [area for area in areas if area]
        return sum(seen) / len(seen) if seen else 0.0


def overlap(predicted: Instance, true: Instance) -> float:
    """IoU over time; of a crowd how much of the prediction lies in it."""
    from pycocotools import mask as coco

    def area(*given: dict[str, Any] | None, intersect: bool = False) -> float:
        there = [rle for rle in given if rle is not None]
        if not there or (intersect and len(there) < len(given)):
            return 0.0
        return float(coco.area(coco.merge(there, intersect=intersect)))

    pairs = list(zip(predicted.rles, true.rles, strict=True))
    both = sum(area(*pair, intersect=True) for pair in pairs)
    either = sum(area(mine) if true.crowd else area(mine, theirs) for mine, theirs in pairs)
    return both / either if either else 0.0


def average_precision(
    predicted: Iterable[Instance], truth: Iterable[Instance], *, any_category: bool = False
) -> dict[str, float]:
    """AP, AP50, AP75, AP by size, and the recall with 1, 10 and 100 predictions per video (AR1, AR10, AR100).

    Args:
        predicted: with scores, of which only the order counts.
        truth: all objects of all videos.
        any_category: take all objects for one category, as for a model that names none.

    Returns:
        Numbers in 0..1; nan where truth holds no such object.
    """
    found, wanted = (_grouped(instances, any_category) for instances in (predicted, truth))
    categories: dict[int, list[_Pairs]] = {}
    for category_id, video_id in sorted(found.keys() | wanted.keys()):
        key = category_id, video_id
        categories.setdefault(category_id, []).append(_Pairs(found.get(key, []), wanted.get(key, [])))
    every = categories.values()
    precisions = {name: _mean(_curve(of, size, MOST)[0] for of in every) for name, size in SIZES.items()}
    whole = precisions.pop("AP")
    found_of = {
        f"AR{most}": float(_mean(_curve(of, SIZES["AP"], most)[1] for of in every).mean()) for most in COUNTS
    }
    return {
        "AP": float(whole.mean()),
        "AP50": float(whole[0]),
        "AP75": float(whole[5]),
        **{name: float(of.mean()) for name, of in precisions.items()},
        **found_of,
    }


def _grouped(instances: Iterable[Instance], any_category: bool) -> dict[tuple[int, int], list[Instance]]:
    groups: dict[tuple[int, int], list[Instance]] = {}
    for instance in instances:
        category_id = 0 if any_category else instance.category_id
        groups.setdefault((category_id, instance.video_id), []).append(instance)
    return groups


def _mean(by_category: Iterable[NDArray[np.float64]]) -> NDArray[np.float64]:
    """The mean over the categories that have true objects, by threshold."""
    known = [numbers for numbers in by_category if not np.isnan(numbers).any()]
    return np.mean(known, axis=0) if known else np.full(len(THRESHOLDS), np.nan)


class _Pairs:
    """The predictions of a category in a video, the surest first, against the true objects."""

    def __init__(self, predicted: Sequence[Instance], true: Sequence[Instance]) -> None:
        surest = sorted(predicted, key=lambda one: -one.score)[:MOST]
        self.scores = np.array([one.score for one in surest], np.float64)
        self._areas = np.array([one.area for one in surest], np.float64)
        self._true_areas = np.array([one.area for one in true], np.float64)
        self._crowd = np.array([one.crowd for one in true], np.bool_)
        overlaps = [[overlap(one, other) for other in true] for one in surest]
        self._overlaps = np.array(overlaps, np.float64).reshape(len(surest), len(true))

    def matched(self, size: tuple[float, float]) -> tuple[NDArray[np.bool_], NDArray[np.bool_], int]:
        """Which predictions are right, which do not count, ``(thresholds, predictions)``; how many are true.

        A prediction takes the object that it overlaps most, of those that are left and count; if there is
        none, one that does not count (a crowd, or of another size), and then does not count either.
        """
        spare = self._crowd | _outside(self._true_areas, size)
        right = np.zeros((len(THRESHOLDS), len(self.scores)), np.bool_)
        idle = np.broadcast_to(_outside(self._areas, size), right.shape).copy()
        for level, threshold in enumerate(THRESHOLDS):
            left = np.ones(len(spare), np.bool_)
            for index, overlaps in enumerate(self._overlaps):
                fits = left & (overlaps >= threshold)
                fits = fits & ~spare if (fits & ~spare).any() else fits
                if fits.any():
                    best = (
                        len(fits) - 1 - int(np.where(fits, overlaps, -1)[::-1].argmax())
                    )  # the last of equals
                    left[best] = self._crowd[best]
                    right[level, index], idle[level, index] = not spare[best], spare[best]
        return right, idle, int((~spare).sum())


def _outside(areas: NDArray[np.float64], size: tuple[float, float]) -> NDArray[np.bool_]:
    outside: NDArray[np.bool_] = (areas < size[0]) | (areas > size[1])
    return outside


def _curve(
    videos: Sequence[_Pairs], size: tuple[float, float], most: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Of a category the mean precision and the highest recall by threshold; nan if it has no true objects."""
    matched = [of.matched(size) for of in videos]
    count = sum(true for _, _, true in matched)
    if not count:
        return np.full(len(THRESHOLDS), np.nan), np.full(len(THRESHOLDS), np.nan)
    order = np.argsort(-np.concatenate([of.scores[:most] for of in videos]), kind="stable")
    right = np.concatenate([right[:, :most] for right, _, _ in matched], axis=1)[:, order]
    idle = np.concatenate([idle[:, :most] for _, idle, _ in matched], axis=1)[:, order]
    hits, misses = np.cumsum(right & ~idle, axis=1), np.cumsum(~right & ~idle, axis=1)
    recalls = hits / count
    # The precision at a recall is the best one there or at any higher recall.
    best = np.maximum.accumulate((hits / np.maximum(hits + misses, 1))[:, ::-1], axis=1)[:, ::-1]
    best = np.pad(best, ((0, 0), (0, 1)))  # what is never reached has none
    places = [np.searchsorted(of, RECALLS) for of in recalls]
    precision = np.array([row[at].mean() for row, at in zip(best, places, strict=True)])
    return precision, recalls.max(axis=1, initial=0)


def read_truth(file: Path) -> tuple[dict[int, Mapping[str, Any]], list[Instance]]:
    """The videos by id and the true objects of annotations of YouTube-VIS.

    Raises:
        ExportError: if the file is broken, or holds no annotations (those of test sets are not published).
    """
    with reading(file):
        document = load_json(file)
        videos = {int(video["id"]): video for video in document["videos"]}
        if not document.get("annotations"):
            raise ExportError("it holds no annotations, so there is nothing to compare with")
        return videos, [_instance(given, videos) for given in document["annotations"]]


def read_results(file: Path, videos: Mapping[int, Mapping[str, Any]]) -> list[Instance]:
    """Predictions: a list of objects with scores as YouTube-VIS has it, or a file of our exporter ``ytvis``.

    Args:
        file: the file, or the folder that holds ``ytvis.json``.
        videos: those of the annotations, by id. An object has a mask or null for each of their frames; in a
            file with ``videos`` of its own, as our exporter writes it, for those that are named there.

    Raises:
        ExportError: if the file is broken, or about other videos.
    """
    file = inside(file, "ytvis.json")
    with reading(file):
        document = json.loads(file.read_text(encoding="utf-8-sig"))
        rows = document["annotations"] if isinstance(document, dict) else document
        own = document.get("videos", []) if isinstance(document, dict) else []
        names = {int(video["id"]): video.get("file_names", []) for video in own}
        found = [_instance(given, videos, float(given["score"]), names) for given in rows]
        if not all(math.isfinite(instance.score) for instance in found):
            raise ExportError("a score is no number")
        return found


def _instance(
    given: Mapping[str, Any],
    videos: Mapping[int, Mapping[str, Any]],
    score: float = 1.0,
    names: Mapping[int, Sequence[str]] = MappingProxyType({}),
) -> Instance:
    video_id, shown = int(given["video_id"]), given["segmentations"]
    if video_id not in videos:
        some = ", ".join(map(str, [*videos][:5]))
        raise ExportError(f"there is no video {video_id}; the annotations have {some}")
    video = videos[video_id]
    size, length = (int(video["height"]), int(video["width"])), int(video.get("length", len(shown)))
    rles: list[dict[str, Any] | None] = [None] * length
    places = _places(len(shown), length, names.get(video_id, ()))
    if places is None:
        raise ExportError(f"an object of video {video_id} has {len(shown)} masks, the video {length} frames")
    for place, mask in zip(places, shown, strict=True):
        rles[place] = masks.to_coco(segmentation(mask, size)) if mask else None
    crowd = bool(given.get("iscrowd", 0))
    return Instance(video_id, int(given["category_id"]), tuple(rles), score, crowd)


def _places(count: int, length: int, names: Sequence[str]) -> Sequence[int] | None:
    """On which frames so many masks lie: on all, or on those whose numbers are in the names."""
    if count == length:
        return range(length)
    numbers = [int(found[-1]) for name in names if (found := re.findall(r"\d+", Path(name).stem))]
    fits = count == len(names) == len(set(numbers)) and max(numbers, default=0) < length
    return numbers if fits else None
