"""Figures for layered scenes: animated models, seen by a camera that goes round them while they move.

Models are read in version 4 of G3D, the format of the game MegaGlest: meshes of triangles with one texture
each, and the place of every corner in every frame of one animation (a walk, a blow, a fall).
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import PIL.Image
from numpy.typing import NDArray

FIGURE_SIZE = 128
"""Height and width of a stored pose; the figure touches the border in its widest pose."""
POSES = 16
"""How many poses of a figure are stored."""

Floats = NDArray[np.float32]

_FINER = 2
"""Poses are drawn this many times as large and then averaged."""
_LEAST_SEEN = 0.04
"""Share of its square that a figure covers on average; who covers less is hardly seen."""
_TEAM_COLOUR = 1
"""A property of a mesh: its texture's opacity says where the colour of a team goes, and nothing is open."""
_HEADER = struct.Struct("<3sBHB")
_MESH = struct.Struct("<64s3I8f2I")


@dataclass(frozen=True, eq=False)
class Mesh:
    """A part of a model.

    Attributes:
        corners: place of each corner in each frame, ``(frames, corners, 3)``; the second axis points up.
        triangles: corners of each triangle, ``(triangles, 3)``.
        spots: place of each corner on the texture in 0..1, ``(corners, 2)``.
        texture: colour and opacity, ``(height, width, 4)`` in 0..255.
    """

    corners: Floats
    triangles: NDArray[np.int64]
    spots: Floats
    texture: NDArray[np.uint8]


def read_model(path: Path) -> list[Mesh]:
    """The meshes of a G3D file that have a texture.

    Raises:
        ValueError: if it is no such file, or is cut off.
        OSError: if it or a texture cannot be read.
    """
    data = path.read_bytes()
    try:
        return list(_meshes(data, path.parent))
    except struct.error as error:
        raise ValueError("the file is cut off") from error


def _meshes(data: bytes, folder: Path) -> Iterator[Mesh]:
    mark, version, count, _ = _HEADER.unpack_from(data)
    if (mark, version) != (b"G3D", 4):
        raise ValueError("it is no G3D model of version 4")
    place = _HEADER.size
    for _ in range(count):
        _, frames, corners, indices, *_, properties, textures = _MESH.unpack_from(data, place)
        place += _MESH.size
        names = [data[place + 64 * number :][:64] for number in range(textures.bit_count())]
        place += 64 * len(names)
        lengths = [3 * frames * corners, 3 * frames * corners, 2 * corners if textures else 0]
        points, _, spots = (_floats(data, place + 4 * sum(lengths[:n]), lengths[n]) for n in range(3))
        place += 4 * sum(lengths)
        triangles = np.frombuffer(_exactly(data, place, 4 * indices), "<u4").reshape(-1, 3).astype(np.int64)
        place += 4 * indices
        if not frames:
            raise ValueError("a mesh is in no frame")
        if names and indices:
            if triangles.max() >= corners:
                raise ValueError("a triangle has a corner that does not exist")
            if not (np.isfinite(points).all() and np.isfinite(spots).all()):
                raise ValueError("a corner is at no place")
            texture = _texture(folder / names[0].split(b"\0")[0].decode("latin-1"), properties)
            yield Mesh(points.reshape(frames, corners, 3), triangles, spots.reshape(corners, 2), texture)


def _exactly(data: bytes, start: int, length: int) -> bytes:
    if start + length > len(data):
        raise ValueError("the file is cut off")
    return data[start : start + length]


def _floats(data: bytes, start: int, count: int) -> Floats:
    return np.frombuffer(_exactly(data, start, 4 * count), "<f4").astype(np.float32)


def _texture(path: Path, properties: int) -> NDArray[np.uint8]:
    with PIL.Image.open(path) as picture:
        texture = np.array(picture.convert("RGBA"))
    if properties & _TEAM_COLOUR:
        texture[..., 3] = 255
    return texture


def render(number: int, path: Path) -> NDArray[np.uint8] | None:
    """The ``turntable`` of a model file, the same for the same number; None if hardly anything is seen.

    Raises:
        ValueError: if it is no model file, or a damaged one.
        OSError: if it or a texture cannot be read.
    """
    meshes = read_model(path)
    poses = turntable(meshes, np.random.default_rng(number)) if meshes else None
    return poses if poses is not None and poses[:, 3].mean() > _LEAST_SEEN * 255 else None


def turntable(meshes: list[Mesh], rng: np.random.Generator) -> NDArray[np.uint8]:
    """A model in motion, seen from a random side by a camera that goes round it.

    Returns:
        Colour and opacity, ``(POSES, 4, FIGURE_SIZE, FIGURE_SIZE)``.
    """
    frames = max(len(mesh.corners) for mesh in meshes)
    step = float(np.exp(rng.uniform(np.log(0.3), np.log(2.0)))) * max(1, frames - 1) / POSES
    times = rng.uniform(0, frames) + step * np.arange(POSES)
    side = rng.uniform(0, 2 * math.pi) + np.radians(rng.normal() * 4) * np.arange(POSES)
    height = math.radians(rng.uniform(-5, 40))
    light = (rng.normal(size=3) + np.array([0, 1, 1])).astype(np.float32)
    views = [
        [(_at(mesh.corners, time) @ _turn(angle, height), mesh) for mesh in meshes]
        for time, angle in zip(times, side, strict=True)
    ]
    everything = np.concatenate([points for view in views for points, _ in view])
    low, high = everything.min(0), everything.max(0)
    scale = (FIGURE_SIZE * _FINER - 2) / max(float((high - low)[:2].max()), 1e-6)
    shift = np.array([*(low + high)[:2] / 2, high[2]], np.float32)
    return np.stack(
        [_drawn([((points - shift) * scale, mesh) for points, mesh in view], light) for view in views]
    )


def _at(corners: Floats, time: float) -> Floats:
    """The corners at a time between two frames; from its last frame the animation jumps to its first."""
    count = len(corners)
    before = int(time) % count
    after = (before + 1) % count
    share = np.float32(time - int(time)) if after else np.float32(0)
    blended: Floats = corners[before] * (1 - share) + corners[after] * share
    return blended


def _turn(angle: float, height: float) -> Floats:
    """Turns a model round its upright axis, then tilts it; the last axis points to the camera."""
    sine, cosine = math.sin(angle), math.cos(angle)
    around = np.array([[cosine, 0, -sine], [0, 1, 0], [sine, 0, cosine]])
    sine, cosine = math.sin(height), math.cos(height)
    turn: Floats = (around @ np.array([[1, 0, 0], [0, cosine, sine], [0, -sine, cosine]])).astype(np.float32)
    return turn


def _drawn(parts: list[tuple[Floats, Mesh]], light: Floats) -> NDArray[np.uint8]:
    """One pose, ``(4, FIGURE_SIZE, FIGURE_SIZE)``: samples of all triangles, the nearest ones last."""
    size = FIGURE_SIZE * _FINER
    samples = [sample for points, mesh in parts for sample in _samples(points, mesh, light)]
    place, colour = (np.concatenate(pieces) for pieces in zip(*samples, strict=True))
    order = np.argsort(place[:, 2], kind="stable")
    column, row = (np.rint(place[order, :2].T * [[1], [-1]] + size / 2 - 0.5)).astype(int)
    inside = (column >= 0) & (column < size) & (row >= 0) & (row < size)
    canvas = np.zeros((size, size, 4), np.float32)
    canvas[row[inside], column[inside]] = colour[order][inside]
    blocks = canvas.reshape(FIGURE_SIZE, _FINER, FIGURE_SIZE, _FINER, 4).sum((1, 3))
    covered = blocks[..., 3:]
    blocks[..., :3] /= np.maximum(covered / 255, 1)
    blocks[..., 3:] /= _FINER**2
    pose: NDArray[np.uint8] = np.rint(blocks).clip(0, 255).astype(np.uint8).transpose(2, 0, 1)
    return pose


def _samples(points: Floats, mesh: Mesh, light: Floats) -> Iterator[tuple[Floats, Floats]]:
    """Places ``(samples, 3)`` and colours ``(samples, 4)``, so close that no pixel stays empty between."""
    corners, spots = _shortest_edge_last(points[mesh.triangles], mesh.spots[mesh.triangles])
    normal = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    normal /= np.linalg.norm(normal, axis=1, keepdims=True) + 1e-9
    normal *= np.where(normal[:, 2:] < 0, -1, 1)
    bright = 0.6 + 0.5 * (normal @ (light / np.linalg.norm(light))).clip(0)
    length = np.abs(corners - corners[:, [1, 2, 0]])[..., :2].max(2)  # of edges 01, 12, 20
    wanted = 1.4 * np.stack([length[:, [0, 2]].max(1), length[:, 1]], 1)  # along the triangle, and across
    steps = 2 ** np.ceil(np.log2(np.maximum(wanted, 1))).astype(int)
    height, width = mesh.texture.shape[:2]
    for along, across in np.unique(steps, axis=0):
        chosen = (steps == (along, across)).all(1)
        out, over = np.meshgrid(np.linspace(0, 1, along + 1), np.linspace(0, 1, across + 1))
        weights = np.stack([1 - out, out * (1 - over), out * over], -1).reshape(-1, 3).astype(np.float32)
        place = (weights @ corners[chosen]).reshape(-1, 3)
        spot = (weights @ spots[chosen]).reshape(-1, 2)
        colour = mesh.texture[
            ((1 - spot[:, 1]) * height).astype(int) % height, (spot[:, 0] * width).astype(int) % width
        ].astype(np.float32)
        colour[:, :3] *= np.repeat(bright[chosen], len(weights))[:, None]
        solid = colour[:, 3] > 127
        colour[:, 3] = 255
        yield place[solid], colour[solid].clip(0, 255)


def _shortest_edge_last(corners: Floats, spots: Floats) -> tuple[Floats, Floats]:
    """The corners of each triangle in the order in which the edge between the last two is the shortest."""
    length = np.abs(corners - corners[:, [1, 2, 0]])[..., :2].max(2)  # of edges 01, 12, 20
    first = (length.argmin(1) + 2) % 3
    order = (first[:, None] + np.arange(3)) % 3
    return np.take_along_axis(corners, order[..., None], 1), np.take_along_axis(spots, order[..., None], 1)
