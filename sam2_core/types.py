"""The values that cross the session: plain, frozen, numpy only.

Coordinates are pixels of the video: x to the right, y down, and ``(0, 0)`` is the centre of the first pixel.
"""

from __future__ import annotations

import operator
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, NamedTuple, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from sam2_core.errors import PromptError

Image = NDArray[np.uint8]
"""An RGB image, ``(height, width, 3)``."""

Mask = NDArray[np.bool_]
"""A binary mask, ``(height, width)``."""

Source = Literal["prompted", "propagated"]
"""Where a mask comes from: the user's prompt on that frame, or tracking."""

SHOWN = 6
"""How many points or object ids are written out where a value is printed."""

HIGHEST_ID = 2**31 - 1
"""Object ids are the pixel values of label images, which are ``int32``."""


@runtime_checkable
class Video(Protocol):
    """Random access to frames; decoding is lazy, one frame at a time."""

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of every frame, in pixels."""

    def __len__(self) -> int:
        """The number of frames known so far (a live video grows)."""

    def __getitem__(self, frame_index: int, /) -> Image:
        """The frame, ``(height, width, 3)`` RGB; VideoError if it cannot be read."""


def is_live(video: Video) -> bool:
    """Whether a video grows and forgets: it says its ``oldest`` frame."""
    return hasattr(video, "oldest")


class Point(NamedTuple):
    """A click: on the object if positive, beside it if not."""

    x: float
    y: float
    positive: bool = True


class Box(NamedTuple):
    """A rectangle drawn around the object, corners in pixels."""

    left: float
    top: float
    right: float
    bottom: float


@dataclass(frozen=True, eq=False)
class Prompt:
    """What a user says about one object on one frame: a mask, or points and/or a box.

    Attributes:
        frame_index: the frame, from 0.
        object_id: the user's number of the object, 1 or more (0 is the background of label images), at most
            ``HIGHEST_ID``.
        points: clicks, in the order in which they were given.
        box: a box around the object.
        mask: the object's mask, ``(height, width)``; excludes points and box.
        previous: a mask that the points correct, ``(height, width)``: SAM's "previous mask" input.
            ``Session.correction`` fills it with the mask that tracking gave.

    Raises:
        PromptError: for anything else (nothing given, an empty mask, a mask of scores or logits, a mask
            beside points or a box, a box without area, a coordinate that is not a number, half a frame,
            a label image in the place of a mask).
    """

    frame_index: int
    object_id: int
    points: tuple[Point, ...] = ()
    box: Box | None = None
    mask: Mask | None = None
    previous: Mask | None = None

    def __post_init__(self) -> None:
        """Normalise what hosts pass (lists, arrays, NumPy's numbers, 0/1 masks), refuse the rest."""
        for name in ("frame_index", "object_id"):
            object.__setattr__(self, name, _as_whole(getattr(self, name), name))
        object.__setattr__(self, "points", tuple(map(_as_point, _iterable(self.points, "points"))))
        if self.box is not None:
            object.__setattr__(self, "box", _as_box(self.box))
        for name in ("mask", "previous"):
            if (mask := getattr(self, name)) is not None:
                object.__setattr__(self, name, _as_mask(mask, name))
        _check_prompt(self)

    def __repr__(self) -> str:
        said = [f"frame_index={self.frame_index}", f"object_id={self.object_id}"]
        if self.points:
            said.append(f"points={brief(self.points)}")
        said += [] if self.box is None else [f"box={self.box}"]
        for name in ("mask", "previous"):
            if (mask := getattr(self, name)) is not None:
                said.append(f"{name} of {int(mask.sum())} pixels")
        return f"Prompt({', '.join(said)})"

    def with_point(self, x: float, y: float, *, positive: bool = True) -> Prompt:
        """The same prompt with one more click at its end."""
        return replace(self, points=(*self.points, Point(x, y, positive)))


def brief(items: Sequence[object]) -> str:
    """A sequence as a tuple on one line; of many items the first few, and how many there are."""
    if len(items) <= SHOWN:
        return repr(tuple(items))
    return f"({', '.join(map(repr, items[:SHOWN]))}, ... {len(items)} in all)"


def _as_whole(number: Any, name: str) -> int:
    try:
        return int(operator.index(number))
    except TypeError:
        raise PromptError(f"a prompt's {name} is a whole number; got {number!r}") from None


def _iterable(values: Any, name: str) -> Iterator[Any]:
    try:
        return iter(values)
    except TypeError:
        raise PromptError(
            f"a prompt's {name} are a sequence, such as ((x, y), ...); got {values!r}"
        ) from None


def _as_point(given: Any) -> Point:
    try:
        x, y, positive = given if len(given) == 3 else (*given, True)
        if positive in (0, 1):
            return Point(float(x), float(y), bool(positive))
    except (TypeError, ValueError, OverflowError):
        pass
    raise PromptError(f"a click is x, y and whether it is positive (1 or 0); got {_short(given)}")


def _as_box(given: Any) -> Box:
    try:
        left, top, right, bottom = given
        return Box(float(left), float(top), float(right), float(bottom))
    except (TypeError, ValueError, OverflowError):
        raise PromptError(f"a box is left, top, right and bottom; got {_short(given)}") from None


def _short(given: object) -> str:
    text = " ".join(repr(given).split())
    return text if len(text) <= 60 else f"{text[:57]}..."


def _as_mask(mask: object, name: str) -> Mask:
    try:
        array = np.asarray(mask)
    except (TypeError, ValueError, RuntimeError) as error:
        raise PromptError(f"a prompt's {name} is no array: {' '.join(str(error).split())}") from None
    if array.ndim != 2:
        raise PromptError(f"a prompt's {name} has the shape (height, width); this one has {array.shape}")
    if array.dtype.kind not in "bui" and not _is_zero_or_one(array):
        raise PromptError(
            f"a prompt's {name} says True or False for each pixel (threshold scores and logits first); "
            f"this one holds other values of the type {array.dtype}"
        )
    _check_one_object(array, name)
    result: Mask = array.astype(np.bool_)
    result.setflags(write=False)
    return result


def _check_one_object(array: NDArray[Any], name: str) -> None:
    """Numbers may stand for True and False; several beside 0 are the objects of a label image."""
    painted = array[array != 0] if array.dtype.kind in "ui" else array[:0]
    if painted.size and painted.min() != painted.max():
        raise PromptError(
            f"a prompt's {name} is True or False (0/1, 0/255); this one holds {len(np.unique(painted))} "
            "values beside 0: of a label image give one prompt per object, with mask=(labels == id)"
        )


def _is_zero_or_one(array: NDArray[Any]) -> bool:
    return array.dtype.kind == "f" and bool(((array == 0) | (array == 1)).all())


def _check_prompt(prompt: Prompt) -> None:
    where = f"object {prompt.object_id} on frame {prompt.frame_index}"
    if not 1 <= prompt.object_id <= HIGHEST_ID:
        raise PromptError(
            f"object ids start at 1 (0 is the background) and end at {HIGHEST_ID}; "
            f"got {_short(prompt.object_id)}"
        )
    if prompt.mask is not None:
        if prompt.points or prompt.box or prompt.previous is not None:
            raise PromptError(f"{where}: a prompt is a mask, or points and/or a box, not both")
        if not prompt.mask.any():
            raise PromptError(f"{where}: the mask is empty; paint the object, or remove the prompt")
        return
    if not prompt.points and prompt.box is None:
        raise PromptError(f"{where}: the prompt is empty; give a point, a box or a mask")
    numbers = [c for point in prompt.points for c in point[:2]] + list(prompt.box or ())
    if not all(abs(number) < 1e9 for number in numbers):  # farther out, the network's float32 overflows
        raise PromptError(f"{where}: a coordinate is not a finite number of pixels")
    if prompt.box and not (prompt.box.left < prompt.box.right and prompt.box.top < prompt.box.bottom):
        raise PromptError(f"{where}: the box {tuple(prompt.box)} has no area; give left, top, right, bottom")


@dataclass(frozen=True, eq=False)
class RunLengths:
    """A mask kept small: run lengths of the rectangle that encloses it.

    Attributes:
        size: height and width of the full mask.
        top, left: the first row and column of the rectangle.
        shape: height and width of the rectangle; ``(0, 0)`` for an empty mask.
        counts: lengths of alternating runs in row order, the first of background; kept as ``uint16`` where
            they fit, else as ``uint32``.
    """

    size: tuple[int, int]
    top: int
    left: int
    shape: tuple[int, int]
    counts: NDArray[np.uint16] | NDArray[np.uint32] = field(repr=False)

    def __post_init__(self) -> None:
        """Keep the runs in as few bytes as they need: a long video holds millions of them."""
        kind = np.uint16 if self.counts.max(initial=0) < 2**16 else np.uint32
        if self.counts.dtype != kind:
            object.__setattr__(self, "counts", self.counts.astype(kind))

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


@dataclass(frozen=True, eq=False)
class FrameResult:
    """One frame, all its objects; iterates over ``(object_id, mask)``.

    Attributes:
        frame_index: the frame, from 0.
        object_ids: the objects that are known on this frame, in the order in which they were added.
        scores: predicted IoU in 0..1, 0 where the object is not visible, ``(objects,)``.
        visible: whether the object score is above 0 and the mask not empty, ``(objects,)``.
        stale: whether a prompt changed since the mask was computed, ``(objects,)``.
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
        stale: whether a prompt of the object changed since this was computed.
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
    """One object through time: a mapping from frame index to what is known there, in frame order."""

    object_id: int
    frames: Mapping[int, MaskletFrame]

    def __repr__(self) -> str:
        where = f"{len(self)} frames in {min(self)}..{max(self)}" if len(self) else "no frames"
        visible = sum(frame.visible for frame in self.values())
        return f"Masklet(object_id={self.object_id}, {where}, visible {visible})"

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
