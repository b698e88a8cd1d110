"""The lessons proper: segment single images, and follow objects through clips."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch

from sam2_core.models.sam2 import SAM2
from sam2_core.training.bank import ClipBank, draw_batch
from sam2_core.training.losses import LossWeights
from sam2_core.training.prompts import KINDS, PromptMix, corrections, spoiled
from sam2_core.training.random import Dice
from sam2_core.training.rollout import (
    Decoding,
    Script,
    answer,
    corrected,
    enlarged,
    first_prompts,
    per_object,
    roll_out,
    with_click,
)
from sam2_core.training.stages import Lesson, Stage, by_kind, decoding_loss


@dataclass(frozen=True)
class SegmentImages(Stage):
    """Single images: boxes and clicks, then corrections.

    Attributes:
        clips: images per step and process.
        objects: of each image.
        boxed: how often the first prompt is a box.
        rounds: at most that many correction clicks.
        mended: how often a step is about wrong masks and one click on each instead.
        weights, mix: losses and prompts.
    """

    clips: int = 8
    objects: int = 5
    boxed: float = 0.35
    rounds: int = 2
    mended: float = 0.0
    new_clips: float = 0.6
    weights: LossWeights = field(default_factory=LossWeights)
    mix: PromptMix = field(default_factory=PromptMix)

    def lesson(self, network: SAM2, bank: ClipBank, step: int, own: Dice, shared: Dice) -> Lesson:
        """Every object gets its own first prompt; all get the same number of corrections."""
        batch = draw_batch(own, bank, step, self.clips, 1, self.objects)
        masks, truth, visible = batch.masks[0], batch.truth(0), batch.visible[0]
        features = per_object(network.encode_image(batch.images), 0, self.clips, len(masks))
        if self.mended and shared.chance(self.mended):
            mended = corrected(network, features, spoiled(own, masks), masks, self.mix, own)
            alone = torch.ones_like(visible)
            loss = decoding_loss(Decoding(0, mended, alone, True), truth, visible, self.weights)
            return Lesson(loss.total, {"mended": float(loss.iou.mean())})
        boxed = own.chances(self.boxed, len(masks))
        points, single, previous = first_prompts(own, masks, boxed, self.mix), boxed, None
        losses, figures = [], dict[str, float]()
        for turn in range(1 + shared.integer(0, self.rounds)):
            prediction = network.segment(features, points, None, previous, multimask=True)
            loss = decoding_loss(Decoding(0, prediction, single, True), truth, visible, self.weights)
            losses.append(loss.total)
            figures |= {f"clicks{turn}": float(loss.iou.mean())} if turn else by_kind(loss.iou, boxed)
            previous = answer(prediction, single).detach().float().clamp(-32, 32)
            single = torch.ones_like(single)
            wrong = enlarged(previous, masks.shape[-1])
            points = with_click(points, *corrections(own, wrong, masks, self.mix))
        return Lesson(torch.stack(losses).mean(), figures)


@dataclass(frozen=True)
class FollowObjects(Stage):
    """Clips: a mask, a box or a click on the first frame, then tracking, sometimes a correction.

    Attributes:
        clips: per step and process.
        frames: of each clip.
        lead: half of the time up to so many more frames lie between the first and the others; nothing is
            learnt on them.
        stride: frames are taken with a random stride up to this.
        objects: of each clip.
        corrected: how often a later frame is corrected.
        images: how often a step is about single images instead.
        image_stage: what such a step is.
        weights, mix: losses and prompts.
    """

    clips: int = 3
    frames: int = 4
    lead: int = 0
    stride: int = 2
    objects: int = 4
    corrected: float = 0.2
    images: float = 0.25
    image_stage: SegmentImages = field(default_factory=lambda: SegmentImages(0))
    new_clips: float = 1.0
    weights: LossWeights = field(default_factory=LossWeights)
    mix: PromptMix = field(default_factory=PromptMix)

    def lesson(self, network: SAM2, bank: ClipBank, step: int, own: Dice, shared: Dice) -> Lesson:
        """One kind of prompt for all objects of the step."""
        if shared.chance(self.images):
            return self.image_stage.lesson(network, bank, step, own, shared)
        lead = shared.integer(1, self.lead) if self.lead and shared.chance(0.5) else 0
        batch = draw_batch(own, bank, step, self.clips, self.frames + lead, self.objects, self.stride)
        kind = KINDS[int(self.mix.draw(shared, 1))]
        late = lead + shared.integer(1, self.frames - 1) if shared.chance(self.corrected) else None
        clicked = 1 if kind != "mask" and shared.chance(0.3) else 0
        visible, losses, overlaps = batch.visible, [], []
        for answered in roll_out(network, batch, Script(kind, clicked, late, lead, self.mix), own):
            t = answered.frame
            loss = decoding_loss(answered, batch.truth(t), visible[t], self.weights)
            losses.append(loss.total)
            if t and not answered.prompted and bool(visible[t].any()):
                overlaps.append(loss.iou[visible[t]].mean())
        figures = {f"track_{kind}": float(torch.stack(overlaps).mean())} if overlaps else {}
        return Lesson(torch.stack(losses).mean(), figures)
