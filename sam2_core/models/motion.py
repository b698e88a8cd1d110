"""Memories that move with the object, for networks that track from their last mask (decision record 11).

Where an object is, is the centre of its mask; a memory made elsewhere is moved there by whole cells of its
grid. So attention finds at the same place what belongs to the same part of the object.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

SURE = 3.0
"""Logits from about here on count for the centre: what is doubtful is often left behind."""


def centres(logits_n1hw: Tensor) -> Tensor:
    """The centres of n masks.

    Args:
        logits_n1hw: mask logits of any size.

    Returns:
        ``(n, 2)``, row and column in 0..1 of the image; nan for a mask without a pixel.
    """
    logits_nhw = logits_n1hw[:, 0].float()
    weights_nhw = torch.sigmoid(logits_nhw - SURE)
    total_n = weights_nhw.sum((1, 2))
    found = []
    for axis in (1, 2):
        length = logits_nhw.shape[axis]
        places = (torch.arange(length, device=logits_nhw.device) + 0.5) / length
        found.append((weights_nhw.sum(3 - axis) * places).sum(1) / total_n)
    centres_n2 = torch.stack(found, 1)
    seen_n = (logits_nhw > 0).flatten(1).any(1)
    return torch.where(seen_n[:, None], centres_n2, torch.nan)


def latest(centres_by_age: Iterable[Tensor]) -> Tensor | None:
    """For each of n objects the first centre that is known, ``(n, 2)``; nan if none is; None for nothing."""
    newest: Tensor | None = None
    for centres_n2 in centres_by_age:
        newest = centres_n2 if newest is None else torch.where(newest.isnan(), centres_n2, newest)
    return newest


def moved(memory_ndhw: Tensor, made_at_n2: Tensor, now_at_n2: Tensor) -> Tensor:
    """Memories moved by whole cells; what comes in from outside repeats the border.

    Args:
        memory_ndhw: spatial memories.
        made_at_n2: where their objects were when they were made (``centres``); nan: they stay.
        now_at_n2: where the objects are now.
    """
    n, _, height, width = memory_ndhw.shape
    device = memory_ndhw.device
    down_n, right_n = (now_at_n2 - made_at_n2).unbind(1)
    shift_n2 = torch.stack([down_n * height, right_n * width], dim=1).round().nan_to_num(0).long()
    rows_nh = (torch.arange(height, device=device) - shift_n2[:, :1]).clamp(0, height - 1)
    columns_nw = (torch.arange(width, device=device) - shift_n2[:, 1:]).clamp(0, width - 1)
    which_n = torch.arange(n, device=device)
    moved_nhwd = memory_ndhw[which_n[:, None, None], :, rows_nh[:, :, None], columns_nw[:, None, :]]
    return moved_nhwd.permute(0, 3, 1, 2)
