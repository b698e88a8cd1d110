"""What a user waits for: a click, a correction, opening a film."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from itertools import count, cycle, islice

import torch
from torch import Tensor

from sam2_core.bench.cases import Conditions, Pair
from sam2_core.bench.films import FRAME, Panned, frames_of, textured_frame, write_film
from sam2_core.bench.theirs import Theirs
from sam2_core.opening import open_session
from sam2_core.prompts import Prompt
from sam2_core.session import Session
from sam2_core.tracking.sam2_model import Sam2Model
from sam2_core.types import Point
from sam2_core.videos.files import VideoFile


def click(conditions: Conditions) -> Pair:
    """A first click on a frame that is encoded already; each on another place."""
    network = conditions.network("sam2.1-tiny", 1024)
    video = Panned(1, FRAME)
    session = Session(video, Sam2Model(network, "random", conditions.device, "auto"))
    ours_x = _places()

    def theirs(other: Theirs) -> Callable[[], object]:
        their_session, x = other.session(frames_of(video), video.size), _places()

        def work() -> Tensor:
            their_session.reset_tracking_data()  # the features stay
            return other.click(their_session, 0, 1, Point(next(x), 200.0))

        return work

    return Pair(
        lambda: session.add_prompt(Prompt(0, 1, (Point(next(ours_x), 200.0),))),
        {name: theirs(other) for name, other in conditions.theirs(network).items()},
    )


def correct(conditions: Conditions) -> Pair:
    """One of three objects prompted once more in the middle of a tracked video, and tracked to its end."""
    network = conditions.network("sam2.1-tiny", 256)
    frames = conditions.count(40, 6)
    video, middle = Panned(frames, (270, 480)), frames // 2
    starts = {1: Point(100.0, 80.0), 2: Point(240.0, 130.0), 3: Point(380.0, 200.0)}
    session = Session(video, Sam2Model(network, "random", conditions.device, "auto"))
    for object_id, point in starts.items():
        session.add_prompt(Prompt(0, object_id, (point,)))
    list(session.propagate())
    ours_x = _places()

    def ours() -> None:
        session.add_prompt(Prompt(middle, 2, (Point(next(ours_x), 130.0),)))
        list(session.propagate(range(middle, frames)))

    def theirs(other: Theirs) -> Callable[[], object]:
        # Ours finds the features of all frames, too.
        their_session = other.session(frames_of(video), video.size, cached=frames)
        for object_id, point in starts.items():
            other.click(their_session, 0, object_id, point)
        list(other.model.propagate_in_video_iterator(their_session, start_frame_idx=0))
        x = _places()

        def work() -> None:
            other.add_click(their_session, middle, 2, Point(next(x), 130.0))
            list(other.model.propagate_in_video_iterator(their_session, start_frame_idx=middle))

        return work

    return Pair(ours, {name: theirs(other) for name, other in conditions.theirs(network).items()})


def first_mask(conditions: Conditions) -> Pair:
    """From a film on disk to the first mask; bfloat16 only: in float32 the library's frames take 12 GiB."""
    network = conditions.network("sam2.1-tiny", 1024)
    path, frames = conditions.folder / "film.mp4", conditions.count(1000, 12)
    write_film(path, islice(cycle([textured_frame(seed, FRAME) for seed in range(4)]), frames), FRAME)
    model, point = Sam2Model(network, "random", conditions.device, "auto"), Point(480.0, 200.0)

    def ours() -> None:
        with open_session(path, model=model) as session:
            session.add_prompt(Prompt(0, 1, (point,)))

    def theirs(other: Theirs) -> Callable[[], object]:
        def work() -> Tensor:
            with closing(VideoFile(path)) as film:
                session = other.session(frames_of(film), film.size)
            return other.click(session, 0, 1, point)

        return work

    others = conditions.theirs(network, torch.bfloat16)
    return Pair(ours, {name: theirs(other) for name, other in others.items()}, once=not conditions.small)


def _places() -> Iterator[float]:
    """Columns, each one pixel right of the last."""
    return (100.0 + shift for shift in count())
