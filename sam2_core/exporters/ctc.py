"""Cell Tracking Challenge (celltrackingchallenge.net, "Naming and file content conventions")."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sam2_core.errors import ExportError
from sam2_core.exporters.files import exported, inside, make_folder, reading, remove_others
from sam2_core.exporters.frames import check_ids, gather, known_frames, paint
from sam2_core.exporters.labels import read_tiffs
from sam2_core.hookspecs import Watch
from sam2_core.results import Masklet
from sam2_core.types import Video

HIGHEST = 2**16 - 1


@dataclass
class Track:
    """One line of the track table: label, first and last frame, label of the parent (0: none)."""

    label: int
    begin: int
    end: int
    parent: int = 0

    def __str__(self) -> str:
        return f"{self.label} {self.begin} {self.end} {self.parent}\n"


def export(masklets: Mapping[int, Masklet], video: Video, folder: Path, *, watch: Watch = iter) -> Path:
    """Write ``ctc/mask000.tif`` ... and ``ctc/res_track.txt``, and return that folder.

    There is one file per frame of the video, as the challenge wants it. Where masks overlap, the higher
    score wins. A track has no gaps: an object that comes back goes on under a new label, whose parent is
    the label before.

    Raises:
        ExportError: if there are more than 65535 labels, or a file cannot be written.
    """
    import tifffile  # with the format, not with the package

    check_ids(masklets, HIGHEST, "the Cell Tracking Challenge", "labels or coco")
    target, tracks, written = Path(folder) / "ctc", _Tracks(masklets), []
    known = set(known_frames(masklets))
    count = max(len(video), max(known, default=-1) + 1)
    digits = max(3, len(str(count - 1)))
    make_folder(target)
    for frame_index in watch(range(count)):
        written.append(f"mask{frame_index:0{digits}d}.tif")
        labels = np.zeros(video.size, np.uint16)
        if frame_index in known:
            labels = tracks.relabel(frame_index, paint(masklets, frame_index, video.size).astype(np.uint16))
        with exported(target / written[-1]) as temporary:
            tifffile.imwrite(temporary, labels, compression="zlib", metadata=None, photometric="minisblack")
    remove_others(target, written)
    with exported(target / "res_track.txt") as temporary:
        temporary.write_text("".join(map(str, tracks.all)), encoding="ascii")
    return target


class _Tracks:
    """The track table, while frames come in order."""

    def __init__(self, masklets: Mapping[int, Masklet]) -> None:
        self.all: list[Track] = []
        self._current: dict[int, Track] = {}
        after = max(masklets, default=0) + 1
        self._free = (n for n in chain(range(after, HIGHEST + 1), range(1, after)) if n not in masklets)

    def relabel(self, frame_index: int, labels: NDArray[np.uint16]) -> NDArray[np.uint16]:
        """The label image with the labels of the current tracks in the place of object ids."""
        table = np.arange(HIGHEST + 1, dtype=np.uint16)
        for object_id in np.flatnonzero(np.bincount(labels.ravel())).tolist():
            if object_id:
                table[object_id] = self._track(object_id, frame_index).label
        return table[labels]

    def _track(self, object_id: int, frame_index: int) -> Track:
        track = self._current.get(object_id)
        if track and track.end == frame_index - 1:
            track.end = frame_index
            return track
        label = next(self._free, None) if track else object_id
        if label is None:
            raise ExportError(
                f"tracks with gaps need more than {HIGHEST} labels; use the format labels or coco"
            )
        self._current[object_id] = Track(label, frame_index, frame_index, track.label if track else 0)
        self.all.append(self._current[object_id])
        return self._current[object_id]


def read(path: str | Path, *, join: bool = True) -> dict[int, Masklet]:
    """Read a result (``res_track.txt``) or a reference (``man_track.txt``) with its masks.

    Args:
        path: the folder with the masks, or the one in which ``export`` made it.
        join: make one object of a track and its only child, which is the same cell after a gap; two or
            more children are a division and stay objects of their own.

    Raises:
        ExportError: if something is broken. A missing track table is not an error: labels are objects.
    """
    folder = inside(path, "ctc", "TRA")
    with reading(folder):
        table = inside(folder, "res_track.txt", "man_track.txt")
        tracks = _read_table(table) if table != folder and join else {}
        objects = dict(_roots(tracks))
        return gather((t, objects.get(i, i), mask, score) for t, i, mask, score in read_tiffs(folder))


def _read_table(file: Path) -> dict[int, Track]:
    with reading(file):
        rows = [line.split() for line in file.read_text(encoding="ascii").splitlines() if line.strip()]
        if any(len(row) != 4 for row in rows):
            raise ExportError("a line does not hold the four numbers L B E P")
        tracks = {int(row[0]): Track(*map(int, row)) for row in rows}
        if wrong := [track for track in tracks.values() if track.end < track.begin]:
            raise ExportError(f"track {wrong[0].label} ends before it begins")
        return tracks


def _roots(tracks: Mapping[int, Track]) -> Iterator[tuple[int, Any]]:
    children = Counter(track.parent for track in tracks.values())
    for label, track in tracks.items():
        # A parent ends before its child begins, so that a chain always comes to an end.
        while (
            (parent := tracks.get(track.parent)) and children[parent.label] == 1 and parent.end < track.begin
        ):
            track = parent
        yield label, track.label
