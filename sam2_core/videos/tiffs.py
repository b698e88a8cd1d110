"""TIFF through tifffile: stacks, ImageJ and OME hyperstacks, single images; one page is read at a time."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray

from sam2_core.errors import VideoError
from sam2_core.videos.arrays import ArrayVideo
from sam2_core.videos.axes import layout_of
from sam2_core.videos.normalise import DEFAULT, ImageOptions

Key = tuple[int | slice, ...]
MOST_COLOURS = 4


class TiffPages:
    """The first series of a TIFF as an array that reads a page when it is asked for one.

    Attributes:
        shape: of the series, without axes of length 1.
        axes: its letters from ImageJ's, OME's or tifffile's metadata; None where they say nothing.

    Raises:
        VideoError: if it is no TIFF, or holds no image.
    """

    def __init__(self, path: Path) -> None:
        self._name = path.name
        with _listening() as complaints:
            try:
                self._file = tifffile.TiffFile(path)
            except (tifffile.TiffFileError, OSError, ValueError) as error:
                raise VideoError(f"cannot read {path.name!r} as a TIFF: {error}") from error
            self._find_pages(path)
            cut_off = any("invalid page offset" in complaint for complaint in complaints)
            # Most writers put the list of pages at the end; or the metadata no longer fit what is left.
            if cut_off and (len(self._file.pages) == 1 or len(complaints) > 1):
                self._file.close()
                raise VideoError(f"{path.name!r} is cut off: pages are missing at its end; copy it again")

    def _find_pages(self, path: Path) -> None:
        try:
            series = self._file.series[0]
            self.shape: tuple[int, ...] = series.shape
            self.axes = _known_axes(series)
            page_size = math.prod(series.keyframe.shape)
            self._outer = next(
                n for n in range(len(self.shape) + 1) if math.prod(self.shape[n:]) <= page_size
            )
            self._mapped = (
                _mapped(path, self._file) if len(series) < math.prod(self.shape[: self._outer]) else None
            )
        except Exception as error:  # whatever damaged tags make of it
            self._file.close()
            raise VideoError(f"cannot read {path.name!r}: it holds no complete image ({error})") from error

    def __getitem__(self, key: Key) -> NDArray[Any]:
        """One frame: an int for each axis that has no place inside a page, ints or slices for the others."""
        if self._mapped is not None:
            return self._mapped[key]
        outer = np.arange(math.prod(self.shape[: self._outer])).reshape(self.shape[: self._outer])
        numbers = outer[key[: self._outer]]
        pages = [self._page(int(number))[key[self._outer :]] for number in np.ravel(numbers)]
        return np.stack(pages).reshape(*np.shape(numbers), *pages[0].shape)

    def _page(self, number: int) -> NDArray[Any]:
        page = self._file.series[0][number]
        if page is None:
            raise VideoError(
                f"page {number} is missing in {self._name!r}; its metadata name more than was written"
            )
        image = self._file.asarray(key=number, series=0)
        return image.reshape(self.shape[self._outer :])

    def close(self) -> None:
        """Close the file."""
        self._mapped = None
        self._file.close()

    def __del__(self) -> None:
        if hasattr(self, "_file"):  # it was opened
            self._file.close()


class _Listener(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.heard: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.heard.append(record.getMessage())


@contextmanager
def _listening() -> Iterator[list[str]]:
    """What tifffile logs meanwhile, which is how it says that pages are missing."""
    logger, listener = logging.getLogger("tifffile"), _Listener()
    logger.addHandler(listener)
    try:
        yield listener.heard
    finally:
        logger.removeHandler(listener)


def _known_axes(series: tifffile.TiffPageSeries) -> str | None:
    axes: str = series.axes
    if series.kind == "imagej" and axes == "CYX" and series.shape[0] > MOST_COLOURS:
        return "TYX"  # what tifffile calls the pages of a stack that was written for ImageJ without axes
    return axes if len(set(axes)) == len(axes) else None  # several Q, for what it does not know


def _mapped(path: Path, file: tifffile.TiffFile) -> NDArray[Any]:
    """A stack whose pages follow a single header (ImageJ beyond 4 GB), mapped into memory."""
    series = file.series[0]
    if series.dataoffset is None or series.dtype is None:
        raise ValueError("its pages are not there")
    dtype = np.dtype(series.dtype).newbyteorder(file.byteorder)
    return np.memmap(path, dtype=dtype, mode="r", offset=series.dataoffset, shape=series.shape)


def open_tiff(path: Path, options: ImageOptions = DEFAULT) -> ArrayVideo:
    """A TIFF as a video: T is time, or Z without T; one plane of Z is taken beside T (``options.z``).

    Raises:
        VideoError: if it cannot be read, or its axes cannot be told.
    """
    pages = TiffPages(path)
    try:
        return ArrayVideo(pages, replace(options, axes=options.axes or pages.axes), on_close=pages.close)
    except VideoError:
        pages.close()
        raise


def read_tiff(path: Path, options: ImageOptions = DEFAULT) -> NDArray[Any]:
    """A TIFF that is one frame of many, ``(height, width, channels)``; one plane of a volume (``options.z``).

    Raises:
        VideoError: if it cannot be read, or is a time series itself.
    """
    pages = TiffPages(path)
    try:
        layout = layout_of(pages.shape, options.axes or pages.axes)
        if layout.time == "T":
            raise VideoError(
                f"{path.name!r} is a time series of {layout.frames} frames; give this file alone"
            )
        plane = layout.frames // 2 if options.z is None else options.z
        if not 0 <= plane < layout.frames:
            raise VideoError(f"there is no plane z={plane} in {path.name!r}; it has 0..{layout.frames - 1}")
        return layout.arranged(pages[layout.key(plane, slice(None))])
    finally:
        pages.close()
