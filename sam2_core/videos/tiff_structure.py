"""How far the parts of a TIFF reach, as its list of pages says it (TIFF 6.0, section 2; BigTIFF)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray

HEADS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
BYTES_OF_TYPES = (0, 1, 1, 2, 4, 8, 1, 1, 2, 4, 8, 4, 8, 4, 0, 0, 8, 8, 8)
OFFSETS, COUNTS = (273, 324), (279, 325)  # of strips, of tiles
DESCRIBING = frozenset({270, 33560, 33628, 33629, 33630, 33631, 34361, 34362, 34412, 51123})
"""Tags that say what the pages are: the description (also OME, ImageJ), those of STK, FluoView, LSM."""

MOST_TAGS = 4096
CLASSIC_BYTES = 2**32
"""Where the numbers of a classic TIFF end; what is larger counts in a way of its own (NDPI, ImageJ)."""


class Reach(NamedTuple):
    """Where parts of a TIFF end, in bytes from its beginning.

    Attributes:
        description: what the first page says of the file.
        pages: the list of pages.
        pixels: those of the first and the last page that are listed.
    """

    description: int
    pages: int
    pixels: int


class _Format(NamedTuple):
    order: str
    number: int  # bytes of an offset
    tags: int  # bytes of the number of tags

    @property
    def tag(self) -> np.dtype[np.void]:
        number = f"{self.order}u{self.number}"
        return np.dtype(
            [("code", f"{self.order}u2"), ("type", f"{self.order}u2"), ("n", number), ("at", number)]
        )


class _Page(NamedTuple):
    tags: NDArray[np.void]
    place: int  # of the first tag


def reach_of(file: BinaryIO, size: int) -> Reach | None:
    """How far the parts of a TIFF reach; None if this cannot be told.

    Args:
        file: opened for reading.
        size: its bytes.
    """
    file.seek(0)
    head = file.read(16)
    if head[:4] not in HEADS or len(head) < 16:
        return None
    order = "<" if head[:2] == b"II" else ">"
    is_big = 43 in head[2:4]
    if not is_big and size >= CLASSIC_BYTES:
        return None
    form = _Format(order, 8, 8) if is_big else _Format(order, 4, 2)
    first = last = None
    end = 0
    for page, page_end in _pages(file, size, form, _number(head[8:] if is_big else head[4:8], form)):
        end = max(end, page_end)
        if page is not None:
            first, last = first or page, page
    if first is None or last is None:
        return Reach(end, end, 0)
    ends = _ends_of_values(first, form)
    described = [int(end) for code, end in zip(first.tags["code"], ends, strict=True) if code in DESCRIBING]
    pixels = max(_end_of_pixels(file, size, page, form) for page in (first, last))
    return Reach(max(described, default=0), end, pixels)


def _number(data: bytes, form: _Format) -> int:
    return int.from_bytes(data, "little" if form.order == "<" else "big")


def _pages(file: BinaryIO, size: int, form: _Format, offset: int) -> Iterator[tuple[_Page | None, int]]:
    """The pages in the list, and where their entries end; None in place of one that is not there."""
    seen: set[int] = set()
    while offset and offset not in seen:
        seen.add(offset)
        file.seek(offset)
        tags = _number(file.read(form.tags), form)
        start = offset + form.tags
        end = start + tags * form.tag.itemsize + form.number
        if start > size or tags > MOST_TAGS:
            yield None, start
            return
        data = file.read(tags * form.tag.itemsize)
        if len(data) < tags * form.tag.itemsize:
            yield None, end
            return
        yield _Page(np.frombuffer(data, form.tag), start), end
        offset = _number(file.read(form.number), form) if end <= size else 0


def _ends_of_values(page: _Page, form: _Format) -> NDArray[np.int64]:
    """Where the value of each tag ends; 0 for those inside of the tag."""
    sizes = np.array(BYTES_OF_TYPES)[np.minimum(page.tags["type"], len(BYTES_OF_TYPES) - 1)]
    lengths = sizes * page.tags["n"].astype(np.int64)
    return np.where(lengths > form.number, page.tags["at"].astype(np.int64) + lengths, 0)


def _end_of_pixels(file: BinaryIO, size: int, page: _Page, form: _Format) -> int:
    offsets, counts = (_values(file, size, page, form, codes) for codes in (OFFSETS, COUNTS))
    if isinstance(offsets, int) or isinstance(counts, int):  # the lists of them are cut off
        return max(end for end in (offsets, counts) if isinstance(end, int))
    if len(offsets) != len(counts) or not len(offsets):
        return 0
    return int((offsets + counts).max())


def _values(
    file: BinaryIO, size: int, page: _Page, form: _Format, codes: tuple[int, ...]
) -> NDArray[np.int64] | int:
    """The numbers of one of some tags; where they end if that is not in the file."""
    at = next((i for i, code in enumerate(page.tags["code"]) if code in codes), None)
    if at is None:
        return np.zeros(0, np.int64)
    end, tag = int(_ends_of_values(page, form)[at]), page.tags[at]
    if end > size:
        return end
    inside = page.place + at * form.tag.itemsize + 4 + form.number
    file.seek(int(tag["at"]) if end else inside)
    width = BYTES_OF_TYPES[min(tag["type"], len(BYTES_OF_TYPES) - 1)]
    kind = np.dtype(f"{form.order}u{width}" if width in (1, 2, 4, 8) else "u1")
    return np.frombuffer(file.read(int(tag["n"]) * width), kind).astype(np.int64)
