"""Augmentation of clips: geometry, colour and light, the same for frames and masks where it must be."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from sam2_core.training.clips import Clip
from sam2_core.training.random import Random


def augmented(rng: Random, clip: Clip) -> Clip:
    """The same clip zoomed, flipped, transposed or reversed, in other colours and other light."""
    frames, labels = clip.frames, clip.labels
    if rng.chance(0.4):
        frames, labels = _random_crop(rng, frames, labels)
    axes = [axis for axis in (-1, -2) if rng.chance(0.5)]
    if axes:
        frames, labels = frames.flip(axes), labels.flip(axes)
    if rng.chance(0.3):
        frames, labels = frames.transpose(-1, -2), labels.transpose(-1, -2)
    if rng.chance(0.3):
        frames = frames[:, torch.randperm(3, generator=rng.generator, device=frames.device)]
    if rng.chance(0.3):
        frames, labels = frames.flip(0), labels.flip(0)
    gain = 1 + rng.normal(1, 3, 1, 1) * 0.08 + rng.normal(1) * 0.15
    flicker = rng.normal(len(frames), 1, 1, 1) * 4
    light = (frames.float() * gain + rng.normal(1) * 12 + flicker).clamp_(0, 255)
    if rng.chance(0.1):
        light = 255 - light
    return Clip(light.to(torch.uint8), labels.contiguous(), clip.table)


def _random_crop(rng: Random, frames: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """A part of the frames, of nearly the same aspect, at full size."""
    size = frames.shape[-1]
    width = int(size * rng.number(0.55, 1.0))
    height = int(min(size, width * rng.log_number(0.8, 1.25)))
    top, left = rng.integer(0, size - height), rng.integer(0, size - width)
    frames = frames[..., top : top + height, left : left + width]
    labels = labels[..., top : top + height, left : left + width]
    shape = (size, size)
    return (
        functional.interpolate(frames, shape, mode="bilinear"),
        functional.interpolate(labels[:, None], shape, mode="nearest")[:, 0],
    )
