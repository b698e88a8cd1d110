"""Annotated videos as training clips: a user's own data, in any layout that ``find_sequences`` knows.

A clip is a run of annotated frames; what lies between them is left out, so sparse annotations are a video of
their own with larger steps.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence as Many
from dataclasses import dataclass

import numpy as np
import torch

from sam2_core.errors import VideoError
from sam2_core.evaluation.truth import Sequence, Truth
from sam2_core.training.clips import Clip

LABELS = 255
"""Objects that a clip holds at most; of more, those that cover most."""


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

    def clip(self, start: int, length: int) -> Clip:
        """The annotated frames from the given one on, as large as they are.

        Raises:
            VideoError: if a frame cannot be read.
        """
        video = self.sequence.open()
        try:
            frames = self.truth.frames[start : start + length]
            images = np.stack([video[frame_index] for frame_index in frames])
            labels, objects = self._labels(frames, video.size)
        finally:
            getattr(video, "close", lambda: None)()
        table = torch.zeros(objects, LABELS + 1, dtype=torch.bool)
        table[torch.arange(objects), torch.arange(1, objects + 1)] = True
        return Clip(torch.from_numpy(images).permute(0, 3, 1, 2), torch.from_numpy(labels), table)

    def _labels(self, frames: Many[int], shape: tuple[int, int]) -> tuple[np.ndarray, int]:
        """Label images of the largest objects on these frames, and how many these are."""
        areas = {
            object_id: sum(masklet[i].encoded.area for i in frames if i in masklet)
            for object_id, masklet in self.truth.objects.items()
        }
        chosen = sorted((i for i, area in areas.items() if area), key=lambda i: -areas[i])[:LABELS]
        labels = np.zeros((len(frames), *shape), np.uint8)
        for whole, frame_index in zip(labels, frames, strict=True):
            for number, object_id in enumerate(chosen, 1):  # small ones are painted over large ones
                if frame_index in self.truth.objects[object_id]:
                    whole[self.truth.mask(object_id, frame_index, shape)] = number
        return labels, len(chosen)


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
