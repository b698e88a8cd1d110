"""Zarr arrays and OME-Zarr images (versions 2 and 3 of Zarr); only the chunks of the asked frame are read.

Axes are those of the OME-Zarr metadata (https://ngff.openmicroscopy.org), or the dimension names of Zarr 3.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import zarr

from sam2_core.errors import VideoError, reason
from sam2_core.videos.arrays import ArrayVideo
from sam2_core.videos.normalise import DEFAULT, ImageOptions

OLD_AXES = "TCZYX"  # OME-Zarr 0.1 and 0.2 name no axes
LETTERS = {"time": "T", "channel": "C"}


def open_zarr(path: Path, options: ImageOptions = DEFAULT) -> ArrayVideo:
    """An array, or the full resolution of an OME-Zarr image.

    Raises:
        VideoError: if it cannot be read, or does not say which of several arrays is the image.
    """
    try:
        node = zarr.open(path, mode="r")
        array, axes = _named_array(node) if isinstance(node, zarr.Array) else _image(node, path)
    except VideoError:
        raise
    except Exception as error:  # whatever zarr raises for stores that are damaged or in a strange format
        raise VideoError(f"cannot read {path.name!r} as Zarr: {reason(error)}") from error
    return ArrayVideo(array, replace(options, axes=options.axes or axes))


def _named_array(array: Any) -> tuple[Any, str | None]:
    names = getattr(array.metadata, "dimension_names", None) or ()
    axes = "".join(str(name)[:1].upper() for name in names)
    return array, axes if set("YX") <= set(axes) <= set("TCZYX") else None


def _image(group: Any, path: Path) -> tuple[Any, str | None]:
    attributes = dict(group.attrs)
    ome: Mapping[str, Any] = attributes.get("ome", attributes)  # since 0.5 everything lies under "ome"
    if "multiscales" in ome:
        image = ome["multiscales"][0]
        return group[image["datasets"][0]["path"]], _letters(image.get("axes"))
    if "bioformats2raw.layout" in ome:
        return _image(group["0"], path / "0")
    if "plate" in ome:
        wells = ", ".join(f"{path.name}/{well['path']}/0" for well in ome["plate"]["wells"][:3])
        raise VideoError(f"{path.name!r} is a plate; give one of its images, for example {wells}")
    arrays = dict(group.arrays())
    if len(arrays) == 1:
        return _named_array(next(iter(arrays.values())))
    inside = ", ".join(sorted(name for name, _ in group.members())[:5]) or "nothing"
    raise VideoError(
        f"{path.name!r} is a Zarr group without OME metadata; give one array of it (it holds {inside})"
    )


def _letters(axes: list[Any] | None) -> str:
    if axes is None:
        return OLD_AXES
    described = [axis if isinstance(axis, dict) else {"name": axis} for axis in axes]
    return "".join(LETTERS.get(axis.get("type", ""), str(axis["name"])[:1].upper()) for axis in described)
