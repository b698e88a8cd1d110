"""DAVIS: one indexed PNG per frame (davischallenge.org, also read by YouTube-VOS, MOSE and LVOS tools)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sam2_core.errors import ExportError
from sam2_core.exporters.files import inside, make_folder, new_file, numbered, reading, remove_others
from sam2_core.exporters.frames import Read, check_ids, gather, known_frames, paint, read_labels_of
from sam2_core.types import Masklet, Video

MODES = {"P", "L", "1", "I", "I;16"}
"""PIL's names of images with one value per pixel."""


def palette() -> NDArray[np.uint8]:
    """The 256 colours of DAVIS (PASCAL VOC's): the bits of the index dealt to red, green and blue."""
    index, colours = np.arange(256), np.zeros((256, 3), np.int64)
    for bit in range(8):
        for channel in range(3):
            colours[:, channel] |= (index >> (3 * bit + channel) & 1) << (7 - bit)
    return colours.astype(np.uint8)


def export(masklets: Mapping[int, Masklet], video: Video, folder: Path) -> Path:
    """Write ``davis/00000.png`` ..., named by frame index, and return that folder.

    Where masks overlap, the higher score wins.

    Raises:
        ExportError: for an id above 255, or if a file cannot be written.
    """
    from PIL import Image  # with the format, not with the package

    check_ids(masklets, 255, "an indexed PNG", "labels, coco or sav")
    target, colours, written = Path(folder) / "davis", palette().tobytes(), []
    make_folder(target)
    for frame_index in known_frames(masklets):
        written.append(f"{frame_index:05d}.png")
        image = Image.fromarray(paint(masklets, frame_index, video.size).astype(np.uint8))
        image.putpalette(colours)
        with new_file(target / written[-1]) as temporary:
            image.save(temporary, format="PNG")
    remove_others(target, written)
    return target


def read(path: str | Path) -> dict[int, Masklet]:
    """Read a folder of indexed or grey PNGs, or the folder in which ``export`` made one.

    The frame index is the last number in a file's name. Grey images that hold 0 and 255 only (DAVIS 2016)
    are one object, with id 1; other grey images hold ids.

    Raises:
        ExportError: if there are none, or one of them is broken or in colour.
    """
    folder = inside(path, "davis")
    with reading(folder):
        return gather(_objects(folder))


def _objects(folder: Path) -> Iterator[Read]:
    for frame_index, file in numbered(folder, ".png").items():
        with reading(file):
            yield from read_labels_of(frame_index, _labels(file))


def _labels(file: Path) -> NDArray[Any]:
    from PIL import Image  # with the format, not with the package

    with Image.open(file) as image:
        if image.mode not in MODES:
            raise ExportError(f"it is in colour (mode {image.mode}); an indexed or grey PNG is needed")
        image.load()  # here, since numpy would hide the error of a broken file
        labels: NDArray[Any] = np.asarray(image)
        last = (image.getpalette() or [])[765:768] if image.mode == "P" else [255] * 3
    if labels.dtype != np.uint8 or labels.max(initial=0) != 255 or last != [255] * 3:
        return labels
    if ((labels > 0) & (labels < 255)).any():
        raise ExportError("it mixes 255 (the mask, or void) with object ids; save an indexed PNG")
    return labels > 0
