"""Clips to train on: made once from their number, used several times, each time looking different."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional

from sam2_core.training.checkpoint import save_atomically
from sam2_core.training.clips import Clip
from sam2_core.training.microscopy import make_microscopy
from sam2_core.training.random import Dice
from sam2_core.training.scenes import make_scene

HELD_OUT = 1 << 40
"""Seeds from here on are never trained on; validation uses them."""

_MEAN = (0.485, 0.456, 0.406)
_STD = (0.229, 0.224, 0.225)


def make_clip(number: int, frames: int, size: int = 256, device: torch.device | str = "cpu") -> Clip:
    """The clip of a number; even ones are layered scenes, odd ones microscopy."""
    make = make_microscopy if number % 2 else make_scene
    return make(number, frames, size, device)


def normalised(frames: Tensor) -> Tensor:
    """uint8 frames ``(..., 3, height, width)`` -> what the network reads."""
    mean = torch.tensor(_MEAN, device=frames.device).view(3, 1, 1)
    std = torch.tensor(_STD, device=frames.device).view(3, 1, 1)
    return (frames.float() / 255 - mean) / std


@dataclass
class ClipBank:
    """The clips of one process; which one is used at which step depends on the step alone.

    At step ``s`` the clips with numbers below ``start + rate * s`` exist, and the latest ``capacity`` of
    them are used. Nothing needs to be saved: a clip that is missing after a restart is made again.

    Attributes:
        seed: the first number.
        lane: which process this is.
        lanes: how many there are; each has clips of its own.
        frames, size: of every clip.
        capacity: how many clips are kept.
        start: how many exist at step 0.
        rate: how many are added per step.
        device: where they are made and kept.
        folder: where they are kept as well, so that a resumed run need not make them again.
    """

    seed: int = 0
    lane: int = 0
    lanes: int = 1
    frames: int = 8
    size: int = 256
    capacity: int = 400
    start: int = 16
    rate: float = 1.0
    device: torch.device | str = "cpu"
    folder: Path | None = None

    def __post_init__(self) -> None:
        """Start empty."""
        self._kept: OrderedDict[int, Clip] = OrderedDict()

    def draw(self, dice: Dice, step: int) -> Clip:
        """A clip for this step."""
        end = self.start + int(self.rate * step)
        return self.clip(dice.integer(max(0, end - self.capacity), end - 1))

    def clip(self, index: int) -> Clip:
        """The clip with this index in this process's lane."""
        if index not in self._kept:
            # Two families: pairs of numbers go to a lane, so that each lane gets both.
            number = self.seed + (index // 2 * self.lanes + self.lane) * 2 + index % 2
            self._kept[index] = self._stored(number)
            while len(self._kept) > self.capacity:
                self._kept.popitem(last=False)
        return self._kept[index]

    def _stored(self, number: int) -> Clip:
        if self.folder is None:
            return make_clip(number, self.frames, self.size, self.device)
        path = self.folder / f"{number % (4 * self.capacity * self.lanes)}.pt"
        if path.exists():
            kept = torch.load(path, map_location=self.device, weights_only=True)
            if kept["key"] == (number, self.frames, self.size):
                return Clip(kept["frames"], kept["labels"], kept["table"])
        clip = make_clip(number, self.frames, self.size, self.device)
        key = (number, self.frames, self.size)
        save_atomically({"key": key, **vars(clip)}, path, flush=False)
        return clip


def disguised(dice: Dice, clip: Clip) -> Clip:
    """The same clip flipped, turned, zoomed, with other colours and in other light."""
    frames, labels = clip.frames, clip.labels
    if dice.chance(0.4):
        frames, labels = _zoomed(dice, frames, labels)
    axes = [axis for axis in (-1, -2) if dice.chance(0.5)]
    if axes:
        frames, labels = frames.flip(axes), labels.flip(axes)
    if dice.chance(0.3):
        frames, labels = frames.transpose(-1, -2), labels.transpose(-1, -2)
    if dice.chance(0.3):
        frames = frames[:, torch.randperm(3, generator=dice.generator, device=frames.device)]
    if dice.chance(0.3):
        frames = frames.flip(0)
        labels = labels.flip(0)
    gain = 1 + dice.normal(1, 3, 1, 1) * 0.08 + dice.normal(1) * 0.15
    flicker = dice.normal(len(frames), 1, 1, 1) * 4
    light = (frames.float() * gain + dice.normal(1) * 12 + flicker).clamp_(0, 255)
    if dice.chance(0.1):
        light = 255 - light
    return Clip(light.to(torch.uint8), labels.contiguous(), clip.table)


def _zoomed(dice: Dice, frames: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    size = frames.shape[-1]
    side = int(size * dice.number(0.55, 1.0))
    high = int(min(size, side * dice.log_number(0.8, 1.25)))
    top, left = dice.integer(0, size - high), dice.integer(0, size - side)
    frames = frames[..., top : top + high, left : left + side]
    labels = labels[..., top : top + high, left : left + side]
    shape = (size, size)
    return (
        functional.interpolate(frames, shape, mode="bilinear"),
        functional.interpolate(labels[:, None], shape, mode="nearest")[:, 0],
    )


@dataclass(frozen=True, eq=False)
class Batch:
    """Some clips with some of their objects.

    Attributes:
        images: normalised, frame by frame, ``(frames * clips, 3, size, size)``: frame t of clip c at
            ``t * clips + c``.
        masks: ``(frames, objects, size, size)`` bool; the same number of objects of each clip, in order.
    """

    images: Tensor
    masks: Tensor

    @property
    def clips(self) -> int:
        """How many clips there are."""
        return len(self.images) // len(self.masks)

    @property
    def visible(self) -> Tensor:
        """Whether anything of an object is seen, ``(frames, objects)``."""
        return self.masks.flatten(2).any(2)

    def truth(self, frame: int, factor: int = 2) -> Tensor:
        """The share of each pixel that belongs to the object at a smaller size, ``(objects, h, w)``."""
        return functional.avg_pool2d(self.masks[frame][:, None].float(), factor)[:, 0]


def collect(dice: Dice, clips: list[Clip], objects: int, smallest: int = 24) -> Batch:
    """A batch with the same number of objects from each clip, all visible on the first frame.

    Args:
        dice: where chance comes from.
        clips: of equal length and size.
        objects: how many of each; a clip with fewer repeats some.
        smallest: pixels that must be seen on the first frame (or the largest object is taken).
    """
    masks = []
    for clip in clips:
        areas = clip.window(0, 1).areas()[0]
        fit = areas >= min(smallest, float(areas.max()))
        wish = fit * areas**0.5  # most things are small; large ones are picked more often
        chosen = torch.multinomial(wish, min(objects, int(fit.sum())), generator=dice.generator)
        chosen = chosen.repeat(-(-objects // len(chosen)))[:objects]
        masks.append(clip.masks(chosen))
    images = torch.stack([clip.frames for clip in clips], 1).flatten(0, 1)
    return Batch(normalised(images), torch.cat(masks, 1))


def draw_batch(
    dice: Dice, bank: ClipBank, step: int, clips: int, frames: int, objects: int, stride: int = 1
) -> Batch:
    """Clips of this step, disguised; runs of frames with a random stride up to ``stride``."""
    chosen: list[Clip] = []
    while len(chosen) < clips:
        clip = bank.draw(dice, step)
        pick = _course(dice, bank.frames, frames, stride)
        clip = disguised(dice, Clip(clip.frames[pick], clip.labels[pick], clip.table))
        if _most(clip) > 0:
            chosen.append(clip)
    return collect(dice, chosen, objects)


def _course(dice: Dice, there: int, wanted: int, stride: int) -> list[int]:
    """Which frames are taken: a run with a stride; where the clip ends it is gone through backwards."""
    jump = dice.integer(1, max(1, min(stride, (there - 1) // max(1, wanted - 1))))
    first = dice.integer(0, max(0, there - 1 - (wanted - 1) * jump))
    lap = max(1, 2 * (there - 1))
    places = [(first + index * jump) % lap for index in range(wanted)]
    return [place if place < there else lap - place for place in places]


def _most(clip: Clip) -> float:
    """Pixels of the largest object of the first frame."""
    return float(clip.window(0, 1).areas().max()) if len(clip.table) else 0.0
