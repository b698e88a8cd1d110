"""What a user waits for: a click, a correction, opening a film."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from sam2_core.bench.cases import Pair, Setting
from sam2_core.bench.random_networks import FRAME, Panned, textured_frame, write_film
from sam2_core.bench.theirs import Theirs
from sam2_core.models.preprocess import preprocess
from sam2_core.opening import open_session
from sam2_core.prompts import Prompt
from sam2_core.session import Session
from sam2_core.tracking.sam2_model import Sam2Model
from sam2_core.types import Point, Video


def click(setting: Setting) -> Pair:
    """A first click on a frame that is encoded already; each on another place."""
    network = setting.network("sam2.1-tiny", 1024)
    size, video = network.config.image_size, Panned(1, FRAME)
    session = Session(video, Sam2Model(network, "random", setting.device, "auto"))
    ours_x = _places()

    def theirs(other: Theirs) -> Callable[[], object]:
        their_session, x = other.session([preprocess(video[0], size)[0]], FRAME), _places()

        def work() -> Tensor:
            their_session.reset_tracking_data()  # the features stay
            return other.click(their_session, 0, 1, _scaled(Point(next(x), 200.0), size))

        return work

    return Pair(
        lambda: session.add_prompt(Prompt(0, 1, (Point(next(ours_x), 200.0),))),
        {name: theirs(other) for name, other in setting.theirs(network).items()},
    )


def correct(setting: Setting) -> Pair:
    """One of three objects prompted once more in the middle of a tracked video, and tracked to its end."""
    network = setting.network("sam2.1-tiny", 256)
    frames = setting.count(40, 6)
    video, size, middle = Panned(frames, (270, 480)), network.config.image_size, frames // 2
    starts = {1: Point(100.0, 80.0), 2: Point(240.0, 130.0), 3: Point(380.0, 200.0)}
    session = Session(video, Sam2Model(network, "random", setting.device, "auto"))
    for object_id, point in starts.items():
        session.add_prompt(Prompt(0, object_id, (point,)))
    list(session.propagate())
    ours_x = _places()

    def ours() -> None:
        session.add_prompt(Prompt(middle, 2, (Point(next(ours_x), 130.0),)))
        list(session.propagate(range(middle, frames)))

    def theirs(other: Theirs) -> Callable[[], object]:
        pixels = [preprocess(video[i], size)[0] for i in range(frames)]
        their_session = other.session(pixels, video.size, cached=frames)  # ours finds all features, too
        for object_id, point in starts.items():
            other.click(their_session, 0, object_id, _scaled(point, size, video))
        list(other.model.propagate_in_video_iterator(their_session, start_frame_idx=0))
        x = _places()

        def work() -> None:
            other.add_click(their_session, middle, 2, _scaled(Point(next(x), 130.0), size, video))
            list(other.model.propagate_in_video_iterator(their_session, start_frame_idx=middle))

        return work

    return Pair(ours, {name: theirs(other) for name, other in setting.theirs(network).items()})


def first_mask(setting: Setting) -> Pair:
    """From a film on disk to the first mask; in float32 the library's frames alone would take 12 GiB."""
    network = setting.network("sam2.1-tiny", 1024)
    size, frames = network.config.image_size, setting.count(1000, 12)
    path = setting.folder / "film.mp4"
    write_film(path, [textured_frame(seed, FRAME) for seed in range(4)], frames)
    model, point = Sam2Model(network, "random", setting.device, "auto"), Point(480.0, 200.0)

    def ours() -> None:
        with open_session(path, model=model) as session:
            session.add_prompt(Prompt(0, 1, (point,)))

    def theirs(other: Theirs) -> Callable[[], object]:
        def work() -> Tensor:
            session = other.session([*_all_frames(path, size, other.dtype)], FRAME)
            return other.click(session, 0, 1, _scaled(point, size))

        return work

    halves = {name: t for name, t in setting.theirs(network).items() if t.dtype == torch.bfloat16}
    return Pair(ours, {name: theirs(t) for name, t in halves.items()}, once=not setting.small)


def _all_frames(path: Path, size: int, dtype: torch.dtype) -> Iterator[Tensor]:
    """The whole film, decoded and preprocessed, as the library's session wants it."""
    import av

    with av.open(str(path)) as film:
        film.streams.video[0].thread_type = "AUTO"
        for frame in film.decode(video=0):
            image = frame.to_ndarray(format="rgb24").astype(np.uint8, copy=False)
            yield preprocess(image, size)[0].to(dtype)


def _places() -> Iterator[float]:
    """Columns, each one pixel right of the last."""
    return (100.0 + shift for shift in count())


def _scaled(point: Point, size: int, video: Video | None = None) -> Tensor:
    """A point of the video in the model's pixels, ``(1, 2)``."""
    height, width = FRAME if video is None else video.size
    return torch.tensor([[(point.x + 0.5) / width * size, (point.y + 0.5) / height * size]])
