"""How good a network is on clips that it was never trained on."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from sam2_core.models.sam2 import SAM2
from sam2_core.training.bank import HELD_OUT, Batch, collect, make_clip
from sam2_core.training.losses import mask_iou
from sam2_core.training.prompts import PromptMix
from sam2_core.training.random import Dice
from sam2_core.training.rollout import Decoding, Script, answer, enlarged, roll_out

_EXACT = PromptMix(truth=0.0, central=1.0, box_noise=0.0)


def held_out(
    number: int, frames: int, size: int = 256, objects: int = 3, device: torch.device | str = "cpu"
) -> Batch:
    """One held-out clip with some of its objects; pairs of layered scenes and microscopy take turns.

    With two processes that take every other clip, each gets both families.
    """
    family = number // 2 % 2
    clip = make_clip(HELD_OUT + 2 * number + family, frames, size, device)
    return collect(Dice(number, device), [clip], objects)


@torch.no_grad()
def validate(network: SAM2, batches: Iterable[Batch]) -> dict[str, float]:
    """Means over all objects.

    Args:
        network: on the same device as the batches.
        batches: held-out clips.

    Returns:
        click, clicks3, box: IoU on the first frame after one click in the middle, two more where it was
        wrong, and a box; mask, copy: IoU over the other frames when the first mask is tracked, and when it
        is just copied.
    """
    figures: dict[str, list[Tensor]] = {}
    for number, batch in enumerate(batches):
        first = Batch(batch.images[: batch.clips], batch.masks[:1])
        for name, overlap in _overlaps(network, first, batch, Dice(number, batch.images.device)).items():
            figures.setdefault(name, []).append(overlap)
    return {name: float(torch.cat(values).mean()) for name, values in figures.items()}


def _overlaps(network: SAM2, first: Batch, batch: Batch, dice: Dice) -> dict[str, Tensor]:
    clicked = [_iou(step, first) for step in roll_out(network, first, Script("click", 2, mix=_EXACT), dice)]
    boxed = [_iou(step, first) for step in roll_out(network, first, Script("box", mix=_EXACT), dice)]
    tracked = [_iou(step, batch) for step in roll_out(network, batch, Script("mask", mix=_EXACT), dice)]
    copied = mask_iou(batch.masks[:1].expand_as(batch.masks[1:]), batch.masks[1:])
    return {
        "click": clicked[0],
        "clicks3": clicked[-1],
        "box": boxed[0],
        "mask": torch.stack(tracked).mean(0),
        "copy": copied.mean(0),
    }


def _iou(step: Decoding, batch: Batch) -> Tensor:
    shown = step.prediction.logits_n1hw if step.frame else answer(step.prediction, step.single)
    return mask_iou(enlarged(shown, batch.masks.shape[-1]), batch.masks[step.frame])
