"""Small videos and models that tests share."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sam2_core.types import Mask


class Disks:
    """Bright disks on a dark, textured ground; disk ``i`` moves ``(1 + i)`` pixels per frame to the right.

    A Video that counts how often each frame is read.
    """

    frame_rate = 10.0

    def __init__(self, frames: int = 12, size: tuple[int, int] = (48, 64), disks: int = 2) -> None:
        self.size, self._frames, self._disks = size, frames, disks
        self.reads: list[int] = []
        self._ground = np.random.default_rng(0).integers(0, 60, (*size, 3), np.uint8)

    def __len__(self) -> int:
        return self._frames

    def mask(self, frame_index: int, disk: int = 0) -> Mask:
        rows, columns = np.ogrid[: self.size[0], : self.size[1]]
        x = 10 + frame_index * (1 + disk)
        y = (disk + 0.5) * self.size[0] / self._disks
        return (rows - y) ** 2 + (columns - x) ** 2 <= 7**2

    def __getitem__(self, frame_index: int) -> NDArray[np.uint8]:
        self.reads.append(frame_index)
        image = self._ground.copy()
        for disk in range(self._disks):
            image[self.mask(frame_index, disk)] = 200 - 40 * disk
        return image
