"""One process or several: the same code under ``python -m`` and under ``torchrun``."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, distributed

if TYPE_CHECKING:
    from torch.distributed.distributed_c10d import Store


@dataclass(frozen=True)
class Processes:
    """Which of the processes of a run this is, and what they do together.

    Attributes:
        rank: its number.
        world_size: how many there are.
        device: where it computes.
        store: what torchrun keeps for all processes of a run, if there are several.
    """

    rank: int
    world_size: int
    device: torch.device
    store: Store | None = None

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
        if world_size == 1:
            return cls(rank, world_size, device)
        if not cuda:
            torch.set_num_threads(1)
        from torch.distributed.rendezvous import rendezvous  # not in every build of torch

        store, *_ = next(rendezvous("env://"))
        distributed.init_process_group(
            "nccl" if cuda else "gloo", store=store, rank=rank, world_size=world_size
        )
        return cls(rank, world_size, device, store)

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
        """Leave the others, when all are done: who closes his connections early makes gloo abort the last.

        They meet in the store and not in a collective, since the first to come out of that closes them, too.
        """
        if self.store is None:
            return
        self._meet("done")
        distributed.destroy_process_group()
        self.store.add("left", 1)
        if self.is_main:  # without torchrun the store lives in this process
            self._meet("left", 0)

    def _meet(self, place: str, arriving: int = 1) -> None:
        """Wait in the store until all processes have come to a place."""
        if self.store is not None:
            self.store.add(place, arriving)
            while self.store.add(place, 0) < self.world_size:
                time.sleep(0.01)
