"""Arrays as videos: NumPy, Dask, Zarr, torch, CuPy, ``.npy``: all that has a shape and can be indexed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sam2_core.errors import VideoError, reason
from sam2_core.types import Image
from sam2_core.videos.axes import layout_of
from sam2_core.videos.frames import existing
from sam2_core.videos.normalise import DEFAULT, ImageOptions, Normaliser, Planes, sampled, shown_channels


class ArrayVideo:
    """An array, read one frame at a time.

    Args:
        array: has a ``shape`` and can be indexed with integers and slices. Without ``options.axes`` it is
            ``(T, Y, X)``, ``(T, Y, X, 3 or 4)``, ``(T, C, Y, X)``, or one frame, ``(Y, X)`` or
            ``(Y, X, 3 or 4)``; see ``axes.guessed_axes``.
        options: axes, plane, channels and contrast.
        on_close: called by ``close``, for an array that belongs to an open file.

    Attributes:
        size: height and width.
        frame_rate: None, an array does not know it.

    Raises:
        VideoError: if the axes cannot be told.
    """

    def __init__(
        self, array: Any, options: ImageOptions = DEFAULT, *, on_close: Callable[[], None] | None = None
    ) -> None:
        self._array = array
        self._layout = layout_of(_shape(array), options.axes, options.z)
        self._channels = shown_channels(self._layout.channels, options)
        self._normaliser = Normaliser(options)
        self._on_close = on_close
        self.size = self._layout.size
        self.frame_rate: float | None = None

    def __len__(self) -> int:
        return self._layout.frames

    def __getitem__(self, frame_index: int, /) -> Image:
        """The frame as 8-bit RGB, ``(height, width, 3)``; VideoError if it cannot be read."""
        return self._normaliser(self._planes(existing(frame_index, len(self))), self._sample)

    def close(self) -> None:
        """Close the file behind the array, if it was opened here."""
        if self._on_close is not None:
            self._on_close()

    def _sample(self) -> Iterator[Planes]:
        return sampled(self._planes, len(self))

    def _planes(self, frame_index: int) -> Planes:
        first, last = min(self._channels), max(self._channels)
        key = self._layout.key(frame_index, slice(first, last + 1))
        try:
            frame = as_numpy(self._array[key])
        except VideoError:
            raise
        except Exception as error:  # whatever a damaged or foreign array raises
            raise VideoError(f"frame {frame_index} cannot be read: {reason(error)}") from error
        return self._layout.arranged(frame)[..., [channel - first for channel in self._channels]]


def _shape(array: Any) -> tuple[int, ...]:
    try:
        return tuple(int(n) for n in array.shape)
    except (TypeError, ValueError) as error:  # dask counts in NaN what it has not computed
        raise VideoError(
            f"an array of the shape {array.shape} has no known size; compute it before it is given"
        ) from error


def as_numpy(array: Any) -> NDArray[Any]:
    """The array in main memory, also from torch (``detach``, ``cpu``) and CuPy (``get``)."""
    for method in ("detach", "cpu", "get"):
        if callable(getattr(array, method, None)):
            array = getattr(array, method)()
    return np.asarray(array)


def open_npy(path: Path, options: ImageOptions = DEFAULT) -> ArrayVideo:
    """An array saved by ``numpy.save``, mapped into memory and never read as a whole."""
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except Exception as error:  # a damaged header is read by a parser that raises what it likes
        raise VideoError(f"cannot read {path.name!r} as an array of numbers: {reason(error)}") from error
    return ArrayVideo(array, options)
