"""A table for spreadsheets, R and pandas: where each object is on each frame, how large, how bright."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from sam2_core.errors import ExportError
from sam2_core.exporters.files import exported
from sam2_core.exporters.frames import known_frames, score
from sam2_core.exporters.intensities import intensities, statistics
from sam2_core.exporters.nodes import Node, nodes_on
from sam2_core.hookspecs import Watch
from sam2_core.results import Masklet
from sam2_core.types import Video

COLUMNS = (
    "object", "frame", "mother", "y", "x", "area", "top", "left", "bottom", "right", "score", "visible",
    "source", "stale",
)  # fmt: skip
MEASURED = ("intensity_mean", "intensity_min", "intensity_max", "intensity_sum")


def export(masklets: Mapping[int, Masklet], video: Video, folder: Path, *, watch: Watch = iter) -> Path:
    """Write ``tracks.csv`` and return its path: UTF-8, a row per frame and object, by frame.

    A frame on which an object has no pixels has no row. ``mother`` is empty if there is none; ``y`` and ``x``
    are the centroid in pixels; ``top`` to ``right`` are the first and last rows and columns with pixels;
    ``visible`` and ``stale`` are 1 or 0. Intensities are those that the video offers (see
    ``intensities.HasIntensities``), else the mean of red, green and blue from 0 to 255; of several channels
    each has columns of its own, ``intensity_mean_0`` and so on. Where masks overlap, pixels count for each.
    Frames are read once, in order.

    Raises:
        ExportError: if the file cannot be written, or the video's intensities change their shape.
        VideoError: if a frame cannot be read.
    """
    target, channels = Path(folder) / "tracks.csv", 0
    with exported(target) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        for frame_index in watch(known_frames(masklets)):
            found = nodes_on(masklets, frame_index, video.size)
            if not found:
                continue
            values = intensities(video, frame_index)
            if not channels:
                channels = values.shape[2]
                table.writerow(_header(channels))
            if values.shape[2] != channels:
                raise ExportError(
                    f"the intensities of frame {frame_index} have {values.shape[2]} channels, those of the "
                    f"frames before {channels}"
                )
            table.writerows(_row(node, masklets[node.object_id].mother, values) for node in found)
        if not channels:
            table.writerow(_header(1))
    return target


def _header(channels: int) -> Iterator[str]:
    yield from COLUMNS
    for channel in range(channels):
        yield from (name if channels == 1 else f"{name}_{channel}" for name in MEASURED)


def _row(node: Node, mother: int | None, values: NDArray[Any]) -> Iterator[object]:
    known, pixels = node.known, values[node.rows, node.columns]
    yield from (node.object_id, node.frame_index, mother)
    yield from (*node.centroid, node.area, *node.edges)
    yield from (score(known), int(known.visible), known.source, int(known.stale))
    for channel in range(pixels.shape[1]):
        for number in statistics(pixels[:, channel]):
            yield f"{number:.10g}" if isinstance(number, float) else number
