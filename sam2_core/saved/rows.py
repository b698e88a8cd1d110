"""The results of a saved session as columns: a row per known mask, and the runs of all masks in one array."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sam2_core.errors import SessionError
from sam2_core.results import MaskletFrame, RunLengths, Source

Columns = Mapping[str, NDArray[Any]]

ROWS = {
    "frame": np.int64,
    "object": np.int64,
    "score": np.float32,
    "visible": np.bool_,
    "prompted": np.bool_,
    "stale": np.bool_,
    "place": np.int32,
    "runs": np.int64,
}
"""What there is of each mask; ``place`` is top, left, height and width, ``runs`` the number of its runs."""

COLUMNS = (*ROWS, "counts")
"""The names of all columns; ``counts`` are the runs, ``uint32``."""


class Row(NamedTuple):
    """One known mask."""

    frame_index: int
    object_id: int
    frame: MaskletFrame


def to_columns(rows: Sequence[Row]) -> dict[str, NDArray[Any]]:
    """The columns of a file."""
    frames = [row.frame for row in rows]
    encoded = [frame.encoded for frame in frames]
    values: dict[str, Iterable[Any]] = {
        "frame": [row.frame_index for row in rows],
        "object": [row.object_id for row in rows],
        "score": [min(max(0.0, frame.score), 1.0) for frame in frames],  # reading refuses others; of NaN: 0
        "visible": [frame.visible for frame in frames],
        "prompted": [frame.source == "prompted" for frame in frames],
        "stale": [frame.stale for frame in frames],
        "place": [(mask.top, mask.left, *mask.shape) for mask in encoded],
        "runs": [len(mask.counts) for mask in encoded],
    }
    columns: dict[str, NDArray[Any]] = {name: np.array(values[name], kind) for name, kind in ROWS.items()}
    columns["place"] = columns["place"].reshape(-1, 4)
    columns["counts"] = np.concatenate([np.zeros(0, np.uint32), *(mask.counts for mask in encoded)])
    return columns


def from_columns(columns: Columns, size: tuple[int, int]) -> tuple[Row, ...]:
    """The known masks; a long video has a million of them, so that all are checked at once.

    Args:
        columns: what ``to_columns`` gave.
        size: height and width of the frames.

    Raises:
        SessionError: if the columns do not belong together, or a mask does not fit its frame.
    """
    _check_lengths(columns)
    _check_places(columns, size)
    if not ((columns["score"] >= 0) & (columns["score"] <= 1)).all():  # nor are they NaN
        raise SessionError("a score is not between 0 and 1; it is damaged")
    counts, values = columns["counts"], (columns[name].tolist() for name in ROWS)
    if counts.max(initial=0) < 2**16:
        counts = counts.astype(np.uint16)  # as they are kept, all at once
    counts.flags.writeable = False
    found, end = [], 0
    for frame_index, object_id, score, visible, prompted, stale, place, runs in zip(*values, strict=True):
        start, end = end, end + runs
        top, left, height, width = place
        encoded = RunLengths(size, top, left, (height, width), counts[start:end])
        source: Source = "prompted" if prompted else "propagated"
        found.append(Row(frame_index, object_id, MaskletFrame(encoded, score, visible, source, stale)))
    return tuple(found)


def _check_lengths(columns: Columns) -> None:
    counts, runs, length = columns["counts"], columns["runs"], len(columns["frame"])
    fitting = (
        all(columns[name].dtype == kind for name, kind in ROWS.items())
        and all(columns[name].shape == ((length, 4) if name == "place" else (length,)) for name in ROWS)
        and counts.dtype == np.uint32
        and counts.ndim == 1
        and runs.min(initial=0) >= 0
        and runs.max(initial=0) <= len(counts)
        and runs.sum() == len(counts)
    )
    if not fitting:
        raise SessionError("its columns do not belong together")


def _check_places(columns: Columns, size: tuple[int, int]) -> None:
    corners, shapes = np.split(columns["place"].astype(np.int64), 2, axis=1)
    inside = (corners >= 0) & (shapes >= 0) & (corners + shapes <= size)
    if not inside.all() or (_pixels(columns["counts"], columns["runs"]) != shapes.prod(axis=1)).any():
        raise SessionError("a mask does not fit its frame")


def _pixels(counts: NDArray[np.uint32], runs: NDArray[np.int64]) -> NDArray[np.int64]:
    """How many pixels the runs of each mask cover, ``(masks,)``."""
    pixels = np.zeros(len(runs), np.int64)
    filled = runs > 0  # reduceat knows no empty sums
    if filled.any():
        pixels[filled] = np.add.reduceat(counts, (np.cumsum(runs) - runs)[filled], dtype=np.int64)
    return pixels
