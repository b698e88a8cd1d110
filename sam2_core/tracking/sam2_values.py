"""What SAM 2's verbs hand on: the features of a frame, what was decoded on it, what is remembered of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from sam2_core.models.resampling import Affine, resampled
from sam2_core.models.sam2 import CLAMP
from sam2_core.models.sam2 import Features as ImageFeatures

MOST_SHIFTED = 1 / 2
"""Of a side: so far is a memory shifted at most, if it does not move with its object anyway."""


@dataclass(frozen=True, eq=False)
class Frame:
    """The features of a frame, and the size of the frame."""

    image: ImageFeatures
    size: tuple[int, int]

    @property
    def nbytes(self) -> int:
        """Bytes that it takes."""
        return self.image.nbytes


def joined(frames: Sequence[Frame]) -> ImageFeatures:
    """What the network takes for so many objects: one frame for all of them, or one frame per object."""
    first, *others = frames
    if all(frame is first for frame in others):
        return first.image
    return ImageFeatures.joined([frame.image for frame in frames])


@dataclass(frozen=True, eq=False)
class Decoded:
    """What the decoder gave for one object: the way to the next click and to the memory.

    Attributes:
        logits_11hw: mask logits.
        pointer_1d: the object pointer.
        object_score_11: the object score.
    """

    logits_11hw: Tensor
    pointer_1d: Tensor
    object_score_11: Tensor

    def seen_from(self, rows: Affine, columns: Affine) -> Decoded:
        """The same in another view, whose rows and columns lie there in this one."""
        logits_11hw = resampled(self.logits_11hw, rows, columns, outside=-CLAMP)
        return replace(self, logits_11hw=logits_11hw)


@dataclass(frozen=True, eq=False)
class Sam2Memory:
    """What SAM 2 remembers of an object on a frame.

    Attributes:
        spatial_1chw: the memory encoder's output, bfloat16 as in the references; None when faded.
        pointer_1d: the object pointer.
        mask_11hw: the mask's logits, for a network that is given them on the next frame; None for others, and
            when faded.
        centre_12: where the object was, for the same networks (``motion.centres``).
        now_12: the same place in the view in which the memory is read, if that is not where it was made
            (decision record 13).
    """

    spatial_1chw: Tensor | None
    pointer_1d: Tensor
    mask_11hw: Tensor | None = None
    centre_12: Tensor | None = None
    now_12: Tensor | None = None

    @property
    def nbytes(self) -> int:
        """Bytes that it takes."""
        tensors = (self.spatial_1chw, self.pointer_1d, self.mask_11hw, self.centre_12, self.now_12)
        return sum(t.numel() * t.element_size() for t in tensors if t is not None)

    def faded(self) -> Sam2Memory:
        """The object pointer alone."""
        return Sam2Memory(None, self.pointer_1d)

    def moved_to(self, spot: tuple[float, float]) -> Sam2Memory:
        """The same of an object that is now there, row and column in 0..1, if its memories move with it."""
        if self.centre_12 is None:
            return self
        there_12 = self.centre_12.new_tensor([spot])
        way_12 = (self.centre_12 if self.now_12 is None else self.now_12) - there_12
        mask = self.mask_11hw
        if mask is not None and not bool(way_12.isnan().any()):
            rows, columns = (Affine(1.0, way) for way in way_12[0].tolist())
            mask = resampled(mask, rows, columns, outside=-CLAMP)
        return replace(self, mask_11hw=mask, now_12=there_12)

    def seen_from(self, rows: Affine, columns: Affine) -> Sam2Memory:
        """The same in another view, whose rows and columns lie there in this one.

        Memories that move with the object (decision record 11) keep their grid between views of one size: its
        centre is moved to where the object is, whatever lies between. Others are shifted while half of them
        stays in view; beyond that they stay as they are, with the object somewhere about the middle.
        """
        spatial, mask, centre = self.spatial_1chw, self.mask_11hw, self.centre_12
        if mask is not None:
            mask = resampled(mask, rows, columns, outside=-CLAMP)
        place = None if centre is None else _place_in(centre, rows, columns)
        moves = centre is not None and not bool(centre.isnan().any())
        far = max(abs(rows.offset), abs(columns.offset)) > MOST_SHIFTED
        if rows.scale == columns.scale == 1 and (moves or far):
            return Sam2Memory(spatial, self.pointer_1d, mask, centre, place)
        if spatial is not None:
            spatial = resampled(spatial, rows, columns)
        return Sam2Memory(spatial, self.pointer_1d, mask, place)


def _place_in(centre_12: Tensor, rows: Affine, columns: Affine) -> Tensor:
    """A place of one view in another, whose rows and columns lie there in the one."""
    places = zip(centre_12.unbind(1), (rows, columns), strict=True)
    return torch.stack([(place_1 - axis.offset) / axis.scale for place_1, axis in places], dim=1)
