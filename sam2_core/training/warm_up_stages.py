"""Warm-ups of parts: the decoder learns what prompts mean, the encoder to tell objects apart."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.nn import functional

from sam2_core.models.prompt_encoder import PointPrompts
from sam2_core.models.sam2 import SAM2, Features
from sam2_core.training.batches import sample_batch
from sam2_core.training.clips import ClipSource
from sam2_core.training.decoding import Decoding, box_or_click, decoding_loss
from sam2_core.training.initialise import NECK_SCALES
from sam2_core.training.losses import LossWeights
from sam2_core.training.prompts import PromptMix
from sam2_core.training.random import Random
from sam2_core.training.stage import Stage, StepResult, iou_by_prompt
from sam2_core.training.textures import coordinates

_OBJECTS = 12


@dataclass(frozen=True)
class DecoderWarmUp(Stage):
    """The decoder alone, on random features: draw the ellipse of a box, and a disk around a click.

    Attributes:
        objects: ellipses per step and process.
        weights: of the loss terms.
    """

    objects: int = 48
    learning_rate: float = 1e-3
    final_learning_rate: float = 1e-3
    new_clips: float = 0.0
    weights: LossWeights = field(default_factory=lambda: LossWeights(focal=5, balanced=1))

    def training_step(
        self, network: SAM2, pool: ClipSource, clips_made: int, rng: Random, shared_rng: Random
    ) -> StepResult:
        """Ellipses in nothing but noise."""
        count, size, dim = self.objects, network.config.image_size, network.config.dim
        cells = size // 16
        features = Features(
            rng.normal(count, dim, cells, cells) * NECK_SCALES[2],
            rng.normal(count, dim // 4, 2 * cells, 2 * cells) * NECK_SCALES[1],
            rng.normal(count, dim // 8, 4 * cells, 4 * cells) * NECK_SCALES[0],
        )
        centre, half = rng.uniform(-0.85, 0.85, count, 2, 1, 1), rng.log_uniform(0.06, 0.6, count, 2, 1, 1)
        boxed = rng.chances(0.5, count)
        half = torch.where(boxed.view(-1, 1, 1, 1), half, torch.full_like(half, 0.15))
        x, y = coordinates(rng.device, size)
        masks = ((x - centre[:, 0]) / half[:, 0]) ** 2 + ((y - centre[:, 1]) / half[:, 1]) ** 2 < 1
        points = box_or_click(rng, masks, boxed, PromptMix(central=1.0, box_noise=0.0))
        place = (centre[:, :, 0, 0] + 1) * (size / 2) - 0.5
        coords = torch.where(boxed.view(-1, 1, 1), points.coords_np2, place[:, None].expand(-1, 2, -1))
        points = PointPrompts(coords, points.labels_np)
        prediction = network.segment(features, points, multimask=True)
        truth = functional.avg_pool2d(masks[:, None].float(), 2)[:, 0]
        decoding = Decoding(0, prediction, boxed, True)
        loss = decoding_loss(decoding, truth, masks.flatten(1).any(1), self.weights)
        return StepResult(loss.total, iou_by_prompt(loss.iou, boxed))


@dataclass(frozen=True)
class EncoderWarmUp(Stage):
    """The encoder alone: features of one object are alike, those of two objects are not.

    Attributes:
        images: per step and process.
        samples: pixels of each image and stride, compared pair by pair.
    """

    images: int = 8
    samples: int = 160
    learning_rate: float = 1e-3
    final_learning_rate: float = 1e-3
    new_clips: float = 0.7

    def training_step(
        self, network: SAM2, pool: ClipSource, clips_made: int, rng: Random, shared_rng: Random
    ) -> StepResult:
        """Pairs of pixels at all three strides; the log gets the share of right pairs at stride 16."""
        batch = sample_batch(rng, pool, clips_made, self.images, 1, _OBJECTS)
        masks = batch.masks[0].view(self.images, _OBJECTS, *batch.masks.shape[-2:])
        encoder = network.image_encoder
        levels = encoder.neck(encoder.trunk(batch.images))
        loss, right = batch.images.new_zeros(()), 0.0
        for level, scale in zip(levels, NECK_SCALES, strict=True):
            pair_loss, right = self._pair_loss(rng, level, masks, scale)
            loss = loss + pair_loss
        return StepResult(loss, {"pairs": right})

    def _pair_loss(self, rng: Random, level: Tensor, masks: Tensor, scale: float) -> tuple[Tensor, float]:
        """Balanced cross-entropy of "the same object", and the share of right pairs of different objects."""
        factor = masks.shape[-1] // level.shape[-1]
        share = functional.avg_pool2d(masks.float(), factor).flatten(2)
        most, label = share.max(1)
        label = torch.where(most > 0.5, label + 1, torch.zeros_like(label))
        # Mostly pixels of objects and of their borders.
        weights = 0.15 + (most > 0.5).float() + ((most > 0.05) & (most < 0.5)).float()
        pick = torch.multinomial(weights, min(self.samples, weights.shape[1]), generator=rng.generator)
        label = label.gather(1, pick)
        picked = level.flatten(2).gather(2, pick[:, None].expand(-1, level.shape[1], -1)).float()
        distances = _squared_distances(picked) / (2 * scale**2)
        logits = 4 - 6 * distances
        same = label[:, :, None] == label[:, None]
        counts = (label[:, :, None] > 0) | (label[:, None] > 0)  # not two pixels of the background
        loss = functional.binary_cross_entropy_with_logits(logits, same.float(), reduction="none")
        alike, apart = same & counts, ~same & counts
        mean_alike = (loss * alike).sum() / alike.sum().clamp(min=1)
        mean_apart = (loss * apart).sum() / apart.sum().clamp(min=1)
        right = ((logits > 0) == same)[apart].float().mean()
        return mean_alike + mean_apart, float(right)


def _squared_distances(columns_bds: Tensor) -> Tensor:
    """Mean squared difference of every pair of columns, ``(batch, columns, columns)``."""
    dots = columns_bds.transpose(1, 2) @ columns_bds / columns_bds.shape[1]
    norms = columns_bds.square().mean(1)
    return norms[:, :, None] + norms[:, None] - 2 * dots
