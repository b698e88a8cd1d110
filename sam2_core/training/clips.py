"""A clip: a few frames and the exact mask of each object on each of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from sam2_core.training.random import Random


@dataclass(frozen=True, eq=False)
class Clip:
    """Frames with labels; an object is a set of labels, so objects may contain each other.

    Attributes:
        frames: ``(frames, 3, height, width)`` uint8.
        labels: which label is visible at each pixel, 0 the background, ``(frames, height, width)`` uint8.
        table: which labels make up an object, ``(objects, 256)`` bool.
    """

    frames: Tensor
    labels: Tensor
    table: Tensor

    @property
    def objects(self) -> int:
        """How many objects there are."""
        return self.table.shape[0]

    def masks(self, chosen: Tensor | None = None) -> Tensor:
        """The visible part of each (chosen) object, ``(frames, objects, height, width)`` bool."""
        table = self.table if chosen is None else self.table[chosen]
        return table[:, self.labels.long()].transpose(0, 1)

    def areas(self) -> Tensor:
        """Visible pixels, ``(frames, objects)``."""
        frames = self.labels.shape[0]
        offsets = torch.arange(frames, device=self.labels.device)[:, None] * 256
        flat = self.labels.flatten(1).long() + offsets
        counts = torch.bincount(flat.flatten(), minlength=256 * frames).view(frames, 256)
        return counts.float() @ self.table.float().T

    def to(self, device: torch.device | str) -> Clip:
        """The same clip on a device."""
        return Clip(self.frames.to(device), self.labels.to(device), self.table.to(device))

    def at(self, indices: Sequence[int]) -> Clip:
        """The frames with these indices, in their order."""
        chosen = list(indices)
        return Clip(self.frames[chosen], self.labels[chosen], self.table)

    def window(self, start: int, length: int) -> Clip:
        """Some consecutive frames."""
        return Clip(self.frames[start : start + length], self.labels[start : start + length], self.table)


class ClipSource(Protocol):
    """Where training steps take their clips from; all of one height and width."""

    def draw(self, rng: Random, clips_made: int, frames: int, stride: int) -> Clip:
        """A random run of frames of a random clip, augmented.

        Args:
            rng: the source of randomness.
            clips_made: how many new clips the run has asked for so far, for sources that make them.
            frames: how many; more than a clip has are possible (``frame_indices``).
            stride: frames are taken with a random stride up to this.
        """
        ...


def frame_indices(rng: Random, available: int, wanted: int, stride: int) -> list[int]:
    """Which frames of a clip are taken: a run with a random start and a random stride up to ``stride``.

    A run that is longer than the clip turns round at its ends: 0 2 4 3 1 1 3 ... of five frames by twos.
    """
    step = rng.integer(1, stride)
    spare = available - 1 - (wanted - 1) * step
    first = rng.integer(0, spare if spare >= 0 else available - 1)
    period = max(1, 2 * (available - 1))
    places = [(first + index * step) % period for index in range(wanted)]
    return [place if place < available else period - place for place in places]
