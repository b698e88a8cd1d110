"""Which annotation belongs to which frame."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from sam2_core.errors import ExportError
from sam2_core.videos.images import images_in, is_image_name


def by_name(frames: Path, annotated: Path) -> dict[int, Path]:
    """The annotation of each annotated frame: the one of the same name.

    Raises:
        ExportError: for an annotation that has the name of no frame, or is a folder.
    """
    places = {path.stem: index for index, path in enumerate(images_in(frames))}
    files = _annotations(annotated)
    if strange := [path.name for path in files if path.stem not in places]:
        raise ExportError(f"{str(annotated / strange[0])!r} is the annotation of no frame in {str(frames)!r}")
    return {places[path.stem]: path for path in files}


def by_any_means(frames: Path, annotated: Path) -> dict[int, Path]:
    """The annotation of each annotated frame: by name, by the last number in the names, or in order.

    Raises:
        ExportError: if the names say nothing, and there is not one annotation for each frame.
    """
    images, files = images_in(frames), _annotations(annotated)
    for keys in (_stems, numbers):
        places, wanted = keys(images), keys(files)
        if places and wanted and wanted.keys() <= places.keys():
            return {places[key]: files[index] for key, index in wanted.items()}
    if len(images) != len(files):
        raise ExportError(
            f"{str(annotated)!r} holds {len(files)} annotations, {str(frames)!r} {len(images)} frames, and "
            "their names do not say which belong together; give both the same names"
        )
    return dict(enumerate(files))


def _annotations(folder: Path) -> list[Path]:
    files = images_in(folder)
    for path in sorted(folder.iterdir()):
        if is_image_name(path.name) and path.is_dir():
            raise ExportError(f"{str(path)!r} is a folder; an annotation is a file")
    return files


def numbers(files: Sequence[Path]) -> dict[object, int]:
    """The places of files by the last number in their names; nothing unless each has one of its own."""
    found = [re.findall(r"\d+", path.stem)[-1:] for path in files]
    return _unique([int(number) for last in found for number in last], len(files))


def _stems(files: Sequence[Path]) -> dict[object, int]:
    return _unique([path.stem for path in files], len(files))


def _unique(keys: Sequence[object], count: int) -> dict[object, int]:
    places = {key: index for index, key in enumerate(keys)}
    return places if len(places) == count else {}
