"""Prompts and their video: whether they fit it, and how clicks correct the mask that is shown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from sam2_core import masks
from sam2_core.errors import PromptError
from sam2_core.prompts import Prompt
from sam2_core.types import Mask, Point, Video


def check_fits(prompt: Prompt, video: Video) -> None:
    """Whether the frame of a prompt exists and what it says lies on it.

    Raises:
        PromptError: if not; it says what there is.
    """
    if not isinstance(prompt, Prompt):
        raise PromptError(f"give a Prompt; got {type(prompt).__name__}")
    height, width = video.size
    where = f"object {prompt.object_id} on frame {prompt.frame_index}"
    if not 0 <= prompt.frame_index < len(video):
        raise PromptError(f"{where}: the video has frames 0..{len(video) - 1}")
    for x, y, _ in prompt.points:
        if not (-0.5 <= x <= width - 0.5 and -0.5 <= y <= height - 0.5):
            raise PromptError(f"{where}: the point ({x:g}, {y:g}) lies outside the {width} x {height} frame")
    box = prompt.box
    if box and (box.left > width - 0.5 or box.top > height - 0.5 or box.right < -0.5 or box.bottom < -0.5):
        raise PromptError(f"{where}: the box {tuple(box)} lies outside the {width} x {height} frame")
    for mask in (prompt.encoded_mask, prompt.encoded_previous):
        if mask is not None and mask.size != (height, width):
            raise PromptError(
                f"{where}: the mask is {mask.size[1]} x {mask.size[0]}, the frame {width} x {height}"
            )


def renamed(prompt: Prompt, object_id: int) -> Prompt:
    """The same prompt of another object.

    Raises:
        PromptError: if that is no id of an object.
    """
    return replace(prompt, object_id=object_id, mask=prompt.encoded_mask, previous=prompt.encoded_previous)


def correcting_points(frame_index: int, object_id: int, points: Sequence[Point], video: Video) -> Prompt:
    """Clicks and nothing else, as a prompt that fits the video.

    Raises:
        PromptError: if there is none, or one that is no point of the frame.
    """
    if not points:
        raise PromptError(f"object {object_id} on frame {frame_index}: a correction takes at least one point")
    given = Prompt(frame_index, object_id, tuple(points))
    check_fits(given, video)
    return given


def corrected(given: Prompt, existing: Prompt | None, shown: Mask | None) -> Prompt:
    """The prompt that corrects what is shown on a frame by clicks.

    Args:
        given: the clicks.
        existing: the prompt of that frame and object, if there is one.
        shown: the mask that is shown there, if there is one.
    """
    if existing is not None and existing.encoded_mask is None:
        points, previous = existing.points, existing.previous
        if previous is not None and points[:1] == (deepest_point(previous, points[1:]),):
            return _from_mask(previous, replace(given, points=(*points[1:], *given.points)))
        return replace(existing, points=(*points, *given.points), previous=existing.encoded_previous)
    mask = shown if existing is None else existing.mask
    return given if mask is None or not mask.any() else _from_mask(mask, given)


def _from_mask(mask: Mask, given: Prompt) -> Prompt:
    # The first point says which object the mask means: the decoder has never seen a mask without one.
    return replace(given, points=(deepest_point(mask, given.points), *given.points), previous=mask)


def deepest_point(mask: Mask, points: Sequence[Point]) -> Point:
    """The point that lies deepest in a mask, as far from its border as from any negative click on it.

    If negative clicks lie on all of the mask, they are not looked at.
    """
    height, width = mask.shape
    left = mask.copy()
    for x, y, positive in points:
        if not positive:
            left[min(max(round(y), 0), height - 1), min(max(round(x), 0), width - 1)] = False
    return Point(*masks.middle(left if left.any() else mask))
