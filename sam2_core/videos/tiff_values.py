"""What the values of a TIFF mean to a viewer: palettes, white as zero, few bits; and what cannot be shown."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray

from sam2_core.errors import VideoError

ALPHA = (1, 2)  # of ExtraSamples: with and without the colours multiplied by it
NO_RGB = frozenset({"SEPARATED", "CIELAB", "ICCLAB", "ITULAB"})
COMPOSED = frozenset({"generic", "shaped", "uniform"})
"""The kinds of TIFF in which every page is meant to be seen; other formats have overviews and labels."""


def is_palette(series: tifffile.TiffPageSeries) -> bool:
    """Whether the values are numbers of colours."""
    return (
        series.keyframe.photometric == tifffile.PHOTOMETRIC.PALETTE
        and series.keyframe.colormap is not None
        and not set("CS") & set(series.axes)
    )


def has_alpha(series: tifffile.TiffPageSeries) -> bool:
    """Whether it is gray with alpha, which is to be left out."""
    page = series.keyframe
    return page.samplesperpixel == 2 and tuple(page.extrasamples)[:1] in {(kind,) for kind in ALPHA}


def seen(image: NDArray[Any], page: Any, is_palette: bool) -> NDArray[Any]:
    """The values as a viewer shows them.

    Args:
        image: as stored.
        page: says what the values mean.
        is_palette: whether to look them up among the colours of the page, ``(..., 3)``.
    """
    if is_palette:
        colours: NDArray[np.uint8] = np.take(_colours(page), image.astype(np.intp), axis=0, mode="clip")
        return colours
    bits = int(np.min(page.bitspersample))
    if page.photometric == tifffile.PHOTOMETRIC.MINISWHITE:
        image = inverted(image, bits)
    if image.dtype == np.uint8 and bits < 8:
        image = (image.astype(np.uint16) * 255 // (2**bits - 1)).astype(np.uint8)
    return image


def _colours(page: Any) -> NDArray[np.uint8]:
    colours = np.asarray(page.aspage().colormap)
    # Values of 16 bits; some writers give 8, as libtiff knows too.
    return (colours >> 8 if colours.max() > 255 else colours).astype(np.uint8).T


def inverted(image: NDArray[Any], bits: int) -> NDArray[Any]:
    """Values of which zero is white, as values of which zero is black."""
    if image.dtype.kind == "u":
        return np.asarray(np.subtract(2**bits - 1, image, dtype=image.dtype))
    return np.asarray(np.negative(image) if image.dtype.kind == "f" else np.invert(image))


def missing_files(complaints: Sequence[str]) -> list[str]:
    """The files of a set that tifffile says it could not read."""
    return [name for complaint in complaints for name in re.findall(r"failed to read ('[^']+')", complaint)]


def joined(series: Sequence[tifffile.TiffPageSeries], name: str) -> list[tifffile.TiffPageSeries]:
    """The first series, and those that go on with it: a writer that is called for each frame makes many.

    Raises:
        VideoError: if pages of other sizes or types would be left out, or their colours cannot be shown.
    """
    first = series[0]
    kind = getattr(first.keyframe.photometric, "name", "")
    if kind in NO_RGB:
        raise VideoError(f"the colours of {name!r} are of the kind {kind}; convert it to RGB")
    if first.kind not in COMPOSED:
        return [first]
    shown = [one for one in series if one is first or not _is_smaller_version(one.keyframe, first.keyframe)]
    pages: Counter[str] = Counter()
    for one in shown:
        pages[_kind_of_pages(one.keyframe)] += len(one)
    if len(pages) > 1 or any(one.shape != first.shape for one in shown):
        kinds = ", ".join(f"{number} of {what}" for what, number in pages.items())
        raise VideoError(f"{name!r} holds pages that are no frames of one video: {kinds}; split the file")
    return shown


def _kind_of_pages(page: Any) -> str:
    colours = getattr(page.photometric, "name", "").lower()
    return f"{page.imagelength} x {page.imagewidth} pixels ({page.dtype} {colours})"


def _is_smaller_version(page: Any, whole: Any) -> bool:
    """Whether it is a level of a pyramid, a thumbnail or a mask."""
    if page.is_reduced or page.is_mask:
        return True
    height, width = (whole.imagelength + 1) // 2, (whole.imagewidth + 1) // 2
    return bool(page.imagelength <= height and page.imagewidth <= width)
