"""What decides the result of a training run, and the recommended plan for a fresh nano."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import cast

from sam2_core.models.config import HieraConfig, SAM2Config, config
from sam2_core.training.losses import LossWeights
from sam2_core.training.main_stages import ClipTracking, ImageSegmentation
from sam2_core.training.prompts import PromptMix
from sam2_core.training.schedule import NANO_STAGES
from sam2_core.training.stage import Stage
from sam2_core.training.warm_up_stages import DecoderWarmUp, EncoderWarmUp


@dataclass(frozen=True)
class Plan:
    """Everything that decides the result of a training run.

    Attributes:
        network: what is trained.
        stages: one after the other.
        seed: of initial weights, clips and prompts.
        clip_frames: length of the clips in the pool.
        pool_capacity: how many clips each process trains on at a time.
        averaging: decay of the moving average of the weights (the average is what is exported).
        weight_decay: of matrices; not of biases, norms and embeddings.
        layer_decay: the learning rate falls by this factor with every block of the image trunk from its
            last to its first (``optimiser.layer_shares``); SAM 2's recipe for its weights is .9.
        max_gradient_norm: the gradient of a step is scaled down to this norm.
        betas: of AdamW.
        bfloat16: compute in bfloat16 where autocast does.
        save_every: seconds between checkpoints.
    """

    network: SAM2Config = field(default_factory=lambda: config("nano"))
    stages: tuple[Stage, ...] = ()
    seed: int = 1
    clip_frames: int = 8
    pool_capacity: int = 400
    averaging: float = 0.999
    weight_decay: float = 0.05
    layer_decay: float = 1.0
    max_gradient_norm: float = 1.0
    betas: tuple[float, float] = (0.9, 0.98)
    bfloat16: bool = True
    save_every: float = 120.0

    def stage_at(self, step: int) -> tuple[Stage, int] | None:
        """The stage of a step and the step within it; None at the end."""
        for stage in self.stages:
            if step < stage.steps:
                return stage, step
            step -= stage.steps
        return None

    def description(self) -> dict[str, str]:
        """What a checkpoint says of the plan it was made by: seed, layer decay, and a line per stage."""
        return {
            "seed": str(self.seed),
            "layer decay": str(self.layer_decay),
            "stages": "\n".join(str(stage) for stage in self.stages),
        }


def nano_plan(steps: Mapping[str, int] | None = None, *, burn_in: int = 10, seed: int = 1) -> Plan:
    """The recommended plan for a fresh nano.

    A network that starts from nothing would never leave the empty mask, so its parts are warmed up first;
    then it sees images, and clips that become longer.

    Args:
        steps: numbers of steps that differ from the default, by the names in ``NANO_STAGES``.
        burn_in: at most so many frames without gradients in the last stage.
        seed: of initial weights, clips and prompts.
    """
    count = {name: stage.steps for name, stage in NANO_STAGES.items()} | dict(steps or {})
    # Objects must not shrink from frame to frame (alpha), and of three masks the best shall be chosen (iou).
    weights = LossWeights(iou=2, alpha=0.5)
    balanced = LossWeights(focal=5, balanced=1)
    images = ImageSegmentation(count["image-segmentation"], learning_rate=4e-4, weights=weights)
    image_warm_up = replace(images, steps=count["image-warm-up"], weights=balanced, max_corrections=1)
    two_frames = ClipTracking(
        count["two-frame-tracking"],
        learning_rate=4e-4,
        clips=6,
        frames=2,
        stride=5,
        correction_probability=0.0,
        image_probability=0.35,
        image_stage=images,
        mix=PromptMix(mask=0.6, box=0.2, click=0.2),
        new_clips=0.8,
        weights=weights,
    )
    four_frames = replace(
        two_frames,
        steps=count["four-frame-tracking"],
        clips=3,
        frames=4,
        stride=2,
        correction_probability=0.2,
        image_probability=0.25,
        new_clips=0.5,
    )
    long = replace(
        four_frames,
        steps=count["long-tracking"],
        burn_in=burn_in,
        stride=3,
        learning_rate=3e-4,
        final_learning_rate=1e-5,
        cool_down_steps=count["long-tracking"] // 3,
        image_probability=0.35,
        image_stage=replace(images, mask_correction_probability=0.5),
        new_clips=1.2,
    )
    warm_ups = (DecoderWarmUp(count["decoder-warm-up"]), EncoderWarmUp(count["encoder-warm-up"]))
    stages = (*warm_ups, image_warm_up, images, two_frames, four_frames, long)
    return Plan(stages=stages, seed=seed, clip_frames=16)  # so long that things go away for good


def fine_tuning_plan(network: SAM2Config, steps: int, *, seed: int = 1) -> Plan:
    """A plan for weights that are trained already, on few videos.

    Those of nano stand a high rate; the published ones get the rates of their own recipe (SAM 2's public
    configuration for MOSE: 5e-6, falling to a tenth, with a layer decay of .9).

    Args:
        network: the sizes.
        steps: how many; the learning rate falls over the second half.
        seed: of prompts and samples.
    """
    published = isinstance(network.trunk, HieraConfig)
    rate = 5e-6 if published else 2e-4
    last = cast(ClipTracking, nano_plan().stages[-1])
    stage = replace(
        last,
        steps=steps,
        learning_rate=rate,
        final_learning_rate=rate / 10 if published else rate / 20,
        # Few objects end in a clip: with less weight, 150 steps do not teach a model when its object is gone.
        weights=replace(last.weights, objectness=4.0),
        warm_up_steps=min(20, steps),
        cool_down_steps=steps // 2,
        new_clips=0.1,
    )
    decay = 0.9 if published else 1.0
    return Plan(network=network, stages=(stage,), seed=seed, clip_frames=16, layer_decay=decay)
