"""Prompts, and what they refuse before any session sees them."""

from __future__ import annotations

import operator
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from sam2_core import masks
from sam2_core.errors import PromptError
from sam2_core.results import RunLengths
from sam2_core.types import HIGHEST_ID, Box, Mask, Point, brief


class PackedMask:
    """A mask of a prompt: given as an array, kept as run lengths, so that hundreds of them stay small."""

    def __set_name__(self, owner: type[Prompt], name: str) -> None:
        self._name = name

    @overload
    def __get__(self, prompt: None, owner: type[Prompt]) -> None: ...

    @overload
    def __get__(self, prompt: Prompt, owner: type[Prompt]) -> Mask | None: ...

    def __get__(self, prompt: Prompt | None, owner: type[Prompt]) -> Mask | None:
        if prompt is None or (encoded := _encoded(prompt, self._name)) is None:
            return None  # of the class: the default of the field
        mask = encoded.decode()
        mask.setflags(write=False)  # whoever writes into it would lose what he wrote
        return mask

    def __set__(self, prompt: Prompt, given: Mask | RunLengths | None) -> None:
        if isinstance(given, RunLengths):
            given = _checked(given, self._name)
        elif given is not None:
            given = _as_runs(given, self._name)
        prompt.__dict__[self._name] = given


@dataclass(frozen=True, eq=False)
class Prompt:
    """What a user says about one object on one frame: a mask, or points and/or a box.

    Attributes:
        frame_index: the frame, from 0.
        object_id: the user's number of the object, 1 or more (0 is the background of label images), at most
            ``HIGHEST_ID``.
        points: clicks, in the order in which they were given.
        box: a box around the object.
        mask: the object's mask, ``(height, width)``; excludes points and box. It may be given as run lengths,
            and is kept so: the array is made when it is asked for.
        previous: a mask that the points correct, ``(height, width)``: SAM's "previous mask" input.
            ``Session.correction`` fills it with the mask that tracking gave.
        encoded_mask, encoded_previous: the same as run lengths.

    Raises:
        PromptError: for anything else (nothing given, an empty mask, a mask of scores or logits, a mask
            beside points or a box, a box without area, a coordinate that is not a number, half a frame,
            a label image in the place of a mask, run lengths that do not fill their rectangle or leave
            their size).
    """

    frame_index: int
    object_id: int
    points: tuple[Point, ...] = ()
    box: Box | None = None
    mask: PackedMask = PackedMask()  # a descriptor: the default is None
    previous: PackedMask = PackedMask()

    def __post_init__(self) -> None:
        """Normalise what hosts pass (lists, arrays, NumPy's numbers), refuse the rest."""
        for name in ("frame_index", "object_id"):
            object.__setattr__(self, name, _as_whole(getattr(self, name), name))
        object.__setattr__(self, "points", tuple(map(_as_point, _iterable(self.points, "points"))))
        if self.box is not None:
            object.__setattr__(self, "box", _as_box(self.box))
        _check_prompt(self)

    def __repr__(self) -> str:
        said = [f"frame_index={self.frame_index}", f"object_id={self.object_id}"]
        if self.points:
            said.append(f"points={brief(self.points)}")
        said += [] if self.box is None else [f"box={self.box}"]
        for name, mask in (("mask", self.encoded_mask), ("previous", self.encoded_previous)):
            said += [] if mask is None else [f"{name} of {mask.area} pixels"]
        return f"Prompt({', '.join(said)})"

    def with_point(self, x: float, y: float, *, positive: bool = True) -> Prompt:
        """The same prompt with one more click at its end."""
        points = (*self.points, Point(x, y, positive))
        return replace(self, points=points, mask=self.encoded_mask, previous=self.encoded_previous)

    @property
    def encoded_mask(self) -> RunLengths | None:
        """The mask as run lengths."""
        return _encoded(self, "mask")

    @property
    def encoded_previous(self) -> RunLengths | None:
        """The mask that the points correct, as run lengths."""
        return _encoded(self, "previous")


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


def _encoded(prompt: Prompt, name: str) -> RunLengths | None:
    encoded: RunLengths | None = prompt.__dict__[name]  # beneath the descriptor of that name
    return encoded


def _checked(given: RunLengths, name: str) -> RunLengths:
    """Run lengths as a caller may have made them by hand, in plain numbers and in the smallest rectangle."""
    try:
        (full_height, full_width), (height, width) = given.size, given.shape
        numbers = (full_height, full_width, given.top, given.left, height, width)
        full_height, full_width, top, left, height, width = map(operator.index, numbers)
    except (TypeError, ValueError):
        raise _broken(name, "size, top, left and shape are whole numbers") from None
    if not (0 <= top <= top + height <= full_height and 0 <= left <= left + width <= full_width):
        raise _broken(name, f"the rectangle leaves the size of {full_height} x {full_width} pixels")
    counts = given.counts
    if counts.dtype not in (np.uint16, np.uint32) or counts.ndim != 1:
        raise _broken(name, "counts are a sequence of whole numbers from 0 to 2**32 - 1")
    if (filled := int(counts.sum())) != height * width:
        raise _broken(name, f"counts fill {filled} pixels, the rectangle has {height * width}")
    return masks.tight(RunLengths((full_height, full_width), top, left, (height, width), counts))


def _broken(name: str, problem: str) -> PromptError:
    return PromptError(f"run lengths of a prompt's {name}: {problem}; masks.encode makes them of an array")


def _as_runs(mask: object, name: str) -> RunLengths:
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
    return masks.encode(array)


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
    if prompt.encoded_mask is not None:
        if prompt.points or prompt.box or prompt.encoded_previous is not None:
            raise PromptError(f"{where}: a prompt is a mask, or points and/or a box, not both")
        if not prompt.encoded_mask.area:
            raise PromptError(f"{where}: the mask is empty; paint the object, or remove the prompt")
        return
    if not prompt.points and prompt.box is None:
        raise PromptError(f"{where}: the prompt is empty; give a point, a box or a mask")
    numbers = [c for point in prompt.points for c in point[:2]] + list(prompt.box or ())
    if not all(abs(number) < 1e9 for number in numbers):  # farther out, the network's float32 overflows
        raise PromptError(f"{where}: a coordinate is not a finite number of pixels")
    if prompt.box and not (prompt.box.left < prompt.box.right and prompt.box.top < prompt.box.bottom):
        raise PromptError(f"{where}: the box {tuple(prompt.box)} has no area; give left, top, right, bottom")
