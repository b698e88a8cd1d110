"""SA-V JSON (facebookresearch/sam2, sav_dataset/README.md): a list of masks per annotated frame."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from sam2_core import masks
from sam2_core.errors import ExportError
from sam2_core.exporters.files import inside, load_json, reading, write_json
from sam2_core.exporters.frames import Read, Size, gather, known_frames, name_of, on_frame, score
from sam2_core.hookspecs import Watch
from sam2_core.results import Masklet
from sam2_core.types import Video

STRIDE = 4
"""SA-V annotates every 4th frame: 6 of 24 per second."""


def export(masklets: Mapping[int, Masklet], video: Video, folder: Path, *, watch: Watch = iter) -> Path:
    """Write ``sav.json`` and return its path.

    All keys of the data set are there; what is not known (environment, split, stability) is null. Known
    frames are the annotated ones; an object that is not there has an empty mask; overlaps stay. Two keys
    are ours: ``frame_indices`` (SA-V has a fixed stride instead) and ``masklet_predicted_iou`` (a list
    like ``masklet``, null where nothing is known).

    Raises:
        ExportError: if the file cannot be written.
    """
    frames, count = known_frames(masklets), len(video)
    (height, width), rate = video.size, getattr(video, "frame_rate", None)
    edited = [sum(frame.source == "prompted" for frame in m.values()) for m in masklets.values()]
    document = {
        "video_id": name_of(video),
        "video_duration": float(count / rate) if rate else None,
        "video_frame_count": float(count),
        "video_height": float(height),
        "video_width": float(width),
        "video_resolution": float(height * width),
        "video_environment": None,
        "video_split": None,
        "masklet": _masks(masklets, watch(frames), video.size),
        "masklet_id": list(masklets),
        **_statistics(masklets, frames, video.size),
        "masklet_frame_count": [len(frames)] * len(masklets),
        "masklet_edited_frame_count": edited,
        "masklet_type": ["manual" if n else "auto" for n in edited],
        "masklet_stability_score": [None] * len(masklets),
        "masklet_num": len(masklets),
        "frame_indices": frames,
        "masklet_predicted_iou": _scores(masklets, frames),
    }
    return write_json(Path(folder) / "sav.json", document)


def _masks(
    masklets: Mapping[int, Masklet], frames: Iterable[int], size: Size
) -> Iterator[list[dict[str, Any]]]:
    empty = masks.to_coco(masks.encode(np.zeros((0, 0)), size=size))
    for frame_index in frames:
        known = on_frame(masklets, frame_index, size)
        yield [masks.to_coco(known[i].encoded) if i in known else empty for i in masklets]


def _scores(masklets: Mapping[int, Masklet], frames: list[int]) -> Iterator[list[float | None]]:
    for index in frames:
        yield [score(masklet[index]) if index in masklet else None for masklet in masklets.values()]


def _statistics(masklets: Mapping[int, Masklet], frames: list[int], size: Size) -> dict[str, list[Any]]:
    rows = [
        describe([m[index].encoded.area if index in m else 0 for index in frames], size)
        for m in masklets.values()
    ]
    keys = describe([], size)
    return {key: [row[key] for row in rows] for key in keys}


def describe(areas: Sequence[int], size: Size) -> dict[str, Any]:
    """What SA-V says about one masklet.

    Args:
        areas: pixels of the object on each annotated frame, 0 where it is not visible.
        size: height and width of the video.

    Returns:
        The mean area while visible, in pixels and as a share of the frame; its bucket, with borders at 32
        and 96 pixels squared; how often visibility changes after the first appearance; that appearance,
        counted in annotated frames (null if there is none).
    """
    visible = np.asarray(areas) > 0
    first = int(np.argmax(visible)) if visible.any() else None
    mean = float(np.asarray(areas)[visible].mean()) if visible.any() else 0.0
    changes = int((visible[1:] != visible[:-1])[first:].sum()) if first is not None else 0
    return {
        "masklet_size_rel": mean / (size[0] * size[1]),
        "masklet_size_abs": mean,
        "masklet_size_bucket": "small" if mean < 32**2 else "medium" if mean < 96**2 else "large",
        "masklet_visibility_changes": changes,
        "masklet_first_appeared_frame": None if first is None else float(first),
    }


def read(path: str | Path) -> dict[int, Masklet]:
    """Read an SA-V file, or the folder in which ``export`` made one.

    Published files annotate every 4th frame and count objects from 0: frame indices are those of the
    video, ids are one higher.

    Raises:
        ExportError: if the file is broken.
    """
    file = inside(path, "sav.json")
    with reading(file):
        return gather(_objects(load_json(file)))


def _objects(document: Mapping[str, Any]) -> Iterator[Read]:
    rows, ids = document["masklet"], document["masklet_id"]
    scores = document.get("masklet_predicted_iou")
    for row, (frame_index, given) in enumerate(zip(_frame_indices(document), rows, strict=True)):
        if len(given) != len(ids):
            raise ExportError(f"annotated frame {row} holds {len(given)} masks of {len(ids)} objects")
        for column, (object_id, mask) in enumerate(zip(ids, given, strict=True)):
            known = scores[row][column] if scores else None
            if known is not None or not scores:
                yield frame_index, int(object_id), masks.from_coco(mask), known


def _frame_indices(document: Mapping[str, Any]) -> list[int]:
    """Which frames of the video the rows are: as the file says, or every 4th, or all."""
    rows = len(document["masklet"])
    if "frame_indices" in document:
        indices = [int(index) for index in document["frame_indices"]]
        if len(indices) != rows:
            raise ExportError(f"there are {len(indices)} frame indices and {rows} annotated frames")
        return indices
    stride = 1 if rows == int(document.get("video_frame_count") or 0) else STRIDE
    return list(range(0, rows * stride, stride))
