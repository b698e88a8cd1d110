"""What a case is: two sides that do the same work with the same frames and weights."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from sam2_core.bench.measure import Work
from sam2_core.bench.random_networks import random_network
from sam2_core.bench.theirs import THEIR_SETTINGS, Theirs
from sam2_core.models.config import config
from sam2_core.models.sam2 import SAM2


@dataclass(frozen=True)
class Conditions:
    """Where a run is, how large, and whether beside the library.

    Attributes:
        device: where both sides compute.
        folder: for films that are made on the spot.
        small: sizes with which the figures say nothing, to see in seconds that everything works.
        against: whether ``transformers`` does the same work in turn.
    """

    device: torch.device
    folder: Path
    small: bool = False
    against: bool = False

    def network(self, name: str, image_size: int) -> SAM2:
        """A network of a size, with random weights."""
        sizes = config(name).at_size(128 if self.small else image_size)
        return random_network(sizes).requires_grad_(False)

    def count(self, wanted: int, small: int) -> int:
        """So many objects or frames."""
        return small if self.small else wanted

    def theirs(self, network: SAM2, dtype: torch.dtype | None = None) -> dict[str, Theirs]:
        """The library's models with these weights, by setting; none if it takes no part.

        Args:
            network: what has the weights.
            dtype: only the settings that compute in it; None for all.
        """
        settings = THEIR_SETTINGS.items() if self.against else ()
        return {
            name: Theirs.of(network, setting, self.device)
            for name, setting in settings
            if dtype in (None, setting.dtype)
        }


@dataclass(frozen=True, eq=False)
class Pair:
    """The two sides of a case, for work that is timed.

    Attributes:
        ours: our work; what it returns may be compared.
        theirs: the same in ``transformers``, by the library's setting.
        exact: the same by us in float32, for comparing masks; None if there are none to compare.
        logits: makes what a side returns comparable, ``(objects, 1, height, width)``.
        dtype: in what our side computes.
        once: one round without a warm-up, for work that takes minutes.
    """

    ours: Work
    theirs: Mapping[str, Work] = field(default_factory=dict)
    exact: Work | None = None
    logits: Callable[[object], Tensor] | None = None
    dtype: torch.dtype = torch.float32
    once: bool = False


@dataclass(frozen=True)
class Counted:
    """What a case found, if it counts something other than the time of a work.

    Attributes:
        ours: our figure.
        theirs: the library's, if it took part.
    """

    ours: float
    theirs: float | None


@dataclass(frozen=True)
class Case:
    """A case of the benchmark.

    Attributes:
        name: how ``--case`` calls it.
        title: what is done.
        unit: of the figures; "" for the time of a work.
        prepare: makes the two sides, or counts on its own.
        on_gpu: whether it is run without being named on a GPU only, since it takes very long elsewhere.
    """

    name: str
    title: str
    unit: str
    prepare: Callable[[Conditions], Pair | Counted]
    on_gpu: bool = False
