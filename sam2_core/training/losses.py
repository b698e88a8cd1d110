"""SAM 2's losses: focal and dice on the best mask, L1 of the predicted IoU, objectness on every frame."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional


@dataclass(frozen=True)
class LossWeights:
    """How the terms are added up.

    Attributes:
        focal, dice, iou, objectness: SAM 2's weights.
        balanced: weight of a cross-entropy in which object and background count the same; it helps a
            network that starts from nothing out of "everything is background".
        alpha: share of the object in the focal loss. With SAM 2's .25 a pixel must be object with 75 %
            certainty; a network that is less certain than SAM 2 loses a bit of the object in every frame.
    """

    focal: float = 20.0
    dice: float = 1.0
    iou: float = 1.0
    objectness: float = 1.0
    balanced: float = 0.0
    alpha: float = 0.25


def focal_loss(logits: Tensor, truth: Tensor, alpha: float = 0.25, gamma: float = 2.0) -> Tensor:
    """Mean focal loss of each mask; ``(..., height, width)`` -> ``(...)``; truth may be soft."""
    plain = functional.binary_cross_entropy_with_logits(logits, truth, reduction="none")
    chance = torch.sigmoid(logits)
    right = chance * truth + (1 - chance) * (1 - truth)
    weight = alpha * truth + (1 - alpha) * (1 - truth)
    return (weight * (1 - right) ** gamma * plain).mean((-2, -1))


def dice_loss(logits: Tensor, truth: Tensor) -> Tensor:
    """One minus the soft Dice coefficient, with one added above and below, ``(...)``."""
    chance = torch.sigmoid(logits)
    both = (chance * truth).sum((-2, -1))
    return 1 - (2 * both + 1) / (chance.sum((-2, -1)) + truth.sum((-2, -1)) + 1)


def balanced_loss(logits: Tensor, truth: Tensor) -> Tensor:
    """Cross-entropy in which object and background have the same weight, ``(...)``."""
    plain = functional.binary_cross_entropy_with_logits(logits, truth, reduction="none")
    inner = (plain * truth).sum((-2, -1)) / truth.sum((-2, -1)).clamp(min=1)
    outer = (plain * (1 - truth)).sum((-2, -1)) / (1 - truth).sum((-2, -1)).clamp(min=1)
    return (inner + outer) / 2


def mask_iou(predicted: Tensor, truth: Tensor) -> Tensor:
    """Intersection over union of boolean masks, 1 if both are empty, ``(...)``."""
    both = (predicted & truth).sum((-2, -1)).float()
    either = (predicted | truth).sum((-2, -1)).float()
    return torch.where(either > 0, both / either.clamp(min=1), torch.ones_like(both))


@dataclass(frozen=True)
class StepLoss:
    """What one step of one frame costs.

    Attributes:
        total: mean over objects, a scalar with a gradient.
        iou: of the mask with the best predicted IoU among the eligible ones, for the log, ``(n,)``.
        best: the mask that fitted best, ``(n,)``.
    """

    total: Tensor
    iou: Tensor
    best: Tensor


def step_loss(
    logits: Tensor,
    ious: Tensor,
    score: Tensor,
    truth: Tensor,
    visible: Tensor,
    eligible: Tensor,
    weights: LossWeights,
) -> StepLoss:
    """The loss of one decoding.

    Args:
        logits: ``(n, masks, height, width)``.
        ious: predicted IoU, ``(n, masks)``.
        score: object score, ``(n,)``.
        truth: share of each pixel that belongs to the object, ``(n, k * height, k * width)``; with k > 1
            the logits of the best mask are upsampled before they are compared.
        visible: whether the object is there, ``(n,)``.
        eligible: which masks may be the answer to this prompt, ``(n, masks)`` bool.
        weights: how the terms are added up.
    """
    ious, score = ious.float(), score.float()
    factor = truth.shape[-1] // logits.shape[-1]
    row = torch.arange(len(logits), device=logits.device)
    with torch.no_grad():
        coarse = logits.detach().float()
        small = functional.avg_pool2d(truth[:, None], factor).expand_as(coarse)
        shape = weights.focal * focal_loss(coarse, small, weights.alpha) + weights.dice * dice_loss(
            coarse, small
        )
        best = shape.masked_fill(~eligible, torch.inf).argmin(1)
        reached = mask_iou(coarse > 0, small > 0.5)
    chosen = logits[row, best].float()[:, None]
    if factor > 1:
        chosen = functional.interpolate(chosen, truth.shape[-2:], mode="bilinear")
    chosen = chosen[:, 0]
    cost = weights.focal * focal_loss(chosen, truth, weights.alpha) + weights.dice * dice_loss(chosen, truth)
    if weights.balanced > 0:
        cost = cost + weights.balanced * balanced_loss(chosen, truth)
    off = ((ious - reached).abs() * eligible).sum(1) / eligible.sum(1)
    cost = cost + weights.iou * off
    seen = visible.float()
    present = functional.binary_cross_entropy_with_logits(score, seen, reduction="none")
    total = (cost * seen + weights.objectness * present).mean()
    picked = ious.detach().masked_fill(~eligible, -1.0).argmax(1)
    return StepLoss(total, reached[row, picked], best)
