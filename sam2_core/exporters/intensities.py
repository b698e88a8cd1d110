"""How bright objects are: the values that a video was made from, where it still has them."""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from sam2_core.errors import ExportError
from sam2_core.types import Video


@runtime_checkable
class HasIntensities(Protocol):
    """What a video may offer besides its frames: the values from which they were made, as measured."""

    def intensities(self, frame_index: int, /) -> NDArray[Any]:
        """The values of a frame, ``(height, width)`` or ``(height, width, channels)``, of any kind of number.

        Raises:
            VideoError: if the frame cannot be read.
        """


def intensities(video: Video, frame_index: int) -> NDArray[Any]:
    """What is measured on a frame, ``(height, width, channels)``: the video's own values if it offers them.

    Otherwise there is one channel, the mean of red, green and blue.

    Raises:
        ExportError: if the video's own values are of another size, or no numbers.
        VideoError: if the frame cannot be read.
    """
    if not isinstance(video, HasIntensities):
        mean: NDArray[Any] = np.asarray(video[frame_index]).mean(axis=2, keepdims=True)
        return mean
    values: NDArray[Any] = np.asarray(video.intensities(frame_index))
    height, width = video.size
    if values.ndim not in (2, 3) or values.shape[:2] != (height, width):
        raise ExportError(
            f"the intensities of frame {frame_index} have the shape {values.shape}; the video gives them as "
            f"({height}, {width}) or ({height}, {width}, channels)"
        )
    if values.dtype.kind not in "buif":
        raise ExportError(f"the intensities of frame {frame_index} are {values.dtype} and no plain numbers")
    return values.reshape(height, width, -1)


def statistics(values: NDArray[Any]) -> tuple[int | float, ...]:
    """Mean, lowest, highest and sum of some values, ``(pixels,)``; exact for whole numbers but the mean."""
    wide = values.astype({"b": np.uint64, "u": np.uint64, "i": np.int64}.get(values.dtype.kind, np.float64))
    lowest, highest, total = (result.item() for result in (wide.min(), wide.max(), wide.sum()))
    return float(wide.mean(dtype=np.float64)), lowest, highest, total
