"""Annotated videos as training clips: a user's own data, in any layout that ``find_sequences`` knows.

A clip is a run of annotated frames; what lies between them is left out, so sparse annotations are a video of
their own with larger steps. Frames and masks are squashed to the network's square, as inference does.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Sequence as Many
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from sam2_core.errors import VideoError
from sam2_core.evaluation.truth import Sequence, Truth
from sam2_core.training.batches import Batch, collate
from sam2_core.training.clips import Clip, ClipSource
from sam2_core.training.data import Procedural
from sam2_core.training.parallel import Processes
from sam2_core.training.plan import Plan
from sam2_core.training.random import Random
from sam2_core.types import Video

LABELS = 255
"""Objects that a clip holds at most; of more, those that cover most."""

HELD = 64
"""Clips that are kept in memory; others are read again."""


@dataclass(frozen=True, eq=False)
class Annotated:
    """The frames of one video that are trained on, or that are held out.

    Attributes:
        sequence: the video.
        truth: what is annotated on these frames.
    """

    sequence: Sequence
    truth: Truth

    @property
    def identity(self) -> str:
        """The video, and a checksum of the annotations."""
        found = hashlib.sha1(repr(self.truth.frames).encode(), usedforsecurity=False)
        for object_id, masklet in sorted(self.truth.objects.items()):
            for frame_index, known in sorted(masklet.items()):
                mask = known.encoded
                place = (object_id, frame_index, mask.size, mask.top, mask.left, mask.shape)
                found.update(repr(place).encode())
                found.update(mask.counts.tobytes())
        return f"{self.sequence.name} {found.hexdigest()[:12]}"

    def clip(self, start: int, length: int, size: int) -> Clip:
        """The annotated frames from the given one on, at the network's size.

        Raises:
            VideoError: if a frame cannot be read.
        """
        video = self.sequence.open()
        try:
            frames = self.truth.frames[start : start + length]
            images = np.stack([_squashed(video, frame_index, size) for frame_index in frames])
            labels, objects = self._labels(frames, video.size, size)
        finally:
            getattr(video, "close", lambda: None)()
        table = torch.zeros(objects, LABELS + 1, dtype=torch.bool)
        table[torch.arange(objects), torch.arange(1, objects + 1)] = True
        return Clip(torch.from_numpy(images).permute(0, 3, 1, 2), torch.from_numpy(labels), table)

    def _labels(self, frames: Many[int], shape: tuple[int, int], size: int) -> tuple[np.ndarray, int]:
        """Label images of the largest objects on these frames, and how many these are."""
        areas = {
            object_id: sum(masklet[i].encoded.area for i in frames if i in masklet)
            for object_id, masklet in self.truth.objects.items()
        }
        chosen = sorted((i for i, area in areas.items() if area), key=lambda i: -areas[i])[:LABELS]
        labels = np.zeros((len(frames), size, size), np.uint8)
        for place, frame_index in enumerate(frames):
            whole = np.zeros(shape, np.uint8)
            for number, object_id in enumerate(chosen, 1):  # small ones are painted over large ones
                if frame_index in self.truth.objects[object_id]:
                    whole[self.truth.mask(object_id, frame_index, shape)] = number
            labels[place] = np.asarray(Image.fromarray(whole).resize((size, size), Image.Resampling.NEAREST))
        return labels, len(chosen)


def _squashed(video: Video, frame_index: int, size: int) -> np.ndarray:
    image = Image.fromarray(np.ascontiguousarray(video[frame_index]))
    return np.asarray(image.resize((size, size), Image.Resampling.BICUBIC))


def split(sequence: Sequence, held_out: float) -> tuple[Annotated, Annotated | None]:
    """The frames of a video to train on and those to hold out, which are its last.

    Args:
        sequence: the video with its annotations.
        held_out: the share of the annotated frames; None is held out where that is less than one.

    Raises:
        ExportError: if the annotations do not fit the video.
        VideoError: if too few frames are annotated to train on.
    """
    truth, _ = sequence.whole_truth()
    last = len(truth.frames) - int(len(truth.frames) * held_out)
    trained, kept = truth.of_frames(truth.frames[:last]), truth.of_frames(truth.frames[last:])
    if kept.objects:
        first = min(map(kept.first, kept.objects))  # a clip begins where something is to be seen
        kept = kept.of_frames(range(first, truth.frames[-1] + 1))
    if len(trained.frames) < 2 or not trained.objects:
        raise VideoError(
            f"{sequence.name!r} has {len(trained.frames)} annotated frames, {len(trained.objects)} objects "
            "to train on; annotate two frames or more, or hold out fewer"
        )
    held = Annotated(sequence, kept) if kept.frames and kept.objects else None
    return Annotated(sequence, trained), held


class AnnotatedClips:
    """A ``ClipSource`` of annotated videos; clips of half-overlapping runs of frames.

    Args:
        videos: what is annotated.
        frames: length of a clip at most.
        size: height and width of a clip.
        device: where clips are kept.
    """

    def __init__(self, videos: Many[Annotated], frames: int, size: int, device: torch.device) -> None:
        self._frames, self._size, self._device = frames, size, device
        self._runs = [(video, start) for video in videos for start in _starts(video.truth, frames)]
        self._clips: OrderedDict[int, Clip] = OrderedDict()

    def sample(self, rng: Random, clips_made: int) -> Clip:
        """A random run of annotated frames."""
        return self.clip(rng.integer(0, len(self._runs) - 1))

    def clip(self, index: int) -> Clip:
        """The run with this number."""
        if index not in self._clips:
            video, start = self._runs[index]
            clip = video.clip(start, self._frames, self._size)
            self._clips[index] = clip.to(self._device)
            while len(self._clips) > HELD:
                self._clips.popitem(last=False)
        self._clips.move_to_end(index)
        return self._clips[index]


def _starts(truth: Truth, frames: int) -> list[int]:
    """Where runs of annotated frames begin: every half a run, or at the next frame on which something is."""
    seen = [any(i in masklet for masklet in truth.objects.values()) for i in truth.frames]
    every = range(0, max(1, len(seen) - frames // 2), max(1, frames // 2))
    return sorted({seen.index(True, start) for start in every if True in seen[start:]})


@dataclass(frozen=True)
class Mixed:
    """A ``ClipSource`` of two, so that what was known before is not forgotten.

    Attributes:
        first: the one.
        second: the other.
        share: how often the second is asked.
    """

    first: ClipSource
    second: ClipSource
    share: float

    def sample(self, rng: Random, clips_made: int) -> Clip:
        """A clip of either."""
        source = self.second if rng.chance(self.share) else self.first
        return source.sample(rng, clips_made)


@dataclass(frozen=True, eq=False)
class AnnotatedData:
    """Training data made of annotated videos beside procedural clips.

    Attributes:
        trained: what is trained on.
        held_out: what is validated on; nothing: what is trained on.
        procedural_share: how often a clip is a procedural one.
    """

    trained: Many[Annotated]
    held_out: Many[Annotated] = ()
    procedural_share: float = 0.2

    @property
    def identity(self) -> str:
        """What a checkpoint says of the data."""
        return ", ".join(video.identity for video in self.trained)

    def clips(self, plan: Plan, processes: Processes, folder: Path | None) -> ClipSource:
        """What the steps of a run are sampled from."""
        own = AnnotatedClips(self.trained, plan.clip_frames, plan.network.image_size, processes.device)
        if not self.procedural_share:
            return own
        return Mixed(own, Procedural().clips(plan, processes, None), self.procedural_share)

    def validation_batch(self, number: int, plan: Plan, device: torch.device) -> Batch:
        """Objects of a clip, the same for the same number."""
        videos = self.held_out or self.trained
        clips = AnnotatedClips(videos, plan.clip_frames, plan.network.image_size, device)
        rng = Random(number, device)
        return collate(rng, [clips.sample(rng, 0)], objects=3)
