"""Label images in files: one number per pixel, 0 for the background, every other number an object id."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sam2_core.types import HIGHEST_ID

NUMBER_MODES = frozenset({"1", "L", "P", "I", "I;16", "I;16B"})
"""Pillow's names of images with one whole number per pixel; in "P" (DAVIS) an index."""

TIFF_MAGIC = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")


def read_label_image(path: Path) -> NDArray[Any]:
    """The labels in a TIFF or a picture, ``(height, width)``, whole numbers.

    An 8-bit image without a palette, or in whose palette 255 is white, in which there are 0 and 255 only is
    a binary mask (DAVIS 2016, ImageJ): object 1. In all others 255 is an object id as any other.

    Raises:
        OSError: if the file cannot be read.
        ValueError: if it is no label image, or one in which 255 may be an object or none.
        Exception: whatever else tifffile and Pillow make of a broken file.
    """
    pixels, is_gray = _of_tiff(path) if _is_tiff(path) else _of_picture(path)
    while pixels.ndim > 2 and pixels.shape[0] == 1:
        pixels = pixels[0]
    if pixels.ndim != 2:
        raise ValueError(f"its shape is {pixels.shape}; give one label image, one number per pixel")
    labels = _whole(pixels)
    low, high = labels.min(initial=0), labels.max(initial=0)
    if low < 0 or high > HIGHEST_ID:
        raise ValueError(
            f"it holds labels from {low} to {high}; they are object ids from 1 to {HIGHEST_ID}, and 0 for "
            "the background"
        )
    if not is_gray or labels.dtype != np.uint8 or high != 255:
        return labels
    if ((labels > 0) & (labels < 255)).any():
        raise ValueError("it mixes 255 (the mask, or void) with object ids; save 16 bits, or an indexed PNG")
    return (labels > 0).astype(np.uint8)


def _whole(pixels: NDArray[Any]) -> NDArray[Any]:
    if pixels.dtype.kind == "f" and np.isfinite(pixels).all() and np.array_equal(pixels, np.rint(pixels)):
        return pixels.astype(np.int64)  # as ImageJ writes them
    if pixels.dtype.kind not in "uib":
        raise ValueError(f"it holds {pixels.dtype} values; labels are whole numbers")
    return pixels


def _is_tiff(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(4) in TIFF_MAGIC


def _of_tiff(path: Path) -> tuple[NDArray[Any], bool]:
    """The numbers, and whether the highest of 8 bits is white."""
    import tifffile  # with the file, not with the package

    logger = logging.getLogger("tifffile")
    disabled, logger.disabled = logger.disabled, True  # what it logs of a broken file, it raises too
    try:
        with tifffile.TiffFile(path) as file:
            colours = getattr(file.pages.first, "colormap", None)  # of 16 bits, (3, 256)
            return file.asarray(), colours is None or bool((np.asarray(colours)[:, -1] >= 0xFF00).all())
    except ValueError as error:
        raise ValueError(f"it is cut off, or damaged: {error}") from error
    finally:
        logger.disabled = disabled


def _of_picture(path: Path) -> tuple[NDArray[Any], bool]:
    """The numbers, and whether the highest of 8 bits is white."""
    from PIL import Image  # with the file, not with the package

    with Image.open(path) as image:
        if image.mode not in NUMBER_MODES:
            raise ValueError(
                f"it is a picture in colour (mode {image.mode}); give one number per pixel, as TIFF or PNG"
            )
        image.load()  # here, since numpy would hide the error of a broken file
        is_gray = image.mode != "P" or (image.getpalette() or [])[765:768] == [255] * 3
        return np.asarray(image), is_gray
