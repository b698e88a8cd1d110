"""The one place where the formulation of attention is chosen; everything else calls ``attend``."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def attend(query_bhnd: Tensor, key_bhmd: Tensor, value_bhmd: Tensor) -> Tensor:
    """Softmax attention, scaled by the square root of the head width.

    A batch of 1 is broadcast against a larger one.

    Args:
        query_bhnd: ``(batch, heads, queries, width)``.
        key_bhmd: ``(batch, heads, keys, width)``.
        value_bhmd: ``(batch, heads, keys, width)``.

    Returns:
        ``(batch, heads, queries, width)``.
    """
    batch = max(query_bhnd.shape[0], key_bhmd.shape[0], value_bhmd.shape[0])
    query_bhnd, key_bhmd, value_bhmd = (
        tensor if tensor.shape[0] == batch else tensor.expand(batch, -1, -1, -1)
        for tensor in (query_bhnd, key_bhmd, value_bhmd)
    )
    if torch.is_grad_enabled() and query_bhnd.requires_grad and query_bhnd.device.type == "cpu":
        # Training on a CPU: the backward pass of the fused kernel takes a third of a step.
        return naive_attend(query_bhnd, key_bhmd, value_bhmd)
    return F.scaled_dot_product_attention(query_bhnd, key_bhmd, value_bhmd)


def naive_attend(query_bhnd: Tensor, key_bhmd: Tensor, value_bhmd: Tensor) -> Tensor:
    """The formula as it is written; what faster formulations are checked against. Shapes as ``attend``."""
    scores_bhnm = (query_bhnd * query_bhnd.shape[-1] ** -0.5) @ key_bhmd.transpose(-1, -2)
    return torch.softmax(scores_bhnm, dim=-1) @ value_bhmd
