"""Cell Tracking Challenge (celltrackingchallenge.net, "Naming and file content conventions")."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sam2_core.errors import ExportError
from sam2_core.exporters.files import exported, inside, make_folder, reading, remove_others
from sam2_core.exporters.frames import check_ids, gather, known_frames, paint
from sam2_core.exporters.labels import read_tiffs
from sam2_core.exporters.lineage import mothers
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
    the label before. The parent of a daughter's first label is the last one of her mother, so that a mother
    with one daughter only looks like one cell with a gap; one that is never to be seen leaves no trace.

    Raises:
        ExportError: if there are more than 65535 labels, a mother is still there when her daughter begins,
            or a file cannot be written.
    """
    import tifffile  # with the format, not with the package

    check_ids(masklets, HIGHEST, "the Cell Tracking Challenge", "labels or coco")
    target, tracks, written = Path(folder) / "ctc", _Tracks(masklets, mothers(masklets)), []
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

    def __init__(self, masklets: Mapping[int, Masklet], mothers: Mapping[int, int]) -> None:
        self.all: list[Track] = []
        self._mothers = mothers
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
        # A mother has ended by now, so that what she has is her last label.
        before = track or self._current.get(self._mothers.get(object_id, 0))
        parent = before.label if before else 0
        self._current[object_id] = Track(label, frame_index, frame_index, parent)
        self.all.append(self._current[object_id])
        return self._current[object_id]


def read(path: str | Path, *, join: bool = True) -> dict[int, Masklet]:
    """Read a result (``res_track.txt``) or a reference (``man_track.txt``) with its masks.

    Args:
        path: the folder with the masks, or the one in which ``export`` made it.
        join: make one object of a track and its only child, which is the same cell after a gap. Two or more
            children are a division: they stay objects of their own, and know their mother. False keeps every
            label as an object, with its parent as mother.

    A parent that does not end before its child begins is neither.

    Raises:
        ExportError: if something is broken. A missing track table is not an error: labels are objects.
    """
    folder = inside(path, "ctc", "TRA")
    with reading(folder):
        table = inside(folder, "res_track.txt", "man_track.txt")
        tracks = _read_table(table) if table != folder else {}
        objects = dict(_roots(tracks)) if join else {label: label for label in tracks}
        found = gather((t, objects.get(i, i), mask, score) for t, i, mask, score in read_tiffs(folder))
    for object_id in found.keys() & tracks.keys():
        parent = _parent(tracks, tracks[object_id])
        if parent and (mother := objects[parent.label]) in found:
            found[object_id] = replace(found[object_id], mother=mother)
    return found


def _read_table(file: Path) -> dict[int, Track]:
    with reading(file):
        rows = [line.split() for line in file.read_text(encoding="ascii").splitlines() if line.strip()]
        if any(len(row) != 4 for row in rows):
            raise ExportError("a line does not hold the four numbers L B E P")
        tracks = {int(row[0]): Track(*map(int, row)) for row in rows}
        if wrong := [track for track in tracks.values() if track.end < track.begin]:
            raise ExportError(f"track {wrong[0].label} ends before it begins")
        return tracks


def _parent(tracks: Mapping[int, Track], track: Track) -> Track | None:
    """The parent, if it ends before its child begins, so that a chain of them always comes to an end."""
    parent = tracks.get(track.parent)
    return parent if parent and parent.end < track.begin else None


def _roots(tracks: Mapping[int, Track]) -> Iterator[tuple[int, int]]:
    """Each label with that of the object which it is a part of: the first of a chain of only children."""
    children = Counter(track.parent for track in tracks.values())
    for label, track in tracks.items():
        while (parent := _parent(tracks, track)) and children[parent.label] == 1:
            track = parent
        yield label, track.label
