"""From pixels of a frame to what the network wants."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)
"""Mean and standard deviation of ImageNet's red, green and blue, of 1."""


def preprocess(images: NDArray[np.uint8] | Tensor, size: int, device: torch.device | str = "cpu") -> Tensor:
    """Squash frames to a square and normalise them.

    Frames are resized by PIL (bicubic, antialiased, rounded to whole numbers), as the released video
    predictor does with folders of frames.

    Args:
        images: RGB of 0 to 255, ``(height, width, 3)`` or ``(batch, height, width, 3)``, on the CPU.
        size: side of the square.
        device: where the result is wanted; bytes go there, a quarter of its size.

    Returns:
        ``(batch, 3, size, size)`` float32.
    """
    array = images.numpy() if isinstance(images, Tensor) else images
    frames = array[None] if array.ndim == 3 else array
    resized = np.stack([resize(frame, size) for frame in frames])
    return normalise(torch.from_numpy(resized).to(device))


def normalise(images_bhw3: Tensor) -> Tensor:
    """RGB of 0 to 255, ``(batch, height, width, 3)`` -> ``(batch, 3, height, width)`` float32."""
    scaled_b3hw = images_bhw3.permute(0, 3, 1, 2).float() / 255
    mean_311, std_311 = _statistics(scaled_b3hw.device)
    return (scaled_b3hw - mean_311) / std_311


@lru_cache(maxsize=8)
def _statistics(device: torch.device) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation on a device, put there once: a GPU would wait for them in every frame."""
    with torch.inference_mode(False):
        mean, std = (torch.tensor(values, device=device)[:, None, None] for values in (MEAN, STD))
    return mean, std


def resize(frame: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    """Squash a frame ``(height, width, 3)`` to a square (bicubic, antialiased, rounded)."""
    if frame.shape[:2] == (size, size):
        return frame
    image = Image.fromarray(np.ascontiguousarray(frame))
    return np.asarray(image.resize((size, size), Image.Resampling.BICUBIC))
