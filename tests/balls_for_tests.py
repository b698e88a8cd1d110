"""A small bright ball on large frames, for the tests of windows."""

from __future__ import annotations

import numpy as np
from PIL import Image

from sam2_core import Session


class Ball:
    """A small bright ball that moves over a large textured frame; it may be away for some frames."""

    def __init__(self, centres, radius=14, size=(1024, 1280), others=()):
        self.size, self.centres, self.radius, self.others = size, centres, radius, others
        noise = np.random.default_rng(3).integers(20, 90, (16, 20, 3), np.uint8)
        self.ground = np.asarray(Image.fromarray(noise).resize(size[::-1], Image.Resampling.BICUBIC))

    def __len__(self):
        return len(self.centres)

    def mask(self, frame_index):
        return self.disk(self.centres[frame_index])

    def disk(self, centre):
        if centre is None:
            return np.zeros(self.size, bool)
        rows, columns = np.ogrid[: self.size[0], : self.size[1]]
        return (rows - centre[0]) ** 2 + (columns - centre[1]) ** 2 <= self.radius**2

    def __getitem__(self, frame_index):
        image = self.ground.copy()
        for mask in (self.mask(frame_index), *map(self.disk, self.others)):
            image[mask] = (230, 225, 190)
        return image


def tracked(model, video, prompt):
    """The masks of all frames."""
    with Session(video, model) as session:
        session.add_prompt(prompt)
        return [result.mask(1) for result in session.propagate()]
