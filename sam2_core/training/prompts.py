"""Simulated users: a mask, a noisy box or a click, then clicks where the result is wrong."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from sam2_core.training.random import Random

PROMPT_KINDS = ("mask", "box", "click")


@dataclass(frozen=True)
class PromptMix:
    """How often a simulated user gives what.

    Attributes:
        mask, box, click: relative frequencies of the first prompt.
        truth: how often a correction click comes from the object instead of the error.
        central: how often a click is put into the middle of its region.
        box_noise: noise of a box's sides, as a share of its width or height.
        box_limit: the most that a side may be off, as a share of the picture.
    """

    mask: float = 0.5
    box: float = 0.25
    click: float = 0.25
    truth: float = 0.1
    central: float = 0.5
    box_noise: float = 0.1
    box_limit: float = 20 / 1024

    def draw(self, rng: Random, count: int) -> Tensor:
        """The kind of each object's first prompt, an index into ``PROMPT_KINDS``, ``(count,)``."""
        weights = torch.tensor([self.mask, self.box, self.click], device=rng.device)
        return torch.multinomial(weights, count, replacement=True, generator=rng.generator)


def boxes(masks: Tensor) -> Tensor:
    """Left, top, right, bottom of ``(n, height, width)`` masks in pixels (edges, not centres), ``(n, 4)``.

    An empty mask gives a box without area in the corner.
    """
    result = []
    for axis in (1, 2):
        line = masks.any(axis).float()
        length = line.shape[1]
        first = line.argmax(1)
        last = length - line.flip(1).argmax(1)
        empty = line.amax(1) == 0
        result.append((first.masked_fill(empty, 0).float(), last.masked_fill(empty, 0).float()))
    (left, right), (top, bottom) = result
    return torch.stack([left, top, right, bottom], 1)


def noisy_boxes(rng: Random, masks: Tensor, mix: PromptMix) -> Tensor:
    """Boxes whose sides are a little off, ``(n, 4)``, at least one pixel wide and high."""
    exact = boxes(masks)
    height, width = masks.shape[-2:]
    scale = torch.stack([exact[:, 2] - exact[:, 0], exact[:, 3] - exact[:, 1]], 1).repeat(1, 2)
    limit = mix.box_limit * max(height, width)
    shift = (rng.normal(len(exact), 4) * scale * mix.box_noise).clamp(-limit, limit)
    noisy = exact + shift.clamp(-0.4 * scale, 0.4 * scale)
    size = torch.tensor([width, height, width, height], device=masks.device)
    noisy = torch.minimum(noisy.clamp(min=0), size)
    return torch.cat([noisy[:, :2], torch.maximum(noisy[:, 2:], noisy[:, :2] + 1)], 1)


_TRIES = 16
_CELL = 4


def clicks(rng: Random, regions: Tensor, central: float) -> Tensor:
    """One place inside each region: in its thickest part, or anywhere, ``(n, 2)`` x and y.

    Args:
        rng: the source of randomness.
        regions: ``(n, height, width)`` bool, sides multiples of 4; an empty region gives its first pixel.
        central: how often a place in the thickest part is chosen (the best of some random ones).

    Returns:
        Pixel indices (the centre of the first pixel is 0, 0), as floats.
    """
    count, _, width = regions.shape
    flat = regions.flatten(1)
    row, place = flat.nonzero(as_tuple=True)
    sizes = torch.bincount(row, minlength=count)
    start = (sizes.cumsum(0) - sizes)[:, None]
    chosen = start + (rng.uniform(0, 1, count, _TRIES) * sizes[:, None]).long()
    place = torch.cat([place, place.new_zeros(1)])  # empty regions at the end point behind the last
    tries = torch.where(sizes[:, None] > 0, place[chosen.clamp(max=len(row))], 0)
    x, y = tries % width, tries // width
    cell = (y // _CELL) * (width // _CELL) + x // _CELL
    thick = _thickness(regions).flatten(1).gather(1, cell)
    best = torch.where(rng.chances(central, count), thick.argmax(1), 0)[:, None]
    return torch.cat([x.gather(1, best), y.gather(1, best)], 1).float()


def _thickness(regions: Tensor) -> Tensor:
    """How far each cell of 4 x 4 pixels is from the border of its region, roughly, ``(n, h / 4, w / 4)``."""
    thick = functional.avg_pool2d(regions[:, None].float(), _CELL)
    for size in (3, 5, 9):
        thick = torch.minimum(thick, functional.avg_pool2d(thick, size, 1, size // 2)) + 0.1 * thick
    return thick[:, 0]


# How a mask goes wrong in ``degraded``, measured in sides of its box, pixels or standard deviations.
_FAR_SHARE = 0.15  # so many masks are far off, as after a quick motion; the others have drifted a little
_FAR, _NEAR = 0.2, 0.04  # standard deviation of the shift, in sides
_LEFT_BEHIND_SHARE = 0.5  # so many of those far off also cover the old place
_SMALLEST_SIDE = 4  # pixels; an object that is smaller is shifted as if it had this side
_BLOBS = (5, 20)  # cells of the noise along a side of the picture: bits that are large, and crumbs
_RIM = 5  # cells of 4 pixels: bits lie in the mask, or leak out of it by half of this
_BITTEN_SHARE = 0.85  # so many of the large masks have bits; the others keep their outline
_LARGE_SIDE = 6 * _CELL  # of an object with smaller sides nothing would be left
_BIT_THRESHOLDS = (0.6, 2.2)  # of the noise: from a quarter of the mask down to a hundredth


def degraded(rng: Random, masks: Tensor, merge_probability: float = 0.1) -> Tensor:
    """Masks as a tracker leaves them: shifted, trailing, bits lost or leaked, sometimes merged with another.

    Args:
        rng: the source of randomness.
        masks: ``(n, height, width)`` bool, sides multiples of 4; those of one picture follow each other.
        merge_probability: how often the mask before is added (before the first comes the last).
    """
    count, height, width = masks.shape
    extent = boxes(masks)
    side = (extent[:, 2:] - extent[:, :2]).amax(1).clamp(min=_SMALLEST_SIDE)
    far = rng.chances(_FAR_SHARE, count)
    shift = (rng.normal(count, 2) * (side * torch.where(far, _FAR, _NEAR))[:, None]).round().long()
    row = (torch.arange(height, device=masks.device)[None, :, None] - shift[:, 1, None, None]) % height
    column = (torch.arange(width, device=masks.device)[None, None, :] - shift[:, 0, None, None]) % width
    moved = masks[torch.arange(count, device=masks.device)[:, None, None], row, column]
    moved |= masks & (far & rng.chances(_LEFT_BEHIND_SHARE, count))[:, None, None]
    moved |= masks.roll(1, 0) & rng.chances(merge_probability, count, 1, 1)
    cells, coarse = rng.integer(*_BLOBS), (height // _CELL, width // _CELL)
    field = functional.interpolate(rng.normal(count, 1, cells, cells), coarse, mode="bicubic")
    near = functional.max_pool2d(functional.max_pool2d(moved[:, None].float(), _CELL), _RIM, 1, _RIM // 2) > 0
    large = (side > _LARGE_SIDE) & rng.chances(_BITTEN_SHARE, count)
    bitten = near & (field > rng.uniform(*_BIT_THRESHOLDS, count, 1, 1, 1)) & large.view(-1, 1, 1, 1)
    return moved ^ bitten[:, 0].repeat_interleave(_CELL, 1).repeat_interleave(_CELL, 2)


def correction_clicks(rng: Random, predicted: Tensor, truth: Tensor, mix: PromptMix) -> tuple[Tensor, Tensor]:
    """One click per object where the prediction is wrong; sometimes just on the object.

    Args:
        rng: the source of randomness.
        predicted: ``(n, height, width)`` bool.
        truth: the same.
        mix: how often a click comes from the object instead of the error.

    Returns:
        Places ``(n, 2)`` and labels ``(n,)``: 1 on the object, 0 beside it.
    """
    wrong = predicted ^ truth
    some = wrong.flatten(1).any(1) & ~rng.chances(mix.truth, len(truth))
    region = torch.where(some[:, None, None], wrong, truth)
    places = clicks(rng, region, mix.central)
    x, y = places.long().unbind(1)
    return places, truth[torch.arange(len(truth), device=truth.device), y, x].long()
