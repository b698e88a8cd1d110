"""GIF files whose frames carry no delay, which FFmpeg takes for a single frame."""

from __future__ import annotations

from collections.abc import Iterator

CONTROL = b"\x21\xf9\x04\0\0\0\0\0"
"""A graphic control extension that says nothing: no delay, no transparency, leave the frame."""

EXTENSION, IMAGE, CONTROL_LABEL = 0x21, 0x2C, 0xF9


def with_controls(data: bytes) -> bytes | None:
    """The GIF with a control extension before each frame; None if it is complete, or damaged from the start.

    FFmpeg tells frames by these extensions, which are optional (GIF89a, appendix B).
    """
    bare = list(_bare_images(data))
    if not bare:
        return None
    ends = [*bare[1:], len(data)]
    pieces = (CONTROL + data[start:end] for start, end in zip(bare, ends, strict=True))
    # The version 87a has no extensions.
    return b"GIF89a" + data[6 : bare[0]] + b"".join(pieces)


def _bare_images(data: bytes) -> Iterator[int]:
    """Where the frames without a control extension begin, up to the first damage."""
    controlled = False
    try:
        place = 13 + _colours(data[10])
        while data[place] in (EXTENSION, IMAGE):
            start = place
            if data[place] == EXTENSION:
                controlled = controlled or data[place + 1] == CONTROL_LABEL
                place = _after_blocks(data, place + 2)
                continue
            place = _after_blocks(data, place + 11 + _colours(data[place + 9]))
            if not controlled:
                yield start
            controlled = False
    except IndexError:  # it is cut off
        return


def _colours(packed: int) -> int:
    """The bytes of a colour table, from the packed field before it."""
    return 3 * 2 ** ((packed & 7) + 1) if packed & 0x80 else 0


def _after_blocks(data: bytes, place: int) -> int:
    while data[place]:
        place += 1 + data[place]
    return place + 1
