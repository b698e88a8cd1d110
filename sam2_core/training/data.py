"""What a run trains on and what it is validated on."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import torch

from sam2_core.training.batches import Batch
from sam2_core.training.clip_pool import ClipPool
from sam2_core.training.clips import ClipSource
from sam2_core.training.parallel import Processes
from sam2_core.training.pictures import Pictures
from sam2_core.training.plan import Plan
from sam2_core.training.validation import held_out_batch


class TrainingData(Protocol):
    """Where the clips of a run come from."""

    @property
    def identity(self) -> str:
        """What a checkpoint says of the data."""
        ...

    def clips(self, plan: Plan, processes: Processes, folder: Path | None) -> ClipSource:
        """What the steps of a run are sampled from; the folder may keep clips."""
        ...

    def validation_batch(self, number: int, plan: Plan, device: torch.device) -> Batch:
        """The batch of a number, of what is held out, if anything is."""
        ...


@dataclass(frozen=True)
class Procedural:
    """Clips that are made as training goes on.

    Attributes:
        pictures: real pictures for layered scenes, if there are any.
    """

    pictures: Pictures | None = None

    @property
    def identity(self) -> str:
        """What a checkpoint says of the data."""
        return self.pictures.identity if self.pictures else "none"

    def clips(self, plan: Plan, processes: Processes, folder: Path | None) -> ClipPool:
        """A pool of clips for each process."""
        return ClipPool(
            seed=plan.seed * 1_000_003,
            rank=processes.rank,
            world_size=processes.world_size,
            frames=plan.clip_frames,
            size=plan.network.image_size,
            capacity=plan.pool_capacity,
            device=processes.device,
            folder=None if folder is None else folder / "clips",
            pictures=self.pictures,
        )

    def validation_batch(self, number: int, plan: Plan, device: torch.device) -> Batch:
        """A held-out clip, with held-out pictures."""
        held_out = replace(self.pictures, held_out=True) if self.pictures else None
        size = plan.network.image_size
        return held_out_batch(number, plan.clip_frames, size, device=device, pictures=held_out)
