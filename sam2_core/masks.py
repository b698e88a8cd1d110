"""Pure functions on masks: run lengths, rectangles, overlaps, label images."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sam2_core.errors import ExportError
from sam2_core.results import FrameResult, Masklet, MaskletFrame, RunLengths
from sam2_core.types import Box, Mask


def encode(
    mask: ArrayLike, *, size: tuple[int, int] | None = None, top: int = 0, left: int = 0
) -> RunLengths:
    """Turn a mask into run lengths of the rectangle that encloses it.

    Args:
        mask: ``(height, width)``, a whole mask or a part of one; everything that is not 0 is the object.
        size: height and width of the whole mask, if ``mask`` is a part of it.
        top: the row of the whole mask at which the part starts.
        left: the column at which the part starts.
    """
    array = np.asarray(mask, np.bool_)
    size = size or (array.shape[0], array.shape[1])
    rows, columns = np.flatnonzero(array.any(axis=1)), np.flatnonzero(array.any(axis=0))
    if not len(rows):
        return RunLengths(size, 0, 0, (0, 0), np.zeros(0, np.uint32))
    array = array[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    counts = _runs(array.ravel())
    return RunLengths(
        size, top + int(rows[0]), left + int(columns[0]), (array.shape[0], array.shape[1]), counts
    )


def tight(given: RunLengths) -> RunLengths:
    """The same mask as ``encode`` writes it: in the smallest rectangle, without empty runs."""
    return (
        given if _is_tight(given) else encode(given.crop(), size=given.size, top=given.top, left=given.left)
    )


def _is_tight(given: RunLengths) -> bool:
    (height, width), edges = given.shape, np.cumsum(given.counts, dtype=np.int64)
    starts, ends = edges[:-1:2], edges[1::2]
    if not len(starts):
        return given.shape == (0, 0) and not len(edges)
    if (given.counts[1:] == 0).any():
        return False
    top, bottom = starts // width, (ends - 1) // width
    spans = bool((top < bottom).any())  # such a run touches both sides
    touches_left = spans or bool((starts % width == 0).any())
    touches_right = spans or bool((ends % width == 0).any())
    return bool(top[0] == 0 and bottom[-1] == height - 1 and touches_left and touches_right)


def _runs(flat: Mask) -> NDArray[np.uint32]:
    """Lengths of alternating runs, the first of background (of length 0 if the first pixel is the object)."""
    edges = np.flatnonzero(flat[1:] != flat[:-1]) + 1
    edges = np.concatenate([[0] if flat[0] else [], edges, [flat.size]]).astype(np.int64)
    return np.diff(edges, prepend=0).astype(np.uint32)


def to_coco(encoded: RunLengths) -> dict[str, Any]:
    """COCO's compressed run lengths: ``{"size": [height, width], "counts": str}``, runs in column order."""
    (full_height, full_width), (height, width) = encoded.size, encoded.shape
    # Whole columns, so that runs that touch across the border of two columns become one.
    columns = np.zeros((width, full_height), np.bool_)
    columns[:, encoded.top : encoded.top + height] = encoded.crop().T
    counts = _runs(columns.ravel()).astype(np.int64) if width else np.zeros(1, np.int64)
    counts[0] += encoded.left * full_height
    after = (full_width - encoded.left - width) * full_height
    if len(counts) % 2:
        counts[-1] += after
    elif after:
        counts = np.append(counts, after)
    return {"size": [full_height, full_width], "counts": _pack(counts)}


def from_coco(rle: Mapping[str, Any]) -> RunLengths:
    """Read COCO's run lengths, compressed (``str`` or ``bytes``) or as a list of counts.

    Raises:
        ExportError: if the counts are broken or do not fill the size.
    """
    height, width = (int(n) for n in rle["size"])
    given = rle["counts"]
    counts = _unpack(given) if isinstance(given, (str, bytes)) else np.asarray(given, np.int64)
    if height < 0 or width < 0 or (counts < 0).any() or counts.sum() != height * width:
        raise ExportError(f"run lengths do not fill a mask of {height} x {width} pixels; the file is broken")
    edges = np.cumsum(counts)
    starts, ends = edges[:-1:2], edges[1::2]
    starts, ends = starts[ends > starts], ends[ends > starts]
    if not len(starts):
        return encode(np.zeros((0, 0), np.bool_), size=(height, width))
    left, right = int(starts[0]) // height, (int(ends[-1]) - 1) // height  # decode these columns only
    steps = np.zeros((right - left + 1) * height + 1, np.int8)
    steps[starts - left * height] += 1
    steps[ends - left * height] -= 1
    columns = np.cumsum(steps[:-1], dtype=np.int8).reshape(-1, height)
    return encode(columns.T, size=(height, width), left=left)


def _pack(counts: NDArray[np.int64]) -> str:
    """COCO's text of counts: from the 4th on the difference to the last but one, 5 bits per character."""
    values = counts.copy()
    values[3:] -= counts[1:-2]
    characters, written, active = [], [], np.ones(len(values), np.bool_)
    while active.any():
        low, values = values & 31, values >> 5
        more = values != np.where(low & 16, -1, 0)  # the sign bit of the last character is the sign
        characters.append(low + 32 * more + 48)
        written.append(active)
        active = active & more
    return bytes(np.stack(characters, 1)[np.stack(written, 1)].astype(np.uint8)).decode("ascii")


def _unpack(text: str | bytes) -> NDArray[np.int64]:
    """The counts of COCO's text."""
    data = text.encode("ascii", "replace") if isinstance(text, str) else text
    characters = np.frombuffer(data, np.uint8).astype(np.int64) - 48
    last = np.flatnonzero(~characters & 32)
    lengths = np.diff(last, prepend=-1)
    broken = not len(last) or last[-1] != len(characters) - 1 or lengths.max() > 8
    if broken or (characters < 0).any() or (characters > 63).any():
        raise ExportError("run lengths are broken off or hold characters that COCO does not use")
    starts = last - lengths + 1
    place = 5 * (np.arange(len(characters)) - np.repeat(starts, lengths))
    values = np.add.reduceat((characters & 31) << place, starts)
    values = np.where(characters[last] & 16, values - (1 << (5 * lengths)), values)
    values[1::2], values[2::2] = np.cumsum(values[1::2]), np.cumsum(values[2::2])
    return values


def bounding_box(mask: RunLengths) -> Box | None:
    """The smallest box that holds the centres of all pixels of the object; None for an empty mask.

    For hosts whose objects have a rectangle beside their mask, and for box prompts that are made from masks.
    """
    (height, width), top, left = mask.shape, mask.top, mask.left
    return Box(left, top, left + width - 1, top + height - 1) if height else None


def middle(mask: Mask) -> tuple[float, float]:
    """The x and y of the pixel that lies farthest from the mask's border (the first of several)."""
    from scipy import ndimage

    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not len(rows):
        return 0.0, 0.0
    top, left = int(rows[0]), int(columns[0])
    box = mask[top : rows[-1] + 1, left : columns[-1] + 1]
    # One pixel of background around the box is enough: no background behind it is nearer.
    depth = ndimage.distance_transform_edt(np.pad(box, 1))[1:-1, 1:-1]
    y, x = np.unravel_index(int(depth.argmax()), box.shape)
    return float(left + x), float(top + y)


def iou(first: Mask, second: Mask) -> float:
    """Intersection over union of two masks of one size; 1 if both are empty (as DAVIS defines J)."""
    union = int(np.logical_or(first, second).sum())
    return int(np.logical_and(first, second).sum()) / union if union else 1.0


def overlap(first: RunLengths, second: RunLengths) -> float:
    """Intersection over union of two masks of one size kept as run lengths, without decoding whole frames."""
    tops, lefts = (first.top, second.top), (first.left, second.left)
    bottoms = (first.top + first.shape[0], second.top + second.shape[0])
    rights = (first.left + first.shape[1], second.left + second.shape[1])
    top, left, bottom, right = max(tops), max(lefts), min(bottoms), min(rights)
    if top >= bottom or left >= right:
        return 0.0 if first.area or second.area else 1.0
    one, other = (
        mask.crop()[top - mask.top : bottom - mask.top, left - mask.left : right - mask.left]
        for mask in (first, second)
    )
    shared = int(np.logical_and(one, other).sum())
    return shared / (first.area + second.area - shared)


def encode_labels(labels: NDArray[Any]) -> dict[int, RunLengths]:
    """The objects of a label image as run lengths, by id; 0 is the background.

    Each object is looked at inside its own box only, so hundreds of them cost little.
    """
    from scipy.ndimage import find_objects  # it loads slowly, and most callers read no label images

    ids, dense = np.arange(1, 65536), labels
    if labels.max(initial=0) > 65535:  # find_objects makes a list as long as the highest number
        ids = np.unique(labels[labels > 0])
        dense = np.where(labels > 0, np.searchsorted(ids, labels) + 1, 0)
    found: dict[int, RunLengths] = {}
    for index, box in enumerate(find_objects(dense.astype(np.int32))):
        if box is not None:
            part, (top, left) = labels[box] == ids[index], (edge.start for edge in box)
            found[int(ids[index])] = encode(part, size=labels.shape, top=top, left=left)
    return found


def label_image(masks: Mapping[int, RunLengths], size: tuple[int, int]) -> NDArray[np.int32]:
    """Object ids as pixel values; where masks overlap, the later one of the mapping wins."""
    labels = np.zeros(size, np.int32)
    for object_id, mask in masks.items():
        mask.paint(labels, object_id)
    return labels


def collect(results: Iterable[FrameResult]) -> dict[int, Masklet]:
    """Gather the results of a propagation into masklets; of one frame the last result stays.

    For whoever has the results and not the session: a client of another process, a host that keeps its own
    copy. A result does not say which masks were prompted: all count as propagated. Nor does it name mothers.
    """
    frames: dict[int, dict[int, MaskletFrame]] = {}
    for result in results:
        for index, object_id in enumerate(result.object_ids):
            frames.setdefault(object_id, {})[result.frame_index] = MaskletFrame(
                result.encoded[index],
                float(result.scores[index]),
                bool(result.visible[index]),
                "propagated",
                bool(result.stale[index]),
            )
    return {i: Masklet(i, dict(sorted(f.items()))) for i, f in frames.items()}
