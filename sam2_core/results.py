"""What a session gives: masks as run lengths, the results of frames, masklets; plain, frozen, NumPy only."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sam2_core.types import Mask, brief

Source = Literal["prompted", "propagated"]
"""Where a mask comes from: the user's prompt on that frame, or tracking."""


@dataclass(frozen=True, eq=False)
class RunLengths:
    """A mask kept small: run lengths of the rectangle that encloses it.

    Attributes:
        size: height and width of the full mask.
        top, left: the first row and column of the rectangle.
        shape: height and width of the rectangle; ``(0, 0)`` for an empty mask.
        counts: lengths of alternating runs in row order, the first of background; kept as ``uint16`` where
            they fit, else as ``uint32``, and read-only: what is given as a list or may be written is copied.
    """

    size: tuple[int, int]
    top: int
    left: int
    shape: tuple[int, int]
    counts: NDArray[np.uint16] | NDArray[np.uint32] = field(repr=False)

    def __post_init__(self) -> None:
        """Keep the runs in as few bytes as they need: a long video holds millions of them."""
        if not (_is_fixed(self.counts) and self.counts.dtype == np.uint16):
            object.__setattr__(self, "counts", _fixed(self.counts))

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        """A copy and what was pickled are as read-only as this: NumPy forgets it."""
        self.__dict__.update(state)
        self.counts.flags.writeable = False

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, RunLengths):
            return NotImplemented
        mine, theirs = ((mask.size, mask.top, mask.left, mask.shape) for mask in (self, other))
        return mine == theirs and np.array_equal(self.counts, other.counts)

    __hash__ = None  # type: ignore[assignment]  # holds an array

    @property
    def area(self) -> int:
        """The number of pixels of the object."""
        return int(self.counts[1::2].sum())

    @property
    def nbytes(self) -> int:
        """Bytes that the runs take."""
        return int(self.counts.nbytes)

    def centroid(self) -> tuple[float, float]:
        """The mean row and column of the object's pixels; NaN and NaN of an empty mask."""
        if not self.area:
            return math.nan, math.nan
        rows, columns = np.nonzero(self.crop())
        return self.top + float(rows.mean()), self.left + float(columns.mean())

    def crop(self) -> Mask:
        """The mask inside its rectangle, of size ``shape``."""
        inside = np.zeros(len(self.counts), np.bool_)
        inside[1::2] = True
        return np.repeat(inside, self.counts).reshape(self.shape)

    def decode(self) -> Mask:
        """The full mask, ``(height, width)``."""
        mask = np.zeros(self.size, np.bool_)
        self.paint(mask, True)
        return mask

    def paint(self, onto: NDArray[Any], value: int) -> None:
        """Write a value where the object is, into an array of ``size``."""
        (height, width), top, left = self.shape, self.top, self.left
        onto[top : top + height, left : left + width][self.crop()] = value


def _is_fixed(counts: object) -> bool:
    """Whether nobody can write into these runs, nor into what they are a part of."""
    if not isinstance(counts, np.ndarray) or counts.flags.writeable:
        return False
    return not (isinstance(counts.base, np.ndarray) and counts.base.flags.writeable)


def _fixed(given: ArrayLike) -> NDArray[Any]:
    """Runs in as few bytes as they need; what are no runs keeps its type, and ``Prompt`` refuses it."""
    try:
        counts = np.asarray(given)
    except ValueError:  # lists of several lengths
        counts = np.asarray(given, object)
    kind = counts.dtype
    if not counts.size:
        kind = np.dtype(np.uint16)
    elif kind.kind in "ui" and counts.min() >= 0 and counts.max() < 2**32:
        kind = np.dtype(np.uint16 if counts.max() < 2**16 else np.uint32)
    fixed = counts.astype(kind, copy=not _is_fixed(given))
    fixed.flags.writeable = False
    return fixed


@dataclass(frozen=True, eq=False)
class FrameResult:
    """One frame, all its objects; iterates over ``(object_id, mask)``.

    Attributes:
        frame_index: the frame, from 0.
        object_ids: the objects that are known on this frame, in the order in which they were added.
        scores: predicted IoU in 0..1, 0 where the object is not visible, ``(objects,)``.
        visible: whether the object score is above 0 and the mask not empty, ``(objects,)``.
        stale: whether a prompt changed since the mask was computed, or the model did, ``(objects,)``.
        encoded: the masks as run lengths, one per object.
        size: height and width of the frame.
    """

    frame_index: int
    object_ids: tuple[int, ...]
    scores: NDArray[np.float32]
    visible: NDArray[np.bool_]
    stale: NDArray[np.bool_]
    encoded: tuple[RunLengths, ...]
    size: tuple[int, int]

    def __repr__(self) -> str:
        stale = f", stale {int(self.stale.sum())}" if self.stale.any() else ""
        return (
            f"FrameResult(frame_index={self.frame_index}, object_ids={brief(self.object_ids)}, "
            f"visible {int(self.visible.sum())}{stale})"
        )

    def __len__(self) -> int:
        return len(self.object_ids)

    def __iter__(self) -> Iterator[tuple[int, Mask]]:
        for object_id, encoded in zip(self.object_ids, self.encoded, strict=True):
            yield object_id, encoded.decode()

    def mask(self, object_id: int) -> Mask:
        """The object's mask at full size; KeyError if the object is not known on this frame."""
        if object_id not in self.object_ids:
            raise KeyError(f"object {object_id} is not known on frame {self.frame_index}")
        return self.encoded[self.object_ids.index(object_id)].decode()

    def label_image(self) -> NDArray[np.int32]:
        """Object ids as pixel values, 0 for the background; where masks overlap, the higher score wins."""
        labels = np.zeros(self.size, np.int32)
        for index in np.argsort(self.scores, kind="stable"):
            self.encoded[index].paint(labels, self.object_ids[index])
        return labels


@dataclass(frozen=True, eq=False)
class MaskletFrame:
    """One object on one frame.

    Attributes:
        encoded: the mask as run lengths.
        score: predicted IoU in 0..1, 0 where the object is not visible.
        visible: whether the object score is above 0 and the mask not empty.
        source: "prompted" or "propagated".
        stale: whether a prompt of the object changed since this was computed, or the model did.
    """

    encoded: RunLengths
    score: float
    visible: bool
    source: Source
    stale: bool = False

    def mask(self) -> Mask:
        """The mask at full size, ``(height, width)``."""
        return self.encoded.decode()


@dataclass(frozen=True, eq=False)
class Masklet(Mapping[int, MaskletFrame]):
    """One object through time: a mapping from frame index to what is known there, in frame order.

    Attributes:
        object_id: the object.
        frames: what is known of it, by frame index.
        mother: the object that divided into this one and others, by its id; None if there is none.
    """

    object_id: int
    frames: Mapping[int, MaskletFrame]
    mother: int | None = None

    def __repr__(self) -> str:
        where = f"{len(self)} frames in {min(self)}..{max(self)}" if len(self) else "no frames"
        visible = sum(frame.visible for frame in self.values())
        mother = "" if self.mother is None else f"mother={self.mother}, "
        return f"Masklet(object_id={self.object_id}, {mother}{where}, visible {visible})"

    def __getitem__(self, frame_index: int) -> MaskletFrame:
        return self.frames[frame_index]

    def __iter__(self) -> Iterator[int]:
        return iter(self.frames)

    def __len__(self) -> int:
        return len(self.frames)

    def mask(self, frame_index: int) -> Mask:
        """The mask of one frame at full size, ``(height, width)``; KeyError if nothing is known there."""
        return self.frames[frame_index].mask()


@dataclass(frozen=True, eq=False)
class Candidate:
    """One reading of an ambiguous prompt: whole, part or subpart.

    Attributes:
        encoded: the mask as run lengths.
        score: predicted IoU in 0..1.
    """

    encoded: RunLengths
    score: float

    def mask(self) -> Mask:
        """The mask at full size, ``(height, width)``."""
        return self.encoded.decode()
