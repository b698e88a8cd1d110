"""Time-lapses of cells: many, small or large, touching, dividing, bleaching, on noisy uneven ground."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from sam2_core.training.camera import gaussian_blur, illumination, to_uint8
from sam2_core.training.clips import Clip
from sam2_core.training.random import Random
from sam2_core.training.shapes import blobs, depth_inside
from sam2_core.training.textures import noise


@dataclass(frozen=True)
class Cells:
    """What lives in a time-lapse; positions in pixels.

    Attributes:
        centre: ``(frames, cells, 2)`` x and y.
        radius: ``(frames, cells)``; 0 where the cell does not exist (before or after a division).
        outline: ``(frames, cells, angles)`` radii around 1.
        matrix: rotation and elongation, ``(frames, cells, 2, 2)``.
    """

    centre: Tensor
    radius: Tensor
    outline: Tensor
    matrix: Tensor


def make_microscopy(seed: int, frames: int, size: int = 256, device: torch.device | str = "cpu") -> Clip:
    """A time-lapse of cells; the same seed gives the same clip."""
    rng = Random(seed, device)
    cells = _cells(rng, frames, size)
    depth, labels = _rasterise(cells, size)
    picture = _signal(rng, cells, depth, labels)
    picture = _optics(rng, picture)
    count = cells.radius.shape[1]
    table = torch.zeros(count, 256, dtype=torch.bool, device=rng.device)
    number = torch.arange(count, device=rng.device)
    table[number, number + 1] = True
    seen = torch.bincount(labels.flatten().long(), minlength=256)[1 : count + 1] > 0
    return Clip(_colour(rng, picture), labels, table[seen])


def _cells(rng: Random, frames: int, size: int) -> Cells:
    base = rng.log_number(3.2, 48) * size / 256
    cover = rng.number(0.04, 0.5)
    count = max(2, min(60, int(cover * size * size / (math.pi * base * base))))
    radius = base * torch.exp(rng.normal(count) * rng.number(0.03, 0.25))
    centre = _places(rng, count, size, base)
    time = torch.arange(frames, device=rng.device, dtype=torch.float32)
    speed = rng.log_number(0.02, 0.45) * base
    walk = rng.normal(frames, count, 2).cumsum(0) * (speed * rng.number(0.1, 0.7))
    drift = rng.normal(count, 2) * speed * time.view(-1, 1, 1)
    stage = rng.normal(2) * base * rng.log_number(0.01, 0.2) * time.view(-1, 1, 1)
    centre = centre + walk + drift + stage
    radius = radius * torch.exp(rng.normal(count) * 0.02 * time[:, None])
    centre, radius = _divide(rng, centre, radius)
    count = radius.shape[1]
    centre = _apart(centre, radius, rng.number(0.75, 1.15), 4)
    rough = rng.number(0.02, 0.3)
    first, last = blobs(rng, count, rough), blobs(rng, count, rough)
    share = (time / 24).clamp(0, 1).view(-1, 1, 1) * rng.number(0, 3)
    outline = torch.lerp(first[None].expand(frames, -1, -1), last[None], share.clamp(0, 1))
    angle = rng.uniform(0, 2 * math.pi, count) + rng.normal(count) * 0.08 * time[:, None]
    aspect = torch.exp(rng.normal(count).abs() * rng.number(0.0, 0.4))
    matrix = torch.stack(
        [angle.cos() / aspect, angle.sin() / aspect, -angle.sin() * aspect, angle.cos() * aspect], -1
    )
    return Cells(centre, radius, outline, matrix.view(frames, count, 2, 2))


def _places(rng: Random, count: int, size: int, radius: float) -> Tensor:
    """Where the cells are on the first frame: everywhere, or in colonies."""
    places = rng.uniform(-0.5 * radius, size + 0.5 * radius, count, 2)
    if rng.chance(0.4):
        colony = rng.integers(0, max(1, count // 6), count)
        middles = rng.uniform(0.1 * size, 0.9 * size, count, 2)
        places = middles[colony] + rng.normal(count, 2) * radius * 2.5
    return _apart(places[None], torch.full((1, count), radius, device=rng.device), rng.number(0.8, 1.1), 25)[
        0
    ]


def _apart(centre: Tensor, radius: Tensor, factor: float, steps: int) -> Tensor:
    """Push cells apart until neighbours are about ``factor`` times the sum of their radii from each other."""
    wanted = (radius[:, :, None] + radius[:, None]) * factor
    wanted = wanted * ((radius > 0)[:, :, None] & (radius > 0)[:, None])
    for _ in range(steps):
        gap = centre[:, :, None] - centre[:, None]
        distance = gap.norm(dim=-1).clamp(min=1e-3)
        push = ((wanted - distance).clamp(min=0) / distance * 0.4)[..., None] * gap
        centre = centre + push.sum(2)
    return centre


def _divide(rng: Random, centre: Tensor, radius: Tensor) -> tuple[Tensor, Tensor]:
    """Some cells end and two daughters appear in their place."""
    frames, count = radius.shape
    chosen = int(min(count, 10) * max(0.0, rng.number(-0.4, 0.4)))
    if chosen == 0 or frames < 3 or count + 2 * chosen > 100:
        return centre, radius
    moment = rng.integers(1, frames - 1, chosen)
    after = torch.arange(frames, device=radius.device)[:, None] >= moment
    angle = rng.uniform(0, 2 * math.pi, chosen)
    axis = torch.stack([angle.cos(), angle.sin()], -1)
    away = (torch.arange(frames, device=radius.device)[:, None] - moment).clamp(min=0)[..., None] * 0.12 + 0.7
    parents, size = centre[:, :chosen], radius[:, :chosen]
    shift = axis * size[..., None] * away
    daughter = torch.where(after, size * 0.76, torch.zeros_like(size))
    radius = torch.cat([torch.where(after, 0.0, size), radius[:, chosen:], daughter, daughter], 1)
    return torch.cat([centre, parents + shift, parents - shift], 1), radius


def _rasterise(cells: Cells, size: int) -> tuple[Tensor, Tensor]:
    """How many pixels inside its nearest cell each pixel lies (negative outside), and that cell's label."""
    frames, count = cells.radius.shape
    reach = min(int(float(cells.radius.max()) * 1.5) + 8, size // 2)
    line = torch.arange(-reach, reach + 1, device=cells.radius.device)
    corner = cells.centre.round().long()
    x = line[None, None, None, :] + (corner[..., 0] - cells.centre[..., 0])[..., None, None]
    y = line[None, None, :, None] + (corner[..., 1] - cells.centre[..., 1])[..., None, None]
    side = len(line)
    x, y = x.expand(-1, -1, side, -1), y.expand(-1, -1, -1, side)
    m = cells.matrix[..., None, None]
    radius = cells.radius[..., None, None]
    scale = radius.clamp(min=1.0)
    depth = depth_inside(
        cells.outline,
        (m[:, :, 0, 0] * x + m[:, :, 0, 1] * y) / scale,
        (m[:, :, 1, 0] * x + m[:, :, 1, 1] * y) / scale,
    )
    depth = torch.where(radius > 0, depth * scale, torch.full_like(depth, -99.0))
    column = corner[..., 0, None, None] + line
    row = corner[..., 1, None, None] + line[:, None]
    there = (column >= 0) & (column < size) & (row >= 0) & (row < size)
    depth = torch.where(there, depth, torch.full_like(depth, -99.0))
    frame = torch.arange(frames, device=depth.device).view(-1, 1, 1, 1)
    place = (frame * size + row.clamp(0, size - 1)) * size + column.clamp(0, size - 1)
    canvas = torch.full((frames * size * size,), -99.0, device=depth.device)
    canvas.scatter_reduce_(0, place.flatten(), depth.flatten(), "amax")
    number = torch.arange(1, count + 1, device=depth.device).view(1, -1, 1, 1).expand_as(depth)
    wins = (depth == canvas[place]) & (depth > -98)
    labels = torch.zeros(frames * size * size, dtype=torch.uint8, device=depth.device)
    labels[place[wins]] = number[wins].to(torch.uint8)
    canvas, labels = canvas.view(frames, size, size), labels.view(frames, size, size)
    return canvas, torch.where(canvas > 0, labels, torch.zeros_like(labels))


def _signal(rng: Random, cells: Cells, depth: Tensor, labels: Tensor) -> Tensor:
    """The light that comes from cells, ground and dirt before the optics, ``(frames, 1, size, size)``."""
    frames, size, _ = depth.shape
    count = cells.radius.shape[1]
    typical = float(cells.radius.max())
    bright = torch.exp(rng.normal(count + 1) * rng.number(0.02, 0.45)).clamp(0.3, 2.5)
    level = bright[labels.long()]
    solid = (depth + 0.5).clamp(0, 1)
    kind = rng.integer(0, 3)
    if kind == 1:  # domes
        solid = solid * (0.25 + 0.75 * (depth / (0.7 * typical)).clamp(0, 1).sqrt())
    elif kind == 2:  # membranes
        width = max(1.0, rng.number(0.05, 0.25) * typical)
        solid = torch.exp(-(((depth - width) / width) ** 2)) + solid * rng.number(0.0, 0.5)
    solid = solid * level * _chromatin(rng, cells, labels, size)
    halo = torch.exp(-(((depth + 3) / rng.number(1.5, 4)) ** 2))
    if rng.chance(0.15):  # phase contrast: dark or grey bodies in bright halos
        solid = solid * rng.number(-0.6, 0.3) + halo * rng.number(0.2, 0.9)
    ground = noise(rng, 1, size)[0] * rng.log_number(0.01, 0.15)
    fog = gaussian_blur(solid[:, None], rng.number(2, 4)) * rng.number(0, 0.3) if rng.chance(0.3) else 0.0
    fade = torch.exp(-rng.number(0, 0.08) * torch.arange(frames, device=depth.device)).view(-1, 1, 1, 1)
    return (solid[:, None] + fog + _dirt(rng, size)) * fade + ground + rng.number(0.05, 0.5)


def _chromatin(rng: Random, cells: Cells, labels: Tensor, size: int) -> Tensor:
    """Texture that moves along with each cell, ``(frames, size, size)`` around 1."""
    strength = rng.number(0.0, 0.35)
    pattern = 1 + noise(rng, 1, size)[0, 0] * strength
    shift = torch.cat([torch.zeros_like(cells.centre[:, :1]), cells.centre], 1).round().long()
    line = torch.arange(size, device=labels.device)
    frame = torch.arange(len(labels), device=labels.device).view(-1, 1, 1)
    moved = shift[frame, labels.long()]
    jump = labels.long() * 37
    row = (line[:, None] - moved[..., 1] + jump) % size
    column = (line - moved[..., 0] + jump * 3) % size
    texture: Tensor = pattern[row, column].clamp(0.2, 2.0)
    return texture


def _dirt(rng: Random, size: int) -> Tensor:
    """Specks that are no cells, ``(1, size, size)``."""
    spots = rng.uniform(0, 1, 1, 1, size // 4, size // 4) > 1 - rng.number(0, 0.004)
    if rng.chance(0.6):
        return torch.zeros(1, size, size, device=rng.device)
    return functional.interpolate(spots.float(), (size, size), mode="bicubic")[0] * rng.number(0.1, 0.8)


def _optics(rng: Random, picture: Tensor) -> Tensor:
    """Uneven light, blur, photon and camera noise, and the stretch that a viewer applies, in 0..1."""
    frames, _, size, _ = picture.shape
    picture = picture * illumination(rng, frames, size, rng.number(0, 0.3))
    picture = gaussian_blur(picture, rng.number(0.3, 2.0)).clamp(min=0)
    grain = rng.normal(*picture.shape)
    picture = picture + grain * (picture * rng.log_number(1e-4, 0.02) + rng.log_number(1e-5, 0.008)).sqrt()
    sample = picture[:, :, ::4, ::4].flatten()
    low, high = torch.quantile(
        sample, torch.tensor([rng.number(0, 0.05), rng.number(0.985, 1)], device=sample.device)
    )
    stretched: Tensor = ((picture - low) / (high - low).clamp(min=1e-3)).clamp(0, 1)
    return stretched


def _colour(rng: Random, picture: Tensor) -> Tensor:
    """Grey as it is, inverted, or tinted; 8 bits, ``(frames, 3, size, size)``."""
    picture = picture ** rng.log_number(0.6, 1.5)
    if rng.chance(0.25):
        picture = 1 - picture
    picture = picture * rng.number(0.5, 1.0) + rng.number(0, 0.1)
    if rng.chance(0.25):
        dark, bright = rng.uniform(0, 1, 2, 3, 1, 1)
        return to_uint8(rng, torch.lerp(dark, bright, picture), 0.0)
    return to_uint8(rng, picture, 0.0).expand(-1, 3, -1, -1).contiguous()
