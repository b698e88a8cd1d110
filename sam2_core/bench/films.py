"""Frames and films that are made on the spot, the same ones every time."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from sam2_core.types import Box, Image, Point, Video

FRAME = (540, 960)
"""Height and width of the frames of ``textured_frame`` that cases look at."""


def textured_frame(seed: int = 0, size: tuple[int, int] = (180, 240)) -> Image:
    """A frame with smooth colours, edges and grain, ``(height, width, 3)``."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[: size[0], : size[1]] / 40.0
    waves = random.uniform(0.5, 3.0, (3, 2)), random.uniform(0, 6.28, 3)
    image = np.stack(
        [np.sin(wave[0] * x + wave[1] * y + phase) for wave, phase in zip(*waves, strict=True)], -1
    )
    disc = (x - random.uniform(1, 5)) ** 2 + (y - random.uniform(1, 3.5)) ** 2 < 1
    image[disc] = random.uniform(-1, 1, 3)
    return np.clip(127 + 90 * image + random.normal(0, 12, image.shape), 0, 255).astype(np.uint8)


class Panned:
    """A video: a window of ``size`` that pans over a wide frame, four pixels a frame."""

    def __init__(self, frames: int, size: tuple[int, int], seed: int = 3) -> None:
        self.size = size
        self._frames = frames
        self._wide = textured_frame(seed, (size[0], size[1] + 4 * frames))

    def __len__(self) -> int:
        return self._frames

    def __getitem__(self, frame_index: int) -> Image:
        left = 4 * frame_index
        return np.ascontiguousarray(self._wide[:, left : left + self.size[1]])


class Cells:
    """A video of bright cells on dark, grainy ground, for networks that were trained.

    Each cell wanders slowly about its own field of a grid, so that it is never lost, hidden or touched.

    Args:
        frames: how many.
        count: the cells; the more, the smaller.

    Attributes:
        size: height and width.
        count: the cells.
        radius: of each, in pixels, at most 35.
    """

    size = (480, 640)

    def __init__(self, frames: int, count: int) -> None:
        self.count = count
        self._frames = frames
        self._columns = math.ceil(math.sqrt(count))
        self._field = (self.size[0] / math.ceil(count / self._columns), self.size[1] / self._columns)
        self.radius = min(35, int(0.3 * min(self._field)))
        self._grain = np.random.default_rng(0).normal(0, 6, (*self.size, 1))

    def __len__(self) -> int:
        return self._frames

    def __getitem__(self, frame_index: int) -> Image:
        image, reach = 40 + self._grain, self.radius + 1
        offsets = np.arange(-reach, reach + 1)
        for cell in range(self.count):
            x, y, _ = self.centre(cell, frame_index)
            column, row = round(x), round(y)
            distance = np.hypot(offsets + column - x, (offsets + row - y)[:, None])[..., None]
            inside = np.clip(self.radius - distance, 0, 1)  # smooth at the border
            light = 70 + 80 * np.sqrt(np.clip(1 - (distance / self.radius) ** 2, 0, 1))
            image[row - reach : row + reach + 1, column - reach : column + reach + 1] += inside * light
        return np.repeat(np.clip(image, 0, 255).astype(np.uint8), 3, axis=2)

    def centre(self, cell: int, frame_index: int) -> Point:
        """The middle of a cell (0, 1, ...), on a slow Lissajous curve of its own."""
        middle = (cell // self._columns + 0.5, cell % self._columns + 0.5)
        t = frame_index / 150 + cell * 2.1
        waves = (math.sin(1.3 * t), math.cos(t))
        y, x = (
            length * place + (length / 2 - self.radius - 2) * wave
            for length, place, wave in zip(self._field, middle, waves, strict=True)
        )
        return Point(x, y)

    def box(self, cell: int) -> Box:
        """The box around a cell on the first frame."""
        x, y, _ = self.centre(cell, 0)
        return Box(x - self.radius, y - self.radius, x + self.radius, y + self.radius)


def frames_of(video: Video) -> Iterator[Image]:
    """All frames of a video, in their order."""
    return (video[index] for index in range(len(video)))


def write_film(path: Path, frames: Iterable[Image], size: tuple[int, int]) -> None:
    """Write frames of one size (height, width) as a film (H.264, 30 frames per second)."""
    import av

    with av.open(str(path), "w") as film:
        stream = film.add_stream("libx264", rate=30, options={"preset": "ultrafast"})
        stream.height, stream.width = size
        stream.pix_fmt = "yuv420p"
        for frame in frames:
            film.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        film.mux(stream.encode())
