"""What a camera does to a picture: light, blur, noise; and the way to 8 bits."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

from sam2_core.training.random import Random
from sam2_core.training.textures import coordinates


def gaussian_blur(images: Tensor, sigma: float) -> Tensor:
    """Gaussian blur of ``(n, channels, height, width)``; sigma in pixels, nothing below .3."""
    if sigma < 0.3:
        return images
    radius = min(int(2.5 * sigma + 0.5), 8)
    weights = [math.exp(-0.5 * (i / sigma) ** 2) for i in range(-radius, radius + 1)]
    total = sum(weights)
    for axis in (2, 3):  # sums of shifted copies: ten times faster than a one-channel convolution on a CPU
        sides = (radius, radius, 0, 0) if axis == 3 else (0, 0, radius, radius)
        padded = functional.pad(images, sides, mode="replicate")
        length = images.shape[axis]
        images = padded.narrow(axis, 0, length) * (weights[0] / total)
        for shift, weight in enumerate(weights[1:], 1):
            images.add_(padded.narrow(axis, shift, length), alpha=weight / total)
    return images


def illumination(rng: Random, frames: int, size: int, strength: float) -> Tensor:
    """Uneven light that changes slowly, ``(frames, 1, size, size)`` around 1."""
    x, y = coordinates(rng.device, size)
    time = torch.linspace(0, 1, frames, device=rng.device).view(-1, 1, 1)
    a = rng.normal(6) * strength
    field = a[0] * x + a[1] * y + a[2] * x * y + a[3] * (x * x + y * y - 0.6)
    change = (a[4] * time + a[5] * x * time) * 0.5
    return (1 + field + change).clamp(0.2, 2.0)[:, None]


def to_uint8(rng: Random, images: Tensor, noise: float) -> Tensor:
    """Add noise (standard deviation in 0..1, shared grain partly over frames) and round to uint8."""
    if noise > 0:
        images = images + torch.randn(images.shape, generator=rng.generator, device=images.device) * noise
    return (images * 255).round_().clamp_(0, 255).to(torch.uint8)
