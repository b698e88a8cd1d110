"""YouTube-VIS JSON (competitions.codalab.org/competitions/20128): one annotation per object."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from sam2_core import masks
from sam2_core.errors import ExportError
from sam2_core.exporters.coco import CATEGORIES, bbox, segmentation
from sam2_core.exporters.files import inside, load_json, reading, write_json
from sam2_core.exporters.frames import Read, Size, gather, known_frames, name_of, on_frame, score
from sam2_core.hookspecs import Watch
from sam2_core.results import Masklet, MaskletFrame, RunLengths
from sam2_core.types import Video


def export(masklets: Mapping[int, Masklet], video: Video, folder: Path, *, watch: Watch = iter) -> Path:
    """Write ``ytvis.json`` and return its path.

    The one video's ``file_names`` are its known frames; as in the data set, their numbers are frame
    indices. ``segmentations`` is null where the object is not visible. Besides the specified keys there
    are ``score`` (the mean while visible) and ``scores`` (per frame, null where nothing is known).

    Raises:
        ExportError: if the file cannot be written.
    """
    frames, (height, width) = known_frames(masklets), video.size
    entry = {
        "id": 1,
        "width": width,
        "height": height,
        "length": len(frames),
        "file_names": [f"{name_of(video)}/{frame_index:05d}.jpg" for frame_index in frames],
    }
    document = {
        "info": {"description": "masklets of sam2_core"},
        "licenses": [],
        "categories": CATEGORIES,
        "videos": [entry],
        "annotations": (_annotation(i, masklets[i], frames, video.size) for i in watch([*masklets])),
    }
    return write_json(Path(folder) / "ytvis.json", document)


def _annotation(object_id: int, masklet: Masklet, frames: list[int], size: Size) -> dict[str, Any]:
    known = [on_frame({object_id: masklet}, index, size).get(object_id) for index in frames]
    seen = [_visible(frame) for frame in known]
    scores = [score(frame) for frame in known if frame and _visible(frame)]
    return {
        "id": object_id,
        "video_id": 1,
        "category_id": 1,
        "iscrowd": 0,
        "height": size[0],
        "width": size[1],
        "length": len(frames),
        "segmentations": [masks.to_coco(mask) if mask else None for mask in seen],
        "bboxes": [bbox(mask) if mask else None for mask in seen],
        "areas": [mask.area if mask else None for mask in seen],
        "score": round(sum(scores) / len(scores), 6) if scores else 0.0,
        "scores": [score(frame) if frame else None for frame in known],
    }


def _visible(frame: MaskletFrame | None) -> RunLengths | None:
    return frame.encoded if frame and frame.encoded.area else None


def read(path: str | Path, *, video_id: int | None = None) -> dict[int, Masklet]:
    """Read a YouTube-VIS file, or the folder in which ``export`` made one.

    Args:
        path: the file or folder.
        video_id: which video, if the file holds several.

    Raises:
        ExportError: if the file is broken, or holds several videos and none was chosen.
    """
    file = inside(path, "ytvis.json")
    with reading(file):
        document = load_json(file)
        video = _choose(document["videos"], video_id)
        annotations = [a for a in document["annotations"] if a["video_id"] == video["id"]]
        return gather(read for annotation in annotations for read in _objects(annotation, video))


def _choose(videos: list[dict[str, Any]], video_id: int | None) -> dict[str, Any]:
    ids = [video["id"] for video in videos]
    if video_id is None and len(ids) == 1:
        return videos[0]
    if video_id not in ids:
        raise ExportError(f"it holds {len(ids)} videos; choose one by video_id, such as {ids[:3]}")
    return videos[ids.index(video_id)]


def _objects(annotation: Mapping[str, Any], video: Mapping[str, Any]) -> Iterator[Read]:
    frames, size = _frame_indices(video), (int(video["height"]), int(video["width"]))
    given = annotation["segmentations"]
    if len(given) != len(frames):
        raise ExportError(f"object {annotation['id']} has {len(given)} masks, its video {len(frames)} frames")
    scores = annotation.get("scores") or [None] * len(frames)
    for frame_index, mask, known in zip(frames, given, scores, strict=True):
        if mask is not None or known is not None:
            yield frame_index, int(annotation["id"]), segmentation(mask or [], size), known


def _frame_indices(video: Mapping[str, Any]) -> list[int]:
    """Frame indices from the numbers of the files, or counted if the files have none."""
    names = video.get("file_names") or [""] * int(video["length"])
    numbers = [re.findall(r"\d+", Path(name).stem) for name in names]
    if not all(numbers) or len({int(found[-1]) for found in numbers}) < len(names):
        return list(range(len(names)))
    return [int(found[-1]) for found in numbers]
