"""Prompts for the disks of ``videos_for_tests``, and what tests ask of a session's results and memory."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from types import BuiltinFunctionType, FunctionType, ModuleType

import numpy as np

from sam2_core import Limits, Masklet, Point, Prompt, Session
from sam2_core.tracking.sam2_values import Frame, Sam2Memory
from sam2_core.tracking.track import ObjectTrack
from sam2_core.tracking.tracker import Tracker
from tests.conftest import model
from tests.videos_for_tests import Disks


def click(frame_index: int, object_id: int = 1, disk: int = 0) -> Prompt:
    rows, columns = np.nonzero(Disks().mask(frame_index, disk))
    return Prompt(frame_index, object_id, (Point(float(columns.mean()), float(rows.mean())),))


def clicked(frames: int, limits: Limits | None = None) -> tuple[Tracker, ObjectTrack]:
    """What a session of SAM 2 on so many frames works with, with a click on frame 0."""
    tracker = Tracker(model("sam2"), Disks(frames), limits or Limits())
    track = ObjectTrack(1, tracker.spans)
    tracker.prompt(track, click(0))
    return tracker, track


def same(first: dict[int, Masklet], second: dict[int, Masklet]) -> bool:
    """Whether two sets of masklets are equal bit for bit: frames, run lengths, scores, visibility."""

    def rows(masklets: dict[int, Masklet]) -> list[tuple[object, ...]]:
        return [
            (
                object_id,
                i,
                f.score,
                f.visible,
                f.source,
                f.encoded.top,
                f.encoded.left,
                f.encoded.counts.tolist(),
            )
            for object_id, masklet in sorted(masklets.items())
            for i, f in masklet.items()
        ]

    return rows(first) == rows(second)


def held(session: Session) -> Iterator[object]:
    """Every object that a session keeps alive, each once, but for its model and its video."""
    seen = {id(session.model), id(session.video)}
    todo: list[object] = [session]
    while todo:
        found = todo.pop()
        if id(found) in seen or isinstance(found, (type, ModuleType, FunctionType, BuiltinFunctionType)):
            continue
        seen.add(id(found))
        yield found
        todo += gc.get_referents(found)
        if isinstance(found, np.ndarray):
            todo.append(found.base)  # a view keeps the whole array alive


def state_bytes(session: Session) -> int:
    """Bytes of all features and memories that a session on SAM 2 keeps, wherever it does."""
    return sum(found.nbytes for found in held(session) if isinstance(found, (Frame, Sam2Memory)))
