"""Warm-ups: the decoder learns to draw what a prompt means, the encoder to tell objects apart."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.nn import functional

from sam2_core.models.prompt_encoder import PointPrompts
from sam2_core.models.sam2 import SAM2, Features
from sam2_core.training.bank import ClipBank, draw_batch
from sam2_core.training.initialise import NECK_SCALES
from sam2_core.training.losses import LossWeights
from sam2_core.training.prompts import PromptMix
from sam2_core.training.random import Dice
from sam2_core.training.rollout import Decoding, first_prompts
from sam2_core.training.stages import Lesson, Stage, by_kind, decoding_loss
from sam2_core.training.textures import coordinates


@dataclass(frozen=True)
class DrawPrompts(Stage):
    """The decoder alone, on random features: draw the ellipse of a box, and a disk around a click."""

    objects: int = 48
    rate: float = 1e-3
    final_rate: float = 1e-3
    new_clips: float = 0.0
    weights: LossWeights = field(default_factory=lambda: LossWeights(focal=5, balanced=1))

    def lesson(self, network: SAM2, bank: ClipBank, step: int, own: Dice, shared: Dice) -> Lesson:
        """Ellipses in nothing but noise."""
        count, size, dim = self.objects, network.config.image_size, network.config.dim
        cells = size // 16
        features = Features(
            own.normal(count, dim, cells, cells) * NECK_SCALES[2],
            own.normal(count, dim // 4, 2 * cells, 2 * cells) * NECK_SCALES[1],
            own.normal(count, dim // 8, 4 * cells, 4 * cells) * NECK_SCALES[0],
        )
        centre, half = own.uniform(-0.85, 0.85, count, 2, 1, 1), own.log_uniform(0.06, 0.6, count, 2, 1, 1)
        boxed = own.chances(0.5, count)
        half = torch.where(boxed.view(-1, 1, 1, 1), half, torch.full_like(half, 0.15))
        x, y = coordinates(own.device, size)
        masks = ((x - centre[:, 0]) / half[:, 0]) ** 2 + ((y - centre[:, 1]) / half[:, 1]) ** 2 < 1
        points = first_prompts(own, masks, boxed, PromptMix(central=1.0, box_noise=0.0))
        place = (centre[:, :, 0, 0] + 1) * (size / 2) - 0.5
        coords = torch.where(boxed.view(-1, 1, 1), points.coords_np2, place[:, None].expand(-1, 2, -1))
        points = PointPrompts(coords, points.labels_np)
        prediction = network.segment(features, points, multimask=True)
        truth = functional.avg_pool2d(masks[:, None].float(), 2)[:, 0]
        drawn = Decoding(0, prediction, boxed, True)
        loss = decoding_loss(drawn, truth, masks.flatten(1).any(1), self.weights)
        return Lesson(loss.total, by_kind(loss.iou, boxed))


@dataclass(frozen=True)
class TellApart(Stage):
    """The encoder alone: features of one object are alike, those of two objects are not."""

    clips: int = 8
    samples: int = 160
    rate: float = 1e-3
    final_rate: float = 1e-3
    new_clips: float = 0.7

    def lesson(self, network: SAM2, bank: ClipBank, step: int, own: Dice, shared: Dice) -> Lesson:
        """Pairs of pixels at all three strides."""
        batch = draw_batch(own, bank, step, self.clips, 1, 12)
        masks = batch.masks[0].view(self.clips, 12, *batch.masks.shape[-2:])
        encoder = network.image_encoder
        levels = encoder.neck(encoder.trunk(batch.images))
        loss, right = batch.images.new_zeros(()), 0.0
        for level, scale in zip(levels, NECK_SCALES, strict=True):
            cost, share = self._pairs(own, level, masks, scale)
            loss, right = loss + cost, share
        return Lesson(loss, {"pairs": right})

    def _pairs(self, dice: Dice, level: Tensor, masks: Tensor, scale: float) -> tuple[Tensor, float]:
        factor = masks.shape[-1] // level.shape[-1]
        share = functional.avg_pool2d(masks.float(), factor).flatten(2)
        most, label = share.max(1)
        label = torch.where(most > 0.5, label + 1, torch.zeros_like(label))
        wish = 0.15 + (most > 0.5).float() + ((most > 0.05) & (most < 0.5)).float()
        pick = torch.multinomial(wish, min(self.samples, wish.shape[1]), generator=dice.generator)
        label = label.gather(1, pick)
        found = level.flatten(2).gather(2, pick[:, None].expand(-1, level.shape[1], -1)).float()
        gap = _squared_distances(found) / (2 * scale**2)
        same = label[:, :, None] == label[:, None]
        counts = (label[:, :, None] > 0) | (label[:, None] > 0)
        logits = 4 - 6 * gap
        plain = functional.binary_cross_entropy_with_logits(logits, same.float(), reduction="none")
        alike, apart = same & counts, ~same & counts
        cost = (plain * alike).sum() / alike.sum().clamp(min=1) + (plain * apart).sum() / apart.sum().clamp(
            min=1
        )
        right = ((logits > 0) == same)[apart].float().mean()
        return cost, float(right)


def _squared_distances(found_bds: Tensor) -> Tensor:
    """Mean squared difference of every pair of columns, ``(batch, columns, columns)``."""
    dots = found_bds.transpose(1, 2) @ found_bds / found_bds.shape[1]
    norms = found_bds.square().mean(1)
    return norms[:, :, None] + norms[:, None] - 2 * dots
