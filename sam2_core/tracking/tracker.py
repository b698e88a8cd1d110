"""The tracker: one model on one video, computing frames of objects in whatever order a pass asks for."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import NamedTuple, TypeVar

import numpy as np

from sam2_core.errors import VideoError
from sam2_core.hookspecs import Memory, Segmentation, VideoModel
from sam2_core.limits import Limits
from sam2_core.tracking.bank import MemoryBank, Spans
from sam2_core.tracking.features import FeatureCache
from sam2_core.tracking.track import ObjectTrack
from sam2_core.types import Mask, Prompt, Video, is_live

KEPT_CLICKS = 16
"""Prompts whose steps are kept, so that one more click costs one decode."""

Item = TypeVar("Item")


class Step(NamedTuple):
    """One object about to be tracked on one frame, with the memories that it starts from."""

    track: ObjectTrack
    bank: MemoryBank


class Tracker:
    """Runs the model; owns the feature cache and the cached clicks, not the objects.

    Attributes:
        objects: how many objects share the budget for restart points.

    Args:
        model: what segments and tracks.
        video: where the frames come from.
        limits: what may be kept in memory.
    """

    def __init__(self, model: VideoModel, video: Video, limits: Limits) -> None:
        self.model, self.video, self.limits = model, video, limits
        self.spans = Spans.of(model)
        self.features = FeatureCache(model, video, limits.feature_bytes)
        self.objects = 1
        self._clicks: OrderedDict[tuple[int, int], tuple[Prompt, list[Segmentation]]] = OrderedDict()

    @property
    def oldest(self) -> int:
        """The first frame that can still be read: a live video forgets those before it."""
        return int(getattr(self.video, "oldest", 0))

    def segment(self, prompt: Prompt) -> Segmentation:
        """The mask of a prompt: its points are given one after another, each sees the logits of the last.

        Steps that this prompt shares with the last one of its frame and object are not computed again.
        """
        if prompt.mask is not None:  # large, and no click will follow
            return self.model.segment(self.features[prompt.frame_index], prompt, None)
        key = (prompt.frame_index, prompt.object_id)
        steps = steps_of(prompt)
        done: list[Segmentation] = []
        if key in self._clicks:
            old, segmentations = self._clicks[key]
            done = segmentations[: _shared(steps_of(old), steps)]
        features = self.features[prompt.frame_index]
        for step in steps[len(done) :]:
            done.append(self.model.segment(features, step, done[-1] if done else None))
        self._clicks[key] = (prompt, done)
        self._clicks.move_to_end(key)
        while len(self._clicks) > KEPT_CLICKS:
            self._clicks.popitem(last=False)
        return done[-1]

    def prompt(self, track: ObjectTrack, prompt: Prompt) -> None:
        """Give an object a prompt; nothing changes if that fails.

        On a live video its memory is made at once: later the frame may be gone.
        """
        segmentation = self.segment(prompt)
        memories: Sequence[Memory] = ()
        if is_live(self.video):
            memories = self._memories(prompt.frame_index, [segmentation], prompted=True)
        track.set_prompt(prompt, segmentation)
        for memory in memories:
            track.set_conditioning(prompt.frame_index, memory)

    def candidates(self, prompt: Prompt) -> Sequence[Segmentation]:
        """The readings of a prompt, best predicted IoU first; a refined prompt has one, its mask."""
        if len(steps_of(prompt)) > 1:
            return [self.segment(prompt)]
        return self.model.candidates(self.features[prompt.frame_index], prompt)

    def condition(self, tracks: Iterable[ObjectTrack]) -> None:
        """Encode the memories of prompted frames that have none yet, frame by frame."""
        todo: dict[int, list[ObjectTrack]] = {}
        for track in tracks:
            for frame_index in track.prompts.keys() - track.conditioning.keys():
                todo.setdefault(frame_index, []).append(track)
        for frame_index in sorted(todo):
            for group in _batches(todo[frame_index], self.model.batch):
                prompted = [self.segment(track.prompts[frame_index]) for track in group]
                memories = self._memories(frame_index, prompted, prompted=True)
                for track, memory in zip(group, memories, strict=True):
                    track.set_conditioning(frame_index, memory)

    def track(
        self, frame_index: int, steps: Sequence[Step], direction: int
    ) -> list[tuple[Segmentation, MemoryBank]]:
        """The masks of several objects on one frame, and their banks after it."""
        results: list[tuple[Segmentation, MemoryBank]] = []
        for group in _batches(steps, self.model.batch):
            limit = self.limits.max_conditioning_frames
            recalled = [step.bank.recall(frame_index, direction, limit) for step in group]
            segmentations = self.model.track(self.features[frame_index], recalled)
            memories = self._memories(frame_index, segmentations, prompted=False)
            for step, segmentation, memory in zip(group, segmentations, memories, strict=True):
                bank = step.bank.remember(frame_index, memory, direction)
                results.append((replace(segmentation, raw=None), bank))
        return results

    def bank_before(self, track: ObjectTrack, frame_index: int, direction: int) -> MemoryBank:
        """The memories of an object as they are before a frame, from the nearest restart point.

        The frames between the restart point and this one are tracked again with the prompts of that time, so
        that the memories are the same; their masks are left alone. A pass with a stride starts from the
        prompted frames alone.
        """
        point = track.restart[direction].before(frame_index) if abs(direction) == 1 else None
        if point is None:
            return MemoryBank(track.spans, track.conditioning)
        bank = point.bank
        try:
            for between in range(point.frame_index + direction, frame_index, direction):
                if between not in bank.conditioning:
                    _, bank = self.track(between, [Step(track, bank)], direction)[0]
        except VideoError:  # a live video no longer has these frames
            return MemoryBank(track.spans, track.conditioning)
        return bank.conditioned_on(track.conditioning)

    def add_restart(self, track: ObjectTrack, frame_index: int, bank: MemoryBank, direction: int) -> None:
        """Keep the bank after a frame, within the object's share of the budget."""
        budget = self.limits.restart_bytes
        if budget is None:
            budget = max(16 * 2**20, 32 * bank.nbytes)
        limit = budget // max(1, self.objects * bank.nbytes)
        other = track.restart[-direction]  # mostly empty: then this direction has the whole share
        other.thin(max(limit // 2, limit - len(track.restart[direction]) - 1))
        track.restart[direction].add(frame_index, bank, limit - len(other))

    def close(self) -> None:
        """Drop features and cached clicks."""
        self.features.clear()
        self._clicks.clear()

    def _memories(
        self, frame_index: int, segmentations: Sequence[Segmentation], *, prompted: bool
    ) -> Sequence[Memory]:
        return self.model.encode_memory(self.features[frame_index], segmentations, prompted=prompted)


def steps_of(prompt: Prompt) -> list[Prompt]:
    """The prompt as it grew: the box (if there is one) or the first point, then one more point at a time."""
    if prompt.mask is not None:
        return [prompt]
    start = 0 if prompt.box is not None else 1
    return [replace(prompt, points=prompt.points[:n]) for n in range(start, len(prompt.points) + 1)]


def same_prompt(first: Prompt, second: Prompt) -> bool:
    """Whether two prompts say the same."""
    return (
        (first.frame_index, first.object_id, first.points, first.box)
        == (second.frame_index, second.object_id, second.points, second.box)
        and _same_mask(first.mask, second.mask)
        and _same_mask(first.previous, second.previous)
    )


def _same_mask(first: Mask | None, second: Mask | None) -> bool:
    if first is None or second is None:
        return first is second
    return np.array_equal(first, second)


def _shared(old: Sequence[Prompt], new: Sequence[Prompt]) -> int:
    """How many first steps two prompts have in common."""
    count = 0
    for first, second in zip(old, new, strict=False):
        if not same_prompt(first, second):
            break
        count += 1
    return count


def _batches(items: Sequence[Item], size: int) -> Iterable[Sequence[Item]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]
