"""One process or several: the same code under ``python -m`` and under ``torchrun``."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, distributed


@dataclass(frozen=True)
class Lanes:
    """Which process this is.

    Attributes:
        lane: its number.
        lanes: how many there are.
        device: where it computes.
    """

    lane: int
    lanes: int
    device: torch.device

    @classmethod
    def join(cls) -> Lanes:
        """Join the other processes, if torchrun started any; one thread each on a CPU."""
        lanes = int(os.environ.get("WORLD_SIZE", "1"))
        lane = int(os.environ.get("RANK", "0"))
        cuda = torch.cuda.is_available()
        device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0"))) if cuda else torch.device("cpu")
        if cuda:
            torch.cuda.set_device(device)
        if lanes > 1:
            if not cuda:
                torch.set_num_threads(1)
            distributed.init_process_group("nccl" if cuda else "gloo")
        return cls(lane, lanes, device)

    def average(self, tensors: Iterable[Tensor]) -> None:
        """Replace tensors by their mean over all processes, in one exchange."""
        if self.lanes == 1:
            return
        chosen = list(tensors)
        flat = torch.cat([tensor.reshape(-1) for tensor in chosen])
        distributed.all_reduce(flat)
        flat /= self.lanes
        start = 0
        for tensor in chosen:
            tensor.copy_(flat[start : start + tensor.numel()].view_as(tensor))
            start += tensor.numel()

    def agree(self, flag: bool) -> bool:
        """Whether any process says yes (the clock of each runs differently)."""
        if self.lanes == 1:
            return flag
        said = torch.tensor([float(flag)], device=self.device)
        distributed.all_reduce(said)
        return bool(said.item() > 0)

    def leave(self) -> None:
        """Leave the others."""
        if self.lanes > 1:
            distributed.destroy_process_group()
