"""Label images: one TIFF per frame, object ids as pixel values, 0 for the background."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from sam2_core.exporters.files import exported, inside, make_folder, numbered, reading, remove_others
from sam2_core.exporters.frames import Read, check_ids, gather, known_frames, labels_on, paint
from sam2_core.hookspecs import Watch
from sam2_core.results import Masklet
from sam2_core.types import HIGHEST_ID, Video


def export(masklets: Mapping[int, Masklet], video: Video, folder: Path, *, watch: Watch = iter) -> Path:
    """Write ``labels/00000.tif`` ..., named by frame index, and return that folder.

    Pixels are ``uint16``, or ``uint32`` in all frames if an id needs it; zlib-compressed. Where masks
    overlap, the higher score wins.

    Raises:
        ExportError: if a file cannot be written.
    """
    import tifffile  # with the format, not with the package

    check_ids(masklets, HIGHEST_ID, "a label image", "coco")
    dtype = np.uint16 if max(masklets, default=0) < 2**16 else np.uint32
    target, written = Path(folder) / "labels", []
    make_folder(target)
    for frame_index in watch(known_frames(masklets)):
        written.append(f"{frame_index:05d}.tif")
        image = paint(masklets, frame_index, video.size).astype(dtype)
        with exported(target / written[-1]) as temporary:
            tifffile.imwrite(temporary, image, compression="zlib", metadata=None, photometric="minisblack")
    remove_others(target, written)
    return target


def read(path: str | Path) -> dict[int, Masklet]:
    """Read a folder of label TIFFs, or the folder in which ``export`` made one.

    The frame index is the last number in a file's name.

    Raises:
        ExportError: if there are none, or one of them is broken or no label image.
    """
    folder = inside(path, "labels")
    with reading(folder):
        return gather(read_tiffs(folder))


def read_tiffs(folder: Path) -> Iterator[Read]:
    """The objects in a folder of label TIFFs."""
    for frame_index, file in numbered(folder, ".tif", ".tiff").items():
        with reading(file):
            yield from labels_on(frame_index, file)
