"""A model on a sequence under a protocol: numbers by object, and curves."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType

import numpy as np

from sam2_core.evaluation import protocols
from sam2_core.evaluation.protocols import COUNTS, PROMPTERS, Interaction
from sam2_core.evaluation.scores import NAMES, Counted, score
from sam2_core.evaluation.truth import Truth
from sam2_core.evaluation.watching import Watcher, unwatched
from sam2_core.results import Masklet
from sam2_core.session import Session

Numbers = Mapping[str, float]
"""What a table shows, by column, each in 0..1."""


@dataclass(frozen=True)
class Outcome:
    """What a protocol says of a sequence.

    Attributes:
        objects: numbers by object id.
        curves: of the interactive protocols, by object id: how good it is after 1, 2, ... prompted frames.
        whole: numbers of all objects together: SEG, DET, TRA and LNK of cells.
        frames: how many were tracked, if that was timed.
        seconds: that this took, from the first prompt to the last mask.
        masklets: what was tracked, if once.
    """

    objects: Mapping[int, Numbers]
    curves: Mapping[int, tuple[Interaction, ...]] = field(default_factory=dict)
    whole: Numbers = field(default_factory=dict)
    frames: int = 0
    seconds: float = 0.0
    masklets: Mapping[int, Masklet] = field(default_factory=dict, repr=False)


@dataclass(frozen=True)
class Task:
    """What a protocol is run on.

    Attributes:
        open_session: opens the sequence.
        truth: what is annotated.
        prompt: the name of the first prompt.
        counted: whose rules hold.
        watch: sees the work go by.
    """

    open_session: Callable[[], Session]
    truth: Truth
    prompt: str
    counted: Counted
    watch: Watcher = unwatched


Run = Callable[[Task], Outcome]
"""Makes the outcome for one sequence."""


@dataclass(frozen=True)
class Protocol:
    """How a simulated user works.

    Attributes:
        name: on the command line.
        columns: of its table.
        run: makes the outcome for one sequence.
    """

    name: str
    columns: tuple[str, ...]
    run: Run


def _vos(task: Task) -> Outcome:
    with task.open_session() as session:
        start = time.perf_counter()
        masklets = protocols.semi_supervised(session, task.truth, PROMPTERS[task.prompt], task.watch)
        seconds, size = time.perf_counter() - start, session.video.size
    found = score(masklets, task.truth, size, task.counted, task.watch)
    frames = len({t for masklet in masklets.values() for t in masklet})
    numbers = {object_id: {**of.mean, **of.details} for object_id, of in found.items()}
    return Outcome(numbers, frames=frames, seconds=seconds, masklets=masklets)


def _points(task: Task) -> Outcome:
    numbers: dict[int, dict[str, float]] = {}
    for count in COUNTS:
        for object_id, of in _vos(replace(task, prompt=f"{count}-click")).objects.items():
            numbers.setdefault(object_id, {})[f"{count}-click"] = of["J&F"]
    # Whether an object counts may depend on what was predicted (SA-V); columns are about the same objects.
    return Outcome({i: of for i, of in numbers.items() if len(of) == len(COUNTS)})


def _image(task: Task) -> Outcome:
    with task.open_session() as session:
        found = protocols.single_frames(session, task.truth, task.watch)
    return Outcome({i: {f"mIoU@{n}": iou for n, iou in of.items()} for i, of in found.items()})


def _offline(task: Task) -> Outcome:
    def curve(object_id: int) -> Iterable[Interaction]:
        with task.open_session() as session:
            yield from protocols.offline(session, task.truth, object_id, task.counted, watch=task.watch)

    return _interactive(task.truth, curve)


def _online(task: Task) -> Outcome:
    def curve(object_id: int) -> Iterable[Interaction]:
        return protocols.online(task.open_session, task.truth, object_id, task.counted, watch=task.watch)

    return _interactive(task.truth, curve)


def _interactive(truth: Truth, curve: Callable[[int], Iterable[Interaction]]) -> Outcome:
    """An object is left out if after some prompted frame nothing of it counts, as ``score`` leaves it out."""
    every = {object_id: tuple(curve(object_id)) for object_id in truth.objects}
    curves = {i: points for i, points in every.items() if all(point.scores for point in points)}
    return Outcome({i: mean_of(point.scores for point in points) for i, points in curves.items()}, curves)


PROTOCOLS: Mapping[str, Protocol] = MappingProxyType(
    {
        protocol.name: protocol
        for protocol in (
            Protocol("vos", NAMES, _vos),
            Protocol("points", tuple(f"{count}-click" for count in COUNTS), _points),
            Protocol("offline", NAMES, _offline),
            Protocol("online", NAMES, _online),
            Protocol("image", tuple(f"mIoU@{count}" for count in COUNTS), _image),
        )
    }
)
"""By the names of the command line."""


def mean_of(every: Iterable[Numbers]) -> dict[str, float]:
    """The mean of each number over those that have it; nothing for nothing."""
    found = list(every)
    names = dict.fromkeys(name for numbers in found for name in numbers)
    return {name: float(np.mean([of[name] for of in found if name in of])) for name in names}


def mean_curve(curves: Iterable[tuple[Interaction, ...]]) -> list[Interaction]:
    """Point by point over objects."""
    return [
        Interaction(
            points[0].frames, float(np.mean([p.seconds for p in points])), mean_of(p.scores for p in points)
        )
        for points in zip(*curves, strict=True)
    ]
