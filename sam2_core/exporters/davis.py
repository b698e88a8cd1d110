"""DAVIS: one indexed PNG per frame (davischallenge.org, also read by YouTube-VOS, MOSE and LVOS tools)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sam2_core.exporters.files import exported, inside, make_folder, numbered, reading, remove_others
from sam2_core.exporters.frames import Read, check_ids, gather, known_frames, labels_on, paint
from sam2_core.hookspecs import Watch
from sam2_core.results import Masklet
from sam2_core.types import Video


def palette() -> NDArray[np.uint8]:
    """The 256 colours of DAVIS (PASCAL VOC's): the bits of the index dealt to red, green and blue."""
    index, colours = np.arange(256), np.zeros((256, 3), np.int64)
    for bit in range(8):
        for channel in range(3):
            colours[:, channel] |= (index >> (3 * bit + channel) & 1) << (7 - bit)
    return colours.astype(np.uint8)


def export(masklets: Mapping[int, Masklet], video: Video, folder: Path, *, watch: Watch = iter) -> Path:
    """Write ``davis/00000.png`` ..., named by frame index, and return that folder.

    Where masks overlap, the higher score wins.

    Raises:
        ExportError: for an id above 255, or if a file cannot be written.
    """
    from PIL import Image  # with the format, not with the package

    check_ids(masklets, 255, "an indexed PNG", "labels, coco or sav")
    target, colours, written = Path(folder) / "davis", palette().tobytes(), []
    make_folder(target)
    for frame_index in watch(known_frames(masklets)):
        written.append(f"{frame_index:05d}.png")
        image = Image.fromarray(paint(masklets, frame_index, video.size).astype(np.uint8))
        image.putpalette(colours)
        with exported(target / written[-1]) as temporary:
            image.save(temporary, format="PNG")
    remove_others(target, written)
    return target


def read(path: str | Path) -> dict[int, Masklet]:
    """Read a folder of indexed or grey PNGs, or the folder in which ``export`` made one.

    The frame index is the last number in a file's name. What the numbers in a file mean is said at
    ``label_images.read_label_image``: 8-bit grey of 0 and 255 only (DAVIS 2016) is one object, with id 1.

    Raises:
        ExportError: if there are none, or one of them is broken or in colour.
    """
    folder = inside(path, "davis")
    with reading(folder):
        return gather(_objects(folder))


def _objects(folder: Path) -> Iterator[Read]:
    for frame_index, file in numbered(folder, ".png").items():
        with reading(file):
            yield from labels_on(frame_index, file)
