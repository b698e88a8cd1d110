"""nano through a session, on a video that lies in memory, as a user gets it."""

from __future__ import annotations

import time
from collections.abc import Callable
from itertools import cycle, islice

import numpy as np

from sam2_core.bench.cases import Conditions, Counted, Pair
from sam2_core.bench.films import Cells, frames_of
from sam2_core.opening import open_session
from sam2_core.prompts import Prompt
from sam2_core.session import Session
from sam2_core.types import Point

WARM_UP = 5
"""Frames that are not counted: the one with the prompts, which is known, and some slower ones after it."""


def speed(objects: int, *, windows: bool = True) -> Callable[[Conditions], Counted]:
    """Frames per second on the clock while cells are tracked from boxes on the first frame; once, when warm.

    Args:
        objects: how many cells.
        windows: follow them in windows of the frame; else whole frames only.
    """

    def count(conditions: Conditions) -> Counted:
        frames = conditions.count(60 if objects < 50 else 10, 2)
        film = Cells(WARM_UP + frames, conditions.count(objects, min(objects, 2)))
        with _session(film, conditions, windows=windows) as session:
            for cell in range(film.count):
                session.add_prompt(Prompt(0, cell + 1, box=film.box(cell)))
            results = session.propagate()
            for _ in islice(results, WARM_UP):
                pass
            start = time.perf_counter()
            for _ in results:
                pass
            return Counted(frames / (time.perf_counter() - start), None)

    return count


def click(*, windows: bool = True) -> Callable[[Conditions], Pair]:
    """A first click on a cell; each a pixel beside the last, so that the frame, and its windows, are encoded.

    Args:
        windows: read the click in windows of the frame as well; else in the whole frame only.
    """

    def prepare(conditions: Conditions) -> Pair:
        film = Cells(1, 1)
        session, (x, y, _) = _session(film, conditions, windows=windows), film.centre(0, 0)
        shifts = cycle(range(film.radius // 2))
        return Pair(lambda: session.add_prompt(Prompt(0, 1, (Point(x + next(shifts), y),))))

    return prepare


def _session(film: Cells, conditions: Conditions, *, windows: bool) -> Session:
    video = np.stack([*frames_of(film)])
    return open_session(video, model="nano", device=str(conditions.device), windows=windows)
