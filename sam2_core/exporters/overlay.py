"""A video to look at: masks in colour over the frames, with outlines and object numbers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import closing
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sam2_core.errors import ExportError, reason
from sam2_core.exporters.files import exported, remove_earlier
from sam2_core.exporters.frames import known_frames, on_frame, score
from sam2_core.hookspecs import Watch
from sam2_core.results import Masklet, MaskletFrame, RunLengths
from sam2_core.types import Image, Mask, Video

OPACITY = 0.45
FRAME_RATE = 10
"""Frames per second for a video without a rate, or a time-lapse with less than one."""


def export(masklets: Mapping[int, Masklet], video: Video, folder: Path, *, watch: Watch = iter) -> Path:
    """Write ``overlay.mp4``, or ``overlay.png`` if one frame is known, and return its path.

    Frames are the known ones (all of them if nothing is known), at the ``frame_rate`` of the video or, if
    it has none or less than 1 per second, at 10. A white outline marks what the user prompted. Frames of
    odd size get one more row or column in a film. It is H.264, or MPEG-4 where the encoder is missing.
    A list beside it says which of the two files is ours; that of an earlier export goes.

    Raises:
        ExportError: if there is no frame, or the file cannot be written.
        VideoError: if a frame cannot be read.
    """
    frames = known_frames(masklets) or range(len(video))
    if not frames:
        raise ExportError("the video has no frames yet, so there is nothing to show")
    pictures = (
        draw(np.asarray(video[frame_index]), on_frame(masklets, frame_index, video.size))
        for frame_index in watch(frames)
    )
    target = Path(folder) / ("overlay.png" if len(frames) == 1 else "overlay.mp4")
    with exported(target) as temporary:
        if len(frames) == 1:
            _write_picture(temporary, next(pictures))
        else:
            _write_film(temporary, pictures, video)
    remove_earlier(Path(folder), Path(folder) / ".overlay.sam2", [target.name])
    return target


def _write_picture(path: Path, picture: Image) -> None:
    from PIL import Image as pillow  # with the format, not with the package

    pillow.fromarray(picture).save(path, format="PNG")


def _write_film(path: Path, pictures: Iterable[Image], video: Video) -> None:
    import av  # with the format, not with the package

    try:
        with closing(av.open(f"file:{path}", "w", format="mp4")) as container:
            stream = _stream(container, video)
            for picture in pictures:
                frame = av.VideoFrame.from_ndarray(_even(picture), format="rgb24")
                container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
    except av.FFmpegError as error:
        raise OSError(error.errno, reason(error)) from error


def _stream(container: Any, video: Video) -> Any:
    import av  # with the format, not with the package

    h264 = "libx264" in av.codecs_available
    rate = getattr(video, "frame_rate", None)
    rate = Fraction(min(rate, 1000) if rate and rate >= 1 else FRAME_RATE).limit_denominator(1001)
    stream = container.add_stream("libx264" if h264 else "mpeg4", rate=rate)
    stream.height, stream.width = (n + n % 2 for n in video.size)
    stream.pix_fmt = "yuv420p"  # every player knows it; it asks for even sizes
    stream.options = {"crf": "20", "preset": "veryfast"} if h264 else {"qscale": "3"}
    return stream


def _even(image: Image) -> Image:
    height, width = image.shape[:2]
    return np.ascontiguousarray(np.pad(image, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge"))


def colour(object_id: int) -> tuple[int, int, int]:
    """The colour of an object, always the same: neighbouring ids lie far apart on the colour wheel."""
    import colorsys

    hue = object_id * 0.618034 % 1.0  # the golden ratio spreads any number of hues evenly
    saturation, value = ((0.85, 1.0), (0.6, 1.0), (1.0, 0.8))[object_id // 8 % 3]
    red, green, blue = (round(255 * c) for c in colorsys.hsv_to_rgb(hue, saturation, value))
    return red, green, blue


def draw(image: Image, known: Mapping[int, MaskletFrame]) -> Image:
    """A copy of a frame with its objects on it, the higher score on top.

    Args:
        image: ``(height, width, 3)``.
        known: what is known on the frame, by object id.
    """
    from PIL import Image as pillow  # with the format, not with the package
    from PIL import ImageDraw

    picture, line = image.copy(), min(image.shape[:2]) ** 0.5 / 11  # 2 pixels at 540, 4 at 2048
    shown = [i for i in sorted(known, key=lambda i: score(known[i])) if known[i].encoded.area]
    for object_id in shown:
        _blend(picture, known[object_id], colour(object_id), line)
    canvas = pillow.fromarray(picture)
    pen = ImageDraw.Draw(canvas)
    for object_id in shown:
        _number(pen, object_id, known[object_id].encoded, picture.shape[0])
    return np.asarray(canvas)


def _blend(picture: Image, known: MaskletFrame, rgb: tuple[int, int, int], line: float) -> None:
    encoded, mask = known.encoded, known.encoded.crop()
    thickness = max(1, round(min(line, encoded.area**0.5 / 12)))
    (height, width), top, left = encoded.shape, encoded.top, encoded.left
    area, inside = picture[top : top + height, left : left + width], eroded(mask, thickness)
    area[mask] = np.rint(area[mask] * (1 - OPACITY) + np.multiply(rgb, OPACITY)).astype(np.uint8)
    area[mask & ~inside] = (255, 255, 255) if known.source == "prompted" else rgb
    if known.source == "prompted":  # the colour stays readable on small objects: a second line inside
        area[inside & ~eroded(inside, thickness)] = rgb


def eroded(mask: Mask, steps: int) -> Mask:
    """The mask without so many layers of outer pixels; what lies outside the array is background."""
    for _ in range(steps):
        padded = np.pad(mask, 1)
        mask = mask & padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]
    return mask


def _number(pen: Any, object_id: int, encoded: RunLengths, frame_height: int) -> None:
    smallest, largest = max(9, frame_height // 60), max(12, frame_height // 22)
    size = int(np.clip(encoded.area**0.5 * 0.3, smallest, largest))
    pen.text(
        label_place(encoded),
        str(object_id),
        font=_font(size),
        anchor="mm",
        fill=(255, 255, 255),
        stroke_width=max(1, size // 9),
        stroke_fill=(0, 0, 0),
    )


def label_place(encoded: RunLengths) -> tuple[int, int]:
    """The x and y of the object's pixel that is nearest to its centre."""
    rows, columns = np.nonzero(encoded.crop())
    distances: NDArray[np.float64] = (rows - rows.mean()) ** 2 + (columns - columns.mean()) ** 2
    nearest = int(np.argmin(distances))
    return int(columns[nearest]) + encoded.left, int(rows[nearest]) + encoded.top


@cache
def _font(size: int) -> Any:
    from PIL import ImageFont  # with the format, not with the package

    return ImageFont.load_default(size)
