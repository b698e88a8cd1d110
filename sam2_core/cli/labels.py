"""Label images as prompts: every label is the mask of the object with that number."""

from __future__ import annotations

from pathlib import Path

from sam2_core import masks
from sam2_core.cli.failures import UsageError
from sam2_core.errors import PromptError, reason
from sam2_core.label_images import read_label_image
from sam2_core.results import RunLengths

LONGEST_INDEX = 12
"""Digits; Python refuses to read thousands of them."""


def split(text: str) -> tuple[int, Path]:
    """``FILE`` or ``@FRAME:FILE`` -> the frame index (0 if none is given) and the file.

    Raises:
        UsageError: for an ``@`` that no frame index and no file follow.
    """
    if not text.startswith("@"):
        return 0, Path(text)
    frame, _, name = text[1:].partition(":")
    if not frame.isdecimal() or len(frame) > LONGEST_INDEX or not name:
        raise UsageError(f"cannot read --labels {text!r}; write FILE, or @FRAME:FILE such as @5:labels.tif")
    return int(frame), Path(name)


def read(path: Path) -> dict[int, RunLengths]:
    """The masks of a label image by object id, as ``label_images.read_label_image`` reads it.

    Raises:
        PromptError: if it cannot be read, or holds no label.
    """
    try:
        labels = read_label_image(path)
    except Exception as error:  # a broken file makes tifffile and Pillow raise what they like
        raise PromptError(f"cannot read the label image {path}: {reason(error)}") from error
    if not labels.any():
        raise PromptError(f"{path} holds no label; every pixel is 0, the background")
    return masks.encode_labels(labels)
