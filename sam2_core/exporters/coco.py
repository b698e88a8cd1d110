"""COCO JSON (cocodataset.org): one image per frame, one annotation per object and frame."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from sam2_core import masks
from sam2_core.errors import ExportError
from sam2_core.exporters.files import inside, load_json, reading, write_json
from sam2_core.exporters.frames import Read, Size, gather, known_frames, on_frame, score
from sam2_core.hookspecs import Watch
from sam2_core.results import Masklet, RunLengths
from sam2_core.types import Video

CATEGORIES = [{"id": 1, "name": "object", "supercategory": "object"}]


def export(masklets: Mapping[int, Masklet], video: Video, folder: Path, *, watch: Watch = iter) -> Path:
    """Write ``coco.json`` and return its path.

    Images carry ``frame_index``, annotations ``track_id`` (the object id), ``frame_index``, ``score`` and
    run lengths; overlaps stay. An object that is not visible on a frame has no annotation there.

    Raises:
        ExportError: if the file cannot be written.
    """
    height, width = video.size
    images = (
        {
            "id": frame_index + 1,  # some tools take 0 for "none"
            "width": width,
            "height": height,
            "file_name": f"{frame_index:05d}.jpg",
            "frame_index": frame_index,
        }
        for frame_index in known_frames(masklets)
    )
    document = {
        "info": {"description": "masklets of sam2_core"},
        "licenses": [],
        "categories": CATEGORIES,
        "images": images,
        "annotations": _annotations(masklets, video.size, watch),
    }
    return write_json(Path(folder) / "coco.json", document)


def _annotations(masklets: Mapping[int, Masklet], size: Size, watch: Watch) -> Iterator[dict[str, Any]]:
    annotation_id = 0
    for frame_index in watch(known_frames(masklets)):
        for object_id, known in on_frame(masklets, frame_index, size).items():
            if not known.encoded.area:
                continue
            annotation_id += 1
            yield {
                "id": annotation_id,
                "image_id": frame_index + 1,
                "category_id": 1,
                "track_id": object_id,
                "frame_index": frame_index,
                "bbox": bbox(known.encoded),
                "area": known.encoded.area,
                "score": score(known),
                "iscrowd": 0,
                "segmentation": masks.to_coco(known.encoded),
            }


def bbox(encoded: RunLengths) -> list[int]:
    """COCO's box: left, top, width and height, from edge to edge of the pixels."""
    return [encoded.left, encoded.top, encoded.shape[1], encoded.shape[0]]


def read(path: str | Path) -> dict[int, Masklet]:
    """Read a COCO file with track ids, or the folder in which ``export`` made one.

    Run lengths and polygons are read. Without ``track_id`` (or ``instance_id``, ``object_id``) each
    annotation is an object of its own; without ``frame_index`` (or ``frame_id``) images count in order.

    Raises:
        ExportError: if the file is broken.
    """
    file = inside(path, "coco.json")
    with reading(file):
        return gather(_objects(load_json(file)))


def _objects(document: Mapping[str, Any]) -> Iterator[Read]:
    images = {image["id"]: (index, image) for index, image in enumerate(document["images"])}
    for number, annotation in enumerate(document["annotations"], start=1):
        if annotation["image_id"] not in images:
            raise ExportError(f"there is no image with the id {annotation['image_id']!r}")
        position, image = images[annotation["image_id"]]
        size = (int(image["height"]), int(image["width"]))
        frame_index = _first(image, ("frame_index", "frame_id"), position)
        object_id = _first(annotation, ("track_id", "instance_id", "object_id"), annotation.get("id", number))
        encoded = segmentation(annotation["segmentation"], size)
        yield frame_index, object_id, encoded, annotation.get("score")


def _first(holder: Mapping[str, Any], names: tuple[str, ...], otherwise: int) -> int:
    return int(next((holder[name] for name in names if name in holder), otherwise))


def segmentation(given: Any, size: Size) -> RunLengths:
    """A mask from run lengths or a list of polygons.

    Raises:
        ExportError: if its size is not that of the image.
    """
    if isinstance(given, list):
        from pycocotools import mask as coco  # COCO has its own way to fill a polygon

        if not all(isinstance(polygon, list) and len(polygon) >= 6 for polygon in given):
            raise ExportError("a segmentation is neither run lengths nor a list of polygons")
        empty = {"size": size, "counts": [size[0] * size[1]]}
        given = coco.merge(coco.frPyObjects(given, *size)) if given else empty
    encoded = masks.from_coco(given)
    if encoded.size != size:
        raise ExportError(f"a mask of {encoded.size} pixels lies on an image of {size}")
    return encoded
