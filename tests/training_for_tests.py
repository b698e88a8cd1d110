"""A network that trains in milliseconds, and a plan that goes through all stages in ten steps."""

from __future__ import annotations

import torch

from sam2_core.models.checkpoints import build
from sam2_core.models.config import ConvTrunkConfig, SAM2Config
from sam2_core.models.sam2 import SAM2
from sam2_core.training.initialise import initialise
from sam2_core.training.main_stages import ClipTracking, ImageSegmentation
from sam2_core.training.plan import Plan
from sam2_core.training.warm_up_stages import DecoderWarmUp, EncoderWarmUp

TINY = SAM2Config(
    name="test",
    trunk=ConvTrunkConfig((8, 16, 16, 32), (1, 1, 1, 1)),
    image_size=64,
    dim=32,
    memory_dim=16,
    memory_layers=1,
    memory_hidden=32,
    rope_theta=100.0,
    mask_dims=(4, 8, 8, 16),
    decoder_hidden=32,
)


def tiny_network() -> SAM2:
    """As a training run starts."""
    torch.manual_seed(0)
    network = build(TINY).eval()
    initialise(network)
    return network


def tiny_plan(**changes) -> Plan:
    images = ImageSegmentation(3, images=2, objects=2, max_corrections=1, mask_correction_probability=0.3)
    tracking = ClipTracking(
        3,
        clips=1,
        frames=3,
        objects=2,
        burn_in=2,
        correction_probability=0.5,
        image_probability=0.3,
        image_stage=images,
    )
    stages = (DecoderWarmUp(2, objects=4), EncoderWarmUp(2, images=2, samples=20), images, tracking)
    defaults = {
        "network": TINY,
        "stages": stages,
        "clip_frames": 4,
        "pool_capacity": 12,
        "save_every": float("inf"),
    }
    return Plan(**defaults | changes)
