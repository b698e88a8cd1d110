"""What a stage of the training is: how long, how quickly, and what one step of it computes."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

from torch import Tensor

from sam2_core.models.sam2 import SAM2
from sam2_core.training.clips import ClipSource
from sam2_core.training.random import Random


@dataclass(frozen=True)
class StepResult:
    """What one training step computed.

    Attributes:
        loss: a scalar with a gradient.
        metrics: numbers for the log.
    """

    loss: Tensor
    metrics: dict[str, float]


@dataclass(frozen=True)
class Stage(ABC):
    """A part of the training.

    Attributes:
        steps: how many optimiser steps it takes.
        learning_rate: reached after ``warm_up_steps``.
        final_learning_rate: what it falls to, linearly, over the last ``cool_down_steps``.
        warm_up_steps: the learning rate rises linearly over these.
        cool_down_steps: 0 if it stays as it is.
        new_clips: how many clips each process makes per step.
    """

    steps: int
    learning_rate: float = 2e-4
    final_learning_rate: float = 2e-4
    warm_up_steps: int = 30
    cool_down_steps: int = 0
    new_clips: float = 1.0

    @property
    def name(self) -> str:
        """What the log calls it."""
        return type(self).__name__

    def learning_rate_at(self, step: int) -> float:
        """The learning rate of a step of this stage, counted from 0."""
        rate = self.learning_rate * min(1.0, (step + 1) / max(1, self.warm_up_steps))
        left = self.steps - step
        if left < self.cool_down_steps:
            fall = self.learning_rate - self.final_learning_rate
            rate = min(rate, self.final_learning_rate + fall * left / self.cool_down_steps)
        return rate

    @abstractmethod
    def training_step(
        self, network: SAM2, pool: ClipSource, clips_made: int, rng: Random, shared_rng: Random
    ) -> StepResult:
        """The forward pass and the loss of one step.

        Args:
            network: what is trained.
            pool: where clips come from.
            clips_made: how many clips were made so far.
            rng: randomness that differs between processes.
            shared_rng: randomness that is the same in all processes; it decides how much work a step is.
        """


def iou_by_prompt(iou: Tensor, boxed: Tensor) -> dict[str, float]:
    """Mean IoU of the objects with a box and of those with a click, for the log."""
    kinds = (("box", boxed), ("click", ~boxed))
    return {name: float(iou[chosen].mean()) for name, chosen in kinds if bool(chosen.any())}
