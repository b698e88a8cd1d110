"""Procedural textures: octaves of noise, stripes, patches of colour, gradients."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

from sam2_core.training.random import Random

_CELLS = (2, 4, 8, 16, 32, 64, 128)


def noise(rng: Random, count: int, size: int, channels: int = 1) -> Tensor:
    """Octaves of noise with random spectra, about standard normal, ``(count, channels, size, size)``."""
    slope = rng.uniform(0.2, 1.6, count, 1, 1, 1)
    first = rng.integers(0, 2, count, 1, 1, 1)
    total = torch.zeros(count, channels, size, size, device=rng.device)
    power = torch.zeros(count, 1, 1, 1, device=rng.device)
    for octave, cells in enumerate(_CELLS):
        if cells > size:
            break
        weight = torch.exp2(-slope * octave) * (octave >= first)
        grid = rng.normal(count, channels, cells + 1, cells + 1) * weight
        total += functional.interpolate(grid, (size, size), mode="bilinear", align_corners=True)
        power += weight**2 * 0.45
    result: Tensor = total / power.sqrt().clamp(min=1e-3)
    return result


def coordinates(device: torch.device, size: int) -> tuple[Tensor, Tensor]:
    """Pixel centres in -1..1: x and y, each ``(size, size)``."""
    line = (torch.arange(size, device=device) + 0.5) * (2 / size) - 1
    y, x = torch.meshgrid(line, line, indexing="ij")
    return x, y


def _stripes(rng: Random, count: int, size: int, warp: Tensor) -> Tensor:
    x, y = coordinates(rng.device, size)
    angle = rng.uniform(0, math.pi, count, 1, 1)
    frequency = rng.log_uniform(4, 45, count, 1, 1)
    bend = rng.uniform(0, 1.5, count, 1, 1)
    phase = (x * angle.cos() + y * angle.sin()) * frequency + bend * warp
    return torch.sin(phase + rng.uniform(0, 6.3, count, 1, 1))


def colour_pairs(rng: Random, count: int) -> tuple[Tensor, Tensor]:
    """Two colours per texture, often close to each other, ``(count, 3, 1, 1)`` in 0..1."""
    base = rng.uniform(0.03, 0.97, count, 3, 1, 1)
    grey = base.mean(1, keepdim=True)
    base = torch.lerp(grey.expand_as(base), base, rng.uniform(0.0, 1.0, count, 1, 1, 1) ** 1.7)
    contrast = rng.log_uniform(0.05, 0.7, count, 1, 1, 1)
    step = torch.lerp(rng.normal(count, 1, 1, 1).expand(-1, 3, -1, -1), rng.normal(count, 3, 1, 1), 0.5)
    return base, (base + step * contrast).clamp(0, 1)


def textures(rng: Random, count: int, size: int) -> Tensor:
    """Colour textures of mixed kinds, ``(count, 3, size, size)`` in 0..1."""
    fields = noise(rng, count, size, 3)
    stripes = _stripes(rng, count, size, fields[:, 0])
    striped = rng.chances(0.25, count, 1, 1)
    first = torch.where(striped, stripes, fields[:, 0])
    sharp = rng.log_uniform(0.6, 15, count, 1, 1, 1)
    mix = torch.sigmoid(first[:, None] * sharp)
    a, b = colour_pairs(rng, count)
    c, _ = colour_pairs(rng, count)
    colours = torch.lerp(a, b, mix)
    patches = torch.sigmoid((fields[:, 1:2] - rng.uniform(0.2, 1.8, count, 1, 1, 1)) * 6)
    colours = torch.lerp(colours, c, patches * rng.chances(0.35, count, 1, 1, 1))
    shade = 1 + fields[:, 2:3] * rng.uniform(0.0, 0.22, count, 1, 1, 1)
    x, y = coordinates(rng.device, size)
    tilt = rng.normal(count, 2, 1, 1) * 0.13
    return (colours * shade * (1 + tilt[:, :1] * x + tilt[:, 1:] * y)).clamp(0, 1)
