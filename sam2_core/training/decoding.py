"""One decoding of the network for all objects of a batch: its prompts, its answer, its loss."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from sam2_core.models.prompt_encoder import BOTTOM_RIGHT, PAD, POSITIVE, TOP_LEFT, PointPrompts
from sam2_core.models.sam2 import SAM2, Features, Prediction, mask_to_logits
from sam2_core.training.losses import LossWeights, StepLoss, step_loss
from sam2_core.training.prompts import PromptMix, clicks, correction_clicks, noisy_boxes
from sam2_core.training.random import Random


@dataclass(frozen=True, eq=False)
class Decoding:
    """One answer of the network.

    Attributes:
        frame: which frame.
        prediction: the answer.
        single: for whom the single mask is the answer, else the best of three, ``(n,)`` bool.
        prompted: whether the user gave a prompt on this frame.
    """

    frame: int
    prediction: Prediction
    single: Tensor
    prompted: bool


def decoding_loss(decoding: Decoding, truth: Tensor, visible: Tensor, weights: LossWeights) -> StepLoss:
    """The loss of one answer of the network; ``truth`` and ``visible`` as ``step_loss`` wants them."""
    prediction, eligible = decoding.prediction, eligible_masks(decoding.single)
    score_n = prediction.object_score_n1[:, 0]
    return step_loss(
        prediction.all_logits_nkhw, prediction.ious_nk, score_n, truth, visible, eligible, weights
    )


def features_per_object(features: Features, start: int, clips: int, objects: int) -> Features:
    """The features of some images, once per object (expanded, which is cheap to differentiate).

    Args:
        features: of a batch of images.
        start: the first of the images, one for each clip.
        clips: how many images.
        objects: of all clips together; each clip has the same number.
    """

    def expand(level: Tensor) -> Tensor:
        chosen = level[start : start + clips]
        return chosen[:, None].expand(-1, objects // clips, -1, -1, -1).flatten(0, 1)

    return Features(expand(features.stride16), expand(features.stride8), expand(features.stride4))


def box_or_click(rng: Random, masks: Tensor, boxed: Tensor, mix: PromptMix) -> PointPrompts:
    """The first prompt of each object: a box or a click.

    Args:
        rng: the source of randomness.
        masks: ``(n, height, width)`` bool.
        boxed: who gets a box, ``(n,)`` bool.
        mix: how exact boxes are and where clicks go.
    """
    inner = torch.tensor([0, 0, -1, -1], device=masks.device)  # through the outer pixels, as ``Box`` has it
    corners = (noisy_boxes(rng, masks, mix) + inner).view(-1, 2, 2)
    place = clicks(rng, masks, mix.central)
    click = torch.stack([place, torch.zeros_like(place)], 1)
    box_labels = torch.tensor([TOP_LEFT, BOTTOM_RIGHT], device=masks.device)
    click_labels = torch.tensor([POSITIVE, PAD], device=masks.device)
    return PointPrompts(
        torch.where(boxed[:, None, None], corners, click),
        torch.where(boxed[:, None], box_labels, click_labels),
    )


def with_click(points: PointPrompts | None, places: Tensor, labels: Tensor) -> PointPrompts:
    """One more point for every object: places ``(n, 2)`` and labels ``(n,)``."""
    if points is None:
        return PointPrompts(places[:, None], labels[:, None])
    return PointPrompts(
        torch.cat([points.coords_np2, places[:, None]], 1), torch.cat([points.labels_np, labels[:, None]], 1)
    )


def eligible_masks(single: Tensor) -> Tensor:
    """Which of the four masks may be the answer, ``(n, 4)`` bool.

    The first one for clear prompts (and tracking), the three others for a single click.
    """
    number = torch.arange(4, device=single.device)
    return torch.where(single[:, None], number == 0, number > 0)


def best_logits(prediction: Prediction, single: Tensor) -> Tensor:
    """The logits that a user would see, of the best predicted IoU, ``(n, 1, height, width)``."""
    if prediction.all_logits_nkhw.shape[1] == 1:  # a given mask
        return prediction.all_logits_nkhw
    score = prediction.ious_nk.masked_fill(~eligible_masks(single), -1.0)
    row = torch.arange(len(score), device=score.device)
    return prediction.all_logits_nkhw[row, score.argmax(1)][:, None]


def upsampled_masks(logits_n1hw: Tensor, size: int) -> Tensor:
    """Boolean masks at full size, ``(n, size, size)``."""
    full = functional.interpolate(logits_n1hw.detach().float(), (size, size), mode="bilinear")
    return full[:, 0] > 0


def correct_mask(
    network: SAM2, features: Features, shown: Tensor, truth: Tensor, mix: PromptMix, rng: Random
) -> Prediction:
    """One click on a mask that is a little wrong, as ``Session.correction`` puts it.

    The mask comes as hard logits, with a point on it that says what it means, and without memories.

    Args:
        network: answers with its single mask.
        features: once per object.
        shown: the mask that is corrected, ``(n, height, width)`` bool.
        truth: the same for what it should be.
        mix: where clicks go.
        rng: the source of randomness.
    """
    right = shown & truth
    inner = torch.where(right.flatten(1).any(1)[:, None, None], right, truth)
    points = with_click(None, clicks(rng, inner, 1.0), torch.ones(len(truth), device=truth.device).long())
    points = with_click(points, *correction_clicks(rng, shown, truth, mix))
    size = features.stride4.shape[-2:]
    given = mask_to_logits(shown[:, None].float())
    hard = functional.interpolate(given, size, mode="bilinear", antialias=True)
    return network.segment(features, points, None, hard, multimask=False, stability_fallback=False)
