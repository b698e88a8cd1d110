"""GIF files that FFmpeg reads wrongly: frames without a delay are one to it, half a frame is a whole."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

CONTROL = b"\x21\xf9\x04\0\0\0\0\0"
"""A graphic control extension that says nothing: no delay, no transparency, leave the frame."""

EXTENSION, IMAGE, TRAILER, CONTROL_LABEL = 0x21, 0x2C, 0x3B, 0xF9


class _Frame(NamedTuple):
    start: int
    end: int
    is_controlled: bool


def completed(data: bytes) -> bytes | None:
    """The GIF with a control extension before each frame, and an end; None if it has them, or is damaged.

    FFmpeg tells frames by these extensions, which are optional (GIF89a, appendix B). The last frame of a file
    that is cut off is left out, for FFmpeg would show a part of it.
    """
    frames = list(_frames(data))
    is_cut = least_length(data) > len(data)
    bare = [frame.start for frame in frames if not frame.is_controlled]
    if not (bare or is_cut):
        return None
    last = frames[-1].end if frames else min(13, len(data))
    starts, end = [0, *bare], last if is_cut else len(data)
    pieces = [data[start:stop] for start, stop in zip(starts, [*bare, end], strict=True)]
    # The version 87a has no extensions.
    whole = b"GIF89a" + CONTROL.join(pieces)[6:]
    return whole + bytes([TRAILER]) if is_cut else whole


def least_length(data: bytes) -> int:
    """How long the GIF is at least; more than there is if the data end before its trailer."""
    try:
        return max((end for _, end in _blocks(data)), default=0)
    except IndexError:
        return len(data) + 1


def _frames(data: bytes) -> Iterator[_Frame]:
    """The frames up to the first damage, or to the end."""
    controlled = False
    try:
        for start, end in _blocks(data):
            if data[start] == IMAGE:
                yield _Frame(start, end, controlled)
                controlled = False
            elif data[start + 1] == CONTROL_LABEL:
                controlled = True
    except IndexError:  # it is cut off
        return


def _blocks(data: bytes) -> Iterator[tuple[int, int]]:
    """Where the extensions and images begin and end; IndexError if the data end before the trailer."""
    place = 13 + _colours(data[10])
    while data[place] in (EXTENSION, IMAGE):
        start = place
        header = 2 if data[place] == EXTENSION else 11 + _colours(data[place + 9])
        place = _after_blocks(data, place + header)
        yield start, place


def _colours(packed: int) -> int:
    """The bytes of a colour table, from the packed field before it."""
    return 3 * 2 ** ((packed & 7) + 1) if packed & 0x80 else 0


def _after_blocks(data: bytes, place: int) -> int:
    while data[place]:
        place += 1 + data[place]
    return place + 1
