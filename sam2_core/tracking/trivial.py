"""Two trackers that are not SAM 2: baselines for every table, and proof that the hook carries any model.

``copy`` repeats the nearest known mask. ``flow`` warps it by dense optical flow (OpenCV's DIS, medium preset,
backward flow, iterated from frame to frame) and keeps the warped mask soft, so that thin parts survive.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from sam2_core import masks
from sam2_core.errors import ModelError
from sam2_core.hookspecs import Memories, Segmentation
from sam2_core.prompts import Prompt
from sam2_core.results import RunLengths
from sam2_core.types import Image, Mask

SIMILAR = 24
"""Largest difference of a colour channel (of 255) at which a pixel looks like the clicked one."""


SMALLEST = 12
"""Pixels along each side that the optical flow needs."""


@dataclass(frozen=True, eq=False)
class Frame:
    """What the trivial trackers keep of a frame: the frame."""

    image: Image

    @property
    def nbytes(self) -> int:
        """Bytes that it takes."""
        return self.image.nbytes


@dataclass(frozen=True, eq=False)
class MaskMemory:
    """A mask, hard or soft (0..255), and the frame that it lies on.

    Hard masks, such as those of all prompts, are run lengths: hundreds of them are not hundreds of images.
    """

    mask: RunLengths | NDArray[np.uint8]
    frame: Frame

    @property
    def soft(self) -> NDArray[np.uint8]:
        """The mask in 0..255, ``(height, width)``."""
        return self.mask.decode().astype(np.uint8) * 255 if isinstance(self.mask, RunLengths) else self.mask

    @property
    def nbytes(self) -> int:
        """Bytes of the mask and of the frame, which objects share but nobody else may keep."""
        return self.mask.nbytes + self.frame.nbytes

    def faded(self) -> MaskMemory:
        """Itself: there is nothing smaller to keep."""
        return self


class CopyModel:
    """Repeats the nearest known mask of an object."""

    name = identity = "copy"
    memory_span = pointer_span = 1
    batch = 1

    def encode_image(self, image: Image) -> Frame:
        """The frame itself."""
        return Frame(image)

    def segment(self, features: Frame, prompt: Prompt, before: Segmentation | None) -> Segmentation:
        """The painted mask, the ellipse in the box, or the region of one colour around each click."""
        if prompt.encoded_mask is not None:
            return _segmentation(prompt.encoded_mask)
        mask = (
            _ellipse(prompt, features.image.shape) if prompt.box else np.zeros(features.image.shape[:2], bool)
        )
        mask = mask if prompt.previous is None else mask | prompt.previous
        for x, y, positive in prompt.points:
            region = _similar_region(features.image, round(x), round(y))
            mask = mask | region if positive else mask & ~region
        return _segmentation(masks.encode(mask))

    def candidates(self, features: Frame, prompt: Prompt) -> Sequence[Segmentation]:
        """One reading: these trackers know no ambiguity."""
        return [self.segment(features, prompt, None)]

    def track(self, features: Frame, memories: Sequence[Memories]) -> Sequence[Segmentation]:
        """The masks of the objects on the next frame."""
        return [self.move(_nearest(memory), features) for memory in memories]

    def move(self, memory: MaskMemory, frame: Frame) -> Segmentation:
        """The mask of a memory on another frame."""
        mask = memory.mask
        return _segmentation(mask if isinstance(mask, RunLengths) else masks.encode(mask > 127))

    def encode_memory(
        self, features: Frame, segmentations: Sequence[Segmentation], *, prompted: bool
    ) -> Sequence[MaskMemory]:
        """The masks and their frame."""
        return [MaskMemory(s.encoded if s.raw is None else s.raw, features) for s in segmentations]

    def memory_arrays(self, memory: MaskMemory) -> dict[str, NDArray[Any]]:
        """The mask and the frame."""
        return {"soft": memory.soft, "image": memory.frame.image}

    def memory_from(self, arrays: Mapping[str, NDArray[Any]]) -> MaskMemory:
        """The memory with this mask and this frame."""
        soft, hard = arrays["soft"], masks.encode(arrays["soft"])
        is_hard = np.array_equal(soft, MaskMemory(hard, Frame(arrays["image"])).soft)
        return MaskMemory(hard if is_hard else soft, Frame(arrays["image"]))


class FlowModel(CopyModel):
    """Warps the nearest known mask by dense optical flow."""

    name = identity = "flow"

    def __init__(self) -> None:
        try:
            import cv2
        except ImportError as error:
            raise ModelError(
                "the model 'flow' needs OpenCV; install it with: pip install 'sam2-core[flow]'"
            ) from error
        self._cv2: Any = cv2
        self._dis = self._cv2.DISOpticalFlow_create(self._cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
        self._last: tuple[Frame, Frame, NDArray[np.float32]] | None = None

    def move(self, memory: MaskMemory, frame: Frame) -> Segmentation:
        """The soft mask, each pixel taken from where it was in the memory's frame."""
        where = self._where(memory.frame, frame)
        moved: NDArray[np.uint8] = self._cv2.remap(memory.soft, where, None, self._cv2.INTER_LINEAR)
        return _segmentation(masks.encode(moved > 127), moved)

    def _flow(self, new: Image, old: Image) -> NDArray[np.float32]:
        """How far each pixel of the new frame is from where it was; 0 if the frame is too small to tell."""
        if min(new.shape[:2]) < SMALLEST:
            return np.zeros((*new.shape[:2], 2), np.float32)
        gray = [self._cv2.cvtColor(image, self._cv2.COLOR_RGB2GRAY) for image in (new, old)]
        flow: NDArray[np.float32] = self._dis.calc(*gray, None)
        return flow

    def _where(self, old: Frame, new: Frame) -> NDArray[np.float32]:
        """For each pixel of the new frame its place in the old one, ``(height, width, 2)``."""
        if self._last is None or self._last[0] is not old or self._last[1] is not new:
            flow = self._flow(new.image, old.image)
            rows, columns = np.indices(flow.shape[:2], np.float32)
            self._last = (old, new, flow + np.stack([columns, rows], axis=-1))
        return self._last[2]


def _segmentation(mask: RunLengths, soft: NDArray[np.uint8] | None = None) -> Segmentation:
    visible = mask.area > 0
    return Segmentation(mask, float(visible), visible, soft)


def _nearest(memories: Memories) -> MaskMemory:
    every = [*memories.recent, *memories.conditioning]
    nearest: MaskMemory = min(every, key=lambda pair: (abs(pair[0]), pair[0] < 0))[1]
    return nearest


def _ellipse(prompt: Prompt, shape: tuple[int, ...]) -> Mask:
    """The ellipse that fills the box of a prompt."""
    assert prompt.box is not None  # the caller looked
    left, top, right, bottom = prompt.box
    rows, columns = np.ogrid[: shape[0], : shape[1]]
    y = (rows - (top + bottom) / 2) / max((bottom - top) / 2, 0.5)
    x = (columns - (left + right) / 2) / max((right - left) / 2, 0.5)
    inside: Mask = x**2 + y**2 <= 1
    return inside


def _similar_region(image: Image, x: int, y: int) -> Mask:
    """The pixels around a click that look like it and hang together."""
    height, width = image.shape[:2]
    x, y = min(max(x, 0), width - 1), min(max(y, 0), height - 1)
    alike = np.abs(image.astype(np.int16) - image[y, x].astype(np.int16)).max(axis=2) <= SIMILAR
    regions, _ = ndimage.label(alike)
    region: Mask = regions == regions[y, x]
    return region
