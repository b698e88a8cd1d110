"""Videos: from files, folders, images, TIFF, Zarr, NumPy, arrays in memory, or live.

Every video gives one frame at a time as 8-bit RGB; ``normalise`` says how other data become that.
What a source needs (PyAV, Pillow, tifffile, zarr) is imported when such a source is opened.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sam2_core.errors import VideoError, reason
from sam2_core.hookspecs import hookimpl
from sam2_core.types import Video
from sam2_core.videos.arrays import ArrayVideo, open_npy
from sam2_core.videos.live import LiveVideo
from sam2_core.videos.normalise import DEFAULT, ImageOptions
from sam2_core.videos.truncation import IncompleteVideoWarning

__all__ = [
    "ArrayVideo",
    "ImageOptions",
    "IncompleteVideoWarning",
    "LiveVideo",
    "open_source",
    "sam2_open_video",
]

VIDEO_SUFFIXES = frozenset(
    f".{name}"
    for name in (
        *("3gp", "apng", "asf", "avi", "flv", "gif", "h264", "h265", "hevc", "m2ts", "m4v", "mjpeg", "mjpg"),
        *("mkv", "mov", "mp4", "mpeg", "mpg", "mts", "mxf", "ogv", "ts", "vob", "webm", "wmv", "y4m"),
    )
)

LONGEST_NAME = 100  # in messages

ZARR_FILES = ("zarr.json", ".zarray", ".zgroup", ".zattrs")


@hookimpl
def sam2_open_video(source: Any, options: ImageOptions | None) -> Video | None:
    """The built-in readers; None for what they do not know."""
    return open_source(source, options or DEFAULT)


def open_source(source: Any, options: ImageOptions = DEFAULT) -> Video | None:
    """A video from a path, an array, or something that is a video already.

    Args:
        source: a video file, a folder of frames, an image, a TIFF, a Zarr, a ``.npy``, an array, a video.
        options: axes, plane, channels and contrast of what is not 8-bit RGB.

    Returns:
        The video, or None if this package does not know what the source is.

    Warns:
        IncompleteVideoWarning: for a film or a TIFF that is cut off; the frames that it holds can be read.

    Raises:
        VideoError: if it knows, and the source cannot be read.
    """
    if isinstance(source, str | os.PathLike):
        return _open_path(Path(source), options)
    if _is_video(source):
        return source  # type: ignore[no-any-return]  # just checked
    if isinstance(getattr(source, "shape", None), tuple) and hasattr(source, "__getitem__"):
        return ArrayVideo(source, options)
    _refuse_half_a_video(source)
    return None


def _is_video(source: Any) -> bool:
    if isinstance(source, LiveVideo):
        return True  # its size may not be known yet
    size = getattr(source, "size", None)  # of an array: an int, or a method
    return isinstance(size, tuple) and len(size) == 2 and isinstance(source, Video)


def _refuse_half_a_video(source: Any) -> None:
    """Say what an object of the user's own needs; lists and other collections are no videos."""
    kind = type(source)
    has_frames = hasattr(kind, "__len__") and hasattr(kind, "__getitem__")
    if has_frames and not isinstance(source, Sequence | Mapping):
        size = f"its size is {source.size!r}" if hasattr(source, "size") else "it has no size"
        raise VideoError(
            f"a {kind.__name__} has len and [i], but {size}; a video needs size = (height, width), "
            "len(video), and video[i] as an array (height, width, 3) of uint8"
        )


def _open_path(path: Path, options: ImageOptions) -> Video | None:
    try:
        is_folder, exists = path.is_dir(), path.exists()
    except (OSError, ValueError) as error:  # a name that is too long, a folder that may not be entered
        raise VideoError(f"cannot look for {_short(str(path))!r}: {reason(error)}") from error
    if is_folder:
        return _open_folder(path, options)
    suffix = path.suffix.lower()
    if not exists:
        return None
    if suffix == ".npy":
        return open_npy(path, options)
    if suffix == ".npz":
        raise VideoError(
            f"{path.name!r} is compressed and cannot be read frame by frame; numpy.save it as .npy"
        )
    if suffix in VIDEO_SUFFIXES:
        _refuse_axes(path, options)
        from sam2_core.videos.files import VideoFile

        return VideoFile(path, options)
    return _open_image(path, options)


def _short(text: str) -> str:
    return text if len(text) <= LONGEST_NAME else f"{text[:LONGEST_NAME]}..."


def _open_folder(path: Path, options: ImageOptions) -> Video:
    from sam2_core.videos.images import TIFF_SUFFIXES, ImageFiles, images_in

    if any((path / name).exists() for name in ZARR_FILES):
        from sam2_core.videos.zarrs import open_zarr

        return open_zarr(path, options)
    paths = images_in(path)
    if len(paths) == 1 and (video := _open_image(paths[0], options)) is not None:
        return video  # it may be a stack
    if paths[0].suffix.lower() not in TIFF_SUFFIXES:  # they may be volumes
        _refuse_axes(path, options)
    return ImageFiles(paths, options)


def _open_image(path: Path, options: ImageOptions) -> Video | None:
    from sam2_core.videos.images import TIFF_SUFFIXES, ImageFiles, is_image_name

    if path.suffix.lower() in TIFF_SUFFIXES:
        from sam2_core.videos.tiffs import open_tiff

        return open_tiff(path, options)
    if not is_image_name(path.name):
        return None
    _refuse_axes(path, options)
    return ImageFiles([path], options)


def _refuse_axes(path: Path, options: ImageOptions) -> None:
    """Films and pictures have frames, rows, columns and colours; nothing is left to choose."""
    if options.z is not None or options.axes is not None:
        raise VideoError(f"{path.name!r} has no planes and no axes to name; leave out z and axes")
