"""Clips of any size brought to the network's square: the whole frame, or a part of it in more detail."""

from __future__ import annotations

import numpy as np
import torch
from PIL import Image

from sam2_core.models.preprocess import resize
from sam2_core.training.clips import Clip
from sam2_core.training.random import Random

_MARGIN = 0.15
"""The place that a part is about is at least this share of a side from its edges, if the frame allows it."""

_ASPECT = 1.15
"""A part is so many times as wide as high, or as high as wide, at most."""


def squashed(clip: Clip, size: int) -> Clip:
    """The whole frames as inference squashes them, ``(frames, 3, size, size)``, with their labels."""
    return _resized(clip, (0, 0, *clip.labels.shape[-2:]), size)


def cropped(rng: Random, clip: Clip, size: int) -> Clip:
    """A part of the frames around a place on an object of the first frame, at the network's size.

    Its sides are between about ``size`` pixels, so that little is lost by resizing, and those of the frame.

    Args:
        rng: the source of randomness.
        clip: on the CPU, of any size; if nothing is to be seen on its first frame, the part is anywhere.
        size: side of the result.
    """
    height, width = clip.labels.shape[-2:]
    shorter = min(height, width)
    side = rng.log_number(min(size, shorter), shorter)
    aspect = rng.log_number(1 / _ASPECT, _ASPECT)
    part = min(height, round(side * aspect**0.5)), min(width, round(side / aspect**0.5))
    places = clip.labels[0].nonzero()
    places = places if len(places) else torch.ones_like(clip.labels[0]).nonzero()
    place = places[rng.integer(0, len(places) - 1)].tolist()
    top, left = (
        min(max(0, at - int(length * rng.number(_MARGIN, 1 - _MARGIN))), whole - length)
        for at, length, whole in zip(place, part, (height, width), strict=True)
    )
    return _resized(clip, (top, left, top + part[0], left + part[1]), size)


def _resized(clip: Clip, box: tuple[int, int, int, int], size: int) -> Clip:
    top, left, bottom, right = box
    frames = clip.frames[..., top:bottom, left:right].permute(0, 2, 3, 1).numpy()
    labels = clip.labels[:, top:bottom, left:right].numpy()
    shown = np.stack([resize(frame, size) for frame in frames])
    nearest = Image.Resampling.NEAREST
    known = np.stack([np.asarray(Image.fromarray(image).resize((size, size), nearest)) for image in labels])
    return Clip(torch.from_numpy(shown).permute(0, 3, 1, 2), torch.from_numpy(known), clip.table)
