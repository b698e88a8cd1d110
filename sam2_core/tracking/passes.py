"""In which order frames are computed: the canonical result, and the quick correction of a range.

Both are generators of frame indices; a frame is yielded when all objects that this pass follows are up to
date on it. Nothing is computed before it is asked for, so stopping is to stop iterating.

Whatever strikes in the middle (an interrupt, an error of the model), a later pass gives the same masks. For
each object a frame is computed first; then its restart point is added, which changes no mask; only then are
the mask and the place of its pass kept, see ``ObjectTrack.keep``.

Outside of an object's lifetime nothing is computed; its passes end there, and go on if that is widened.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from types import MappingProxyType

from sam2_core.hookspecs import Segmentation
from sam2_core.tracking.bank import MemoryBank
from sam2_core.tracking.track import CanonicalPass, ObjectTrack
from sam2_core.tracking.tracker import Step, Tracker


def canonical(tracker: Tracker, tracks: Sequence[ObjectTrack], sharing: int = 1) -> Iterator[int]:
    """Bring every object to its canonical result: forward from its first prompt, then backward to frame 0.

    What a live video has forgotten cannot be computed any more: the forward pass goes on with the first frame
    that is left, the backward pass stops there.

    Args:
        tracker: computes the frames.
        tracks: the objects.
        sharing: how many objects share the budget for restart points.

    Yields:
        Frame indices; frames before the first prompt of some objects and after that of others come twice.
    """
    tracks = [track for track in tracks if tracker.can_track(track)] or tracks  # none: it is said why
    tracker.renew(tracks, range(len(tracker.video)))
    for track in tracks:
        if not track.canonical_pass().banks and not track.is_through(len(tracker.video)):
            track.restart_canonical_pass()  # it was saved when the video or its lifetime was shorter
    frame_index = min(track.first for track in tracks)
    while frame_index < len(tracker.video):  # a live video grows meanwhile
        reached = [track for track in tracks if track.first <= frame_index]
        _forward(tracker, reached, frame_index, sharing)
        if frame_index >= tracker.oldest or all(track.is_fresh(frame_index) for track in reached):
            yield frame_index
        frame_index += 1
    for frame_index in range(max(track.first for track in tracks) - 1, -1, -1):
        living = [track for track in tracks if frame_index in track.life.frames]
        standing = [track for track in living if track.canonical_pass().backward == frame_index]
        if standing and frame_index < tracker.oldest:
            return
        _backward(tracker, standing, frame_index, sharing)
        yield frame_index


def quick(tracker: Tracker, tracks: Sequence[ObjectTrack], frames: range, sharing: int = 1) -> Iterator[int]:
    """Compute what is stale in a range, from the memories as they are; frames outside stay as they were.

    Args:
        tracker: computes the frames.
        tracks: the objects.
        frames: the range.
        sharing: how many objects share the budget for restart points.

    Yields:
        Every frame of the range, in its order.
    """
    correction = Correction(tracker, tracks, frames.step, sharing)
    for frame_index in frames:
        correction.update(frame_index)
        yield frame_index


class Correction:
    """One quick pass: what is stale on a frame is tracked from the memories before it.

    Args:
        tracker: computes the frames.
        tracks: the objects.
        step: direction and stride.
        sharing: how many objects share the budget for restart points.
    """

    def __init__(self, tracker: Tracker, tracks: Sequence[ObjectTrack], step: int, sharing: int) -> None:
        self._tracker, self._step, self._sharing = tracker, step, sharing
        self._tracks = [track for track in tracks if tracker.can_track(track)] or tracks
        self._banks: dict[ObjectTrack, MemoryBank] = {}

    def update(self, frame_index: int) -> None:
        """Bring the objects that this direction reaches up to date on the next frame of the range."""
        self._tracker.renew(self._tracks, range(frame_index, frame_index + 1))
        stale = self._stale(frame_index)
        self._forget_others(stale, frame_index)
        steps = self._steps(stale, frame_index)
        for step, (segmentation, bank) in zip(
            steps, self._tracker.track(frame_index, steps, self._step), strict=True
        ):
            if abs(self._step) == 1:
                self._tracker.add_restart(step.track, frame_index, bank, self._step, self._sharing)
            step.track.keep(frame_index, segmentation)
            self._banks[step.track] = bank

    def _stale(self, frame_index: int) -> list[ObjectTrack]:
        """The objects to track here; those whose canonical pass stands here go on with that."""
        reached = [t for t in self._tracks if self._reaches(t, frame_index) and not t.is_fresh(frame_index)]
        if self._step == 1:
            _forward(self._tracker, reached, frame_index, self._sharing)
        return [track for track in reached if not track.is_fresh(frame_index)]

    def _reaches(self, track: ObjectTrack, frame_index: int) -> bool:
        """Whether tracking in this direction comes to the frame from one of the object's prompts."""
        return any((frame_index - prompted) * self._step >= 0 for prompted in track.prompts)

    def _forget_others(self, stale: Sequence[ObjectTrack], frame_index: int) -> None:
        """A prompted frame is passed by; after others that are up to date, memories are looked up anew."""
        self._banks = {
            track: bank
            for track, bank in self._banks.items()
            if track in stale or frame_index in track.prompts
        }

    def _steps(self, stale: Sequence[ObjectTrack], frame_index: int) -> list[Step]:
        self._tracker.condition(stale)
        new = [track for track in stale if track not in self._banks]
        found = zip(new, self._tracker.banks_before(new, frame_index, self._step), strict=True)
        banks = self._banks | dict(found)
        return [Step(track, banks[track].conditioned_on(track.conditioning)) for track in stale]


def _forward(tracker: Tracker, tracks: Iterable[ObjectTrack], frame_index: int, sharing: int) -> None:
    """The next frame of the canonical forward pass, for the objects whose pass stands there."""
    living = [track for track in tracks if frame_index in track.life.frames]
    standing = [track for track in living if track.canonical_pass().stands_at(frame_index)]
    if frame_index < tracker.oldest:
        _skip_what_is_lost(tracker, standing)
        return
    steps = [Step(track, track.canonical_pass().banks[1]) for track in standing]
    for track, segmentation, bank in _advance(tracker, steps, frame_index, 1, sharing):
        track.keep(frame_index, segmentation, _after_forward(track, frame_index, bank))


def _skip_what_is_lost(tracker: Tracker, tracks: Iterable[ObjectTrack]) -> None:
    for track in tracks:
        state, forward = track.canonical_pass(), track.after(tracker.oldest)
        (bank,) = tracker.banks_before([track], forward, 1)
        track.go_on_with(replace(state, forward=forward, banks={**state.banks, 1: bank}))


def _backward(tracker: Tracker, tracks: Iterable[ObjectTrack], frame_index: int, sharing: int) -> None:
    """The next frame of the canonical backward pass, for objects whose pass stands there."""
    steps = [Step(track, _backward_bank(track, frame_index)) for track in tracks]
    for track, segmentation, bank in _advance(tracker, steps, frame_index, -1, sharing):
        state = track.canonical_pass()
        moved = replace(state, backward=frame_index - 1, banks={**state.banks, -1: bank})
        track.keep(frame_index, segmentation, moved)


def _backward_bank(track: ObjectTrack, frame_index: int) -> MemoryBank:
    """The memories with which the backward pass starts or goes on; at first those of the first frames."""
    state = track.canonical_pass()
    if frame_index == track.first - 1:
        lived = {i: memory for i, memory in state.first_memories.items() if i in track.life.frames}
        return MemoryBank(track.spans, recent=MappingProxyType(lived))
    return state.banks[-1]


def _advance(
    tracker: Tracker, steps: Sequence[Step], frame_index: int, direction: int, sharing: int
) -> Iterator[tuple[ObjectTrack, Segmentation, MemoryBank]]:
    """Track one frame and add the restart points; gives each object's mask, and its bank after the frame."""
    tracker.condition([track for track, _ in steps])
    steps = [Step(track, bank.conditioned_on(track.conditioning)) for track, bank in steps]
    for step, (segmentation, bank) in zip(steps, tracker.track(frame_index, steps, direction), strict=True):
        track = step.track
        if frame_index in (track.after(track.first), track.first - 1):
            track.restart[direction].start(frame_index - direction, step.bank)
        tracker.add_restart(track, frame_index, bank, direction, sharing)
        yield track, segmentation, bank


def _after_forward(track: ObjectTrack, frame_index: int, bank: MemoryBank) -> CanonicalPass:
    """How far the pass has come after a frame of its forward way.

    The memories of the first frames are kept for the backward pass, which reads them as the references do.
    """
    state = track.canonical_pass()
    moved = replace(state, forward=track.after(frame_index + 1), banks={**state.banks, 1: bank})
    behind = frame_index - track.first + 1  # steps from the first frame of the backward pass
    if track.first == 0 or behind > track.spans.pointer:
        return moved
    memory = bank.recent[frame_index]
    memory = memory if behind <= track.spans.memory else memory.faded()
    # A live video or the lifetime grew: the backward pass would now read this memory, so it begins anew.
    return replace(
        moved, backward=track.first - 1, first_memories={**state.first_memories, frame_index: memory}
    )
