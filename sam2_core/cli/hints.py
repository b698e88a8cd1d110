"""What is doubtful about the results, each in one line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sam2_core.results import Masklet

LOW = 0.6
"""Predicted IoU under which a mask is doubtful."""

MOST = 3
"""So many objects are named."""


def doubt(model: str, masklets: Mapping[int, Masklet]) -> str | None:
    """Which objects nano was unsure of, and what helps; None if there are none, or for another model.

    An object is doubtful if the mean predicted IoU of its visible masks is low.
    """
    if model != "nano":
        return None
    found = [text for object_id, masklet in masklets.items() if (text := _doubtful(object_id, masklet))]
    if not found:
        return None
    return (
        f"hint: nano is unsure of {_first(found)}; look at them (--format overlay) before using them. "
        "A published checkpoint may do better ('sam2 models fetch sam2.1-tiny', then --model sam2.1-tiny)"
    )


def stale(masklets: Mapping[int, Masklet]) -> str | None:
    """Which objects have stale masks, and what helps; None if there are none."""
    old = {i: [index for index, frame in m.items() if frame.stale] for i, m in masklets.items()}
    found = [f"object {object_id} on {_frames(frames)}" for object_id, frames in old.items() if frames]
    if not found:
        return None
    return (
        f"hint: masks that are older than the prompts of their object, or of another model: {_first(found)}; "
        "to renew them, track with --both and without --frames"
    )


def _first(found: Sequence[str]) -> str:
    more = f" and {len(found) - MOST} more" if len(found) > MOST else ""
    return ", ".join(found[:MOST]) + more


def _doubtful(object_id: int, masklet: Masklet) -> str | None:
    scores = {frame_index: frame.score for frame_index, frame in masklet.items() if frame.visible}
    if not scores or (mean := sum(scores.values()) / len(scores)) >= LOW:
        return None
    low = [frame_index for frame_index, score in scores.items() if score < LOW]
    return f"object {object_id} on {_frames(low)} (predicted IoU {mean:.2f})"


def _frames(frames: Sequence[int]) -> str:
    first, last = frames[0], frames[-1]
    if first == last:
        return f"frame {first}"
    if len(frames) == last - first + 1:
        return f"frames {first}-{last}"
    return f"{len(frames)} frames of {first}-{last}"
