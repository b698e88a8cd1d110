"""In which order frames are computed: the canonical result, and the quick correction of a range.

Both are generators of frame indices; a frame is yielded when all objects that this pass follows are up to
date on it. Nothing is computed before it is asked for, so stopping is to stop iterating.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType

from sam2_core.hookspecs import Segmentation
from sam2_core.tracking.bank import MemoryBank
from sam2_core.tracking.track import CanonicalPass, Known, ObjectTrack
from sam2_core.tracking.tracker import Step, Tracker


def canonical(tracker: Tracker, tracks: Sequence[ObjectTrack]) -> Iterator[int]:
    """Bring every object to its canonical result: forward from its first prompt, then backward to frame 0.

    What a live video has forgotten cannot be computed any more: the forward pass goes on with the first frame
    that is left, the backward pass stops there.

    Yields frame indices; frames before the first prompt of some objects and after that of others come twice.
    """
    for track in tracks:
        if track.canonical_pass().forward < len(tracker.video) and not track.canonical_pass().banks:
            track.restart_canonical_pass()  # it was saved when the video was shorter
    frame_index = min(track.first for track in tracks)
    while frame_index < len(tracker.video):  # a live video grows meanwhile
        reached = [track for track in tracks if track.first <= frame_index]
        _forward(tracker, reached, frame_index)
        if frame_index >= tracker.oldest or all(track.is_fresh(frame_index) for track in reached):
            yield frame_index
        frame_index += 1
    for frame_index in range(max(track.first for track in tracks) - 1, -1, -1):
        standing = [track for track in tracks if track.canonical_pass().backward == frame_index]
        if standing and frame_index < tracker.oldest:
            return
        _backward(tracker, standing, frame_index)
        yield frame_index


def quick(tracker: Tracker, tracks: Sequence[ObjectTrack], frames: range) -> Iterator[int]:
    """Compute what is stale in a range, from the memories as they are; frames outside stay as they were.

    Yields every frame of the range, in its order.
    """
    banks: dict[int, MemoryBank] = {}
    for frame_index in frames:
        reached = [t for t in tracks if _reaches(t, frame_index, frames.step) and not t.is_fresh(frame_index)]
        if frames.step == 1:
            _forward(tracker, reached, frame_index)
        stale = [track for track in reached if not track.is_fresh(frame_index)]
        tracker.condition(stale)
        steps = [
            Step(
                t,
                banks[t.object_id].conditioned_on(t.conditioning)
                if t.object_id in banks
                else tracker.bank_before(t, frame_index, frames.step),
            )
            for t in stale
        ]
        # A prompted frame is passed by; after any other that was up to date, the memories are looked up anew.
        banks = {t.object_id: banks[t.object_id] for t in tracks if _passes_by(t, frame_index, banks)}
        for step, (segmentation, bank) in zip(
            steps, tracker.track(frame_index, steps, frames.step), strict=True
        ):
            banks[step.track.object_id] = bank
            _keep(step.track, frame_index, segmentation)
            if abs(frames.step) == 1:
                tracker.add_restart(step.track, frame_index, bank, frames.step)
        yield frame_index


def _reaches(track: ObjectTrack, frame_index: int, step: int) -> bool:
    """Whether tracking in this direction comes to the frame from one of the object's prompts."""
    return any((frame_index - prompted) * step >= 0 for prompted in track.prompts)


def _passes_by(track: ObjectTrack, frame_index: int, banks: Mapping[int, MemoryBank]) -> bool:
    return track.object_id in banks and frame_index in track.prompts


def _forward(tracker: Tracker, tracks: Sequence[ObjectTrack], frame_index: int) -> None:
    """The next frame of the canonical forward pass, for the objects whose pass stands there."""
    standing = [t for t in tracks if t.canonical_pass().stands_at(frame_index)]
    if frame_index < tracker.oldest:
        for track in standing:
            state = track.canonical_pass()
            state.forward = track.after(tracker.oldest)
            state.banks[1] = tracker.bank_before(track, state.forward, 1)
        return
    for track, bank in _advance(tracker, standing, frame_index, 1):
        state = track.canonical_pass()
        state.forward = track.after(frame_index + 1)
        _keep_first(state, track, frame_index, bank)


def _backward(tracker: Tracker, tracks: Sequence[ObjectTrack], frame_index: int) -> None:
    """The next frame of the canonical backward pass, for objects whose pass stands there."""
    for track in tracks:
        if frame_index == track.first - 1:
            state = track.canonical_pass()
            state.banks[-1] = MemoryBank(track.spans, recent=MappingProxyType(dict(state.first_memories)))
    for track, _ in _advance(tracker, tracks, frame_index, -1):
        track.canonical_pass().backward = frame_index - 1


def _advance(
    tracker: Tracker, tracks: Sequence[ObjectTrack], frame_index: int, direction: int
) -> Iterator[tuple[ObjectTrack, MemoryBank]]:
    """Track one frame and keep the results; yields each object with its bank after the frame."""
    tracker.condition(tracks)
    steps = [Step(t, t.canonical_pass().banks[direction].conditioned_on(t.conditioning)) for t in tracks]
    for step, (segmentation, bank) in zip(steps, tracker.track(frame_index, steps, direction), strict=True):
        _keep(step.track, frame_index, segmentation)
        step.track.canonical_pass().banks[direction] = bank
        if frame_index in (step.track.after(step.track.first), step.track.first - 1):
            step.track.restart[direction].start(frame_index - direction, step.bank)
        tracker.add_restart(step.track, frame_index, bank, direction)
        yield step.track, bank


def _keep_first(state: CanonicalPass, track: ObjectTrack, frame_index: int, bank: MemoryBank) -> None:
    """Keep the memories of the first frames for the backward pass, which reads them as the references do."""
    behind = frame_index - track.first + 1  # steps from the first frame of the backward pass
    if track.first == 0 or behind > track.spans.pointer:
        return
    memory = bank.recent[frame_index]
    state.first_memories[frame_index] = memory if behind <= track.spans.memory else memory.faded()
    state.backward = track.first - 1  # a live video grew: the backward pass would now read this memory


def _keep(track: ObjectTrack, frame_index: int, segmentation: Segmentation) -> None:
    track.known[frame_index] = Known(
        segmentation.encoded, segmentation.score, segmentation.visible, track.revision
    )
