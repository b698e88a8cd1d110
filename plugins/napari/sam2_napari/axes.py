"""Which axis of an image is gone through as the video, and where on the others the pictures are taken.

Nothing of napari is imported. A position is a point in the data of the layer: one number per axis, without
the axis of RGB, such as ``layer.world_to_data(viewer.dims.point)`` gives it. It is rounded as napari rounds a
slider, and kept inside the image.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

MOST_CHANNELS = 4
"""More planes than this along an axis without a label are no channels."""

_KINDS = {
    **dict.fromkeys(("t", "time", "times", "timepoint", "timepoints", "frame", "frames"), "t"),
    **dict.fromkeys(("z", "depth", "slice", "slices", "plane", "planes"), "z"),
    **dict.fromkeys(("c", "ch", "channel", "channels", "color", "colors", "colour", "colours"), "c"),
}

_DEFAULT_LABEL = re.compile(r"(axis\s*)?-?\d*")
"""What napari calls an axis that nobody named: "-3"."""


@dataclass(frozen=True)
class Axes:
    """The part that each axis of an image plays. Rows and columns are the last two.

    Attributes:
        shape: of the layer's data without the axis of RGB, the lengths in pixels and planes.
        time: the axis that is gone through as the video; None for a single picture.
        channel: the axis of the channels; None for no such axis.

    Raises:
        ValueError: without rows and columns, or if time and channel are not two of the other axes.
    """

    shape: tuple[int, ...]
    time: int | None = None
    channel: int | None = None

    def __post_init__(self) -> None:
        """Refuse what no image is."""
        if self.ndim < 2:
            raise ValueError(f"an image has rows and columns; the shape of this one is {self.shape}")
        for axis, part in ((self.time, "the video"), (self.channel, "the channels")):
            if axis is not None and axis not in self.leading:
                raise ValueError(f"axis {axis} cannot be {part}; {self._choices()}")
        if self.time is not None and self.time == self.channel:
            raise ValueError(f"axis {self.time} cannot be both the video and the channels; choose another")

    @property
    def ndim(self) -> int:
        """The number of axes, without that of RGB."""
        return len(self.shape)

    @property
    def leading(self) -> range:
        """The axes before rows and columns: each of them can be the video."""
        return range(self.ndim - 2)

    @property
    def fixed(self) -> tuple[int, ...]:
        """The other axes before rows and columns, such as z in (T, Z, Y, X): held where the viewer is."""
        return tuple(axis for axis in self.leading if axis not in (self.time, self.channel))

    @property
    def frames(self) -> int:
        """The number of frames; 1 for a single picture."""
        return 1 if self.time is None else self.shape[self.time]

    @property
    def channels(self) -> int:
        """The number of channels; 1 without such an axis."""
        return 1 if self.channel is None else self.shape[self.channel]

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of a frame, in pixels."""
        return self.shape[-2], self.shape[-1]

    def with_time(self, axis: int) -> Axes:
        """The user's other choice of the axis that is gone through.

        What was the time before is held where the viewer is. The axis of the channels may be chosen: then
        there are no channels.

        Raises:
            ValueError: if it is no axis before rows and columns.
        """
        channel = self.channel if axis != self.channel else None
        return replace(self, time=axis, channel=channel)

    def frame_of(self, position: Sequence[float]) -> int:
        """The frame at a position; the first or last one beyond the ends, 0 for a single picture."""
        return 0 if self.time is None else self._plane(self.time, position)

    def index(self, frame_index: int, position: Sequence[float]) -> tuple[int, ...]:
        """What to index the data with to get one plane, an int for each axis before rows and columns.

        Args:
            frame_index: along the time.
            position: where on the channels and on the fixed axes.

        Raises:
            ValueError: if there is no such frame, or the position has not one number per axis.
        """
        if not 0 <= frame_index < self.frames:
            raise ValueError(f"frame {frame_index} does not exist; the video has frames 0..{self.frames - 1}")
        return tuple(
            frame_index if axis == self.time else self._plane(axis, position) for axis in self.leading
        )

    def coordinates(
        self, frame_index: int, y: float, x: float, position: Sequence[float]
    ) -> tuple[float, ...]:
        """A point of a frame as a point in the data of the layer.

        Args:
            frame_index: along the time.
            y: down, in pixels of the frame; 0 is the centre of the first.
            x: to the right, likewise.
            position: where on the channels and on the fixed axes.

        Raises:
            ValueError: as ``index``.
        """
        return (*map(float, self.index(frame_index, position)), float(y), float(x))

    def _plane(self, axis: int, position: Sequence[float]) -> int:
        if len(position) != self.ndim:
            raise ValueError(
                f"a position has {len(position)} numbers for an image of the shape {self.shape}; "
                "give one per axis"
            )
        return round(min(max(float(position[axis]), 0), self.shape[axis] - 1))

    def _choices(self) -> str:
        if not self.leading:
            return f"an image of the shape {self.shape} has rows and columns only"
        choices = ", ".join(f"{axis} ({self.shape[axis]} long)" for axis in self.leading)
        return f"choose one of the axes before rows and columns: {choices}"


def guess(shape: Sequence[int], axis_labels: Sequence[str] | None, *, rgb: bool) -> Axes:
    """The parts of the axes, from their labels where they say something, else from their lengths.

    Known labels are t, z, c and words such as "time", "depth", "channel", in any case. Without labels the
    first axis is the time, and another one with two to ``MOST_CHANNELS`` planes the channels. An image
    without time is gone through along z. An axis with one plane is the time only if no longer one is left.

    Args:
        shape: of the layer's data, with the axis of RGB.
        axis_labels: of the layer; labels of another number are not looked at.
        rgb: whether the last axis are colours; then there are no other channels.

    Raises:
        ValueError: for an image without rows and columns.
    """
    lengths = tuple(int(length) for length in (shape[:-1] if rgb else shape))
    labels = axis_labels or ()
    known = labels if len(labels) == len(lengths) else [""] * len(lengths)
    kinds = [_kind(label) for label in known[:-2]]
    channel = None if rgb else _channel(kinds, lengths)
    return Axes(lengths, _time(kinds, lengths, channel), channel)


def _kind(label: str) -> str:
    """One of t, z, c; "" for a label that says nothing; "?" for a word that is not known."""
    word = str(label).strip().casefold()
    return "" if _DEFAULT_LABEL.fullmatch(word) else _KINDS.get(word, "?")


def _channel(kinds: Sequence[str], lengths: Sequence[int]) -> int | None:
    if "c" in kinds:
        return kinds.index("c")
    likely_time = kinds.index("t") if "t" in kinds else 0
    return next(
        (
            axis
            for axis, kind in enumerate(kinds)
            if not kind and axis != likely_time and 2 <= lengths[axis] <= MOST_CHANNELS
        ),
        None,
    )


def _time(kinds: Sequence[str], lengths: Sequence[int], channel: int | None) -> int | None:
    free = [axis for axis, kind in enumerate(kinds) if axis != channel and kind != "c"]
    likelier = sorted(free, key=lambda axis: (lengths[axis] == 1, ["t", "", "z", "?"].index(kinds[axis])))
    return likelier[0] if likelier else None
