"""Points and rectangles of napari's layers, and the prompts of a session; pure, knows no napari.

Of a layer's coordinates this takes what ``Axes`` says: the frame along the time axis, y and x last, in pixels
with ``(0, 0)`` in the centre of the first pixel, which is the convention of ``sam2_core`` as well.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage

from sam2_core import Box, Mask, Point, Prompt, PromptError
from sam2_napari.axes import Axes


class PromptKey(NamedTuple):
    """Whom a prompt is about."""

    frame_index: int
    object_id: int


class Drawn(NamedTuple):
    """What is drawn for one object on one frame."""

    points: tuple[Point, ...] = ()
    box: Box | None = None


def drawn(
    axes: Axes,
    points: Sequence[ArrayLike],
    signs: Iterable[bool],
    point_ids: Iterable[int],
    rectangles: Sequence[ArrayLike],
    rectangle_ids: Iterable[int],
) -> dict[PromptKey, Drawn]:
    """What is drawn in the two layers, by frame and object.

    Args:
        axes: of the layers.
        points: coordinates, each ``(ndim,)``.
        signs: whether each is positive.
        point_ids: the object of each.
        rectangles: corners, each ``(4, ndim)``; of several for one object on one frame the last counts.
        rectangle_ids: the object of each.
    """
    found: dict[PromptKey, Drawn] = {}
    for data, positive, object_id in zip(points, signs, point_ids, strict=True):
        place = np.asarray(data, np.float64).tolist()
        key = PromptKey(axes.frame_of(place), int(object_id))
        before = found.get(key, Drawn())
        click = Point(place[-1], place[-2], bool(positive))
        found[key] = before._replace(points=(*before.points, click))
    for data, object_id in zip(rectangles, rectangle_ids, strict=True):
        corners = np.asarray(data, np.float64)
        key = PromptKey(axes.frame_of(corners[0].tolist()), int(object_id))
        found[key] = found.get(key, Drawn())._replace(box=enclosing(corners))
    return found


def enclosing(corners: NDArray[np.float64]) -> Box:
    """The box around corners, each ``(..., y, x)``."""
    (top, left), (bottom, right) = corners[:, -2:].min(axis=0), corners[:, -2:].max(axis=0)
    return Box(float(left), float(top), float(right), float(bottom))


def differences(before: Mapping[PromptKey, Drawn], now: Mapping[PromptKey, Drawn]) -> dict[PromptKey, Drawn]:
    """What is drawn otherwise than before; an empty ``Drawn`` where nothing is left."""
    keys = [key for key in {**before, **now} if before.get(key) != now.get(key)]
    return {key: now.get(key, Drawn()) for key in keys}


def as_drawn(prompts: Iterable[Prompt]) -> dict[PromptKey, Drawn]:
    """What a user has drawn to give these prompts; painted masks are not in it.

    The first point of a correction was not drawn: it says which object the mask means. Boxes are rounded as
    rectangles of napari are, to float32: what was drawn compares as equal to what is drawn again.
    """
    found = {}
    for prompt in prompts:
        points = prompt.points[1:] if prompt.encoded_previous is not None else prompt.points
        box = None if prompt.box is None else Box(*np.array(prompt.box, np.float32).tolist())
        if points or box is not None:
            found[PromptKey(prompt.frame_index, prompt.object_id)] = Drawn(points, box)
    return found


class Rows(NamedTuple):
    """What two layers hold, for prompts.

    Attributes:
        points: ``(points, ndim)``.
        signs, point_ids: of each point.
        rectangles: corners, each ``(4, ndim)``.
        rectangle_ids: of each rectangle.
    """

    points: NDArray[np.float64]
    signs: list[bool]
    point_ids: list[int]
    rectangles: list[NDArray[np.float64]]
    rectangle_ids: list[int]


def rows(axes: Axes, found: Mapping[PromptKey, Drawn], position: Sequence[float]) -> Rows:
    """The contents of the two layers that say this; ``position`` fills the axes but time, y and x."""
    points, signs, point_ids, rectangles, rectangle_ids = [], [], [], [], []
    for (frame_index, object_id), (clicks, box) in found.items():
        for x, y, positive in clicks:
            points.append(axes.coordinates(frame_index, y, x, position))
            signs.append(positive)
            point_ids.append(object_id)
        if box is not None:
            corners = (
                (box.top, box.left),
                (box.top, box.right),
                (box.bottom, box.right),
                (box.bottom, box.left),
            )
            rectangles.append(np.array([axes.coordinates(frame_index, y, x, position) for y, x in corners]))
            rectangle_ids.append(object_id)
    data = np.array(points, np.float64).reshape(-1, axes.ndim)
    return Rows(data, signs, point_ids, rectangles, rectangle_ids)


def track_rows(
    axes: Axes, found: NDArray[np.float64], position: Sequence[float]
) -> NDArray[np.float64] | None:
    """Places of objects as a Tracks layer wants them: object, time, y and x, with other axes between.

    Napari takes the second column for the time, and the axes of a layer for the last ones of the image.

    Args:
        axes: of the image.
        found: object, frame, y and x, ``(places, 4)``.
        position: fills the axes but time, y and x.

    Returns:
        ``(places, 4)`` or ``(places, 5)``; None for an image whose axes no Tracks layer can have.
    """
    if axes.time == axes.ndim - 3:
        return found
    if axes.time != 0 or axes.ndim != 4:
        return None
    return np.insert(found, 2, axes.index(0, position)[1], axis=1)


def split_mask(mask: Mask, points: Sequence[Point]) -> list[Mask]:
    """The parts of a mask, the largest first.

    Args:
        mask: ``(height, width)``.
        points: one in each part: every pixel goes to the nearest. None: separate pieces are parts, and a mask
            of one piece is parted at its waist.

    Raises:
        PromptError: if there is nothing to part.
    """
    if len(points) > 1:
        places = np.argwhere(mask)
        seeds = np.array([(y, x) for x, y, _ in points])
        nearest = ((places[:, None] - seeds) ** 2).sum(-1).argmin(1)
        labels = np.zeros(mask.shape, np.int32)
        labels[mask] = nearest + 1
    else:
        labels, pieces = ndimage.label(mask)
        labels = labels if pieces > 1 else _parted_at_the_waist(mask)
    parts = [labels == i for i in range(1, int(labels.max()) + 1)]
    parts = sorted((part for part in parts if part.any()), key=np.count_nonzero, reverse=True)
    if len(parts) < 2:
        raise PromptError("this mask has no waist to part it at; click once into each part, then split")
    return parts


def _parted_at_the_waist(mask: Mask) -> NDArray[np.int32]:
    """The mask eroded until it falls apart, each pixel given to the nearest piece."""
    depth = ndimage.distance_transform_edt(np.pad(mask, 1))[1:-1, 1:-1]
    for level in np.unique(np.ceil(depth[mask]))[:-1]:
        pieces, count = ndimage.label(depth > level)
        sizes = np.bincount(pieces.ravel())[1:]
        if count > 1 and sizes.max() < sizes.sum() * 0.95:
            _, (ys, xs) = ndimage.distance_transform_edt(pieces == 0, return_indices=True)
            return np.asarray(np.where(mask, pieces[ys, xs], 0), np.int32)
    return mask.astype(np.int32)
