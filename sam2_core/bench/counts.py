"""What is counted, not timed as a pair: state that grows, and nano's frames per second."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterator

import torch

from sam2_core.bench.cases import Counted, Setting
from sam2_core.bench.random_networks import Panned, cells
from sam2_core.bench.theirs import Theirs
from sam2_core.limits import Limits
from sam2_core.models.preprocess import preprocess
from sam2_core.opening import open_session
from sam2_core.prompts import Prompt
from sam2_core.session import Session
from sam2_core.tracking.sam2_model import Sam2Model
from sam2_core.types import Box, Point

OBJECTS = 2
"""Objects whose state is counted."""


def growth(setting: Setting) -> Counted:
    """Bytes of tensors that stay alive, per frame and object, once the rings are full.

    The budgets for features and restart points are 0: the usual ones would take longer to be full.
    Results are not counted: ours are run lengths, no tensors; the library gives its masks away, and those
    that it keeps nevertheless count. Its frames are there before.
    """
    network = setting.network("sam2.1-tiny", 256)
    frames = setting.count(300, 60)
    video = Panned(frames, (270, 480))
    limits = Limits(feature_bytes=0, restart_bytes=0)
    session = Session(video, Sam2Model(network, "random", setting.device, "auto"), limits)
    for object_id in range(1, OBJECTS + 1):
        session.add_prompt(Prompt(0, object_id, (Point(100.0 * object_id, 130.0),)))
    ours = slope(len(video), (None for _ in session.propagate()))
    del session
    theirs = [
        slope(len(video), _their_frames(other, video, network.config.image_size))
        for other in setting.theirs(network).values()
    ]
    return Counted(ours, min(theirs, default=None))


def _their_frames(other: Theirs, video: Panned, size: int) -> Iterator[None]:
    session = other.session([preprocess(video[i], size)[0] for i in range(len(video))], video.size)
    for object_id in range(1, OBJECTS + 1):
        other.click(session, 0, object_id, torch.tensor([[100.0 * object_id / 480 * size, size / 2]]))
    yield
    for index in range(1, len(video)):
        other.step(session, index)
        yield


def slope(frames: int, each: Iterator[None]) -> float:
    """Growth per frame and object between the last two thirds of a video, by their largest values."""
    every = max(1, frames // 30)  # looking takes time
    kept = [_alive() for index, _ in enumerate(each) if index % every == 0]
    third = len(kept) // 3
    grown = max(kept[2 * third :]) - max(kept[third : 2 * third])
    return max(0.0, grown / (third * every) / OBJECTS)


def _alive() -> int:
    """Bytes of all tensors that are alive, each storage once."""
    storages = {}
    for found in gc.get_objects():
        if issubclass(type(found), torch.Tensor) and found.device.type != "meta":
            storage = found.untyped_storage()
            storages[storage.data_ptr()] = storage.nbytes()
    return sum(storages.values())


def nano(objects: int) -> Callable[[Setting], Counted]:
    """Frames per second of nano through a session, with windows, as a user gets it; measured once."""

    def count(setting: Setting) -> Counted:
        video = cells(setting.count(60 if objects < 50 else 10, 4))
        with open_session(video, model="nano", device=str(setting.device)) as session:
            for index in range(setting.count(objects, min(objects, 2))):
                left, top = 30 + 25 * (index % 20), 20 + 80 * ((index // 20 + 1) % 5)
                session.add_prompt(Prompt(0, index + 1, box=Box(left, top, left + 60, top + 80)))
            frames_left = session.propagate()
            next(frames_left)  # is prompted, and known
            start = time.perf_counter()
            done = sum(1 for _ in frames_left)
            return Counted(done / (time.perf_counter() - start), None)

    return count
