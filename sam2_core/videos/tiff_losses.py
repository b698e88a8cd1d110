"""What a TIFF that is cut off still has: whole frames, or nothing of which one could be sure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import tifffile
from tifffile.tifffile import shaped_description_metadata

from sam2_core.errors import VideoError
from sam2_core.videos.tiff_structure import reach_of
from sam2_core.videos.truncation import loss_of

DESCRIBED = ("ome", "imagej", "shaped", "lsm", "stk", "fluoview")
"""Kinds of TIFF whose first page says what the others are."""


class Loss(NamedTuple):
    """What is missing at the end of a file.

    Attributes:
        found: the frames that are there.
        promised: how many the file should have, in words.
        bytes: how it is cut off, in words.
    """

    found: int
    promised: str
    bytes: str


class Pages(NamedTuple):
    """The pages of a TIFF as frames.

    Attributes:
        parts: the series that tifffile found, one or several that go on with each other.
        pages: one after another; None if they have no headers of their own.
        axes: a letter for each axis.
        shape: the lengths of the axes.
        outer: how many of the axes count pages; the others lie inside of a page.
    """

    parts: Sequence[tifffile.TiffPageSeries]
    pages: Sequence[Any] | None
    axes: str
    shape: tuple[int, ...]
    outer: int


def loss_of_pages(path: Path, there: Pages) -> Loss | None:
    """What is missing at the end of a TIFF; None if no frame is.

    Raises:
        VideoError: if the file is cut off and it cannot be told which frames are left.
    """
    size, loss = path.stat().st_size, loss_of(path)
    if loss is None:
        return None
    with path.open("rb") as file:
        reach = reach_of(file, size)
    if reach is None:
        return None
    pages_are_lost = reach.pages > size
    is_told = reach.description <= size and (_is_as_described(there.parts[0]) or not pages_are_lost)
    is_counted = not pages_are_lost or (len(there.parts) == 1 and bool(_kinds(there.parts[0])))
    promised = math.prod(there.shape[: there.outer])
    found = promised if there.pages is None else _complete(there.pages, promised, size)
    if is_told and is_counted and found == promised:
        return None
    per_frame = math.prod(there.shape[1 : there.outer])
    if not (is_told and there.outer and found >= per_frame and _time_is_first(there.axes)):
        raise VideoError(f"cannot read {path.name!r}: it {loss}, and its frames are lost; copy it again")
    return Loss(found // per_frame, str(there.shape[0]) if is_counted else "an unknown number", loss)


def _time_is_first(axes: str) -> bool:
    return axes[0] == "T" or (axes[0] not in "CS" and "T" not in axes)


def _kinds(series: tifffile.TiffPageSeries) -> list[str]:
    """In which ways the first page describes the others."""
    return [kind for kind in DESCRIBED if getattr(series.keyframe, f"is_{kind}", False)]


def _is_as_described(series: tifffile.TiffPageSeries) -> bool:
    """Whether tifffile could follow the description; where pages are missing it takes them as they come."""
    kinds = _kinds(series)
    if series.kind == "shaped":
        described = shaped_description_metadata(str(series.keyframe.shaped_description))["shape"]
        return _long(described) == _long(series.shape)
    return not kinds or series.kind in kinds


def _long(shape: Sequence[int]) -> list[int]:
    return [int(length) for length in shape if length > 1]


def _complete(pages: Sequence[Any], promised: int, size: int) -> int:
    """How many pages, from the first, have all their pixels in the file."""
    for number in range(promised):
        try:
            page = pages[number]
            ends = [at + n for at, n in zip(page.dataoffsets, page.databytecounts, strict=False)]
        except Exception:  # whatever tifffile makes of a page that is not there
            return number
        if not ends or max(ends) > size:
            return number
    return promised
