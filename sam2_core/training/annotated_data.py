"""Annotated videos as training data: clips that are held, parts of them, and procedural ones beside them."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence as Many
from dataclasses import dataclass
from pathlib import Path

import torch

from sam2_core.evaluation.truth import Truth
from sam2_core.training.annotated import Annotated
from sam2_core.training.augmentation import augmented
from sam2_core.training.batches import Batch, collate
from sam2_core.training.clips import Clip, ClipSource, frame_indices
from sam2_core.training.crops import cropped, squashed
from sam2_core.training.data import Procedural
from sam2_core.training.divisions import with_divisions
from sam2_core.training.parallel import Processes
from sam2_core.training.plan import Plan
from sam2_core.training.random import Random

HELD_BYTES = 1 << 30
"""Bytes of frames and labels that are kept in memory; clips beyond that are read again."""

_TRIES = 4
"""So often a part is drawn that shows an object on its first frame; then the whole frame is taken."""


@dataclass(frozen=True)
class Views:
    """What becomes of a run of frames before it is augmented like any other.

    Attributes:
        parts: how often a part of the frames is shown instead of the whole, in more detail.
        divisions: how many of the objects divide in a clip (``with_divisions``).
    """

    parts: float = 0.6
    divisions: float = 0.0


class AnnotatedClips:
    """A ``ClipSource`` of annotated videos; clips of half-overlapping runs of frames.

    Args:
        videos: what is annotated.
        frames: length of a clip at most.
        size: height and width of what is drawn.
        device: where it is put.
        views: what becomes of it.
        held_bytes: clips of so many bytes together are kept as they are read, one at least.
    """

    def __init__(
        self,
        videos: Many[Annotated],
        frames: int,
        size: int,
        device: torch.device,
        views: Views | None = None,
        held_bytes: int = HELD_BYTES,
    ) -> None:
        self._frames, self._size, self._device = frames, size, device
        self._views, self._budget = views or Views(), held_bytes
        self._runs = [(video, start) for video in videos for start in _starts(video.truth, frames)]
        self._clips: OrderedDict[int, Clip] = OrderedDict()

    @property
    def held_bytes(self) -> int:
        """Bytes of the clips that are kept at present."""
        return sum(clip.frames.nbytes + clip.labels.nbytes for clip in self._clips.values())

    def draw(self, rng: Random, clips_made: int, frames: int, stride: int) -> Clip:
        """A run of frames of a random clip, whole or in part, augmented."""
        host = Random(rng.integer(0, 2**31 - 1))  # frames are cut on the CPU
        clip = self.clip(rng.integer(0, len(self._runs) - 1))
        run = frame_indices(host, len(clip.frames), frames, stride)
        once = list(dict.fromkeys(run))  # a run that turns round shows frames twice, which are cut once
        clip = self._view(host, clip.at(once)).at([once.index(frame) for frame in run])
        if self._views.divisions:
            clip = with_divisions(host, clip, self._views.divisions)
        return augmented(rng, clip.to(self._device))

    def sample(self, rng: Random) -> Clip:
        """A random run of annotated frames, whole, as inference sees them."""
        return squashed(self.clip(rng.integer(0, len(self._runs) - 1)), self._size).to(self._device)

    def clip(self, index: int) -> Clip:
        """The run with this number, as large as its video."""
        if index not in self._clips:
            video, start = self._runs[index]
            self._clips[index] = video.clip(start, self._frames)
            while len(self._clips) > 1 and self.held_bytes > self._budget:
                self._clips.popitem(last=False)
        self._clips.move_to_end(index)
        return self._clips[index]

    def _view(self, rng: Random, clip: Clip) -> Clip:
        if rng.chance(self._views.parts) and bool(clip.labels[0].any()):
            for _ in range(_TRIES):
                part = cropped(rng, clip, self._size)
                if bool(part.labels[0].any()):
                    return part
        return squashed(clip, self._size)


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

    def draw(self, rng: Random, clips_made: int, frames: int, stride: int) -> Clip:
        """A run of frames of either."""
        source = self.second if rng.chance(self.share) else self.first
        return source.draw(rng, clips_made, frames, stride)


@dataclass(frozen=True, eq=False)
class AnnotatedData:
    """Training data made of annotated videos beside procedural clips.

    Attributes:
        trained: what is trained on.
        held_out: what is validated on; nothing: what is trained on.
        procedural_share: how often a clip is a procedural one.
        views: what becomes of the frames.
    """

    trained: Many[Annotated]
    held_out: Many[Annotated] = ()
    procedural_share: float = 0.2
    views: Views = Views()

    @property
    def identity(self) -> str:
        """What a checkpoint says of the data."""
        divided = f"; {self.views.divisions:g} divided" if self.views.divisions else ""
        return ", ".join(video.identity for video in self.trained) + divided

    def clips(self, plan: Plan, processes: Processes, folder: Path | None) -> ClipSource:
        """What the steps of a run are sampled from."""
        size, device = plan.network.image_size, processes.device
        own = AnnotatedClips(self.trained, plan.clip_frames, size, device, self.views)
        if not self.procedural_share:
            return own
        return Mixed(own, Procedural().clips(plan, processes, None), self.procedural_share)

    def validation_batch(self, number: int, plan: Plan, device: torch.device) -> Batch:
        """Objects of a clip, the same for the same number."""
        videos = self.held_out or self.trained
        clips = AnnotatedClips(videos, plan.clip_frames, plan.network.image_size, device)
        rng = Random(number, device)
        return collate(rng, [clips.sample(rng)], objects=3)
