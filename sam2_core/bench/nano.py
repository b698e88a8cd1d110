"""nano through a session, on a video that lies in memory, as a user gets it."""

from __future__ import annotations

import time
from collections.abc import Callable
from itertools import islice

import numpy as np

from sam2_core.bench.cases import Conditions, Counted
from sam2_core.bench.films import Cells, frames_of
from sam2_core.opening import open_session
from sam2_core.prompts import Prompt
from sam2_core.session import Session
from sam2_core.types import Point

CLICKS = 20
"""So many are averaged, each a pixel beside the last."""

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


def click(*, windows: bool = True) -> Callable[[Conditions], Counted]:
    """Milliseconds on the clock of a first click on a cell; the frame and the windows around it are encoded.

    Args:
        windows: read the click in windows of the frame as well; else in the whole frame only.
    """

    def count(conditions: Conditions) -> Counted:
        film, clicks = Cells(1, 1), conditions.count(CLICKS, 2)
        x, y, _ = film.centre(0, 0)
        with _session(film, conditions, windows=windows) as session:
            for _ in range(2):  # the first time, windows are encoded
                start = time.perf_counter()
                for shift in range(clicks):
                    session.add_prompt(Prompt(0, 1, (Point(x + shift, y),)))
        return Counted((time.perf_counter() - start) / clicks * 1e3, None)

    return count


def _session(film: Cells, conditions: Conditions, *, windows: bool) -> Session:
    video = np.stack([*frames_of(film)])
    return open_session(video, model="nano", device=str(conditions.device), windows=windows)
