"""Layered scenes: textured things over a textured background, moving, deforming, hiding each other."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from sam2_core.training.camera import gaussian_blur, illumination, to_uint8
from sam2_core.training.clips import Clip
from sam2_core.training.figures import POSES
from sam2_core.training.pictures import PLACE_SIZE, Pictures
from sam2_core.training.random import Random
from sam2_core.training.sprites import figures, make_sprites, pictured_sprites
from sam2_core.training.textures import coordinates, noise, textures


@dataclass(frozen=True)
class Layers:
    """What moves in a scene; positions in pixels, one row per layer from back to front.

    Attributes:
        sprites: colour, opacity and part of each layer, ``(poses, 5, sprite, sprite)``; most have one pose.
        pose: which pose is shown, ``(frames, layers)``.
        radius: half the side of a sprite on the frame, ``(layers,)``.
        centre: ``(frames, layers, 2)`` x and y.
        matrix: rotation, scale and shear per frame, ``(frames, layers, 2, 2)``.
        bend: amplitude of the deformation, ``(layers,)``.
    """

    sprites: list[Tensor]
    pose: Tensor
    radius: Tensor
    centre: Tensor
    matrix: Tensor
    bend: Tensor


def make_scene(
    seed: int,
    frames: int,
    size: int = 256,
    device: torch.device | str = "cpu",
    pictures: Pictures | None = None,
) -> Clip:
    """A layered scene, three in four of real pictures if there are any; the same seed gives the same clip."""
    rng = Random(seed, device)
    pictures = pictures if pictures is not None and rng.chance(0.75) else None
    time = torch.arange(frames, device=rng.device, dtype=torch.float32)
    camera, zoom = _camera(rng, time, size)
    canvas = _background(rng, size, camera, zoom, pictures)
    layers = _layers(rng, time, size, camera, pictures)
    if rng.chance(0.35):
        _camouflage(rng, layers.sprites, canvas)
    labels = torch.zeros(frames, size, size, dtype=torch.uint8, device=rng.device)
    for index in range(len(layers.radius)):
        _paint(rng, layers, index, canvas, labels)
    canvas = canvas * illumination(rng, frames, size, rng.number(0, 0.25))
    if rng.chance(0.12):
        canvas = canvas.mean(1, keepdim=True).expand(-1, 3, -1, -1)
    canvas = gaussian_blur(canvas, max(0.0, rng.number(-0.6, 1.1)))
    images = to_uint8(rng, canvas, max(0.0, rng.number(-0.02, 0.05)))
    return Clip(images, labels, _table(rng, labels, len(layers.radius)))


def _camouflage(rng: Random, sprites: list[Tensor], canvas: Tensor) -> None:
    """Draw the colours of some layers, and most of all their brightness, towards those of the ground."""
    ground = canvas[0].flatten(1)
    place = rng.integers(0, ground.shape[1] - 1, len(sprites))
    wanted = torch.lerp(ground.mean(1), ground[:, place].T, 0.5)  # (layers, 3)
    share = rng.uniform(0.4, 1.0, len(sprites)) * rng.chances(0.7, len(sprites))
    contrast = rng.uniform(0.5, 1.0, len(sprites))
    for index, sprite in enumerate(sprites):
        seen = sprite[:, 3:4]
        own = (sprite[:, :3] * seen).sum((0, 2, 3)) / seen.sum().clamp(min=1)
        shifted = torch.lerp(own, wanted[index], share[index])[:, None, None]
        sprite[:, :3] = ((sprite[:, :3] - own[:, None, None]) * contrast[index] + shifted).clamp(0, 1)


def _camera(rng: Random, time: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """Shift in pixels, ``(frames, 2)``, and zoom, ``(frames,)``."""
    strength = rng.log_number(0.15, 7) if rng.chance(0.75) else 0.0
    shift = (
        rng.normal(2) * strength * time[:, None] + rng.normal(2) * strength * torch.sin(time * 0.7)[:, None]
    )
    zoom = torch.exp(rng.normal(1) * 0.01 * time)
    return shift.clamp(-size * 0.3, size * 0.3), zoom


def _background(rng: Random, size: int, camera: Tensor, zoom: Tensor, pictures: Pictures | None) -> Tensor:
    """A ground, or several in patches, seen by the moving camera, ``(frames, 3, size, size)``."""
    wide = size + 96
    count = rng.integer(1, 4) if pictures is None or rng.chance(0.4) else 1
    stack = textures(rng, count, wide) if pictures is None else _places(rng, pictures, count, wide)
    picture = stack[0]
    if count > 1:
        fields = noise(rng, count, wide)[:, 0] + rng.uniform(-0.5, 0.5, count, 1, 1)
        if rng.chance(0.4):  # a horizon
            _, y = coordinates(rng.device, wide)
            fields[0] = fields[0] * 0.15 + (y - rng.number(-0.6, 0.6)) * 8
        picture = (stack * (fields * rng.log_number(3, 30)).softmax(0)[:, None]).sum(0)
    x, y = coordinates(rng.device, size)
    scale = size / wide
    grid = torch.stack([x, y], -1)[None] * (scale * zoom.view(-1, 1, 1, 1))
    grid = grid + (camera * (2 / wide))[:, None, None, :]
    source = picture[None].expand(len(camera), -1, -1, -1)
    return functional.grid_sample(source, grid, padding_mode="reflection", align_corners=False)


def _places(rng: Random, pictures: Pictures, count: int, size: int) -> Tensor:
    """A random part of each place, ``(count, 3, size, size)``."""
    width = int(PLACE_SIZE * rng.number(0.4, 1.0))
    height = int(min(PLACE_SIZE, width * rng.log_number(0.6, 1.6)))
    parts = pictures.places(rng, count, height, width)
    return functional.interpolate(parts, (size, size), mode="bilinear", antialias=True)


def _layers(rng: Random, time: Tensor, size: int, camera: Tensor, pictures: Pictures | None) -> Layers:
    count = rng.integer(3, 11)
    radius = rng.log_uniform(7 if pictures is None else 18, 85, count) * (size / 256)
    if rng.chance(0.7):
        radius[rng.integer(0, count - 1)] = rng.number(45, 95) * (size / 256)
    sprites, pose = _sprites(rng, count, len(time), pictures)
    animated = torch.tensor([len(sprite) > 1 for sprite in sprites], device=rng.device)
    radius = radius * torch.where(animated, 1.4, 1.0)  # figures fill little of their square
    speed = rng.log_uniform(0.1, 9, count, 1) * (size / 256)
    still = rng.chances(0.3, count, 1)
    speed = torch.where(still, torch.zeros_like(speed), speed)
    start = rng.uniform(0.0, size, count, 2)
    heading = functional.normalize(rng.normal(count, 2), dim=-1) * speed
    sway = rng.normal(count, 2) * speed * 1.5
    rate = rng.uniform(0.3, 1.5, count, 1)
    middle = time - (len(time) - 1) / 2
    t = middle.view(-1, 1, 1)
    centre = start + heading * t + sway * torch.sin(rate * t)
    followed = rng.chances(0.35, count, 1)  # the camera goes along with it: only the ground moves
    centre = torch.where(followed, centre, centre - camera[:, None] + camera.mean(0))
    tilt = rng.uniform(0, 2 * math.pi, count)
    if pictures is not None:  # most things stand upright
        tilt = torch.where(rng.chances(0.7, count), rng.normal(count) * 0.15, tilt)
    angle = tilt + rng.normal(count) * 0.04 * middle[:, None]
    growth = torch.exp(rng.normal(count) * 0.03 * middle[:, None])
    turning = torch.exp(rng.normal(count) * 0.04 * middle[:, None])  # away from the camera or towards it
    aspect = rng.log_uniform(0.5, 1.6, count) * turning
    cosine, sine = angle.cos() / growth, angle.sin() / growth
    matrix = torch.stack([cosine * aspect, sine * aspect, -sine / aspect, cosine / aspect], -1)
    bend = torch.where(
        rng.chances(0.7, count), rng.uniform(0, 0.35, count), torch.zeros(count, device=rng.device)
    )
    return Layers(sprites, pose, radius, centre, matrix.view(len(time), count, 2, 2), bend)


def _sprites(rng: Random, count: int, frames: int, pictures: Pictures | None) -> tuple[list[Tensor], Tensor]:
    """What the layers look like, and in which of their poses they are on each frame."""
    drawn = make_sprites(rng, count) if pictures is None else pictured_sprites(rng, count, pictures)
    sprites = list(drawn[:, None])
    pose = torch.zeros(frames, count, dtype=torch.long, device=rng.device)
    if pictures is not None and pictures.has_figures:
        animated = rng.chances(0.5, count).nonzero().flatten()
        for index, figure in zip(animated.tolist(), figures(rng, len(animated), pictures), strict=True):
            sprites[index] = figure
        turn = 2 * POSES - 2  # there and back
        steps = rng.integers(0, turn - 1, len(animated)) + torch.arange(frames, device=rng.device)[:, None]
        pose[:, animated] = torch.minimum(steps % turn, turn - steps % turn)
    return sprites, pose


def _paint(rng: Random, layers: Layers, index: int, canvas: Tensor, labels: Tensor) -> None:
    """Draw one layer onto all frames, only where it can reach."""
    frames, _, size, _ = canvas.shape
    radius = float(layers.radius[index])
    half = min(int(radius * 2.1) + 2, size // 2)
    centre = layers.centre[:, index]
    corner = (centre.round().long() - half).clamp(0, size - 2 * half)
    line = torch.arange(2 * half, device=canvas.device, dtype=torch.float32) + 0.5
    x = (line[None, None, :] + (corner[:, 0] - centre[:, 0]).view(-1, 1, 1)).expand(-1, 2 * half, -1) / radius
    y = (line[None, :, None] + (corner[:, 1] - centre[:, 1]).view(-1, 1, 1)).expand(-1, -1, 2 * half) / radius
    grid = torch.stack([x, y], -1).flatten(1, 2) @ layers.matrix[:, index].transpose(1, 2)
    grid = _bent(rng, grid, float(layers.bend[index]), frames).view(frames, 2 * half, 2 * half, 2)
    source = layers.sprites[index][layers.pose[:, index]]
    drawn = functional.grid_sample(source, grid, align_corners=False)
    value = 2 * index + 1
    for t, (left, top) in enumerate(corner.tolist()):
        area = (slice(top, top + 2 * half), slice(left, left + 2 * half))
        alpha = drawn[t, 3]
        canvas[t, :, area[0], area[1]].lerp_(drawn[t, :3], alpha)
        number = value + (drawn[t, 4] > 0.5).to(torch.uint8)
        spot = labels[t, area[0], area[1]]
        spot.copy_(torch.where(alpha > 0.5, number, spot))


def _bent(rng: Random, grid: Tensor, amplitude: float, frames: int) -> Tensor:
    """A smooth wave through the sprite that runs with time, ``(frames, places, 2)``."""
    wave = rng.uniform(1.0, 4.0, 2)
    phase = rng.uniform(0, 6.3, 2) + rng.normal(2) * 0.5 * torch.arange(frames, device=grid.device)[:, None]
    if amplitude == 0:
        return grid
    return grid + amplitude * torch.sin(grid.flip(-1) * wave + phase[:, None])


def _table(rng: Random, labels: Tensor, layers: int) -> Tensor:
    """Each layer is an object, and some parts are objects too."""
    rows = torch.zeros(2 * layers, 256, dtype=torch.bool, device=labels.device)
    number = torch.arange(layers, device=labels.device)
    rows[number, 2 * number + 1] = True
    rows[number, 2 * number + 2] = True
    rows[layers + number, 2 * number + 2] = True
    counts = torch.bincount(labels.flatten().long(), minlength=256)
    keep = (rows.float() @ counts.float()) > 0
    keep[layers:] &= rng.chances(0.25, layers)
    return rows[keep]
