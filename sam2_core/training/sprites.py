"""Sprites of layered scenes: what a thing looks like before it moves."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

from sam2_core.training.pictures import Pictures
from sam2_core.training.random import Random
from sam2_core.training.shapes import depth_inside, outlines
from sam2_core.training.textures import coordinates, noise, textures

_SPRITE = 104
_PARTS = 4


def make_sprites(rng: Random, count: int) -> Tensor:
    """Colour, opacity and a part of each layer, ``(layers, 5, sprite, sprite)``."""
    x, y = coordinates(rng.device, _SPRITE)
    parts = outlines(rng, count * _PARTS).view(count, _PARTS, -1)
    compound = rng.chances(0.6, count, 1)
    scale = rng.uniform(0.2, 0.55, count, _PARTS)
    scale[:, :1] = torch.where(
        compound, rng.uniform(0.35, 0.6, count, 1), torch.full_like(scale[:, :1], 0.75)
    )
    angle = rng.uniform(0, 2 * math.pi, count, _PARTS)
    reach = scale[:, :1] * rng.uniform(0.6, 1.15, count, _PARTS)
    reach[:, 0] = 0
    stretch = rng.log_uniform(0.5, 2, count, _PARTS, 1, 1)
    limbs = rng.chances(0.4, count, _PARTS - 1, 1, 1)  # necks, legs, tails
    stretch[:, 1:] = torch.where(limbs, rng.log_uniform(1.7, 3, count, _PARTS - 1, 1, 1), stretch[:, 1:])
    scale[:, 1:] = torch.where(limbs[..., 0, 0], scale[:, 1:] * 0.7, scale[:, 1:])
    px = (x - (reach * angle.cos())[..., None, None]) / scale[..., None, None]
    py = (y - (reach * angle.sin())[..., None, None]) / scale[..., None, None]
    depth = depth_inside(parts, px * stretch, py / stretch) * scale[..., None, None]
    used = torch.arange(_PARTS, device=rng.device) < rng.integers(2, _PARTS, count, 1)
    used = (used & compound) | (torch.arange(_PARTS, device=rng.device) == 0)
    depth = torch.where(used[..., None, None], depth, torch.full_like(depth, -1.0))
    whole = depth.amax(1)
    part = (depth[:, 1] >= whole) & (whole > 0)
    soft = (whole * (_SPRITE / 3) + 0.5).clamp(0, 1)
    return torch.cat([_coat(rng, part, whole), soft[:, None], part[:, None].float()], 1)


def _coat(rng: Random, part: Tensor, whole: Tensor) -> Tensor:
    """The colours of the layers: two textures, the second on the part, and a shaded rim."""
    count = len(part)
    coats = textures(rng, count + 2, _SPRITE)
    fields = noise(rng, count, _SPRITE)[:, 0] + rng.uniform(-0.6, 0.6, count, 1, 1)
    patched = (fields > 0) & rng.chances(0.35, count, 1, 1)  # things of several materials
    other = (rng.chances(0.6, count, 1, 1) & part) ^ patched
    colour = torch.where(other[:, None], coats[rng.integers(0, count + 1, count)], coats[:count])
    shade = (whole / whole.flatten(1).amax(1).clamp(min=0.05)[:, None, None]).clamp(0, 1)
    depth = rng.uniform(-0.15, 0.5, count, 1, 1) * rng.chances(0.6, count, 1, 1)
    colour = colour * (1 - depth * (1 - shade))[:, None]
    twin = rng.integer(0, count - 1)
    if rng.chance(0.35):  # look-alikes
        colour = torch.where(rng.chances(0.4, count, 1, 1, 1), colour[twin], colour)
    return colour


def pictured_sprites(rng: Random, count: int, pictures: Pictures) -> Tensor:
    """Sprites as above, three in four of them real cut-outs, ``(layers, 5, sprite, sprite)``."""
    cut_outs = pictures.cut_outs(rng, count)
    size = cut_outs.shape[-1]
    made = functional.interpolate(make_sprites(rng, count), (size, size), mode="bilinear")
    colour = _other_coats(rng, cut_outs[:, :3], pictures)
    opacity = cut_outs[:, 3:]
    cut = torch.cat([colour, opacity, torch.zeros_like(opacity)], 1)
    cut = torch.where(rng.chances(0.5, count, 1, 1, 1), cut.flip(-1), cut)
    if rng.chance(0.35):  # look-alikes
        twin = rng.integer(0, count - 1)
        cut = torch.where(rng.chances(0.4, count, 1, 1, 1), cut[twin], cut)
    return torch.where(rng.chances(0.75, count, 1, 1, 1), cut, made)


def figures(rng: Random, count: int, pictures: Pictures) -> Tensor:
    """Animated models in other light, ``(count, poses, 5, sprite, sprite)``."""
    if count == 0:
        return torch.zeros(0)
    drawn = pictures.figures(rng, count)
    drawn = torch.where(rng.chances(0.5, count, 1, 1, 1, 1), drawn.flip(-1), drawn)
    contrast, light = rng.log_uniform(0.5, 1.3, count, 1, 1, 1, 1), rng.uniform(-0.2, 0.3, count, 1, 1, 1, 1)
    tint = rng.uniform(0.8, 1.2, count, 1, 3, 1, 1)
    colour = (((drawn[:, :, :3] - 0.5) * contrast + 0.5 + light) * tint).clamp(0, 1)
    return torch.cat([colour, drawn[:, :, 3:], torch.zeros_like(drawn[:, :, 3:])], 2)


def _other_coats(rng: Random, colour: Tensor, pictures: Pictures) -> Tensor:
    """The cut-outs in other light; some with folds, some in the colours of a place."""
    count, _, size, _ = colour.shape
    ground = pictures.places(rng, count, size, size)
    share = rng.uniform(0.3, 1.0, count, 1, 1, 1) * rng.chances(0.25, count, 1, 1, 1)
    colour = torch.lerp(colour, ground, share)
    folds = noise(rng, count, size) * rng.uniform(0, 0.2, count, 1, 1, 1) * rng.chances(0.4, count, 1, 1, 1)
    contrast, light = rng.log_uniform(0.5, 1.3, count, 1, 1, 1), rng.uniform(-0.2, 0.2, count, 1, 1, 1)
    return (((colour - 0.5) * contrast + 0.5 + light) * (1 + folds)).clamp(0, 1)
