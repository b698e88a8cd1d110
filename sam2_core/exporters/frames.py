"""Masklets frame by frame, and back."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sam2_core import masks
from sam2_core.errors import ExportError
from sam2_core.label_images import read_label_image
from sam2_core.results import Masklet, MaskletFrame, RunLengths
from sam2_core.types import Video

Size = tuple[int, int]
"""Height and width in pixels."""

Read = tuple[int, int, RunLengths, float | None]
"""Frame index, object id, mask and score (None if the file holds none)."""


def name_of(video: Video) -> str:
    """What files call a video: its ``name``, if it has one."""
    return str(getattr(video, "name", None) or "video")


def known_frames(masklets: Mapping[int, Masklet]) -> list[int]:
    """The frames that any masklet knows, in order."""
    return sorted({frame_index for masklet in masklets.values() for frame_index in masklet})


def on_frame(masklets: Mapping[int, Masklet], frame_index: int, size: Size) -> dict[int, MaskletFrame]:
    """What is known on one frame, by object id, in the order of the masklets.

    Raises:
        ExportError: if a mask has another size than the video.
    """
    found = {i: masklet[frame_index] for i, masklet in masklets.items() if frame_index in masklet}
    for object_id, known in found.items():
        if known.encoded.size != size:
            raise ExportError(
                f"the mask of object {object_id} on frame {frame_index} is {_pixels(known.encoded.size)}, "
                f"the video is {_pixels(size)}; open the video that the masks were made on"
            )
    return found


def paint(masklets: Mapping[int, Masklet], frame_index: int, size: Size) -> NDArray[np.int32]:
    """The label image of one frame; where masks overlap, the higher score wins, then the later object."""
    known = on_frame(masklets, frame_index, size)
    ordered = sorted(known.items(), key=lambda item: score(item[1]))
    return masks.label_image({object_id: frame.encoded for object_id, frame in ordered}, size)


def score(known: MaskletFrame) -> float:
    """The score as files hold it: 6 digits, 0 for what is not a number."""
    return round(float(np.nan_to_num(known.score)), 6)


def check_ids(masklets: Mapping[int, Masklet], highest: int, format_name: str, instead: str) -> None:
    """Refuse ids that a format cannot hold.

    Raises:
        ExportError: if there is one; it names a format that can.
    """
    if wrong := [object_id for object_id in masklets if not 1 <= object_id <= highest]:
        raise ExportError(
            f"{format_name} holds object ids from 1 to {highest}, and there is object {wrong[0]}; "
            f"use the format {instead}"
        )


def gather(found: Iterable[Read]) -> dict[int, Masklet]:
    """Masklets from what was read, in the order of their ids.

    Some data sets count objects from 0; then all ids are one higher here, since 0 is the background.
    Several masks of one object on one frame are its parts.

    Raises:
        ExportError: for masks of different sizes, or an id below 0.
    """
    frames: dict[int, dict[int, MaskletFrame]] = {}
    size: Size | None = None
    for frame_index, object_id, encoded, given in found:
        if frame_index < 0:
            raise ExportError(f"object {object_id} is on frame {frame_index}; frames count from 0")
        size = size or encoded.size
        if encoded.size != size:
            raise ExportError(f"frame {frame_index} is {_pixels(encoded.size)}, another one {_pixels(size)}")
        if before := frames.setdefault(object_id, {}).get(frame_index):
            encoded = masks.encode(before.mask() | encoded.decode())
        visible = encoded.area > 0
        known = float(visible) if given is None else given
        frames[object_id][frame_index] = MaskletFrame(encoded, known, visible, "propagated")
    if min(frames, default=1) < 0:
        raise ExportError(f"object {min(frames)} has an id below 0")
    shift = int(0 in frames)
    return {i + shift: Masklet(i + shift, dict(sorted(frames[i].items()))) for i in sorted(frames)}


def labels_on(frame_index: int, file: Path) -> Iterator[Read]:
    """The objects of the label image in a file, which is that of a frame."""
    for object_id, encoded in masks.encode_labels(read_label_image(file)).items():
        yield frame_index, object_id, encoded, None


def _pixels(size: Size) -> str:
    return f"{size[0]} x {size[1]} pixels"
