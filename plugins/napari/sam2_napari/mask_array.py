"""Where masks are painted for the window: one array that the Labels layer shows."""

from __future__ import annotations

import atexit
import shutil
import tempfile
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sam2_napari.axes import Axes

IN_MEMORY = 4 * 2**30
"""Bytes of an array in memory; pages of frames without masks take none. Larger ones lie on the disk."""


def mask_array(axes: Axes) -> Any:
    """An array of zeros for masks over an image; all its channels show the same masks.

    Args:
        axes: of the image.

    Returns:
        int32 of the shape of the axes: of NumPy, or of zarr on the disk if it is large.
    """
    shape = axes.shape
    planes = tuple(1 if axis == axes.channel else n for axis, n in enumerate(shape))
    if np.prod(planes, dtype=np.float64) * 4 > IN_MEMORY:
        return _on_disk(shape)
    array = np.zeros(planes, np.int32)
    if axes.channel is None:
        return array
    strides = tuple(0 if axis == axes.channel else n for axis, n in enumerate(array.strides))
    return np.lib.stride_tricks.as_strided(array, shape, strides)  # what one channel shows, all show


def paint(
    array: Any, axes: Axes, frame_index: int, position: Sequence[float], labels: NDArray[np.int32]
) -> None:
    """Put labels on a frame, for all its channels.

    Args:
        array: what ``mask_array`` made.
        axes: of the image.
        frame_index: the frame.
        position: where on the axes but time and channels, in the coordinates of the image.
        labels: ``(height, width)``.
    """
    index = axes.index(frame_index, position)
    if axes.channel is None or isinstance(array, np.ndarray):
        array[index] = labels
        return
    for channel in range(axes.channels):
        array[(*index[: axes.channel], channel, *index[axes.channel + 1 :])] = labels


def _on_disk(shape: tuple[int, ...]) -> Any:
    import zarr  # with a film that needs it

    folder = tempfile.mkdtemp(prefix="sam2-masks-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)  # the layer may outlive all else of this
    chunks = (*(1 for _ in shape[:-2]), *shape[-2:])
    return zarr.create_array(folder, shape=shape, chunks=chunks, dtype="int32", fill_value=0)
