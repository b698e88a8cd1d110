"""Small parts that several boxes of the network share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise

import torch.nn.functional as F
from torch import Tensor, nn

from sam2_core.models.attention import attend
from sam2_core.models.positions import Rotary


class LayerNorm2d(nn.LayerNorm):
    """LayerNorm over the channels of an image, ``(batch, channels, height, width)``."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels, eps=1e-6)

    def forward(self, x_bchw: Tensor) -> Tensor:
        """Normalise each pixel; the result is in channels-last memory order."""
        return super().forward(x_bchw.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class MLP(nn.Module):
    """Linear layers with an activation between them.

    Args:
        widths: channels of the input, of each hidden layer and of the output.
        activation: what comes between the layers.
    """

    def __init__(self, widths: Sequence[int], activation: Callable[[Tensor], Tensor] = F.relu) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(inputs, outputs) for inputs, outputs in pairwise(widths))
        self.activation = activation

    def forward(self, x: Tensor) -> Tensor:
        """``(..., inputs)`` -> ``(..., outputs)``."""
        *hidden, last = self.layers
        for layer in hidden:
            x = self.activation(layer(x))
        output: Tensor = last(x)
        return output


class Attention(nn.Module):
    """Multi-head attention between two sets of tokens.

    Args:
        dim: channels of the queries and of the output.
        inner: channels inside the attention, over all heads.
        heads: number of heads.
        memory_dim: channels of keys and values; ``dim`` if not given.
    """

    def __init__(self, dim: int, inner: int, heads: int, memory_dim: int | None = None) -> None:
        super().__init__()
        self.heads = heads
        self.q_proj = nn.Linear(dim, inner)
        self.k_proj = nn.Linear(memory_dim or dim, inner)
        self.v_proj = nn.Linear(memory_dim or dim, inner)
        self.out_proj = nn.Linear(inner, dim)

    def forward(
        self, query_bnd: Tensor, key_bmd: Tensor, value_bmd: Tensor, rotary: Rotary | None = None
    ) -> Tensor:
        """Attend; a batch of 1 is broadcast against a larger one.

        Args:
            query_bnd: ``(batch, queries, dim)``.
            key_bmd: ``(batch, keys, memory_dim)``.
            value_bmd: ``(batch, keys, memory_dim)``.
            rotary: places of queries and keys, for attention with one head.

        Returns:
            ``(batch, queries, dim)``.
        """
        query, key, value = self.q_proj(query_bnd), self.k_proj(key_bmd), self.v_proj(value_bmd)
        if rotary is not None:
            query, key = rotary.turn_queries(query), rotary.turn_keys(key)
        attended = attend(self._split(query), self._split(key), self._split(value))
        output: Tensor = self.out_proj(attended.transpose(1, 2).flatten(2))
        return output

    def _split(self, x_bnd: Tensor) -> Tensor:
        batch, tokens, channels = x_bnd.shape
        return x_bnd.reshape(batch, tokens, self.heads, channels // self.heads).transpose(1, 2)
