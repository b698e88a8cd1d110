"""What a user asks of whole objects: seeds, remove, merge, split, re-number, divide, begin and end."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from sam2_core import Mask, Prompt, PromptError, Session, automatic_prompts
from sam2_napari.convert import Drawn, PromptKey, as_drawn, split_mask
from sam2_napari.events import Progress, Said, Telling
from sam2_napari.workspace import Pace, Workspace


def seed(
    workspace: Workspace, frame_index: int, name: str, read: Callable[[], NDArray[np.integer]]
) -> Telling:
    """Every object of a label image becomes an object, under its own number where that is free.

    Objects that lie mostly on one that is known on this frame are left out: those are followed already.

    Args:
        workspace: the session.
        frame_index: the frame.
        name: of the layer with the labels.
        read: gives them, ``(height, width)``.

    Raises:
        PromptError: if they cannot be read, are no labels of this image, or empty.
    """
    session = workspace.session
    try:
        labels = read()
    except Exception as error:  # whatever the data of a layer raise
        raise PromptError(f"the layer {name!r} cannot be read on this frame: {error}") from error
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


def find(workspace: Workspace, frame_index: int) -> Telling:
    """Look for all objects of a frame that are not known yet; what was found until it is stopped counts.

    Raises:
        VideoError: if the frame cannot be read.
    """
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


def remove(workspace: Workspace, object_id: int, frame_index: int) -> Telling:
    """Remove an object with its prompts and masks.

    Raises:
        PromptError: if there is no such object.
    """
    with workspace.step(f"removal of object {object_id}"):
        workspace.session.remove_object(object_id)
    yield from workspace.changed(frame_index)


def renumber(workspace: Workspace, old: int, new: int, frame_index: int) -> Telling:
    """Give an object another number, all else stays.

    Raises:
        PromptError: if that number is in use.
    """
    with workspace.step(f"new number {new} of object {old}"):
        workspace.session.rename_object(old, new)
    yield from workspace.changed(frame_index)


def merge(workspace: Workspace, kept: int, other: int, frame_index: int) -> Telling:
    """Two objects that are one: the first takes the place of the second, which goes.

    On this frame and on all on which the second has a prompt, the first is both masks together. If the second
    divides, the first does so instead.

    Raises:
        PromptError: if they are one already, or a division of the first stands against it.
    """
    session = workspace.session
    if kept == other:
        raise PromptError(f"object {kept} cannot be merged with itself; give the number of another object")
    frames = {p.frame_index for p in session.prompts if p.object_id == other}
    if _union(session, frame_index, [other]) is not None:
        frames.add(frame_index)
    masks = {i: _union(session, i, (kept, other)) for i in sorted(frames)}
    with workspace.step(f"merger of objects {kept} and {other}"):
        divisions = _divisions_with(session, kept, other)
        for _, mother, _ in divisions:
            session.undivide(mother)
        lives = session.lifetime(kept), session.lifetime(other)
        session.set_lifetime(kept, range(min(life.start for life in lives), max(life.stop for life in lives)))
        session.remove_object(other)
        for i, mask in masks.items():
            if mask is not None:
                session.add_prompt(Prompt(i, kept, mask=mask))
        for division, mother, daughters in divisions:
            session.divide(division, kept if mother == other else mother, daughters)
    yield from workspace.changed(frame_index)
    life = session.lifetime(kept)
    yield Said(
        f"object {other} is a part of object {kept} now, which is there on frames {life.start} to "
        f"{life.stop - 1}; track it again (G)"
    )


def _union(session: Session, frame_index: int, object_ids: Sequence[int]) -> Mask | None:
    """What objects cover together on a frame; None for nothing."""
    masks = [mask for _, mask in session.result(frame_index, object_ids) if mask.any()]
    return np.logical_or.reduce(masks) if masks else None


def _divisions_with(session: Session, kept: int, other: int) -> list[tuple[int, int, list[int]]]:
    """The divisions that an object has a part in.

    Returns:
        Of each the frame, the mother, and the daughters with the one that stays in the place of the other.
    """
    lineage, found = session.lineage, list[tuple[int, int, list[int]]]()
    for mother in {*lineage.values()} & {lineage.get(other, other), other}:
        daughters = [daughter for daughter, its in lineage.items() if its == mother]
        if kept == mother or (other == mother and kept in daughters):
            raise PromptError(
                f"object {mother} divides into {', '.join(map(str, daughters))}; "
                "if it is one object, first take that back with 'undivide'"
            )
        renamed = list(dict.fromkeys(kept if daughter == other else daughter for daughter in daughters))
        found.append((session.lifetime(mother).stop, mother, renamed))
    return found


def split(workspace: Workspace, object_id: int, frame_index: int) -> Telling:
    """One object that is several: on this frame each part of its mask is an object, the largest keeps the id.

    If there are several clicks on the object on this frame, there is a part for each; else its shape decides.

    Raises:
        PromptError: if it has no mask here, or cannot be parted.
    """
    session = workspace.session
    mask = dict(session.result(frame_index, [object_id])).get(object_id)
    if mask is None or not mask.any():
        raise PromptError(
            f"object {object_id} has no mask on frame {frame_index}; go to a frame where it has"
        )
    clicks = as_drawn(session.prompts).get(PromptKey(frame_index, object_id), Drawn()).points
    parts = split_mask(mask, [click for click in clicks if click.positive])
    with workspace.step(f"split of object {object_id}"):
        session.add_prompt(Prompt(frame_index, object_id, mask=parts[0]))
        new = []
        for part in parts[1:]:
            new.append(workspace.free_id())
            session.add_prompt(Prompt(frame_index, new[-1], mask=part))
    yield from workspace.frame(frame_index)
    yield Said(f"object {object_id} was split; new: {', '.join(map(str, new))}")


def divide(workspace: Workspace, mother: int, daughters: Sequence[int], frame_index: int) -> Telling:
    """From this frame on the mother is gone, and the daughters are there.

    Raises:
        PromptError: if one of them is not as it has to be for that; it says why.
    """
    with workspace.step(f"division of object {mother}"):
        workspace.session.divide(frame_index, mother, daughters)
    yield from workspace.changed(frame_index)


def undivide(workspace: Workspace, mother: int, frame_index: int) -> Telling:
    """The mother did not divide; it and the daughters live as was said of them otherwise.

    Raises:
        PromptError: if it does not divide.
    """
    with workspace.step(f"taking back the division of object {mother}"):
        workspace.session.undivide(mother)
    yield from workspace.changed(frame_index)


def begin_or_end(workspace: Workspace, object_id: int, frame_index: int, *, end: bool) -> Telling:
    """The object is first seen on this frame, or with ``end`` seen on it for the last time.

    Raises:
        PromptError: if it is not there on this frame, or a prompt or division says otherwise.
    """
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
