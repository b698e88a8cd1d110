"""Grids that were made in one view of a frame, as they are seen from another (decision record 13)."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import torch
from torch import Tensor

from sam2_core.models import devices

_GRAIN = 4096
"""Places are rounded to this part of a cell: shifts by whole cells then copy values without mixing them."""


class Affine(NamedTuple):
    """Where the positions of one view lie in another along one axis, both in 0..1 of their lengths.

    Attributes:
        scale, offset: a position ``p`` of the one is ``scale * p + offset`` of the other.
    """

    scale: float
    offset: float


def resampled(
    grid_ndhw: Tensor,
    rows: Affine,
    columns: Affine,
    outside: float | None = None,
) -> Tensor:
    """A grid read at other places, bilinearly; shifts by whole cells are exact.

    Args:
        grid_ndhw: values in the cells of one view.
        rows: where the rows of the wanted view lie.
        columns: the same for columns.
        outside: what lies outside of the grid; None repeats its border.

    Returns:
        ``(n, d, h, w)``, the cells of the wanted view.
    """
    height, width = grid_ndhw.shape[-2:]
    device = grid_ndhw.device
    row_weights, row_inside = _weights(height, rows, device)
    column_weights, column_inside = _weights(width, columns, device)
    with torch.autocast(device.type, enabled=False):  # whatever the caller has switched on
        seen_ndhw = row_weights @ grid_ndhw.float() @ column_weights.T
    if outside is not None:
        inside_hw = row_inside[:, None] & column_inside
        seen_ndhw = torch.where(inside_hw, seen_ndhw, outside)
    return seen_ndhw.to(grid_ndhw.dtype)


@lru_cache(maxsize=256)
def _weights(count: int, where: Affine, device: torch.device) -> tuple[Tensor, Tensor]:
    """How much of each cell goes into each wanted one, ``(wanted, count)``, and which of those lie inside."""
    wanted = (torch.arange(count, dtype=torch.float64) + 0.5) / count
    cells = ((wanted * where.scale + where.offset) * count - 0.5).mul(_GRAIN).round() / _GRAIN
    inside = (cells >= -0.5) & (cells <= count - 0.5)
    cells = cells.clamp(0, count - 1)
    low = cells.floor().long()
    share = (cells - low).float()
    every = torch.arange(count)
    weights = (every == low[:, None]) * (1 - share[:, None]) + (every == low[:, None] + 1) * share[:, None]
    return devices.send(weights, device), devices.send(inside, device)
