"""Objects that nobody clicked on: a grid of clicks on one frame becomes mask prompts (ADR 17)."""

from __future__ import annotations

import math
import operator
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np

from sam2_core import masks
from sam2_core.errors import PromptError
from sam2_core.prompts import Prompt
from sam2_core.results import Candidate, RunLengths
from sam2_core.session import Session
from sam2_core.types import Point

BACKGROUND = 0.9
"""Of the frame's area; what is larger is no object, unless ``max_area`` says otherwise."""

MOST_SHARED = 0.5
"""Of the smaller of two readings' pixels, so many are in both at most; else the better one stays alone."""

MOST_TAKEN = 0.1
"""The same of a reading and an object that the session has."""

COARSEST = 8
"""The first points of the grid lie so many steps apart."""

WITNESSES = 12
"""So many other clicks inside of a reading are compared with it at most."""


@dataclass(frozen=True, eq=False)
class Found:
    """An object that clicks found.

    Attributes:
        encoded: its mask as run lengths.
        agreement: the mean IoU with what the other clicks inside of it were read as, 0 to 1.
        score: predicted IoU, 0 to 1.
    """

    encoded: RunLengths
    agreement: float
    score: float


@dataclass(frozen=True, eq=False)
class _Click:
    """A click and what it may mean, cleaned."""

    point: Point
    readings: tuple[Candidate, ...]


@dataclass(frozen=True)
class _Wanted:
    """What counts as an object; areas in pixels of the video."""

    min_agreement: float
    min_score: float
    min_area: int
    max_area: float
    max_hole: int

    def clean(self, reading: Candidate) -> Candidate | None:
        """The reading without specks and holes, if it may be an object."""
        if reading.score < self.min_score or not reading.encoded.area:
            return None
        mask = cleaned(reading.encoded, min_area=self.min_area, max_hole=self.max_hole)
        return replace(reading, encoded=mask) if 0 < mask.area <= self.max_area else None

    def found(self, clicks: Sequence[_Click]) -> list[Found]:
        """The objects on which clicks agree, best first, each once."""
        every = [
            Found(one.encoded, _agreement(one.encoded, click, clicks), one.score)
            for click in clicks
            for one in click.readings
        ]
        kept: list[Found] = []
        for one in sorted(every, key=lambda found: (-found.agreement, -found.score)):
            if one.agreement < self.min_agreement:
                break
            if all(_shared(one.encoded, other.encoded) <= MOST_SHARED for other in kept):
                kept.append(one)
        return kept


@dataclass(frozen=True, eq=False)
class Seeding:
    """How far a grid of clicks has come; what it has found so far is worked out when it is asked for.

    Attributes:
        frame_index: the frame.
        done: clicks that are done.
        total: clicks that will be done, as far as is known: after the grid comes one on each object.
        first_id: the object id of the first object found: one more than the highest of the session.
    """

    frame_index: int
    done: int
    total: int
    first_id: int
    _clicks: tuple[_Click, ...] = field(repr=False)
    _wanted: _Wanted = field(repr=False)

    @cached_property
    def found(self) -> tuple[Found, ...]:
        """The objects on which the clicks so far agree, best first."""
        return tuple(self._wanted.found(self._clicks))

    @property
    def prompts(self) -> tuple[Prompt, ...]:
        """What was found as mask prompts, numbered from ``first_id``; ``Session.add_prompt`` takes them.

        Raises:
            PromptError: if the numbers exceed the highest object id.
        """
        return tuple(
            Prompt(self.frame_index, object_id, mask=one.encoded)
            for object_id, one in enumerate(self.found, self.first_id)
        )


def automatic_prompts(
    session: Session,
    frame_index: int,
    *,
    points_per_side: int = 16,
    min_agreement: float = 0.5,
    min_score: float = 0.2,
    min_area: int = 25,
    max_area: float | None = None,
    max_hole: int = 25,
) -> Iterator[Seeding]:
    """Look for all objects of a frame by a grid of clicks; nothing is added to the session.

        for step in automatic_prompts(session, 0):
            print(step.done, "of", step.total)
        for prompt in step.prompts:
            session.add_prompt(prompt)

    An object is what several clicks inside of it are read as. A generator with one click between two steps:
    whoever stops early has what an even sample of the frame gives. What touches an object that the session
    has on this frame is left out, so that it finds those that came later.

    Args:
        session: whose model reads the clicks; its objects stay as they are.
        frame_index: the frame.
        points_per_side: clicks along the longer side, as far apart as along the shorter one. An object with
            fewer than two of them inside is not found.
        min_agreement: the least agreement of the clicks inside of an object (mean IoU).
        min_score: the least predicted IoU. It says little on images unlike those a model was trained on.
        min_area: what has fewer pixels is no object, and is taken away where it is a separate part of one.
        max_area: what has more pixels is no object; None for 90 % of the frame.
        max_hole: holes of up to so many pixels are filled.

    Yields:
        How far it is, after each click; the last one has all.

    Raises:
        PromptError: for an option out of its range.
        SessionError: if the video has no such frame.
        VideoError: at the first step, if the frame cannot be read.
        SessionClosedError: if the session is closed, also at the next step after that.
    """
    known = session.result(frame_index)
    height, width = session.video.size
    wanted = _Wanted(
        _number("min_agreement", min_agreement, 0, 1),
        _number("min_score", min_score, 0, 1),
        _whole("min_area", min_area, 0),
        _number("max_area", BACKGROUND * height * width if max_area is None else max_area, 1, math.inf),
        _whole("max_hole", max_hole, 0),
    )
    taken = [known.encoded[i] for i in np.flatnonzero(known.visible)]
    points = grid((height, width), _whole("points_per_side", points_per_side, 1))
    free = [point for point in points if not any(_holds(mask, point) for mask in taken)]
    return _steps(session, known.frame_index, free, wanted, taken)


def _steps(
    session: Session, frame_index: int, points: Sequence[Point], wanted: _Wanted, taken: Sequence[RunLengths]
) -> Iterator[Seeding]:
    clicks: list[_Click] = []

    def so_far(total: int) -> Seeding:
        # Asked anew: the user may add objects while he waits, and no id is given twice.
        first_id = max(session.object_ids, default=0) + 1
        return Seeding(frame_index, len(clicks), total, first_id, tuple(clicks), wanted)

    def click(point: Point) -> None:
        read = map(wanted.clean, session.candidates(Prompt(frame_index, 1, (point,))))
        free = [one for one in read if one is not None and not _reaches_into(one.encoded, taken)]
        clicks.append(_Click(point, tuple(free)))

    for point in points:
        click(point)
        if len(clicks) < len(points):
            yield so_far(len(points))
    middles = [Point(*masks.middle(one.encoded.decode())) for one in wanted.found(clicks)]
    total = len(points) + len(middles)
    yield so_far(total)
    for point in middles:
        click(point)
        yield so_far(total)


def _agreement(mask: RunLengths, own: _Click, clicks: Sequence[_Click]) -> float:
    """The mean IoU of a mask with what the other clicks inside of it were read as; 0 if there are none."""
    inside = [click for click in clicks if click is not own and _holds(mask, click.point)]
    some = inside[:: max(1, math.ceil(len(inside) / WITNESSES))]
    fits = [max((masks.overlap(mask, one.encoded) for one in click.readings), default=0.0) for click in some]
    return sum(fits) / len(fits) if fits else 0.0


def _reaches_into(mask: RunLengths, taken: Sequence[RunLengths]) -> bool:
    return any(_shared(mask, other) > MOST_TAKEN for other in taken)


def grid(size: tuple[int, int], points_per_side: int) -> list[Point]:
    """Points all over a frame, each in the middle of a cell: a coarse grid first, then those between.

    Args:
        size: height and width of the frame.
        points_per_side: points along the longer side.
    """
    rows, columns = (max(1, round(points_per_side * length / max(size))) for length in size)
    places = [(row, column) for row in range(1, rows + 1) for column in range(1, columns + 1)]

    def fineness(place: tuple[int, int]) -> int:
        return -min(number & -number for number in (*place, COARSEST))  # the largest power of two in all

    return [
        Point((column - 0.5) * size[1] / columns - 0.5, (row - 0.5) * size[0] / rows - 0.5)
        for row, column in sorted(places, key=fineness)
    ]


def cleaned(mask: RunLengths, *, min_area: int, max_hole: int) -> RunLengths:
    """A mask without its small separate parts, and with its small holes filled.

    Args:
        mask: the mask.
        min_area: parts of fewer pixels are taken away; pixels that touch at a corner belong together.
        max_hole: holes of up to so many pixels are filled.
    """
    from scipy import ndimage  # it loads slowly

    inside = np.pad(mask.crop(), 1)
    parts, _ = ndimage.label(inside, np.ones((3, 3)))
    small = np.bincount(parts.ravel()) < min_area
    small[0] = True  # what is outside stays outside
    inside = ~small[parts]
    grounds, _ = ndimage.label(~inside)
    hole = np.bincount(grounds.ravel()) <= max_hole
    hole[[0, grounds[0, 0]]] = False  # the object, and what surrounds it
    inside |= hole[grounds]
    return masks.encode(inside[1:-1, 1:-1], size=mask.size, top=mask.top, left=mask.left)


def _holds(mask: RunLengths, point: Point) -> bool:
    row, column = math.floor(point.y + 0.5) - mask.top, math.floor(point.x + 0.5) - mask.left
    (height, width) = mask.shape
    return 0 <= row < height and 0 <= column < width and bool(mask.crop()[row, column])


def _shared(first: RunLengths, second: RunLengths) -> float:
    """How much of the smaller of two masks lies in the other, 0 to 1."""
    union_share = masks.overlap(first, second)
    smaller = min(first.area, second.area)
    # Of the sum of the areas, the intersection is IoU / (1 + IoU).
    return union_share / (1 + union_share) * (first.area + second.area) / smaller if smaller else 0.0


def _whole(name: str, given: Any, least: int) -> int:
    try:
        number = int(operator.index(given))
    except TypeError:
        number = least - 1
    if number < least:
        raise PromptError(f"{name} is a whole number, at least {least}; got {_short(given)}")
    return number


def _number(name: str, given: Any, least: float, most: float) -> float:
    try:
        number = float(given)
    except (TypeError, ValueError):
        number = math.nan
    if not least <= number <= most:
        limit = f"from {least} to {most}" if math.isfinite(most) else f"of at least {least}"
        raise PromptError(f"{name} is a number {limit}; got {_short(given)}")
    return number


def _short(given: object) -> str:
    return " ".join(repr(given).split())[:60]
