"""State that grows with the video: tensors that stay alive from frame to frame."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import torch

from sam2_core.bench.cases import Conditions, Counted
from sam2_core.bench.films import Panned, frames_of
from sam2_core.bench.theirs import Theirs
from sam2_core.limits import Limits
from sam2_core.prompts import Prompt
from sam2_core.session import Session
from sam2_core.tracking.sam2_model import Sam2Model
from sam2_core.types import Point

STARTS = {1: Point(100.0, 130.0), 2: Point(200.0, 130.0)}
"""The objects whose state is counted, and where they are clicked on the first frame."""


def kept_tensors(conditions: Conditions) -> Counted:
    """Bytes of tensors that stay alive, per frame and object, once the rings are full.

    The budgets for features and restart points are 0: the usual ones would take longer to be full.
    Results are not counted: ours are run lengths, no tensors; the library gives its masks away, and those
    that it keeps nevertheless count. Its frames are there before.
    """
    network = conditions.network("sam2.1-tiny", 256)
    frames = conditions.count(300, 60)
    video = Panned(frames, (270, 480))
    limits = Limits(feature_bytes=0, restart_bytes=0)
    session = Session(video, Sam2Model(network, "random", conditions.device, "auto"), limits)
    for object_id, point in STARTS.items():
        session.add_prompt(Prompt(0, object_id, (point,)))
    ours = slope(len(video), (None for _ in session.propagate()))
    del session
    theirs = [slope(len(video), _their_frames(other, video)) for other in conditions.theirs(network).values()]
    return Counted(ours, min(theirs, default=None))


def _their_frames(other: Theirs, video: Panned) -> Iterator[None]:
    session = other.session(frames_of(video), video.size)
    for object_id, point in STARTS.items():
        other.click(session, 0, object_id, point)
    yield
    for index in range(1, len(video)):
        other.step(session, index)
        yield


def slope(frames: int, each: Iterator[None]) -> float:
    """Bytes per frame and object by which the last third of a video needs more than the middle one.

    The largest values of both count: what comes and goes does not.

    Args:
        frames: the length of the video.
        each: computes the next frame at each step.
    """
    every = max(1, frames // 30)  # looking takes time
    kept = [_alive() for index, _ in enumerate(each) if index % every == 0]
    third = len(kept) // 3
    grown = max(kept[2 * third :]) - max(kept[third : 2 * third])
    return max(0.0, grown / (third * every) / len(STARTS))


def _alive() -> int:
    """Bytes of all tensors that are alive, each storage once."""
    storages = {}
    for found in gc.get_objects():
        if issubclass(type(found), torch.Tensor) and found.device.type != "meta":
            storage = found.untyped_storage()
            storages[storage.data_ptr()] = storage.nbytes()
    return sum(storages.values())
