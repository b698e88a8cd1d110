"""An annotated video on disk: images/ and masks/ with a bright square and a darker one that move."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

SIZE = (60, 90)


def labels(t: int) -> np.ndarray:
    image = np.zeros(SIZE, np.uint8)
    image[12:32, 6 + 3 * t : 30 + 3 * t] = 3
    if t >= 2:
        image[40:52, 10:34] = 7
    return image


def make_annotated(root: Path, frames: int, annotated: range | None = None) -> Path:
    for name in ("images", "masks"):
        (root / name).mkdir(parents=True)
    for t in range(frames):
        image = np.array([40, 0, 0, 220, 0, 0, 0, 130], np.uint8)[labels(t)]
        Image.fromarray(np.repeat(image[..., None], 3, 2)).save(root / "images" / f"{t:04d}.png")
        if annotated is None or t in annotated:
            Image.fromarray(labels(t)).save(root / "masks" / f"{t:04d}.png")
    return root
