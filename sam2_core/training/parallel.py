"""One process or several: the same code under ``python -m`` and under ``torchrun``."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, distributed


@dataclass(frozen=True)
class Processes:
    """Which of the processes of a run this is, and what they do together.

    Attributes:
        rank: its number.
        world_size: how many there are.
        device: where it computes.
    """

    rank: int
    world_size: int
    device: torch.device

    @classmethod
    def join(cls, device: torch.device | None = None) -> Processes:
        """Join the other processes, if torchrun started any; one thread each on a CPU.

        Args:
            device: where to compute; None for a GPU if there is one, else the CPU. Of several processes each
                takes the GPU of its number.
        """
        world_size = int(os.environ.get("WORLD_SIZE", "1"))
        rank = int(os.environ.get("RANK", "0"))
        if device is None:
            device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        cuda = device.type == "cuda"
        if cuda and (world_size > 1 or device.index is None):
            device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
        if cuda:
            torch.cuda.set_device(device)
        if world_size > 1:
            if not cuda:
                torch.set_num_threads(1)
            distributed.init_process_group("nccl" if cuda else "gloo")
        return cls(rank, world_size, device)

    @property
    def is_main(self) -> bool:
        """Whether this is the process that writes files."""
        return self.rank == 0

    def average(self, tensors: Iterable[Tensor]) -> None:
        """Replace tensors by their mean over all processes, in one exchange."""
        if self.world_size == 1:
            return
        chosen = list(tensors)
        flat = torch.cat([tensor.reshape(-1) for tensor in chosen])
        distributed.all_reduce(flat)
        flat /= self.world_size
        start = 0
        for tensor in chosen:
            tensor.copy_(flat[start : start + tensor.numel()].view_as(tensor))
            start += tensor.numel()

    def any(self, flag: bool) -> bool:
        """Whether the flag is set in any process (the clock of each runs differently)."""
        if self.world_size == 1:
            return flag
        flags = torch.tensor([float(flag)], device=self.device)
        distributed.all_reduce(flags)
        return bool(flags.item() > 0)

    def wait(self) -> None:
        """Wait until all processes have come here."""
        self.any(False)

    def leave(self) -> None:
        """Leave the others, when all are done: who leaves early makes gloo abort the last now and then."""
        if self.world_size > 1:
            distributed.barrier()
            distributed.destroy_process_group()
