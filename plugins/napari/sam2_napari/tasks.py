"""What a user asks of a session: prompts, tracking, undo; generators that tell what has changed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress

import numpy as np
from numpy.typing import NDArray

from sam2_core import Box, Mask, Point, Prompt, PromptError, SAM2Error, SupersededError
from sam2_napari.events import Progress, Said, Telling
from sam2_napari.workspace import Pace, Workspace

TRACKING = "tracking"
"""What undo calls a propagation."""


def draw(
    workspace: Workspace, frame_index: int, object_id: int, points: Sequence[Point], box: Box | None
) -> Telling:
    """All points and the box that are drawn for an object on a frame; none takes the prompt back.

    Raises:
        PromptError: if they do not fit the frame, or say nothing.
        VideoError: if the frame cannot be read.
    """
    with workspace.step(f"prompt of object {object_id}"):
        if points or box:
            existing = workspace.prompt(frame_index, object_id)
            prompt = _drawn(workspace, frame_index, object_id, tuple(points), box)
            workspace.session.add_prompt(prompt)
            workspace.lay_over(prompt, existing)
        else:
            _forget(workspace, frame_index, object_id)
    # An object whose last prompt goes, goes from all frames.
    yield from workspace.frame(frame_index) if points or box else workspace.changed(frame_index)


def _drawn(
    workspace: Workspace, frame_index: int, object_id: int, points: tuple[Point, ...], box: Box | None
) -> Prompt:
    """The prompt that says what is drawn; points on a mask that is there already correct that mask."""
    session, existing = workspace.session, workspace.prompt(frame_index, object_id)
    if box is not None or not points:
        return Prompt(frame_index, object_id, points, box)
    base = existing
    if existing is not None and existing.encoded_previous is None:  # what was drawn over it may be gone
        base = workspace.beneath(existing)
    if base is not None and base.encoded_previous is not None:
        # The first point was not drawn: it says which object the mask means, see Session.correction.
        anchored = (base.points[0], *points)
        return Prompt(frame_index, object_id, anchored, previous=base.encoded_previous)
    if base is not None:
        session.add_prompt(base)
        return session.correction(frame_index, object_id, *points)
    tracked = existing is None and object_id in session.object_ids
    if tracked and session.result(frame_index, [object_id]).visible.any():
        return session.correction(frame_index, object_id, *points)
    if not any(point.positive for point in points):
        raise PromptError(
            f"object {object_id} has no mask on frame {frame_index} yet; click on the object first"
        )
    return Prompt(frame_index, object_id, points)


def _forget(workspace: Workspace, frame_index: int, object_id: int) -> None:
    """Take a prompt back; of a mask that was painted and then corrected, the painted mask stays."""
    session, existing = workspace.session, workspace.prompt(frame_index, object_id)
    if existing is None:
        return
    beneath = workspace.beneath(existing)
    corrected = None if beneath is None else beneath.encoded_previous
    others = [p for p in session.prompts if p.object_id == object_id and p is not existing]
    if beneath is not None and beneath.encoded_mask is not None:
        session.add_prompt(beneath)
    elif corrected is not None and not others:
        # As after reopening: only paint can be the base of the only prompt of an object.
        session.add_prompt(Prompt(frame_index, object_id, mask=corrected))
    else:
        session.remove_prompt(frame_index, object_id)


def paint(
    workspace: Workspace,
    frame_index: int,
    labels: NDArray[np.int32],
    before: NDArray[np.int32] | None = None,
) -> Telling:
    """What a user painted: each object whose pixels changed has the painted mask as its prompt there.

    Args:
        workspace: the session.
        frame_index: the frame.
        labels: the picture after the stroke, ``(height, width)``.
        before: the picture that was painted on, likewise; tracking may have brought another since, which
            the stroke leaves alone. None for the present one.

    Raises:
        PromptError: if an object does not exist on this frame.
        VideoError: if the frame cannot be read.
    """
    session = workspace.session
    shown = workspace.labels(session.result(frame_index))
    workspace.repaint(frame_index)
    erased = []
    try:
        with workspace.step("painting"):
            for object_id, mask in _painted(shown, shown if before is None else before, labels):
                if mask.any():
                    session.add_prompt(Prompt(frame_index, object_id, mask=mask))
                elif object_id in session.object_ids:
                    erased.append(object_id)
    except Exception:
        yield from workspace.frame(frame_index)  # nothing was done, so the stroke goes as well
        raise
    yield from workspace.frame(frame_index)
    if erased:
        names = ", ".join(map(str, erased))
        yield Said(
            f"object {names} cannot be erased from frame {frame_index} alone; "
            "remove it, or let it end or begin here"
        )


def _painted(
    shown: NDArray[np.int32], before: NDArray[np.int32], after: NDArray[np.int32]
) -> Iterator[tuple[int, Mask]]:
    """Each object that a stroke changed, and its mask on what is shown now."""
    touched = before != after
    changed = np.union1d(before[touched], after[touched])
    for object_id in changed[changed > 0].tolist():
        yield object_id, np.where(touched, after, shown) == object_id


def track(workspace: Workspace, ranges: Sequence[range] | None, object_ids: Sequence[int] | None) -> Telling:
    """Track objects, one step of undo for all of it.

    Args:
        workspace: the session.
        ranges: frames, each range in its direction; None for the canonical result of the whole video.
        object_ids: the objects; None for all.

    Raises:
        PromptError: if none of these objects is there.
        VideoError: at a frame that cannot be read; what was tracked until then is kept.
    """
    step, seen = workspace.begin(TRACKING), 0
    try:
        for frames in [None] if ranges is None else ranges:
            for event in _through(workspace, frames, object_ids):
                seen += 1
                yield event
    finally:  # what was done until it was stopped, or failed, is kept and can be undone
        if not seen:
            workspace.drop(step)


def _through(workspace: Workspace, frames: range | None, object_ids: Sequence[int] | None) -> Telling:
    session = workspace.session
    total = len(session.video) if frames is None else len(frames)
    pace, seen = Pace(total), set()
    while True:
        ids = None if object_ids is None else [i for i in object_ids if i in session.object_ids]
        if object_ids and not ids:
            names = ", ".join(map(str, object_ids))
            raise PromptError(f"object {names} is not there; click on it first, or track all objects")
        try:
            for result in session.propagate(frames, object_ids=ids):
                seen.add(result.frame_index)
                if (shown := workspace.shown(session.result(result.frame_index))) is not None:
                    yield shown
                yield Progress(len(seen), total, pace.left(len(seen)))
        except SupersededError:
            # A click passed between two frames, a step of its own; frames that are up to date cost nothing.
            workspace.begin(TRACKING)
            continue
        return


def undo(workspace: Workspace, frame_index: int, *, again: bool = False) -> Telling:
    """Take the last step back, or with ``again`` do it once more."""
    name = workspace.redo() if again else workspace.undo()
    if name is None:
        yield Said("there is nothing to do again" if again else "there is nothing to undo")
    yield from workspace.changed(frame_index)


def warm_up(workspace: Workspace, frame_index: int) -> Telling:
    """Click somewhere and forget it: the first click of the user does not wait for what this sets up."""
    height, width = workspace.session.video.size
    prompt = Prompt(frame_index, workspace.free_id(), (Point(width / 2, height / 2),))
    with suppress(SAM2Error):  # a frame that cannot be read is told when it is needed
        workspace.session.candidates(prompt)
    yield from ()
