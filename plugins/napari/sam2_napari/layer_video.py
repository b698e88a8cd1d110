"""A napari image layer as a video: one plane is read per frame, whatever holds the data.

The core does what can be done there: which values become 0 and 255, how channels become colours. Here the
axes are put into its order, lazily.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from sam2_core import ImageOptions, Origin, VideoError, open_video
from sam2_napari.axes import Axes, guess

Contrast = Literal["percentiles", "layer"]
Index = tuple[int | slice, ...]
ALL = slice(None)


class LayerVideo:
    """A ``sam2_core.Video`` over the data of an image layer; made by ``layer_video``.

    It never looks at the layer again, so that any thread may read it; what is changed in the data themselves
    is seen. Reading a frame reads its plane; the first frame of other than 8-bit data without contrast limits
    reads also a sample: every ``ceil(frames / 10)``-th frame, ten at most, for limits that all frames share.

    Args:
        planes: where the frames are read.
        options: how they are shown.
        name: of the layer.
        origin: where the layer came from.

    Attributes:
        size: height and width, in pixels.
        name: of the layer; exporters write it where their format names videos.
        origin: the path or address that the layer was opened from, which a saved session remembers; None if
            it was made in memory.
        frame_rate: None, a layer does not know it.
        contrast: the rule by which values become 8-bit.
        all_channels: whether the first channels are shown as colours.
    """

    def __init__(
        self, planes: _Planes, options: ImageOptions, contrast: Contrast, name: str, origin: str | None
    ) -> None:
        self._planes = planes
        self.contrast, self.all_channels = contrast, planes.all_channels
        self._video = open_video(planes, options)
        self.size = self._video.size
        self.name = name
        self.origin = None if origin is None else Origin(str(origin), options)
        self.frame_rate: float | None = None

    def __len__(self) -> int:
        return len(self._video)

    def __getitem__(self, frame_index: int, /) -> NDArray[np.uint8]:
        """The frame as 8-bit RGB, ``(height, width, 3)``; VideoError names one that cannot be read."""
        return self._video[frame_index]

    def intensities(self, frame_index: int) -> NDArray[Any]:
        """The values of a frame as they are stored, for measurements, in memory of their own.

        Returns:
            ``(height, width)``, or ``(height, width, channels)`` with all channels, where the video shows
            several, also those that it does not show; of RGB and RGBA the three colours.

        Raises:
            VideoError: names a frame that cannot be read.
        """
        return np.array(self._planes.whole(frame_index))


def axes_of(layer: Any) -> Axes:
    """The axes of an image layer, as ``guess`` takes them from its shape and labels.

    Raises:
        VideoError: if it has no rows and columns.
    """
    shape = _full_resolution(layer).shape
    try:
        return guess(shape, getattr(layer, "axis_labels", None), rgb=bool(getattr(layer, "rgb", False)))
    except (TypeError, ValueError) as error:  # dask counts in NaN what it has not computed
        raise VideoError(f"{layer.name!r} cannot be used as a video: {_reason(error)}") from error


def layer_video(
    layer: Any,
    axes: Axes,
    position: Sequence[float],
    *,
    contrast: Contrast = "percentiles",
    all_channels: bool = False,
) -> LayerVideo:
    """A video of an image layer as it is now. Nothing is read yet.

    Values become 8-bit by one rule for all frames. "layer" takes the contrast limits that the layer has now;
    "percentiles" keeps 8-bit values and stretches others between the 0.5 and 99.8 percentiles of a sample.
    RGB has no contrast limits in napari, so it goes by percentiles; so do limits that are not numbers. NaN
    and the infinities are as the lowest value. Gamma and colour map are not looked at.

    Args:
        layer: has ``data``, ``name``, and what napari's ``Image`` has beside them.
        axes: of the layer.
        position: in the data of the layer, a number per axis: where on the channels and on the fixed axes.
        contrast: "percentiles" or "layer".
        all_channels: show the first three channels as red, green and blue; otherwise the one at the position.

    Raises:
        VideoError: if the image is empty or not of numbers, or the axes or the position do not fit it.
        ValueError: for another ``contrast``.
    """
    if contrast not in ("percentiles", "layer"):
        raise ValueError(f"contrast is 'percentiles' or 'layer'; got {contrast!r}")
    rgb = bool(getattr(layer, "rgb", False))
    data = _full_resolution(layer)
    _check(layer.name, data, axes, rgb)
    try:
        axes.index(0, position)
    except ValueError as error:
        raise VideoError(f"{layer.name!r} cannot be used as a video: {error}") from error
    planes = _Planes(data, axes, tuple(float(place) for place in position), rgb, all_channels)
    limits = _limits(layer) if contrast == "layer" and not rgb else None
    source = getattr(layer, "source", None)
    options = ImageOptions(limits, axes=planes.letters)
    return LayerVideo(planes, options, contrast, layer.name, getattr(source, "path", None))


class _Planes:
    """The data in the core's order, ``(T, Y, X)``, ``(T, C, Y, X)`` or ``(T, Y, X, S)``, read lazily."""

    def __init__(
        self, data: Any, axes: Axes, position: tuple[float, ...], rgb: bool, all_channels: bool
    ) -> None:
        self._data = data
        self.axes, self.position, self.all_channels = axes, position, all_channels
        has_channels = all_channels and axes.channel is not None and not rgb
        self.letters = "TYXS" if rgb else "TCYX" if has_channels else "TYX"
        lengths = {
            "T": axes.frames,
            "C": axes.channels,
            "Y": axes.size[0],
            "X": axes.size[1],
            "S": int(data.shape[-1]),
        }
        self.shape = tuple(lengths[letter] for letter in self.letters)

    def __getitem__(self, key: Index) -> NDArray[Any]:
        """A part of one frame, whose number is the first of the key; what is not finite is NaN."""
        frame_index, *inside = key
        if not isinstance(frame_index, int):
            raise TypeError("only one frame is read at a time")
        values = self._read(frame_index, tuple(inside))
        if values.dtype.kind == "f" and not np.all(finite := np.isfinite(values)):
            values = np.where(finite, values, np.nan)
        return values

    def whole(self, frame_index: int) -> NDArray[Any]:
        """All of a frame, ``(height, width)`` or ``(height, width, channels)``."""
        inside = tuple(slice(3) if letter == "S" else ALL for letter in self.letters[1:])
        values = self._read(frame_index, inside)
        return np.moveaxis(values, 0, -1) if self.letters == "TCYX" else values

    def _read(self, frame_index: int, inside: Index) -> NDArray[Any]:
        try:
            leading: list[int | slice] = [*self.axes.index(frame_index, self.position)]
        except ValueError as error:
            raise VideoError(str(error)) from error
        if self.letters == "TCYX" and self.axes.channel is not None:
            leading[self.axes.channel], inside = inside[0], inside[1:]
        try:
            values = np.asarray(self._data[(*leading, *inside)])
        except Exception as error:  # whatever a damaged or foreign array raises
            raise VideoError(f"frame {frame_index} cannot be read: {_reason(error)}") from error
        found = values.shape[:2] if self.letters == "TYXS" else values.shape[-2:]
        if found != self.axes.size:
            raise VideoError(
                f"frame {frame_index} cannot be read: it has {' x '.join(map(str, found))} pixels, "
                f"the image says {' x '.join(map(str, self.axes.size))}"
            )
        return values


def _full_resolution(layer: Any) -> Any:
    return layer.data[0] if getattr(layer, "multiscale", False) else layer.data


def _check(name: str, data: Any, axes: Axes, rgb: bool) -> None:
    """VideoError unless the data are a video's, with these axes."""
    shape = tuple(data.shape)
    if len(shape) < 2 + rgb:
        raise VideoError(f"{name!r} is no image: it has the shape {shape}, rows and columns are needed")
    if 0 in shape:
        raise VideoError(f"{name!r} is empty: it has the shape {shape}; choose an image with pixels in it")
    if axes.shape != (shape[:-1] if rgb else shape):
        raise VideoError(
            f"{name!r} has the shape {shape}, but the axes given are those of the shape {axes.shape}; "
            "take its axes anew"
        )
    try:
        kind = np.dtype(data.dtype).kind
    except TypeError:  # of another library; what is read will tell
        return
    if kind not in "buif":
        raise VideoError(f"{name!r} holds values of the type {data.dtype}; integers or floats are needed")


def _limits(layer: Any) -> tuple[float, float] | None:
    """The contrast limits of the layer; None where it has none that can be used."""
    low, high = (float(limit) for limit in getattr(layer, "contrast_limits", None) or (0, 0))
    return (low, high) if low < high and math.isfinite(high - low) else None


def _reason(error: BaseException) -> str:
    """What an exception of another library says, on one line; with advice where a codec is missing."""
    said = error.args[0] if isinstance(error, KeyError) and error.args else error
    text = " ".join(str(said).split())
    if isinstance(error, LookupError) or not text:
        text = f"{type(error).__name__} {text}".strip()
    return f"{text}; pip install imagecodecs" if "imagecodecs" in text else text
