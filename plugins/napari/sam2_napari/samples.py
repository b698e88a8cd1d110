"""The sample data of the plugin."""

from __future__ import annotations

from importlib.resources import files
from typing import Any

import tifffile


def timelapse() -> list[tuple[Any, dict[str, Any], str]]:
    """The simulated time-lapse that ``sam2 demo`` follows: 16 frames of 256 x 256 with drifting nuclei.

    Returns:
        One image layer, ``(t, y, x)`` uint8, as napari wants it from a manifest's sample data.
    """
    with (files("sam2_core") / "samples" / "timelapse.tif").open("rb") as file:
        frames = tifffile.imread(file)
    limits = (float(frames.min()), float(frames.max()))
    return [
        (frames, {"name": "time-lapse", "axis_labels": ("t", "y", "x"), "contrast_limits": limits}, "image")
    ]
