"""Label images as prompts: every label is the mask of the object with that number."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray
from PIL import Image as PILImage

from sam2_core import masks
from sam2_core.cli.failures import UsageError
from sam2_core.errors import PromptError
from sam2_core.types import HIGHEST_ID, RunLengths

TIFF_SUFFIXES = {".tif", ".tiff"}
LABEL_MODES = {"1", "L", "P", "I", "I;16", "I;16B"}
"""Pillow's names of images with one whole number per pixel; in "P" (DAVIS) an index."""


def split(text: str) -> tuple[int, Path]:
    """``FILE`` or ``@FRAME:FILE`` -> the frame index (0 if none is given) and the file.

    Raises:
        UsageError: for an ``@`` that no frame index and no file follow.
    """
    if not text.startswith("@"):
        return 0, Path(text)
    frame, _, name = text[1:].partition(":")
    if not frame.isdecimal() or not name:
        raise UsageError(f"cannot read --labels {text!r}; write FILE, or @FRAME:FILE such as @5:labels.tif")
    return int(frame), Path(name)


def read(path: Path) -> dict[int, RunLengths]:
    """The masks of a label image by object id; 0 is the background. A mask of 0 and 255 is object 1.

    Raises:
        PromptError: if it cannot be read, is not one image of whole numbers, or holds no label.
    """
    labels = _pixels(path)
    if labels.ndim != 2:
        raise PromptError(f"{path} has the shape {labels.shape}; give one label image, one number per pixel")
    if labels.dtype.kind == "f" and np.array_equal(labels, np.rint(labels)):  # as ImageJ writes them
        labels = labels.astype(np.int64)
    if labels.dtype.kind not in "uib":
        raise PromptError(f"{path} holds {labels.dtype} values; labels are whole numbers")
    if not labels.any():
        raise PromptError(f"{path} holds no label; every pixel is 0, the background")
    if labels.min() < 0 or labels.max() > HIGHEST_ID:
        raise PromptError(
            f"{path} holds labels from {labels.min()} to {labels.max()}; they are object ids from 1 to "
            f"{HIGHEST_ID}, and 0 for the background"
        )
    if set(np.unique(labels)) <= {0, 255}:  # a binary mask, as DAVIS 2016 has them
        labels = labels > 0
    return masks.encode_labels(labels)


def _pixels(path: Path) -> NDArray[Any]:
    """What a file holds, without axes of length 1 before its rows and columns."""
    try:
        pixels = _of_tiff(path) if path.suffix.lower() in TIFF_SUFFIXES else _of_picture(path)
    except PromptError:
        raise
    except Exception as error:  # a broken file makes tifffile and Pillow raise what they like
        reason = getattr(error, "strerror", None) or " ".join(str(error).split())
        raise PromptError(f"cannot read the label image {path}: {reason}") from error
    while pixels.ndim > 2 and pixels.shape[0] == 1:
        pixels = pixels[0]
    return pixels


def _of_tiff(path: Path) -> NDArray[Any]:
    pixels: NDArray[Any] = tifffile.imread(path)
    return pixels


def _of_picture(path: Path) -> NDArray[Any]:
    with PILImage.open(path) as image:
        image.load()
        if image.mode not in LABEL_MODES:
            raise PromptError(
                f"{path} is a picture in colour ({image.mode}); give one number per pixel, as TIFF or PNG"
            )
        return np.asarray(image)
