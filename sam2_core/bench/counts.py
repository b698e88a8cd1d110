"""What is counted, not timed as a pair: state that grows, and nano's frames per second."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterator

import torch

from sam2_core.bench.cases import Figures, Setting
from sam2_core.bench.random_networks import Panned
from sam2_core.bench.theirs import Theirs
from sam2_core.models.preprocess import preprocess
from sam2_core.opening import open_session
from sam2_core.prompts import Prompt
from sam2_core.session import Session
from sam2_core.tracking.sam2_model import Sam2Model
from sam2_core.types import Box, Point

_OBJECTS = 2


def growth(setting: Setting) -> Figures:
    """Bytes of tensors that stay alive, per frame and object, once all rings and budgets are full."""
    network = setting.network("sam2.1-tiny", 256)
    frames = setting.count(300, 40)
    video = Panned(frames, (270, 480))
    session = Session(video, Sam2Model(network, "random", setting.device, "auto"))
    for object_id in range(1, _OBJECTS + 1):
        session.add_prompt(Prompt(0, object_id, (Point(100.0 * object_id, 130.0),)))
    ours = _slope(len(video), (None for _ in session.propagate()))
    del session
    theirs = [
        _slope(len(video), _their_frames(other, video, network.config.image_size))
        for other in setting.theirs(network).values()
    ]
    return Figures(ours, min(theirs, default=None))


def _their_frames(other: Theirs, video: Panned, size: int) -> Iterator[None]:
    """The library in its streaming mode, so that frames count only as far as it keeps them itself."""
    session = other.session([preprocess(video[0], size)[0]], video.size)
    for object_id in range(1, _OBJECTS + 1):
        point = torch.tensor([[100.0 * object_id / 480 * size, size / 2]])
        other.click(session, 0, object_id, point)
    yield
    for index in range(1, len(video)):
        session.add_new_frame(preprocess(video[index], size))
        other.step(session, index)
        yield


def _slope(frames: int, each: Iterator[None]) -> float:
    """Growth per frame and object between the last two thirds of a video, by their largest values."""
    kept = [_alive() for _ in each]
    third = frames // 3
    grown = max(kept[2 * third :]) - max(kept[third : 2 * third])
    return max(0.0, grown / third / _OBJECTS)


def _alive() -> int:
    """Bytes of all tensors that are alive, each storage once."""
    storages = {}
    for found in gc.get_objects():
        if issubclass(type(found), torch.Tensor) and found.device.type != "meta":
            storage = found.untyped_storage()
            storages[storage.data_ptr()] = storage.nbytes()
    return sum(storages.values())


def nano(objects: int) -> Callable[[Setting], Figures]:
    """Frames per second of nano through a session, as a user gets it."""

    def count(setting: Setting) -> Figures:
        frames = setting.count(30, 4)
        video = Panned(frames, (480, 640))
        with open_session(video, model="nano", device=str(setting.device)) as session:
            for index in range(setting.count(objects, min(objects, 2))):
                left, top = 20 + 58 * (index % 10), 10 + 46 * (index // 10)
                session.add_prompt(Prompt(0, index + 1, box=Box(left, top, left + 50, top + 40)))
            start = time.perf_counter()
            done = sum(1 for _ in session.propagate())
            return Figures(done / (time.perf_counter() - start), None, more_is_better=True)

    return count
