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

from sam2_core.errors import VideoError, reason
from sam2_core.videos.arrays import ArrayVideo
from sam2_core.videos.axes import layout_of
from sam2_core.videos.normalise import DEFAULT, ImageOptions
from sam2_core.videos.tiff_losses import Pages, loss_of_pages
from sam2_core.videos.tiff_values import has_alpha, is_palette, joined, missing_files, seen
from sam2_core.videos.truncation import loss_of, warn_of_the_end

Key = tuple[int | slice, ...]
MOST_COLOURS = 4


class TiffPages:
    """The first series of a TIFF as an array that reads a page when it is asked for one.

    Its values are what a viewer shows: colours of a palette, white as the highest value, gray without alpha.

    Attributes:
        shape: of the series, without axes of length 1; with an axis S at its end for a palette.
        axes: its letters from ImageJ's, OME's or tifffile's metadata; None where they say nothing.
        loss: what is missing at its end, and left out; None if it is complete.

    Raises:
        VideoError: if it is no TIFF, holds no image, or pages of several sizes, or is cut off in such a way
            that its frames cannot be told.
    """

    def __init__(self, path: Path) -> None:
        self._name = path.name
        with _listening() as complaints:
            try:
                self._file = tifffile.TiffFile(path)
            except Exception as error:  # whatever damaged tags make of it
                raise _unreadable(path, "as a TIFF", reason(error)) from error
            try:
                self._find_pages(path)
                self._check(complaints)
            except VideoError:
                self._file.close()
                raise
            except Exception as error:
                self._file.close()
                raise _unreadable(path, "as images", f"it holds no complete one ({reason(error)})") from error

    def _find_pages(self, path: Path) -> None:
        parts = joined(self._file.series, self._name)
        series = parts[0]
        self._keyframe, self._is_palette = series.keyframe, is_palette(series)
        self._pages = series if len(parts) == 1 else [page for part in parts for page in part]
        many = (len(parts),) if len(parts) > 1 else ()
        self._stored = (*many, *(int(length) for length in series.shape))
        outer = "" if not many else "R" if "T" in series.axes else "T"
        known = _known_axes(series)
        page_size = math.prod(series.keyframe.shape)
        self._outer = next(
            n for n in range(len(self._stored) + 1) if math.prod(self._stored[n:]) <= page_size
        )
        has_all = len(self._pages) >= math.prod(self._stored[: self._outer])
        if many and not has_all:
            raise ValueError("several stacks with one header each")
        self._mapped = None if has_all else _mapped(path, self._file)
        pages = self._pages if has_all else None
        axes = outer + (known or series.axes)
        self.loss = loss_of_pages(path, Pages(parts, pages, axes, self._stored, self._outer))
        if self.loss is not None:
            self._stored = (self.loss.found, *self._stored[1:])
        self.shape, self.axes = self._stored, known and outer + known
        if self._is_palette:
            self.shape, self.axes = (*self.shape, 3), self.axes and f"{self.axes}S"
        elif has_alpha(series):
            lengths = zip(outer + series.axes, self._stored, strict=True)
            self.shape = tuple(1 if axis == "S" else length for axis, length in lengths)

    def _check(self, complaints: list[str]) -> None:
        missing = missing_files(complaints)
        if missing and any(page is None for page in self._pages):
            raise VideoError(
                f"{self._name!r} is one of several files, of which {', '.join(missing)} cannot be read; "
                "put all files of the set into one folder"
            )

    def __getitem__(self, key: Key) -> NDArray[Any]:
        """One frame: an int for each axis that has no place inside a page, ints or slices for the others."""
        if self._mapped is not None:
            inside = len(self._stored)
            return seen(self._mapped[key[:inside]], self._keyframe, self._is_palette)[..., *key[inside:]]
        outer = np.arange(math.prod(self._stored[: self._outer])).reshape(self._stored[: self._outer])
        numbers = outer[key[: self._outer]]
        pages = [self._page(int(number))[key[self._outer :]] for number in np.ravel(numbers)]
        return np.stack(pages).reshape(*np.shape(numbers), *pages[0].shape)

    def _page(self, number: int) -> NDArray[Any]:
        page = self._pages[number]
        if page is None:
            raise VideoError(
                f"page {number} is missing in {self._name!r}; its metadata name more than was written"
            )
        with _open(page.parent.filehandle):
            image = page.asarray().reshape(self._stored[self._outer :])
            return seen(image, page if self._is_palette else self._keyframe, self._is_palette)

    def close(self) -> None:
        """Close the file."""
        self._mapped = None
        self._file.close()

    def __del__(self) -> None:
        if hasattr(self, "_file"):  # it was opened
            self._file.close()


@contextmanager
def _open(handle: Any) -> Iterator[None]:
    """A file of a set, which tifffile closes after its list of pages was read."""
    was_closed = handle.closed
    if was_closed:
        handle.open()
    try:
        yield
    finally:
        if was_closed:
            handle.close()


def _unreadable(path: Path, what: str, why: str) -> VideoError:
    """Says also whether the file is cut off."""
    loss = loss_of(path)
    return VideoError(
        f"cannot read {path.name!r} {what}: {why}" + (f"; it {loss}; copy it again" if loss else "")
    )


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

    Warns:
        IncompleteVideoWarning: if it is cut off; the frames that it holds can be read.

    Raises:
        VideoError: if it cannot be read, or its axes cannot be told.
    """
    pages = TiffPages(path)
    try:
        video = ArrayVideo(pages, replace(options, axes=options.axes or pages.axes), on_close=pages.close)
    except VideoError:
        pages.close()
        raise
    if pages.loss is not None:
        warn_of_the_end(path.name, pages.loss.found, pages.loss.promised, pages.loss.bytes)
    return video


def read_tiff(path: Path, options: ImageOptions = DEFAULT) -> NDArray[Any]:
    """A TIFF that is one frame of many, ``(height, width, channels)``; one plane of a volume (``options.z``).

    Raises:
        VideoError: if it cannot be read, or is a time series itself.
    """
    pages = TiffPages(path)
    try:
        if pages.loss is not None:  # of a part of a volume, the middle would be another plane
            raise VideoError(f"the image {path.name!r} {pages.loss.bytes}; copy it again")
        layout = layout_of(pages.shape, options.axes or pages.axes)
        if layout.time == "T":
            raise VideoError(
                f"{path.name!r} is a time series of {layout.frames} frames; give this file alone"
            )
        plane = layout.frames // 2 if options.z is None else options.z
        if not 0 <= plane < layout.frames:
            raise VideoError(f"there is no plane z={plane} in {path.name!r}; it has 0..{layout.frames - 1}")
        return layout.arranged(pages[layout.key(plane, slice(None))])
    except VideoError:
        raise
    except Exception as error:  # whatever the decoder of damaged data raises
        raise VideoError(f"cannot read the image {path.name!r}: {reason(error)}") from error
    finally:
        pages.close()
