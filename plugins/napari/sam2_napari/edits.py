"""What a user asks of whole objects: seeds, remove, merge, split, re-number, divide, begin and end."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from sam2_core import Mask, Point, Prompt, PromptError, Session, automatic_prompts
from sam2_napari.convert import Drawn, Key, as_drawn, split_mask
from sam2_napari.events import Event, Progress, Said
from sam2_napari.workspace import Pace, Workspace


def seed(workspace: Workspace, frame_index: int, labels: NDArray[np.integer]) -> Iterator[Event]:
    """Every object of a label image becomes an object, under its own number where that is free.

    Objects that lie mostly on one that is known on this frame are left out: those are followed already.
    """
    session = workspace.session
    if labels.shape != session.video.size:
        raise PromptError(
            f"the labels are {' x '.join(map(str, labels.shape[::-1]))} pixels, the frame is "
            f"{session.video.size[1]} x {session.video.size[0]}; choose labels of this image"
        )
    if labels.dtype.kind not in "iub":
        raise PromptError(f"labels are whole numbers; these are {labels.dtype}, choose a Labels layer")
    known = session.result(frame_index).label_image() > 0
    ids = [int(i) for i in np.unique(labels) if i > 0]
    if not ids:
        raise PromptError(f"the labels are empty on frame {frame_index}; go to a frame where they are not")
    added, pace = 0, Pace(len(ids))
    step = workspace.begin("seeds")
    try:
        for done, label in enumerate(ids, 1):
            mask = labels == label
            if known[mask].mean() < 0.5:
                object_id = label if label not in session.object_ids else workspace.free_id(ids)
                session.add_prompt(Prompt(frame_index, object_id, mask=mask))
                added += 1
            yield Progress(done, len(ids), pace.left(done))
    finally:
        if not added:
            workspace.drop(step)
    yield from workspace.frame(frame_index)
    yield Said(f"{added} objects begin on frame {frame_index}; {len(ids) - added} were known already")


def find(workspace: Workspace, frame_index: int) -> Iterator[Event]:
    """Look for all objects of a frame that are not known yet; what was found until it is stopped counts."""
    session, pace, last = workspace.session, Pace(1), None
    found: tuple[Prompt, ...] = ()
    try:
        for last in automatic_prompts(session, frame_index):
            part = last.done / last.total if last.total else 1
            yield Progress(last.done, last.total, pace.left(part))
    finally:
        if last is not None and (found := last.prompts):
            with workspace.step("automatic seeds"):
                for prompt in found:
                    session.add_prompt(prompt)
    yield from workspace.frame(frame_index)
    yield Said(f"{len(found)} objects were found on frame {frame_index}")


def remove(workspace: Workspace, object_id: int, frame_index: int) -> Iterator[Event]:
    """Remove an object with its prompts and masks."""
    with workspace.step(f"removal of object {object_id}"):
        workspace.session.remove_object(object_id)
    yield from workspace.changed(frame_index)


def renumber(workspace: Workspace, old: int, new: int, frame_index: int) -> Iterator[Event]:
    """Give an object another number, all else stays."""
    with workspace.step(f"new number {new} of object {old}"):
        workspace.session.rename_object(old, new)
    yield from workspace.changed(frame_index)


def merge(workspace: Workspace, kept: int, other: int, frame_index: int) -> Iterator[Event]:
    """Two objects that are one: the first takes the place of the second, which goes.

    On this frame and on all on which the second has a prompt, the first is both masks together. If the second
    divides, the first does so instead.
    """
    session = workspace.session
    if kept == other:
        raise PromptError(f"object {kept} cannot be merged with itself; give the number of another object")
    frames = {p.frame_index for p in session.prompts if p.object_id == other} | {frame_index}
    masks = {i: _union(session, i, (kept, other)) for i in sorted(frames)}
    daughters = [daughter for daughter, mother in session.lineage.items() if mother == other]
    division = session.lifetime(other).stop
    with workspace.step(f"merger of objects {kept} and {other}"):
        _widen(session, kept, masks)
        session.remove_object(other)
        for i, mask in masks.items():
            if mask is not None:
                session.add_prompt(Prompt(i, kept, mask=mask))
        if daughters:
            session.divide(division, kept, daughters)
    yield from workspace.changed(frame_index)
    yield Said(f"object {other} is a part of object {kept} now; track it again (G)")


def _union(session: Session, frame_index: int, object_ids: Sequence[int]) -> Mask | None:
    """What objects cover together on a frame; None for nothing."""
    masks = [mask for _, mask in session.result(frame_index, object_ids) if mask.any()]
    return np.logical_or.reduce(masks) if masks else None


def _widen(session: Session, object_id: int, frames: Iterable[int]) -> None:
    """Have an object exist on these frames as well, where its user had it begin or end."""
    there = session.lifetime(object_id)
    first, last = min(*frames, there.start), max(*frames, there.stop - 1)
    session.set_lifetime(object_id, range(first, last + 1))


def split(workspace: Workspace, object_id: int, frame_index: int, points: Sequence[Point]) -> Iterator[Event]:
    """One object that is several: on this frame each part of its mask is an object, the largest keeps the id.

    Args:
        workspace: the session.
        object_id: the object.
        frame_index: the frame.
        points: one in each part; none for the clicks on the object on this frame if these are several, else
            to go by the shape of the mask.
    """
    session = workspace.session
    mask = dict(session.result(frame_index, [object_id])).get(object_id)
    if mask is None or not mask.any():
        raise PromptError(
            f"object {object_id} has no mask on frame {frame_index}; go to a frame where it has"
        )
    if not points:
        clicks = as_drawn(session.prompts).get(Key(frame_index, object_id), Drawn()).points
        points = [click for click in clicks if click.positive]
    parts = split_mask(mask, points)
    with workspace.step(f"split of object {object_id}"):
        session.add_prompt(Prompt(frame_index, object_id, mask=parts[0]))
        new = []
        for part in parts[1:]:
            new.append(workspace.free_id())
            session.add_prompt(Prompt(frame_index, new[-1], mask=part))
    yield from workspace.frame(frame_index)
    yield Said(f"object {object_id} was split; new: {', '.join(map(str, new))}")


def divide(workspace: Workspace, mother: int, daughters: Sequence[int], frame_index: int) -> Iterator[Event]:
    """From this frame on the mother is gone, and the daughters are there."""
    with workspace.step(f"division of object {mother}"):
        workspace.session.divide(frame_index, mother, daughters)
    yield from workspace.changed(frame_index)


def undivide(workspace: Workspace, mother: int, frame_index: int) -> Iterator[Event]:
    """The mother did not divide; she and the daughters live as was said of them otherwise."""
    with workspace.step(f"taking back the division of object {mother}"):
        workspace.session.undivide(mother)
    yield from workspace.changed(frame_index)


def begin_or_end(workspace: Workspace, object_id: int, frame_index: int, *, end: bool) -> Iterator[Event]:
    """The object is first seen on this frame, or with ``end`` seen on it for the last time."""
    session = workspace.session
    there = session.lifetime(object_id)
    if frame_index not in there:
        raise PromptError(
            f"object {object_id} is there on frames {there.start} to {there.stop - 1} only; go to one of them"
        )
    frames = range(there.start, frame_index + 1) if end else range(frame_index, there.stop)
    with workspace.step(f"{'end' if end else 'begin'} of object {object_id}"):
        session.set_lifetime(object_id, frames)
    yield from workspace.changed(frame_index)
