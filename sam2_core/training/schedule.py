"""The stages of nano's plan, how long they are and what they teach; without torch, for help texts."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple


class StageSteps(NamedTuple):
    """How many steps a stage of nano's plan takes by default, and what it teaches."""

    steps: int
    teaches: str


NANO_STAGES: Mapping[str, StageSteps] = MappingProxyType(
    {
        "decoder-warm-up": StageSteps(250, "the decoder alone, on noise: what a box and a click mean"),
        "encoder-warm-up": StageSteps(300, "the encoder alone: to tell objects apart"),
        "image-warm-up": StageSteps(
            120, "single images, boxes and clicks, object and background balanced in the loss"
        ),
        "image-segmentation": StageSteps(160, "single images, boxes, clicks and corrections"),
        "two-frame-tracking": StageSteps(340, "two frames: to carry a mask over a large motion"),
        "four-frame-tracking": StageSteps(
            650, "four frames: to go on from its own masks, sometimes corrected"
        ),
        "long-tracking": StageSteps(
            3000, "four frames behind a burn-in: not to drift; and to mend a wrong mask with one click"
        ),
    }
)
"""The stages of nano's plan in order, by the option that sets their number of steps."""
