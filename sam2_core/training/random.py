"""Random numbers from one seeded generator, on its device: the same seed, the same clip."""

from __future__ import annotations

import math

import torch
from torch import Tensor


class Random:
    """A seeded source of random tensors and decisions.

    Attributes:
        generator: the torch generator; its device is where tensors are made.
        device: the same device.
    """

    def __init__(self, seed: int, device: torch.device | str = "cpu") -> None:
        self.device = torch.device(device)
        self.generator = torch.Generator(self.device)
        self.generator.manual_seed(seed)

    def uniform(self, low: float, high: float, *shape: int) -> Tensor:
        """Uniform numbers in ``low..high``."""
        return torch.rand(shape, generator=self.generator, device=self.device) * (high - low) + low

    def log_uniform(self, low: float, high: float, *shape: int) -> Tensor:
        """Numbers in ``low..high`` whose logarithm is uniform."""
        return self.uniform(math.log(low), math.log(high), *shape).exp()

    def normal(self, *shape: int) -> Tensor:
        """Standard normal numbers."""
        return torch.randn(shape, generator=self.generator, device=self.device)

    def number(self, low: float, high: float) -> float:
        """One uniform number."""
        return float(self.uniform(low, high))

    def log_number(self, low: float, high: float) -> float:
        """One number whose logarithm is uniform."""
        return math.exp(self.number(math.log(low), math.log(high)))

    def integer(self, low: int, high: int) -> int:
        """One whole number in ``low..high``, both included."""
        return int(torch.randint(low, high + 1, (), generator=self.generator, device=self.device))

    def integers(self, low: int, high: int, *shape: int) -> Tensor:
        """Whole numbers in ``low..high``, both included."""
        return torch.randint(low, high + 1, shape, generator=self.generator, device=self.device)

    def chance(self, probability: float) -> bool:
        """True with this probability."""
        return self.number(0, 1) < probability

    def chances(self, probability: float, *shape: int) -> Tensor:
        """Independent decisions, a tensor of booleans."""
        return self.uniform(0, 1, *shape) < probability
