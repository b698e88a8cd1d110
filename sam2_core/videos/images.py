"""Image files as frames: a folder of them in natural order, or a single one."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import PIL.Image
import PIL.ImageOps
from numpy.typing import NDArray

from sam2_core.errors import VideoError, reason
from sam2_core.types import Image
from sam2_core.videos.frames import check_size, existing
from sam2_core.videos.normalise import DEFAULT, ImageOptions, Normaliser, Planes, planes_of, sampled

TIFF_SUFFIXES = frozenset({".tif", ".tiff", ".btf", ".tf8", ".lsm", ".stk"})
COMMON_SUFFIXES = TIFF_SUFFIXES | {".jpg", ".jpeg", ".png", ".bmp", ".webp", ".pgm", ".ppm", ".jp2", ".tga"}
NO_IMAGES = frozenset({"BUFR", "EPS", "GRIB", "HDF5", "IPTC", "MPEG", "WMF"})
"""What Pillow registers but cannot read by itself, or what is not one image."""


class ImageFiles:
    """One frame per file. All frames have the size of the first.

    Args:
        paths: the files, in the order of time.
        options: channels, contrast, and the plane of TIFF files that hold a volume.

    Attributes:
        size: height and width.
        names: the file names without suffix.
        frame_rate: None, files do not know it.

    Raises:
        VideoError: if there are no files, or the first cannot be read.
    """

    def __init__(self, paths: Sequence[Path], options: ImageOptions = DEFAULT) -> None:
        if not paths:
            raise VideoError("there are no image files to open")
        self._paths = tuple(paths)
        self._options = options
        self._normaliser = Normaliser(options)
        height, width = read_image(self._paths[0], options).shape[:2]
        self.size = (height, width)
        self.names = tuple(path.stem for path in self._paths)
        self.frame_rate: float | None = None

    def __len__(self) -> int:
        return len(self._paths)

    def __getitem__(self, frame_index: int, /) -> Image:
        """The frame as 8-bit RGB, ``(height, width, 3)``; VideoError names a file that cannot be used."""
        return self._normaliser(self._planes(existing(frame_index, len(self))), self._sample)

    def _sample(self) -> Iterator[Planes]:
        return sampled(self._planes, len(self))

    def _planes(self, frame_index: int) -> Planes:
        path = self._paths[frame_index]
        planes = planes_of(read_image(path, self._options), self._options)
        check_size((planes.shape[0], planes.shape[1]), self.size, f"{path.name!r} (frame {frame_index})")
        return planes


def read_image(path: Path, options: ImageOptions = DEFAULT) -> NDArray[Any]:
    """An image as its file has it, ``(height, width)`` or ``(height, width, channels)``; upright.

    Raises:
        VideoError: names the file if it cannot be read.
    """
    if path.suffix.lower() in TIFF_SUFFIXES:
        from sam2_core.videos.tiffs import read_tiff  # tifffile, only for TIFF

        return read_tiff(path, options)
    try:
        if _has_16_bit_colours(path):
            return _without_alpha(np.asarray(imagecodecs.png_decode(path.read_bytes())))
        with PIL.Image.open(path) as image:
            return np.asarray(_plain(PIL.ImageOps.exif_transpose(image)))
    except (OSError, ValueError, SyntaxError, RuntimeError, PIL.Image.DecompressionBombError) as error:
        raise VideoError(f"cannot read the image {path.name!r}: {reason(error)}") from error


def _plain(image: PIL.Image.Image) -> PIL.Image.Image:
    if image.mode in ("L", "RGB", "F") or image.mode.startswith("I"):
        return image
    return image.convert("L" if image.mode in ("1", "LA", "La") else "RGB")


def _without_alpha(image: NDArray[Any]) -> NDArray[Any]:
    """Gray of gray with alpha; the alpha of colours is dropped later."""
    return image[..., 0] if image.shape[2:] == (2,) else image


def _has_16_bit_colours(path: Path) -> bool:
    """Whether it is a PNG that Pillow would cut to 8 bits (16-bit gray it keeps)."""
    with path.open("rb") as file:
        header = file.read(26)  # the signature, then the header chunk: width, height, bit depth, colour type
    return header.startswith(b"\x89PNG") and len(header) == 26 and header[24] == 16 and header[25] != 0


def is_image_name(name: str) -> bool:
    """Whether a file of this name is an image that can be read; hidden files are not."""
    suffix = Path(name).suffix.lower()
    return not name.startswith(".") and (suffix in COMMON_SUFFIXES or suffix in _registered_suffixes())


@cache
def _registered_suffixes() -> frozenset[str]:
    registered = PIL.Image.registered_extensions()
    return frozenset(
        suffix for suffix, name in registered.items() if name in PIL.Image.OPEN and name not in NO_IMAGES
    )


def natural_order(path: Path) -> tuple[list[tuple[int, str]], str]:
    """A sort key that counts: ``frame2`` comes before ``frame10``."""
    parts = re.split(r"([0-9]+)", path.stem.casefold())
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in parts], path.name


def images_in(folder: Path) -> list[Path]:
    """The image files of a folder, in natural order.

    Raises:
        VideoError: if there are none; it says what is there instead.
    """
    try:
        there = sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    except OSError as error:
        raise VideoError(f"cannot read the folder {str(folder)!r}: {reason(error)}") from error
    images = sorted((p for p in there if is_image_name(p.name) and not p.is_dir()), key=natural_order)
    if images:
        return images
    if not there:
        raise VideoError(f"the folder {str(folder)!r} is empty; give a folder of frames")
    names = ", ".join(path.name + ("/" if path.is_dir() else "") for path in there[:5])
    more = f" and {len(there) - 5} more" if len(there) > 5 else ""
    raise VideoError(f"the folder {str(folder)!r} holds no images; give one of what it holds: {names}{more}")
