"""Ground truth of a sequence: the annotated frames, and what is to be seen on them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from sam2_core import masks, plugins
from sam2_core.errors import ExportError
from sam2_core.hookspecs import VideoModel
from sam2_core.results import Masklet, MaskletFrame
from sam2_core.session import Session
from sam2_core.types import Mask, Video
from sam2_core.videos import ImageOptions

ROUNDING = 2
"""Pixels by which published masks and frames differ in size (853 and 854 columns occur)."""


@dataclass(frozen=True, eq=False)
class Truth:
    """What is annotated.

    Attributes:
        frames: the indices of the annotated frames, in order.
        objects: by id, on the annotated frames where they are to be seen.
    """

    frames: tuple[int, ...]
    objects: Mapping[int, Masklet]

    def mask(self, object_id: int, frame_index: int, size: tuple[int, int]) -> Mask:
        """An object on an annotated frame of that height and width; empty where it is not to be seen.

        Raises:
            ExportError: if the annotation has another size, by more than rounding explains.
        """
        masklet = self.objects[object_id]
        if frame_index not in masklet:
            return np.zeros(size, np.bool_)
        mask = masklet[frame_index].mask()
        if mask.shape == size:
            return mask
        if any(abs(a - b) > ROUNDING for a, b in zip(mask.shape, size, strict=True)):
            raise ExportError(
                f"the annotation of frame {frame_index} is {mask.shape[1]} x {mask.shape[0]} pixels, the "
                f"frame {size[1]} x {size[0]}; give frames and annotations of one size"
            )
        rows, columns = (np.minimum(np.arange(n), m - 1) for n, m in zip(size, mask.shape, strict=True))
        return mask[np.ix_(rows, columns)]

    def on(self, size: tuple[int, int], length: int) -> Truth:
        """What is to be seen on a video of that height and width with so many frames.

        An object that rounding crops away is not to be seen.

        Raises:
            ExportError: if frames are annotated that the video lacks, or the annotations have another size.
        """
        if self.frames and self.frames[-1] >= length:
            raise ExportError(
                f"its annotations need {self.frames[-1] + 1} frames, and its video has {length}; give frames "
                "and annotations of one video"
            )
        objects = {i: self._fitted(masklet, size) for i, masklet in self.objects.items()}
        seen = {i: m for i, m in objects.items() if any(known.encoded.area for known in m.values())}
        return Truth(self.frames, seen)

    def _fitted(self, masklet: Masklet, size: tuple[int, int]) -> Masklet:
        if all(known.encoded.size == size for known in masklet.values()):
            return masklet
        return replace(
            masklet, frames={t: self._cut(masklet, t, known, size) for t, known in masklet.items()}
        )

    def _cut(
        self, masklet: Masklet, frame_index: int, known: MaskletFrame, size: tuple[int, int]
    ) -> MaskletFrame:
        encoded = masks.encode(self.mask(masklet.object_id, frame_index, size))
        return replace(known, encoded=encoded, visible=encoded.area > 0)

    def of_first_frame(self) -> Truth:
        """Only the objects that the first annotated frame shows."""
        there = {i: masklet for i, masklet in self.objects.items() if self.first(i) == self.frames[0]}
        return Truth(self.frames, there)

    def of_frames(self, frames: Iterable[int]) -> Truth:
        """What is annotated on some of the frames; objects that are never to be seen there are left out."""
        among = set(frames) & set(self.frames)
        kept = {
            i: replace(masklet, frames={t: known for t, known in masklet.items() if t in among})
            for i, masklet in self.objects.items()
        }
        seen = {i: m for i, m in kept.items() if any(known.encoded.area for known in m.values())}
        return Truth(tuple(sorted(among)), seen)

    def first(self, object_id: int) -> int:
        """The first annotated frame on which an object is to be seen."""
        return min(frame for frame, known in self.objects[object_id].items() if known.encoded.area)


@dataclass(frozen=True)
class Cells:
    """What a sequence of the Cell Tracking Challenge holds besides the tracks, which are its ground truth.

    Attributes:
        lineage: the table of the tracks (``man_track.txt``); None if nobody knows of divisions.
        outlines: by frame index, the label image of whole cells (``SEG/man_seg*.tif``), whose numbers need
            not be those of the tracks; None if the tracks themselves are whole cells.
    """

    lineage: Path | None = None
    outlines: Mapping[int, Path] | None = None


@dataclass(frozen=True)
class Sequence:
    """A video with its ground truth, which is read when it is asked for.

    Attributes:
        name: what tables call it.
        source: what ``open_video`` opens.
        read: reads the annotations.
        options: how images are read; None for as they are.
        cells: finds what the cell tracking measures need besides; None if these are no cells.
    """

    name: str
    source: Path
    read: Callable[[], Truth]
    options: ImageOptions | None = None
    cells: Callable[[], Cells] | None = None

    def open(self) -> Video:
        """The frames.

        Raises:
            VideoError: if they cannot be read.
        """
        return plugins.open_video(self.source, self.options)

    def open_session(self, model: VideoModel) -> Session:
        """A new session on the frames, which closes them.

        Raises:
            VideoError: if the frames cannot be read.
        """
        with ExitStack() as undo:
            video = self.open()
            undo.callback(getattr(video, "close", lambda: None))
            session = Session(video, model, owns_video=True)
            undo.pop_all()
        return session

    def whole_truth(self) -> tuple[Truth, int]:
        """What is annotated on these frames, and how many frames there are.

        Raises:
            VideoError: if the frames cannot be read.
            ExportError: if the annotations cannot be read, or do not fit the frames.
        """
        video = self.open()
        try:
            return self.read().on(video.size, len(video)), len(video)
        finally:
            getattr(video, "close", lambda: None)()
