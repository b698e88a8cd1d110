"""From frames to windows and back: prompts in the pixels of a window, masks in those of the frame."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import numpy as np

from sam2_core import masks
from sam2_core.hookspecs import Segmentation
from sam2_core.prompts import Prompt
from sam2_core.results import RunLengths
from sam2_core.tracking.windows import Place, Window
from sam2_core.types import Box, Point


def around(points: Iterable[Point], place: Place | None) -> Place:
    """The rectangle of points and of a place."""
    found = place
    for point in points:
        row, column = int(np.floor(point.y + 0.5)), int(np.floor(point.x + 0.5))
        found = Place(row, column, row + 1, column + 1).joined(found)
    if found is None:
        raise ValueError("neither points nor a place")
    return found


def said(prompt: Prompt, before: Segmentation | None) -> Place:
    """Where an object is, as far as a prompt and its answer so far say."""
    if prompt.encoded_mask is not None:
        return around((), Place.of(prompt.encoded_mask))
    place = None if before is None else Place.of(before.encoded)
    if prompt.encoded_previous is not None and (previous := Place.of(prompt.encoded_previous)) is not None:
        place = previous.joined(place)
    box = prompt.box
    corners = () if box is None else (Point(box.left, box.top), Point(box.right, box.bottom))
    inside = [point for point in prompt.points if point.positive]
    if not (inside or corners or place):
        return around(prompt.points, None)
    return around((*corners, *inside), place)  # what is not the object may be anywhere


def within(prompt: Prompt, frame: tuple[int, int]) -> Prompt:
    """The prompt with its box cut at the borders of the frame: there is nothing to be seen beyond."""
    box = prompt.box
    if box is None:
        return prompt
    bottom, right = frame[0] - 1, frame[1] - 1
    cut = Box(max(box.left, 0), max(box.top, 0), min(box.right, right), min(box.bottom, bottom))
    return replace(prompt, box=cut) if cut.left < cut.right and cut.top < cut.bottom else prompt


def prompt_in(prompt: Prompt, window: Window | None) -> Prompt:
    """The prompt in the pixels of a window, without negative clicks beside it."""
    if window is None:
        return prompt
    top, left, last = window.top, window.left, window.side - 0.5
    box = prompt.box
    points = [Point(p.x - left, p.y - top, p.positive) for p in prompt.points]
    seen = [p for p in points if -0.5 <= p.x <= last and -0.5 <= p.y <= last]
    return replace(
        prompt,
        points=tuple(p for p in points if p.positive or p in seen or not seen),
        box=None if box is None else Box(box.left - left, box.top - top, box.right - left, box.bottom - top),
        mask=_mask_in(prompt.encoded_mask, window),
        previous=_mask_in(prompt.encoded_previous, window),
    )


def _mask_in(mask: RunLengths | None, window: Window) -> RunLengths | None:
    """What lies in the window of a mask of the frame, in its pixels."""
    if mask is None:
        return None
    top, left, side = mask.top - window.top, mask.left - window.left, window.side
    inside = mask.crop()[max(0, -top) : max(0, side - top), max(0, -left) : max(0, side - left)]
    return masks.encode(inside, size=(side, side), top=max(0, top), left=max(0, left))


def on_frame(found: Segmentation, window: Window | None, frame: tuple[int, int]) -> Segmentation:
    """What was found in a window, in the pixels of the frame."""
    if window is None:
        return found
    mask = found.encoded
    top, left = window.top + mask.top, window.left + mask.left
    if top + mask.shape[0] > frame[0] or left + mask.shape[1] > frame[1]:  # on the padding
        inside = mask.crop()[: max(0, frame[0] - top), : max(0, frame[1] - left)]
        mask = masks.encode(inside, size=frame, top=top, left=left)
    elif mask.area:
        mask = replace(mask, size=frame, top=top, left=left)
    else:
        mask = replace(mask, size=frame)
    there = found.visible and mask.area > 0
    return replace(found, encoded=mask, score=found.score if there else 0.0, visible=there)


def mirrored_click(click: Prompt, width: int) -> Prompt:
    """A click on the mirror image of a frame of this width."""
    return replace(click, points=tuple(Point(width - 1 - p.x, p.y, p.positive) for p in click.points))


def mirrored(mask: RunLengths) -> RunLengths:
    """A mask with left and right exchanged."""
    left = mask.size[1] - mask.left - mask.shape[1]
    return masks.encode(mask.crop()[:, ::-1], size=mask.size, top=mask.top, left=left)
