"""The tracker: one model on one video, computing frames of objects in whatever order a pass asks for."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import takewhile
from typing import NamedTuple, TypeVar
from weakref import ref

from sam2_core.errors import VideoError
from sam2_core.hookspecs import Memory, Segmentation, VideoModel, stores_features
from sam2_core.limits import Limits
from sam2_core.prompts import Prompt
from sam2_core.tracking import allocator
from sam2_core.tracking.bank import MemoryBank, Spans
from sam2_core.tracking.feature_file import FeatureFile
from sam2_core.tracking.features import FeatureCache
from sam2_core.tracking.track import ObjectTrack
from sam2_core.types import Video, is_live

KEPT_CLICKS = 16
"""Prompts whose steps are kept, so that one more click costs one decode."""

Item = TypeVar("Item")


class Step(NamedTuple):
    """One object about to be tracked on one frame, with the memories that it starts from."""

    track: ObjectTrack
    bank: MemoryBank


class Clicks(NamedTuple):
    """The last prompt of an object on a frame, with all its steps: the next click goes on from them.

    Attributes:
        prompt: the prompt.
        steps: its segmentations, one per step.
        track: the object, if it was given the prompt.
    """

    prompt: Prompt
    steps: Sequence[Segmentation]
    track: ref[ObjectTrack] | None = None


class Tracker:
    """Runs the model; owns the feature cache and the cached clicks, not the objects.

    Args:
        model: what segments and tracks.
        video: where the frames come from.
        limits: what may be kept in memory.
    """

    def __init__(self, model: VideoModel, video: Video, limits: Limits) -> None:
        self.model, self.video, self.limits = model, video, limits
        self.spans = Spans.of(model)
        disk = None
        if limits.feature_disk_bytes and stores_features(model) and not is_live(video):
            disk = FeatureFile(model, limits.feature_disk_bytes)
        self.features = FeatureCache(model, video, limits.feature_bytes, disk)
        self._clicks: OrderedDict[tuple[int, int], Clicks] = OrderedDict()
        self._tracked = 0

    @property
    def oldest(self) -> int:
        """The first frame that can still be read: a live video forgets those before it."""
        return int(getattr(self.video, "oldest", 0))

    def segment(self, prompt: Prompt) -> Segmentation:
        """The mask of a prompt: its points are given one after another, each sees the logits of the last.

        Steps that this prompt shares with the last one of its frame and object are not computed again.
        """
        return self._segment(prompt, None)

    def _segment(self, prompt: Prompt, track: ObjectTrack | None) -> Segmentation:
        steps = self._steps(prompt)
        if prompt.encoded_mask is None:  # else large, and no click will follow
            key = (prompt.frame_index, prompt.object_id)
            self._clicks[key] = Clicks(prompt, steps, None if track is None else ref(track))
            self._clicks.move_to_end(key)
            while len(self._clicks) > KEPT_CLICKS:
                (frame_index, _), oldest = self._clicks.popitem(last=False)
                self._remember(frame_index, oldest)
        return steps[-1]

    def _steps(self, prompt: Prompt) -> Sequence[Segmentation]:
        """The segmentations of all steps of a prompt, as far as they are known those that are kept."""
        kept = self._clicks.get((prompt.frame_index, prompt.object_id))
        done = [] if kept is None else list(kept.steps[: _shared(kept.prompt, prompt)])
        for step in steps_of(prompt, len(done)):
            features = self.features[prompt.frame_index]
            done.append(self.model.segment(features, step, done[-1] if done else None))
        return done

    def _remember(self, frame_index: int, clicks: Clicks) -> None:
        """Encode the memory of a prompt before its logits are dropped, if its features are in memory."""
        track = None if clicks.track is None else clicks.track()
        if track is None or frame_index not in self.features or frame_index in track.conditioning:
            return
        last, shown = clicks.steps[-1], track.prompted.get(frame_index)
        if shown is not None and shown.encoded is last.encoded:  # no other prompt came since
            (memory,) = self._memories(frame_index, [last], prompted=True)
            track.set_conditioning(frame_index, memory)

    def prompt(self, track: ObjectTrack, prompt: Prompt) -> None:
        """Give an object a prompt; nothing changes if that fails."""
        track.set_prompt(prompt, *self._answer(track, prompt))

    def _answer(self, track: ObjectTrack, prompt: Prompt) -> tuple[Segmentation, Memory | None]:
        """The mask of a prompt, and its memory if that cannot wait.

        The logits of a painted mask are far larger than its memory, and are not kept; a frame of a live video
        may be gone later. A click is answered at once: its memory waits until tracking needs it.
        """
        segmentation = self._segment(prompt, track)
        if prompt.encoded_mask is None and not is_live(self.video):
            return segmentation, None
        (memory,) = self._memories(prompt.frame_index, [segmentation], prompted=True)
        return segmentation, memory

    def candidates(self, prompt: Prompt) -> Sequence[Segmentation]:
        """The readings of a prompt, best predicted IoU first; a refined prompt has one, its mask."""
        if len(prompt.points) + (prompt.box is not None) > 1:
            return [self.segment(prompt)]
        return self.model.candidates(self.features[prompt.frame_index], prompt)

    def renew(self, tracks: Iterable[ObjectTrack], frames: range) -> None:
        """Compute the masks of prompts that another model gave, but for frames that a live video lost."""
        foreign = [(i, t) for t in tracks for i in t.foreign if i in frames and i >= self.oldest]
        for frame_index, track in sorted(foreign, key=lambda pair: pair[0]):
            track.renew(frame_index, *self._answer(track, track.prompts[frame_index]))

    def can_track(self, track: ObjectTrack) -> bool:
        """Whether there is a memory to start from: a live video may have lost the frames of all prompts."""
        return bool(track.conditioning) or any(i >= self.oldest for i in track.prompts)

    def condition(self, tracks: Iterable[ObjectTrack]) -> None:
        """Encode the memories of prompted frames that have none yet, frame by frame."""
        todo: dict[int, list[ObjectTrack]] = {}
        for track in tracks:
            for frame_index in track.prompts.keys() - track.conditioning.keys():
                if frame_index < self.oldest and self.can_track(track):
                    continue  # another model's prompt on a frame that is lost; there are others
                todo.setdefault(frame_index, []).append(track)
        for frame_index in sorted(todo):
            for group in _batches(todo[frame_index], self.model.batch):
                prompted = [self._steps(track.prompts[frame_index])[-1] for track in group]
                memories = self._memories(frame_index, prompted, prompted=True)
                for track, memory in zip(group, memories, strict=True):
                    track.set_conditioning(frame_index, memory)

    def track(
        self, frame_index: int, steps: Sequence[Step], direction: int
    ) -> list[tuple[Segmentation, MemoryBank]]:
        """The masks of several objects on one frame, and their banks after it."""
        self._tracked += 1
        if self._tracked % allocator.EVERY == 0:
            allocator.give_back()
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

    def banks_before(
        self, tracks: Sequence[ObjectTrack], frame_index: int, direction: int
    ) -> list[MemoryBank]:
        """The memories of objects as they are before a frame, each from its nearest restart point.

        The frames between the restart points and this one are tracked again with the prompts of that time, so
        that the memories are the same; their masks are left alone. Each frame is encoded once, for all
        objects whose restart point lies behind it. A pass with a stride starts from the prompts alone.
        """
        near = {
            track: track.restart[direction].before(frame_index, track.life.frames)
            for track in tracks
            if abs(direction) == 1
        }
        points = {track: point for track, point in near.items() if point is not None}
        banks = {track: point.bank for track, point in points.items()}
        farthest = max((abs(frame_index - point.frame_index) for point in points.values()), default=0)
        for between in range(frame_index - (farthest - 1) * direction, frame_index, direction):
            behind = [t for t in banks if (between - points[t].frame_index) * direction > 0]
            steps = [Step(t, banks[t]) for t in behind if between not in banks[t].conditioning]
            try:
                found = self.track(between, steps, direction)
            except VideoError:  # a live video no longer has this frame
                banks = {track: bank for track, bank in banks.items() if Step(track, bank) not in steps}
                continue
            banks |= {step.track: bank for step, (_, bank) in zip(steps, found, strict=True)}
        alone = MemoryBank(self.spans)
        return [banks.get(track, alone).conditioned_on(track.conditioning) for track in tracks]

    def add_restart(
        self, track: ObjectTrack, frame_index: int, bank: MemoryBank, direction: int, sharing: int = 1
    ) -> None:
        """Keep the bank after a frame, within the share of one of so many objects in the budget."""
        budget = self.limits.restart_bytes
        if budget is None:
            budget = max(16 * 2**20, 32 * bank.nbytes)
        limit = budget // max(1, sharing * bank.nbytes)
        other = track.restart[-direction]  # mostly empty: then this direction has the whole share
        other.thin(max(limit // 2, limit - len(track.restart[direction]) - 1))
        track.restart[direction].add(frame_index, bank, limit - len(other))

    def rename(self, old: int, new: int) -> None:
        """Keep the cached clicks of an object under its new id, in the place of any that were under that."""
        self._clicks = OrderedDict(
            ((frame_index, new if object_id == old else object_id), clicks)
            for (frame_index, object_id), clicks in self._clicks.items()
            if object_id != new
        )

    def close(self) -> None:
        """Drop features and cached clicks."""
        self.features.clear()
        self._clicks.clear()
        allocator.give_back()

    def _memories(
        self, frame_index: int, segmentations: Sequence[Segmentation], *, prompted: bool
    ) -> Sequence[Memory]:
        return self.model.encode_memory(self.features[frame_index], segmentations, prompted=prompted)


def steps_of(prompt: Prompt, done: int = 0) -> list[Prompt]:
    """The prompt as it grew: the box (if there is one) or the first point, then one more point at a time.

    Args:
        prompt: the prompt.
        done: how many of the first steps to leave out.
    """
    if prompt.encoded_mask is not None:
        return [prompt]
    first, last = (0 if prompt.box is not None else 1), len(prompt.points)
    previous = prompt.encoded_previous
    return [
        prompt if count == last else replace(prompt, points=prompt.points[:count], previous=previous)
        for count in range(first + done, last + 1)
    ]


def same_prompt(first: Prompt, second: Prompt) -> bool:
    """Whether two prompts say the same."""
    mine, theirs = (
        (p.frame_index, p.object_id, p.points, p.box, p.encoded_mask, p.encoded_previous)
        for p in (first, second)
    )
    return mine == theirs


def _shared(old: Prompt, new: Prompt) -> int:
    """How many first steps two prompts have in common, neither of them a painted mask."""
    mine, theirs = ((p.box, p.encoded_mask, p.encoded_previous) for p in (old, new))
    if mine != theirs:
        return 0
    pairs = zip(old.points, new.points, strict=False)
    return (new.box is not None) + sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))


def _batches(items: Sequence[Item], size: int) -> Iterable[Sequence[Item]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]
