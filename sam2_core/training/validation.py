"""How good a network is on clips that it was never trained on."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from sam2_core.models.sam2 import SAM2
from sam2_core.training.batches import Batch, collate
from sam2_core.training.clip_pool import FIRST_HELD_OUT_SEED, make_clip
from sam2_core.training.decoding import best_logits, upsampled_masks
from sam2_core.training.losses import mask_iou
from sam2_core.training.pictures import Pictures
from sam2_core.training.prompts import PromptMix
from sam2_core.training.random import Random
from sam2_core.training.rollout import PromptSchedule, roll_out

_EXACT = PromptMix(truth=0.0, central=1.0, box_noise=0.0)


def held_out_batch(
    number: int,
    frames: int,
    size: int = 256,
    objects: int = 3,
    device: torch.device | str = "cpu",
    pictures: Pictures | None = None,
) -> Batch:
    """One held-out clip with some of its objects; pairs of layered scenes and microscopy take turns.

    With two processes that take every other clip, each gets both families.
    """
    family = number // 2 % 2
    clip = make_clip(FIRST_HELD_OUT_SEED + 2 * number + family, frames, size, device, pictures)
    return collate(Random(number, device), [clip], objects)


@torch.no_grad()
def validate(network: SAM2, batches: Iterable[Batch]) -> dict[str, float]:
    """Means over all objects.

    Args:
        network: on the same device as the batches.
        batches: held-out clips.

    Returns:
        click, clicks3, box: IoU on the first frame after one click in the middle, two more where it was
        wrong, and a box; mask, copy: IoU over the other frames when the first mask is tracked, and when it
        is just copied; nan if no clip has other frames.
    """
    metrics: dict[str, list[Tensor]] = {}
    for number, batch in enumerate(batches):
        first_frame = Batch(batch.images[: batch.clips], batch.masks[:1])
        overlaps = _overlaps(network, first_frame, batch, Random(number, batch.images.device))
        for name, overlap in overlaps.items():
            metrics.setdefault(name, []).append(overlap)
    return {name: float(torch.cat(values).mean()) for name, values in metrics.items()}


def _overlaps(network: SAM2, first_frame: Batch, batch: Batch, rng: Random) -> dict[str, Tensor]:
    clicked = _ious(network, first_frame, PromptSchedule("click", 2, mix=_EXACT), rng)
    boxed = _ious(network, first_frame, PromptSchedule("box", mix=_EXACT), rng)
    tracked = _ious(network, batch, PromptSchedule("mask", mix=_EXACT), rng)
    copied = mask_iou(batch.masks[:1].expand_as(batch.masks[1:]), batch.masks[1:])
    return {
        "click": clicked[0],
        "clicks3": clicked[-1],
        "box": boxed[0],
        "mask": torch.stack(tracked).mean(0)
        if tracked
        else clicked[0][:0],  # of one frame nothing is tracked
        "copy": copied.mean(0) if tracked else clicked[0][:0],
    }


def _ious(network: SAM2, batch: Batch, schedule: PromptSchedule, rng: Random) -> list[Tensor]:
    """The IoU of each answer, ``(objects,)`` each."""
    result = []
    for decoding in roll_out(network, batch, schedule, rng):
        prediction = decoding.prediction
        # Where tracking says that the object is not there, ``logits_n1hw`` is empty.
        logits = prediction.logits_n1hw if decoding.frame else best_logits(prediction, decoding.single)
        shown = upsampled_masks(logits, batch.masks.shape[-1])
        result.append(mask_iou(shown, batch.masks[decoding.frame]))
    return result
