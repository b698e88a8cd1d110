"""A data set of one sequence in the layout of DAVIS 2016."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

SIZE, FRAMES = (40, 56), 6


def make_square(root: Path) -> Path:
    """One sequence in the layout of DAVIS 2016: a bright square that moves."""
    for folder in ("JPEGImages/480p/square", "Annotations/480p/square"):
        (root / folder).mkdir(parents=True)
    for t in range(FRAMES):
        mask = np.zeros(SIZE, np.uint8)
        mask[12:26, 6 + 2 * t : 20 + 2 * t] = 255
        noise = np.random.default_rng(0).integers(0, 60, (*SIZE, 1), np.uint8)
        image = np.repeat(np.where(mask[..., None] > 0, 190, noise).astype(np.uint8), 3, axis=2)
        Image.fromarray(image).save(root / "JPEGImages/480p/square" / f"{t:05d}.jpg", quality=95)
        Image.fromarray(mask).save(root / "Annotations/480p/square" / f"{t:05d}.png")
    return root
