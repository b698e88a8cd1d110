"""Simulated cell divisions: an object ends, and two smaller ones lie where it was.

An experiment that is annotated for a few frames shows hardly a division, and a model that never saw one goes
on with a daughter (or both) for ever; annotations of the Cell Tracking Challenge end the mother's track.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from sam2_core.training.clips import Clip
from sam2_core.training.random import Random

_AREA = (0.35, 0.6)
"""Area of a daughter, as a share of its mother's."""

_GAP = (1.0, 1.5)
"""Distance of the daughters' middles, in sums of their radii."""

_SPREAD = 0.05
"""How much that distance grows at most with every frame, in the mother's radii."""

_LIGHT = (0.8, 1.3)
"""A daughter is so many times as bright above the ground as its mother."""

_RIM = 2
"""Pixels around a mother that its light still reaches."""

_NEAR = 16
"""Pixels around a mother in which its ground is looked for."""

_USUAL = 3.0
"""Ground is what differs from its median by so many times the usual difference at most."""

_BEFORE = 0.15
"""So many of the divisions have happened before the first frame: the daughters are what is followed."""

_SMALLEST = 40.0
"""Pixels of a mother; of smaller ones nothing would be left to see."""


class _Daughter(NamedTuple):
    """A copy of the mother: label, middle by frame, ``(frames, 2)`` x and y; size, turn and light."""

    label: int
    centre: Tensor
    scale: float
    angle: float
    light: float


def with_divisions(rng: Random, clip: Clip, share: float) -> Clip:
    """The same clip in which some objects of the first frame divide on a later one, or have done so before.

    From that frame on a mother has no mask; its pixels are ground, and two smaller copies of it, moved apart
    along its longer axis, are to be seen. They are objects of their own, while there are labels for them.

    Args:
        rng: the source of randomness.
        clip: ``(frames, 3, height, width)``; objects share no label.
        share: how many of the objects divide.
    """
    frames, labels = clip.frames.clone(), clip.labels.clone()
    taken = clip.table.any(0)
    taken[clip.labels.long()] = True
    free = (~taken).nonzero()[:, 0].tolist()
    born: list[int] = []
    for row in clip.table[:, 1:]:
        if not rng.chance(share) or not row.any():
            continue
        label = int(row.float().argmax()) + 1
        late = len(frames) > 1 and not rng.chance(_BEFORE)
        first = rng.integer(1, len(frames) - 1) if late else 0
        if min(int((clip.labels[t] == label).sum()) for t in (0, first)) >= _SMALLEST:
            names = free.pop() if free else 0, free.pop() if free else 0
            _divide(rng, frames[first:], labels[first:], label, names)
            born += [name for name in names if name]
    rows = functional.one_hot(torch.tensor(born, dtype=torch.long), clip.table.shape[1]).bool()
    return Clip(frames, labels, torch.cat([clip.table, rows]))


def _divide(rng: Random, frames: Tensor, labels: Tensor, label: int, names: tuple[int, int]) -> None:
    """Change frames and labels in place; the label is to be seen on the first of them, the names later."""
    mothers = labels == label
    centre, axis, radius = _ellipse(mothers[0])
    share = rng.number(*_AREA)
    scales = [math.sqrt(share), math.sqrt(min(0.9, 1.0 - share))]
    apart = radius * sum(scales) * rng.number(*_GAP)
    grown = torch.arange(len(frames), device=frames.device) * rng.number(0, _SPREAD) * radius + apart
    daughters = [
        _Daughter(
            name,
            centre + side * grown[:, None] / 2 * axis,
            scale * rng.number(0.85, 1.0),
            rng.number(0, 2 * math.pi),
            rng.number(*_LIGHT),
        )
        for name, side, scale in zip(names, (-1, 1), scales, strict=True)
    ]
    before = frames.clone()
    ground = _fill(rng, frames, labels, mothers)
    labels.masked_fill_(mothers, 0)
    for daughter in daughters:
        _paste(before[0], mothers[0], centre, ground, daughter, frames, labels)


def _ellipse(mask_hw: Tensor) -> tuple[Tensor, Tensor, float]:
    """Middle (x, y), unit vector along the longer axis, and the radius of a disk of the same area."""
    places = mask_hw.nonzero().flip(1).float()
    centre = places.mean(0)
    spread = (places - centre).T @ (places - centre)
    _, vectors = torch.linalg.eigh(spread.cpu())
    return centre, vectors[:, -1].to(places.device), math.sqrt(len(places) / math.pi)


def _fill(rng: Random, frames: Tensor, labels: Tensor, mothers: Tensor) -> Tensor:
    """Paint pixels of the ground over the mothers, noise and all; what is usual of it, ``(frames, 3)``."""
    height, width = mothers.shape[-2:]
    rows, columns = (mothers.any(0).any(axis).nonzero()[:, 0] for axis in (1, 0))
    near = (
        slice(max(0, int(rows[0]) - _NEAR), min(height, int(rows[-1]) + _NEAR + 1)),
        slice(max(0, int(columns[0]) - _NEAR), min(width, int(columns[-1]) + _NEAR + 1)),
    )
    means = []
    for frame, known, mother in zip(frames, labels, mothers, strict=True):
        part, label, inner = frame[:, near[0], near[1]], known[near], mother[near]
        rim = functional.max_pool2d(inner[None].float(), 2 * _RIM + 1, 1, _RIM)[0] > 0
        ground = part[:, ~rim & (label == 0)]
        if not ground.shape[1]:
            ground = part.flatten(1)
        usual = ground.float().median(1).values
        off = (ground.float() - usual[:, None]).abs().sum(0)
        ground = ground[:, off <= _USUAL * off.median() + 3]  # not of things that carry no label
        covered = rim & ((label == 0) | inner)
        part[:, covered] = ground[:, rng.integers(0, ground.shape[1] - 1, int(covered.sum()))]
        means.append(usual)
    return torch.stack(means)


def _paste(
    source: Tensor,
    mother: Tensor,
    middle: Tensor,
    ground: Tensor,
    daughter: _Daughter,
    frames: Tensor,
    labels: Tensor,
) -> None:
    """Paint a turned and shrunk copy of the mother over the ground of each frame."""
    height, width = mother.shape
    size = torch.tensor([width, height], device=frames.device)
    cos, sin = math.cos(daughter.angle), math.sin(daughter.angle)
    turn = torch.tensor([[cos, sin], [-sin, cos]], device=frames.device)
    columns, rows = (torch.arange(n, device=frames.device) for n in (width, height))
    reach = float((mother.nonzero().flip(1) - middle).norm(dim=1).max()) * daughter.scale + 2
    picture = torch.cat([source.float(), mother[None].float()])[None]
    for frame, known, centre, level in zip(frames, labels, daughter.centre, ground, strict=True):
        x, y = (line[(line - at).abs() <= reach] for line, at in zip((columns, rows), centre, strict=True))
        if not len(x) or not len(y):
            continue  # it lies outside
        part = slice(int(y[0]), int(y[-1]) + 1), slice(int(x[0]), int(x[-1]) + 1)
        places = torch.stack(torch.meshgrid(x, y, indexing="xy"), -1) - centre
        at = (places @ turn.T) / daughter.scale + middle
        grid = (2 * at + 1) / size - 1
        copy = functional.grid_sample(picture, grid[None], align_corners=False)[0]
        light = (copy[:3] - level[:, None, None]) * daughter.light + level[:, None, None]
        covered = (copy[3] > 0.5) & (known[part] == 0)
        patch = frame[:, part[0], part[1]]
        known[part][covered] = daughter.label
        patch[:, covered] = light.clamp(0, 255).to(torch.uint8)[:, covered]
