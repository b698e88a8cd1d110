"""Which axis of an array is time, which are rows and columns, and what to do with the others.

Letters as in TIFF and OME: T time, Z depth, C channels, S samples of a pixel (RGB), Y rows, X columns.
Axes of length 1 do not count, except Y and X. Time is T; without T it is Z; without both, any other axis.
Beside T, one plane of Z is taken. C or S are the channels.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sam2_core.errors import VideoError

MOST_CHANNELS = 16
"""More than this along the second axis of four are not taken for channels."""

LONGEST = "TCZYX"
"""All axes that are understood at once."""


@dataclass(frozen=True)
class Layout:
    """Where the frames of an array are.

    Attributes:
        axes: one letter for each axis.
        frames, channels: how many; 1 without such an axis.
        size: height and width.
        time, channel: the letters of these axes, or "" for none.
        fixed: the position on each other axis that is not Y or X.
    """

    axes: str
    frames: int
    channels: int
    size: tuple[int, int]
    time: str
    channel: str
    fixed: dict[str, int]

    def key(self, frame_index: int, channels: slice) -> tuple[int | slice, ...]:
        """What to index the array with to get one frame."""
        picked: dict[str, int | slice] = {**self.fixed, self.time: frame_index, self.channel: channels}
        return tuple(picked.get(letter, slice(None)) for letter in self.axes)

    def arranged(self, frame: NDArray[Any]) -> NDArray[Any]:
        """What the array gave for ``key``, as ``(height, width, channels)``."""
        left = [letter for letter in self.axes if letter in ("Y", "X", self.channel)]
        frame = frame.transpose([left.index(letter) for letter in ("Y", "X", self.channel) if letter])
        return frame if self.channel else frame[..., np.newaxis]


def layout_of(shape: tuple[int, ...], axes: str | None = None, z: int | None = None) -> Layout:
    """How an array is to be read.

    Args:
        shape: of the array.
        axes: its letters; guessed from the shape if None.
        z: the plane to take beside time; the middle one if None.

    Raises:
        VideoError: if the axes cannot be told, do not fit, or more than time, Z and channels are left.
    """
    axes = guessed_axes(shape) if axes is None else axes.upper()
    if len(axes) != len(shape) or len(set(axes)) != len(axes) or not {"Y", "X"} <= set(axes):
        raise VideoError(
            f"axes {axes!r} do not fit an array of shape {shape}; name each axis once, Y and X included"
        )
    if 0 in shape:
        raise VideoError(f"an array of shape {shape} holds no frames")
    lengths = dict(zip(axes, shape, strict=True))
    long = [letter for letter in axes if letter not in "YX" and lengths[letter] > 1]
    channel = next((letter for letter in long if letter in "CS"), "")
    time = _time(long)
    fixed = {letter: 0 for letter in axes if letter not in ("Y", "X", channel, time)}
    rest = [letter for letter in long if letter in fixed]
    if rest == ["Z"]:
        fixed["Z"] = _plane(z, lengths["Z"])
    elif rest:
        raise VideoError(
            f"an array with the axes {axes} and the shape {shape} has more than time, Z and channels; "
            "give a part of it"
        )
    elif z is not None:
        raise VideoError(f"z={z} was given, but an array with the axes {axes} has no Z beside time")
    size = (lengths["Y"], lengths["X"])
    return Layout(axes, lengths.get(time, 1), lengths.get(channel, 1), size, time, channel, fixed)


def _time(long: list[str]) -> str:
    others = [letter for letter in long if letter not in "TZCS"]
    return next((letter for letter in ["T", "Z", *others] if letter in long), "")


def _plane(z: int | None, planes: int) -> int:
    if z is None:
        return planes // 2
    if not 0 <= z < planes:
        raise VideoError(f"there is no plane z={z}; the planes are 0..{planes - 1}")
    return z


def guessed_axes(shape: tuple[int, ...]) -> str:
    """The axes of an array that says nothing about them.

    One frame: ``(Y, X)`` or ``(Y, X, 1..4)``.
    Several: ``(T, Y, X)``, ``(T, Y, X, 3 or 4)``, or ``(T, C, Y, X)`` with up to 16 channels.
    """
    if len(shape) == 2:
        return "YX"
    if len(shape) == 3:
        return "YXS" if shape[-1] <= 4 else "TYX"
    if len(shape) == 4 and (shape[-1] in (3, 4) or (shape[-1] <= 4 and shape[1] > MOST_CHANNELS)):
        return "TYXS"
    if len(shape) == 4 and shape[1] <= MOST_CHANNELS:
        return "TCYX"
    raise VideoError(f"cannot tell which axis of an array of shape {shape} is which; {_advice(len(shape))}")


def _advice(axes: int) -> str:
    if axes < 2:
        return "give one with rows and columns at least"
    if axes > len(LONGEST):
        return "give a part of it with time, planes, channels, rows and columns at most"
    example = "TZYX" if axes == 4 else LONGEST
    return f"say it, one letter for each: open_video(array, ImageOptions(axes={example!r}))"
