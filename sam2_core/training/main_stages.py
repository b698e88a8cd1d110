"""The stages that teach the whole network: single images, and tracking through clips."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch

from sam2_core.models.sam2 import SAM2, clamped
from sam2_core.training.batches import sample_batch
from sam2_core.training.clips import ClipSource
from sam2_core.training.decoding import (
    Decoding,
    best_logits,
    box_or_click,
    correct_mask,
    decoding_loss,
    features_per_object,
    upsampled_masks,
    with_click,
)
from sam2_core.training.losses import LossWeights
from sam2_core.training.prompts import PROMPT_KINDS, PromptMix, correction_clicks, degraded
from sam2_core.training.random import Random
from sam2_core.training.rollout import PromptSchedule, roll_out
from sam2_core.training.stage import Stage, StepResult, iou_by_prompt


@dataclass(frozen=True)
class ImageSegmentation(Stage):
    """Segment single images: a box or a click for each object, then correction clicks.

    Attributes:
        images: per step and process.
        objects: of each image.
        box_probability: how often the first prompt is a box.
        max_corrections: at most that many correction clicks.
        mask_correction_probability: how often a step starts from wrong masks instead, and gives one click
            to correct each.
        weights: of the loss terms.
        mix: how exact prompts are.
    """

    images: int = 8
    objects: int = 5
    box_probability: float = 0.35
    max_corrections: int = 2
    mask_correction_probability: float = 0.0
    new_clips: float = 0.6
    weights: LossWeights = field(default_factory=LossWeights)
    mix: PromptMix = field(default_factory=PromptMix)

    def training_step(
        self, network: SAM2, pool: ClipSource, clips_made: int, rng: Random, shared_rng: Random
    ) -> StepResult:
        """Every object gets its own first prompt; all get the same number of corrections."""
        batch = sample_batch(rng, pool, clips_made, self.images, 1, self.objects)
        masks, truth, visible = batch.masks[0], batch.truth(0), batch.visible[0]
        features = features_per_object(network.encode_image(batch.images), 0, self.images, len(masks))
        if self.mask_correction_probability and shared_rng.chance(self.mask_correction_probability):
            prediction = correct_mask(network, features, degraded(rng, masks), masks, self.mix, rng)
            decoding = Decoding(0, prediction, torch.ones_like(visible), True)
            loss = decoding_loss(decoding, truth, visible, self.weights)
            return StepResult(loss.total, {"corrected_mask": float(loss.iou.mean())})
        boxed = rng.chances(self.box_probability, len(masks))
        points, single, previous = box_or_click(rng, masks, boxed, self.mix), boxed, None
        losses, metrics = [], dict[str, float]()
        for turn in range(1 + shared_rng.integer(0, self.max_corrections)):
            prediction = network.segment(features, points, None, previous, multimask=True)
            loss = decoding_loss(Decoding(0, prediction, single, True), truth, visible, self.weights)
            losses.append(loss.total)
            metrics |= {f"clicks{turn}": float(loss.iou.mean())} if turn else iou_by_prompt(loss.iou, boxed)
            previous = clamped(best_logits(prediction, single).detach().float())
            single = torch.ones_like(single)
            shown = upsampled_masks(previous, masks.shape[-1])
            points = with_click(points, *correction_clicks(rng, shown, masks, self.mix))
        return StepResult(torch.stack(losses).mean(), metrics)


@dataclass(frozen=True)
class ClipTracking(Stage):
    """Track objects through clips: a mask, a box or a click on the first frame, sometimes a correction.

    Attributes:
        clips: per step and process.
        frames: of each clip that are learnt from.
        burn_in: in half of the steps up to so many more frames lie between the first and the others, tracked
            without gradients (see ``PromptSchedule``).
        stride: frames are taken with a random stride up to this.
        objects: of each clip.
        correction_probability: how often a later frame is corrected.
        image_probability: how often a step is one of ``image_stage`` instead.
        image_stage: what such a step does.
        weights: of the loss terms.
        mix: how often which first prompt, and how exact prompts are.
    """

    clips: int = 3
    frames: int = 4
    burn_in: int = 0
    stride: int = 2
    objects: int = 4
    correction_probability: float = 0.2
    image_probability: float = 0.25
    image_stage: ImageSegmentation = field(default_factory=lambda: ImageSegmentation(0))
    new_clips: float = 1.0
    weights: LossWeights = field(default_factory=LossWeights)
    mix: PromptMix = field(default_factory=PromptMix)

    def training_step(
        self, network: SAM2, pool: ClipSource, clips_made: int, rng: Random, shared_rng: Random
    ) -> StepResult:
        """One kind of prompt for all objects of the step."""
        if shared_rng.chance(self.image_probability):
            return self.image_stage.training_step(network, pool, clips_made, rng, shared_rng)
        schedule = self.draw_schedule(shared_rng)
        frames = self.frames + schedule.burn_in
        batch = sample_batch(rng, pool, clips_made, self.clips, frames, self.objects, self.stride)
        visible, losses, ious = batch.visible, [], []
        for decoding in roll_out(network, batch, schedule, rng):
            t = decoding.frame
            loss = decoding_loss(decoding, batch.truth(t), visible[t], self.weights)
            losses.append(loss.total)
            if t and not decoding.prompted and bool(visible[t].any()):
                ious.append(loss.iou[visible[t]].mean())
        metrics = {f"track_{schedule.kind}": float(torch.stack(ious).mean())} if ious else {}
        return StepResult(torch.stack(losses).mean(), metrics)

    def draw_schedule(self, shared_rng: Random) -> PromptSchedule:
        """What the simulated user does in one step."""
        burn_in = shared_rng.integer(1, self.burn_in) if self.burn_in and shared_rng.chance(0.5) else 0
        kind = PROMPT_KINDS[int(self.mix.draw(shared_rng, 1))]
        corrects = shared_rng.chance(self.correction_probability)
        frame = burn_in + shared_rng.integer(1, self.frames - 1) if corrects else None
        corrections = 1 if kind != "mask" and shared_rng.chance(0.3) else 0
        return PromptSchedule(kind, corrections, frame, burn_in, self.mix)
