"""Stages of the training: what each step teaches, for how long, and how quickly."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

from torch import Tensor

from sam2_core.models.sam2 import SAM2
from sam2_core.training.bank import ClipBank
from sam2_core.training.losses import LossWeights, StepLoss, step_loss
from sam2_core.training.random import Dice
from sam2_core.training.rollout import Decoding, counted_masks


@dataclass(frozen=True)
class Lesson:
    """What one step gives: a loss with a gradient, and numbers for the log."""

    loss: Tensor
    figures: dict[str, float]


@dataclass(frozen=True)
class Stage(ABC):
    """A part of the training.

    Attributes:
        steps: how many optimiser steps it takes.
        rate: its learning rate, reached after ``warm_up`` steps.
        final_rate: the rate at its end (the rate falls linearly over the last ``cool_down`` steps).
        warm_up, cool_down: steps.
        new_clips: clips that are made per step and process.
    """

    steps: int
    rate: float = 2e-4
    final_rate: float = 2e-4
    warm_up: int = 30
    cool_down: int = 0
    new_clips: float = 1.0

    @property
    def name(self) -> str:
        """What the log calls it."""
        return type(self).__name__

    def rate_at(self, step: int) -> float:
        """The learning rate of a step of this stage."""
        rate = self.rate * min(1.0, (step + 1) / max(1, self.warm_up))
        left = self.steps - step
        if left < self.cool_down:
            rate = self.final_rate + (self.rate - self.final_rate) * left / self.cool_down
        return rate

    @abstractmethod
    def lesson(self, network: SAM2, bank: ClipBank, step: int, own: Dice, shared: Dice) -> Lesson:
        """One step.

        Args:
            network: what learns.
            bank: where clips come from.
            step: how many clips exist by now decides on this.
            own: chance that differs between processes.
            shared: chance that does not; it decides how much work the step is.
        """


def decoding_loss(step: Decoding, truth: Tensor, visible: Tensor, weights: LossWeights) -> StepLoss:
    """The loss of one answer of the network; ``truth`` as ``step_loss`` wants it."""
    said = step.prediction
    counted = counted_masks(step.single)
    return step_loss(
        said.all_logits_nkhw, said.ious_nk, said.object_score_n1[:, 0], truth, visible, counted, weights
    )


def by_kind(iou: Tensor, boxed: Tensor) -> dict[str, float]:
    """Mean IoU of objects with a box and of those with a click."""
    kinds = (("box", boxed), ("click", ~boxed))
    return {name: float(iou[chosen].mean()) for name, chosen in kinds if bool(chosen.any())}
