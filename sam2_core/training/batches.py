"""Batches: frames of some clips, and the same number of objects of each."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from sam2_core.models.preprocess import normalise
from sam2_core.training.clips import Clip, ClipSource
from sam2_core.training.random import Random


@dataclass(frozen=True, eq=False)
class Batch:
    """Some clips with some of their objects.

    Attributes:
        images: normalised, frame by frame, ``(frames * clips, 3, size, size)``: frame t of clip c at
            ``t * clips + c``.
        masks: ``(frames, objects, size, size)`` bool; the same number of objects of each clip, in order.
    """

    images: Tensor
    masks: Tensor

    @property
    def clips(self) -> int:
        """How many clips there are."""
        return len(self.images) // len(self.masks)

    @property
    def visible(self) -> Tensor:
        """Whether anything of an object is seen, ``(frames, objects)``."""
        return self.masks.flatten(2).any(2)

    def truth(self, frame: int, factor: int = 2) -> Tensor:
        """The share of each pixel that belongs to the object at a smaller size, ``(objects, h, w)``."""
        return functional.avg_pool2d(self.masks[frame][:, None].float(), factor)[:, 0]


def collate(rng: Random, clips: list[Clip], objects: int, smallest: int = 24) -> Batch:
    """A batch with the same number of objects from each clip, all visible on the first frame.

    Args:
        rng: the source of randomness.
        clips: of equal length and size, each with something visible on its first frame.
        objects: how many of each; of a clip with fewer, some are repeated.
        smallest: pixels that must be seen on the first frame (or the largest object is taken).
    """
    masks = []
    for clip in clips:
        areas = clip.window(0, 1).areas()[0]
        fit = areas >= min(smallest, float(areas.max()))
        weights = fit * areas**0.5  # most things are small; large ones are picked more often
        chosen = torch.multinomial(weights, min(objects, int(fit.sum())), generator=rng.generator)
        chosen = chosen.repeat(-(-objects // len(chosen)))[:objects]
        masks.append(clip.masks(chosen))
    frames = torch.stack([clip.frames for clip in clips], 1).flatten(0, 1)
    return Batch(normalise(frames.permute(0, 2, 3, 1)), torch.cat(masks, 1))


def sample_batch(
    rng: Random, pool: ClipSource, clips_made: int, clips: int, frames: int, objects: int, stride: int = 1
) -> Batch:
    """Augmented runs of frames of the pool's clips.

    Args:
        rng: the source of randomness.
        pool: where clips come from.
        clips_made: how many clips were made so far.
        clips: how many clips.
        frames: of each; more than the clip has are possible.
        objects: of each.
        stride: frames are taken with a random stride up to this.
    """
    chosen: list[Clip] = []
    while len(chosen) < clips:
        clip = pool.draw(rng, clips_made, frames, stride)
        if anything_visible(clip):
            chosen.append(clip)
    return collate(rng, chosen, objects)


def anything_visible(clip: Clip) -> bool:
    """Whether any object is seen on the first frame."""
    return len(clip.table) > 0 and bool(clip.window(0, 1).areas().max() > 0)
