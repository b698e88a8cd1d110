"""How a simulated user works with a session (SAM 2, section 6.1 and appendix E.1.2)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from sam2_core import masks
from sam2_core.evaluation.clicks import next_click
from sam2_core.evaluation.scores import Counted, ObjectScores, mean, score
from sam2_core.evaluation.truth import Truth
from sam2_core.evaluation.watching import Watcher, unwatched
from sam2_core.prompts import Prompt
from sam2_core.results import Masklet
from sam2_core.session import Session
from sam2_core.types import Box, Mask

ROUNDS = 8
"""Frames that the interactive protocols prompt, at most."""

CLICKS = 3
"""Clicks on each frame that the interactive protocols prompt."""

COUNTS = (1, 3, 5)
"""After so many clicks the image task looks at the mask."""

PAUSE = 0.75
"""The online protocol pauses at the first frame whose IoU is below."""

Prompter = Callable[[Session, int, int, Mask], None]
"""Prompts an object on a frame so that its mask becomes the given one."""


def paint(session: Session, frame_index: int, object_id: int, wanted: Mask) -> None:
    """Give the true mask."""
    session.add_prompt(Prompt(frame_index, object_id, mask=wanted))


def box(session: Session, frame_index: int, object_id: int, wanted: Mask) -> None:
    """Draw the smallest box around the object, through its outer pixels."""
    around = masks.bounding_box(masks.encode(wanted))
    if around is not None:  # a box of one pixel's width has no area
        across, down = (0.5 * (high == low) for low, high in zip(around[:2], around[2:], strict=True))
        around = Box(around.left - across, around.top - down, around.right + across, around.bottom + down)
    session.add_prompt(Prompt(frame_index, object_id, box=around))


def clicks(count: int) -> Prompter:
    """Click so many times, each time where it mends most; fewer if the mask becomes right."""

    def click(session: Session, frame_index: int, object_id: int, wanted: Mask) -> None:
        for _ in range(count):
            shown = _shown(session, frame_index, object_id, wanted)
            if (point := next_click(shown, wanted)) is None:
                return
            if object_id in session.object_ids:
                session.add_prompt(session.correction(frame_index, object_id, point))
            else:
                session.add_prompt(Prompt(frame_index, object_id, (point,)))

    return click


def _shown(session: Session, frame_index: int, object_id: int, like: Mask) -> Mask:
    masklet = session.masklets().get(object_id)
    if masklet is None or frame_index not in masklet:
        return np.zeros_like(like)
    return masklet[frame_index].mask()


PROMPTERS: Mapping[str, Prompter] = MappingProxyType(
    {"mask": paint, "box": box, "1-click": clicks(1), "3-click": clicks(3), "5-click": clicks(5)}
)
"""First prompts by the names of the command line."""


def semi_supervised(
    session: Session, truth: Truth, prompt: Prompter, watch: Watcher = unwatched
) -> Mapping[int, Masklet]:
    """Prompt each object on the first annotated frame where it is to be seen, and track forward."""
    size = session.video.size
    firsts = {object_id: truth.first(object_id) for object_id in truth.objects}
    if not firsts:
        return {}
    for object_id, frame_index in watch(firsts.items(), len(firsts), "prompting"):
        prompt(session, frame_index, object_id, truth.mask(object_id, frame_index, size))
    frames = range(min(firsts.values()), len(session.video))
    for _ in watch(session.propagate(frames), len(frames), "tracking"):
        pass
    return session.masklets()


def single_frames(session: Session, truth: Truth, watch: Watcher = unwatched) -> dict[int, dict[int, float]]:
    """The image task: each object on each annotated frame on its own.

    Returns:
        By object id and number of clicks (``COUNTS``), the mean IoU over the frames that show it.
    """
    size = session.video.size
    found: dict[int, list[dict[int, float]]] = {object_id: [] for object_id in truth.objects}
    for frame_index in watch(truth.frames, len(truth.frames), "clicking"):
        for object_id, ious in found.items():
            wanted = truth.mask(object_id, frame_index, size)
            if wanted.any():
                ious.append(_after_clicks(session, frame_index, object_id, wanted))
                session.remove_object(object_id)
    return {
        i: {n: float(np.mean([of[n] for of in ious])) for n in COUNTS} for i, ious in found.items() if ious
    }


def _after_clicks(session: Session, frame_index: int, object_id: int, wanted: Mask) -> dict[int, float]:
    ious = {}
    for number in range(1, max(COUNTS) + 1):
        clicks(1)(session, frame_index, object_id, wanted)
        if number in COUNTS:
            ious[number] = masks.iou(_shown(session, frame_index, object_id, wanted), wanted)
    return ious


@dataclass(frozen=True)
class Interaction:
    """How good all is once a number of frames has been prompted.

    Attributes:
        frames: how many.
        seconds: the annotation time of the paper's cost model.
        scores: J, F and J&F; nothing if no frame counts.
    """

    frames: int
    seconds: float
    scores: Mapping[str, float]


def offline(
    session: Session,
    truth: Truth,
    object_id: int,
    counted: Counted,
    rounds: int = ROUNDS,
    watch: Watcher = unwatched,
) -> Iterator[Interaction]:
    """Pass after pass over the video: three clicks on the frame with the lowest IoU, then track again."""
    frame_index, size, length = truth.first(object_id), session.video.size, len(session.video)
    alone = Truth(truth.frames, {object_id: truth.objects[object_id]})
    for number in range(1, rounds + 1):
        clicks(CLICKS)(session, frame_index, object_id, truth.mask(object_id, frame_index, size))
        for _ in watch(session.propagate(), length, f"object {object_id}, pass {number}"):
            pass
        masklets = session.masklets()
        found = score(masklets, alone, size, counted, watch)
        yield Interaction(number, _seconds(length, number, passes=number), _mean(found))
        masklet = masklets[object_id]
        frame_index = min(
            truth.frames, key=lambda t: masks.iou(masklet[t].mask(), truth.mask(object_id, t, size))
        )


def online(
    open_session: Callable[[], Session],
    truth: Truth,
    object_id: int,
    counted: Counted,
    rounds: int = ROUNDS,
    watch: Watcher = unwatched,
) -> Iterator[Interaction]:
    """One pass over the video, paused where the IoU falls below .75 for three clicks, at most so many times.

    Each number of prompted frames is a run of its own: clicks never change what came before them.
    """
    alone = Truth(truth.frames, {object_id: truth.objects[object_id]})
    last = None
    for number in range(1, rounds + 1):
        if last is None or last.frames == number - 1:  # else it paused less often than it might have
            with open_session() as session:
                used = _paused_pass(session, alone, object_id, number, watch)
                found = score(session.masklets(), alone, session.video.size, counted, watch)
                seconds = _seconds(len(session.video), used, passes=1)
                last = Interaction(used, seconds, _mean(found))
        yield Interaction(number, last.seconds, last.scores)


def _paused_pass(
    session: Session, truth: Truth, object_id: int, prompts: int, watch: Watcher = unwatched
) -> int:
    """How many frames were prompted."""
    size, annotated, used = session.video.size, set(truth.frames), 0
    start: int | None = truth.first(object_id)
    while start is not None:
        clicks(CLICKS)(session, start, object_id, truth.mask(object_id, start, size))
        used, after = used + 1, range(start, len(session.video))
        start = None
        for result in watch(session.propagate(after), len(after), f"object {object_id}, prompt {used}"):
            t = result.frame_index
            if used == prompts or t not in annotated or t == after.start:
                continue
            if masks.iou(result.mask(object_id), truth.mask(object_id, t, size)) < PAUSE:
                start = t
                break
    return used


def _mean(found: Mapping[int, ObjectScores]) -> Mapping[str, float]:
    return mean(found.values()) if found else {}


def _seconds(length: int, prompts: int, *, passes: int) -> float:
    """The paper's cost model: 30 s to examine 300 frames, 1 s to find an object, 1.5 s a click."""
    return 30 * length / 300 * passes + (1 + 1.5 * CLICKS) * prompts
