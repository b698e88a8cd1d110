"""Image layers, and arrays that say what was read of them."""

from __future__ import annotations

from typing import Any

import dask.array
import numpy as np
from numpy.typing import NDArray
from sam2_napari.layer_video import LayerVideo, axes_of, layer_video

RNG = np.random.default_rng(0)


def as_video(layer: Any, *position: float, **options: Any) -> LayerVideo:
    axes = axes_of(layer)
    return layer_video(layer, axes, position or (0,) * axes.ndim, **options)


def bytes_of(*shape: int) -> NDArray[np.uint8]:
    return RNG.integers(0, 256, shape, np.uint8)


class Counting:
    """An array that writes down which planes are read of it."""

    def __init__(self, array: NDArray[Any], broken: int | None = None) -> None:
        self.array, self.shape, self.dtype, self.ndim = array, array.shape, array.dtype, array.ndim
        self.broken = broken
        self.read: list[int] = []

    def __getitem__(self, key: Any) -> NDArray[Any]:
        found = self.array[key]
        first = key[0] if isinstance(key, tuple) else key
        numbers = np.arange(len(self.array))[first]
        if found.size:
            self.read += np.atleast_1d(numbers).tolist()
        if self.broken in self.read:
            raise OSError("the disk\nis gone")
        return found


def lazy(counting: Counting) -> Any:
    return dask.array.from_array(counting, chunks=(1, *counting.shape[1:]), meta=np.empty(0, counting.dtype))
