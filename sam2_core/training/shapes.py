"""Star-shaped outlines as tables of radii, and how far inside an outline a pixel lies."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from sam2_core.training.random import Random

ANGLES = 256
"""Entries of a table of radii; entry ``i`` belongs to the angle ``2 * pi * i / ANGLES``."""


def _angles(rng: Random) -> Tensor:
    return torch.arange(ANGLES, device=rng.device) * (2 * math.pi / ANGLES)


def blobs(rng: Random, count: int, roughness: float, harmonics: int = 7) -> Tensor:
    """Smooth outlines by Fourier series, ``(count, ANGLES)`` radii around 1."""
    k = torch.arange(2, harmonics + 1, device=rng.device)
    amplitudes = rng.normal(count, len(k)) * roughness / k**1.1
    phases = rng.uniform(0, 2 * math.pi, count, len(k))
    waves = torch.cos(k[None, :, None] * _angles(rng) + phases[..., None])
    return (1 + (amplitudes[..., None] * waves).sum(1)).clamp(0.25, 2.0)


def polygons(rng: Random, count: int) -> Tensor:
    """Regular polygons of 3 to 7 corners, ``(count, ANGLES)``."""
    sector = 2 * math.pi / rng.integers(3, 7, count, 1)
    angles = (_angles(rng) + rng.uniform(0, 2 * math.pi, count, 1)) % sector
    return torch.cos(sector / 2) / torch.cos(angles - sector / 2)


def stars(rng: Random, count: int) -> Tensor:
    """Irregular outlines with corners: radii drawn at 5 to 11 angles, linear between, ``(count, ANGLES)``."""
    corners = rng.integers(5, 11, count, 1)
    radii = rng.uniform(0.45, 1.3, count, 12)
    place = (_angles(rng) / (2 * math.pi) * corners).clamp(min=0)
    left = place.long()
    right = (left + 1) % corners
    share = place - left
    return radii.gather(1, left) * (1 - share) + radii.gather(1, right) * share


def superellipses(rng: Random, count: int) -> Tensor:
    """Between a diamond and a rectangle, ``(count, ANGLES)``."""
    power = rng.log_uniform(1.0, 8.0, count, 1)
    cosine, sine = torch.cos(_angles(rng)).abs(), torch.sin(_angles(rng)).abs()
    radii: Tensor = (cosine**power + sine**power) ** (-1 / power)
    return radii


def outlines(rng: Random, count: int) -> Tensor:
    """A mixture of all kinds, ``(count, ANGLES)``."""
    kinds = torch.stack(
        [
            blobs(rng, count, rng.number(0.1, 0.5)),
            blobs(rng, count, rng.number(0.3, 0.9), harmonics=10),
            polygons(rng, count),
            stars(rng, count),
            superellipses(rng, count),
        ]
    )
    kind = torch.multinomial(
        torch.tensor([0.35, 0.2, 0.15, 0.12, 0.18], device=rng.device), count, True, generator=rng.generator
    )
    return kinds[kind, torch.arange(count, device=rng.device)]


def depth_inside(radii: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """How far each place lies inside its outline along the ray from the centre (negative outside).

    Args:
        radii: ``(..., ANGLES)``.
        x: places in units of the radii, ``(..., height, width)``.
        y: the same.
    """
    distance = torch.sqrt(x * x + y * y)
    index = (torch.atan2(y, x) * (ANGLES / (2 * math.pi))).round().long() % ANGLES
    flat = index.flatten(-2)
    return radii.gather(-1, flat).view_as(distance) - distance
