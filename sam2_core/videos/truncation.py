"""Files that end too early: the length that a container gives itself, against the bytes that are there."""

from __future__ import annotations

import inspect
import warnings
from pathlib import Path
from types import FrameType
from typing import BinaryIO

from sam2_core.videos import gifs, tiff_structure

BOXES = frozenset({b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide", b"moof", b"sidx", b"styp"})
EBML, SEGMENT = b"\x1aE\xdf\xa3", b"\x18S\x80g"
ENDLESS = (0, 2**32 - 1)
"""What a RIFF that was never finished says of its length."""


class IncompleteVideoWarning(UserWarning):
    """A video file is cut off; the frames that are there can be used."""


def warn_of_the_end(name: str, found: int, promised: str, loss: str) -> None:
    """Say once how many frames a file holds, at the line of the caller of this package."""
    there = f"{found} frames of {promised} are there" if found != 1 else f"1 frame of {promised} is there"
    warnings.warn(
        f"{name!r} {loss}: {there} and can be used; copy the file again for the others",
        IncompleteVideoWarning,
        stacklevel=_level_of_the_caller(),
    )


def _level_of_the_caller() -> int:
    level, here = 1, inspect.currentframe()
    frame = None if here is None else here.f_back
    while frame is not None and frame.f_back is not None and _package(frame) in ("sam2_core", "pluggy"):
        level, frame = level + 1, frame.f_back
    return level


def _package(frame: FrameType) -> str:
    return str(frame.f_globals.get("__name__", "")).partition(".")[0]


def loss_of(path: Path) -> str | None:
    """How a file is cut off, in words; None if it is not, or if its container does not say how long it is."""
    try:
        there, promised = path.stat().st_size, promised_bytes(path) or 0
    except OSError:  # whoever reads the file says so
        return None
    return f"is cut off after {there} of at least {promised} bytes" if promised > there else None


def promised_bytes(path: Path) -> int | None:
    """The least length of an MP4, MOV, Matroska, WebM, AVI, GIF or TIFF; None for others, or if not said."""
    with path.open("rb") as file:
        head = file.read(12)
        if head[:4] in tiff_structure.HEADS:
            return max(tiff_structure.reach_of(file, path.stat().st_size) or (0,))
        if head.startswith(b"GIF8"):
            return gifs.least_length(head + file.read())
        if head[4:8] in BOXES:
            return _end_of_boxes(file, path.stat().st_size)
        if head.startswith(b"RIFF"):
            return _end_of_riffs(file)
        return _end_of_segment(file) if head.startswith(EBML) else None


def _end_of_boxes(file: BinaryIO, size: int) -> int:
    """ISO 14496-12, 4.2: a box is its length, its type, and a longer length if that is 1."""
    end = 0
    while end < size:
        file.seek(end)
        head = file.read(16)
        length = int.from_bytes(head[8:16] if head[:4] == b"\0\0\0\1" else head[:4], "big")
        if length < 8 or not head[4:8].isalnum():  # to the end of the file, or no box
            return size
        end += length
    return end


def _end_of_riffs(file: BinaryIO) -> int | None:
    """An AVI is one RIFF, or several if it is long (OpenDML)."""
    end = 0
    while True:
        file.seek(end)
        head = file.read(8)
        length = int.from_bytes(head[4:8], "little")
        if head[:4] != b"RIFF":
            return end
        if length in ENDLESS:
            return None
        end += 8 + length


def _end_of_segment(file: BinaryIO) -> int | None:
    """RFC 8794: an element is an identifier, its length, its data; all is in the segment after the header."""
    file.seek(len(EBML))
    header = _element_length(file)
    if header is None:
        return None
    file.seek(header, 1)
    if file.read(len(SEGMENT)) != SEGMENT:
        return None
    length = _element_length(file)
    return None if length is None else file.tell() + length


def _element_length(file: BinaryIO) -> int | None:
    """A number whose first set bit says of how many bytes it is; all ones mean that it is not known."""
    first = file.read(1)
    if first in (b"", b"\0"):
        return None
    more = 8 - first[0].bit_length()
    bits = 7 * (more + 1)
    number = int.from_bytes(first + file.read(more), "big") & (2**bits - 1)
    return None if number == 2**bits - 1 else number
