"""How anything that is not 8-bit RGB becomes 8-bit RGB: one rule for every source.

Channels: the ones asked for, or else the first three. One channel becomes gray, two become red and green,
three become red, green and blue; so the alpha of RGBA is dropped.

Values: 8-bit values are kept as they are; False and True become 0 and 255. Everything else (16-bit, float,
...) is stretched, each channel on its own, so that the contrast limits become 0 and 255. If none are given,
the limits are the 0.5 and 99.8 percentiles of a sample: every ``ceil(n / 10)``-th frame of the video, ten at
most, taken when the first frame is read and then kept for all frames. NaN becomes black and is not counted,
nor is infinity.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from sam2_core.errors import VideoError
from sam2_core.types import Image

Planes = NDArray[Any]
"""One frame before it is 8-bit RGB: ``(height, width, channels)``, one to three channels."""

PERCENTILES = (0.5, 99.8)
SAMPLED_FRAMES = 10
SAMPLED_PIXELS = 512 * 512  # of one frame; larger frames are thinned evenly, or the percentiles take seconds


@dataclass(frozen=True)
class ImageOptions:
    """How data that are not 8-bit RGB are shown.

    Without options the first three channels are shown: one as gray, two as red and green. 8-bit values are
    kept. Others are stretched, each channel on its own, so that the 0.5 and 99.8 percentiles of a sample of
    the video (at most ten frames, evenly spread) become 0 and 255, the same for all frames.

    Attributes:
        contrast_limits: the values that become 0 and 255: one pair, or one pair per channel.
        channels: one to three channels, shown as gray, as red and green, or as red, green and blue.
        z: the plane of a volume through time; the middle one if it is not given.
        axes: what the axes of an array are, for example "TCYX"; from its metadata or shape if not given.

    Raises:
        VideoError: for limits that are not increasing, or channels that are not one to three.
    """

    contrast_limits: tuple[float, float] | Sequence[tuple[float, float]] | None = None
    channels: Sequence[int] | None = None
    z: int | None = None
    axes: str | None = None

    def __post_init__(self) -> None:
        """Refuse what cannot be used."""
        if self.channels is not None and not 1 <= len(self.channels) <= 3:
            raise VideoError(f"one to three channels can be shown; got {len(self.channels)}")
        if self.contrast_limits is None:
            return
        try:
            limits = np.asarray(self.contrast_limits, dtype=np.float64)
        except (TypeError, ValueError):
            limits = np.zeros(0)
        increasing = (
            limits.shape[-1:] == (2,) and limits.ndim <= 2 and np.all(limits[..., 0] < limits[..., 1])
        )
        if not (increasing and np.all(np.isfinite(limits))):
            raise VideoError(
                f"contrast limits are (black, white) with black < white; got {self.contrast_limits!r}"
            )

    def limits(self, channels: int) -> NDArray[np.float64]:
        """The given contrast limits, ``(2, channels)``: black and white of each channel."""
        pairs = np.reshape(np.asarray(self.contrast_limits, dtype=np.float64), (-1, 2))
        if len(pairs) not in (1, channels):
            raise VideoError(
                f"{len(pairs)} pairs of contrast limits do not fit {channels} channels; give one, or one each"
            )
        return np.resize(pairs, (channels, 2)).T


DEFAULT = ImageOptions()


def shown_channels(channels: int, options: ImageOptions) -> tuple[int, ...]:
    """Which of so many channels are shown; VideoError if one that is asked for does not exist."""
    if options.channels is None:
        return tuple(range(min(channels, 3)))
    for channel in options.channels:
        if not 0 <= channel < channels:
            raise VideoError(f"there is no channel {channel}; the channels are 0..{channels - 1}")
    return tuple(options.channels)


def planes_of(image: NDArray[Any], options: ImageOptions) -> Planes:
    """The shown channels of an image, ``(height, width)`` or ``(height, width, channels)``."""
    if image.ndim not in (2, 3) or not image.size:
        raise VideoError(
            f"a frame is (height, width) or (height, width, channels), not empty; this one is {image.shape}"
        )
    image = image.reshape(*image.shape[:2], -1)
    shown = shown_channels(image.shape[2], options)
    return image if shown == tuple(range(image.shape[2])) else image[..., list(shown)]


class Normaliser:
    """Makes 8-bit RGB of planes.

    Args:
        options: limits, if the user gives them.
    """

    def __init__(self, options: ImageOptions) -> None:
        self._options = options
        self._limits: dict[int, NDArray[np.float64]] = {}  # by the number of channels

    def __call__(self, planes: Planes, sample: Callable[[], Iterable[Planes]]) -> Image:
        """The frame as ``(height, width, 3)``, in memory of its own.

        Args:
            planes: of the frame.
            sample: gives some frames of the video; called if limits have to be found, the first time.
        """
        if planes.dtype.kind not in "buif":
            raise VideoError(f"values of the type {planes.dtype} cannot be shown; give integers or floats")
        if self._options.contrast_limits is None and planes.dtype.kind == "b":
            planes = planes * np.uint8(255)
        if self._options.contrast_limits is not None or planes.dtype != np.uint8:
            planes = stretched(planes, self._limits_of(planes.shape[2], sample))
        return _as_rgb(planes)

    def _limits_of(self, channels: int, sample: Callable[[], Iterable[Planes]]) -> NDArray[np.float64]:
        if self._options.contrast_limits is not None:
            return self._options.limits(channels)
        if channels not in self._limits:
            frames = [_thinned(planes) for planes in sample() if planes.shape[2] == channels]
            self._limits[channels] = found_limits(frames, channels)
        return self._limits[channels]


def sampled(read: Callable[[int], Planes], frames: int) -> Iterator[Planes]:
    """Every ``ceil(frames / 10)``-th frame; one that cannot be read is left out."""
    for frame_index in range(0, frames, max(1, math.ceil(frames / SAMPLED_FRAMES))):
        try:
            yield read(frame_index)
        except VideoError:
            continue


def _thinned(planes: Planes) -> Planes:
    step = max(1, math.isqrt(planes.shape[0] * planes.shape[1] // SAMPLED_PIXELS))
    return planes[::step, ::step]


def found_limits(sample: Sequence[Planes], channels: int) -> NDArray[np.float64]:
    """Contrast limits of each channel, ``(2, channels)``; the extremes where the percentiles are equal."""
    limits = np.tile([[0.0], [1.0]], (1, channels))
    for channel in range(channels):
        values = np.concatenate([planes[..., channel].ravel() for planes in sample] or [np.zeros(0)])
        values = values[np.isfinite(values)]
        if not values.size:
            continue
        # A quarter, exactly: differences of the largest floats would be infinite.
        low, high = 4 * np.percentile(values.astype(np.float64) / 4, PERCENTILES)
        limits[:, channel] = (low, high) if low < high else (values.min(), values.max())
    return limits


def stretched(planes: Planes, limits: NDArray[np.float64]) -> Image:
    """The values between the limits as 0..255, rounded; what lies outside is cut, NaN is 0."""
    values = planes.astype(np.result_type(planes.dtype, np.float32))
    with np.errstate(over="ignore", invalid="ignore"):
        low, high = limits.astype(values.dtype)
        if not np.all(np.isfinite(high - low)):
            values, low, high = values / 2, low / 2, high / 2
        values -= low
        values *= 255 / np.where(high > low, high - low, 1)
    values = np.nan_to_num(values, copy=False, nan=0.0, posinf=255.0, neginf=0.0)
    return cast(Image, np.rint(np.clip(values, 0, 255)).astype(np.uint8))


def _as_rgb(planes: Image) -> Image:
    height, width, channels = planes.shape
    rgb = np.zeros((height, width, 3), dtype=np.uint8)
    rgb[..., : 3 if channels == 1 else channels] = planes
    return rgb
