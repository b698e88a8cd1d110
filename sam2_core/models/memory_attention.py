"""Memory attention: the features of a frame read what is remembered of an object."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sam2_core.models.attention import attend, narrow_values_pay
from sam2_core.models.config import SAM2Config
from sam2_core.models.layers import Attention
from sam2_core.models.positions import Derived, Rotary, rotary_turns, sine_grid


@dataclass(frozen=True, eq=False)
class MemoryTokens:
    """What n objects remember: whole spatial memories first, object pointers last.

    Attributes:
        tokens_nmd: ``(n, tokens, memory_dim)``.
        positions_1md: when and where each token is from, the same for all objects.
        pointer_count: how many tokens at the end are of object pointers.
    """

    tokens_nmd: Tensor
    positions_1md: Tensor
    pointer_count: int


class MemoryReading(Attention):
    """Cross-attention from a frame to memories, whose tokens are narrower than its inside.

    Where it pays, the tokens themselves are weighed, not their projections to values, which are four times
    as wide. That is exact: the weights of a query sum to 1, so ``W (V m + c) + b``, averaged over the tokens
    m, is ``(W V) (averaged m) + (W c + b)``.
    """

    def __init__(self, config: SAM2Config) -> None:
        super().__init__(config.dim, config.dim, heads=1, memory_dim=config.memory_dim)
        self._folded = Derived()

    def read(self, query_bpd: Tensor, memory: MemoryTokens, rotary: Rotary) -> Tensor:
        """What the pixels of a frame read, ``(n or 1, pixels, dim)`` -> ``(n, pixels, dim)``."""
        tokens_nmd = memory.tokens_nmd
        keys_nmd = tokens_nmd + memory.positions_1md
        if not narrow_values_pay(query_bpd, tokens_nmd.shape[1]):
            read_npd: Tensor = self(query_bpd, keys_nmd, tokens_nmd, rotary)
            return read_npd
        query = rotary.turn_queries(self.q_proj(query_bpd))[:, None]
        key = rotary.turn_keys(self.k_proj(keys_nmd))[:, None]
        weighed_npd = attend(query, key, tokens_nmd[:, None].to(query.dtype))[:, 0]
        folded = self._folded.get(tuple(self.parameters()), None, self._fold)
        return F.linear(weighed_npd, folded[:, :-1], folded[:, -1])

    def _fold(self) -> Tensor:
        """Values and output as one, ``(dim, memory_dim + 1)``, the bias last."""
        values, output = self.v_proj, self.out_proj
        weight = output.weight.float() @ values.weight.float()
        bias = output.weight.float() @ values.bias.float() + output.bias.float()
        return torch.cat([weight, bias[:, None]], dim=1).to(output.weight.dtype)


class MemoryAttentionLayer(nn.Module):
    """The frame attends to itself, then to the memories, then an MLP; norms come first."""

    def __init__(self, config: SAM2Config) -> None:
        super().__init__()
        dim = config.dim
        self.dropout = config.memory_dropout
        self.self_attn = Attention(dim, dim, heads=1)
        self.cross_attn_image = MemoryReading(config)
        self.linear1 = nn.Linear(dim, config.memory_hidden)
        self.linear2 = nn.Linear(config.memory_hidden, dim)
        self.norm1 = nn.LayerNorm(dim)
        self.norm2 = nn.LayerNorm(dim)
        self.norm3 = nn.LayerNorm(dim)

    def forward(self, x_bpd: Tensor, memory: MemoryTokens, rotary: Rotary) -> Tensor:
        """One frame for all objects, or one per object, and the memories of n objects.

        Args:
            x_bpd: ``(n or 1, pixels, dim)``.
            memory: what n objects remember.
            rotary: places of the pixels of a frame.

        Returns:
            ``(n, pixels, dim)``.
        """
        normed = self.norm1(x_bpd)
        x_bpd = x_bpd + self._drop(self.self_attn(normed, normed, normed, rotary))
        read_npd = self.cross_attn_image.read(
            self.norm2(x_bpd), memory, replace(rotary, pointers=memory.pointer_count)
        )
        x_npd = x_bpd + self._drop(read_npd)
        hidden = self._drop(F.relu(self.linear1(self.norm3(x_npd)), inplace=True))
        return x_npd + self._drop(self.linear2(hidden))

    def _drop(self, x: Tensor) -> Tensor:
        return F.dropout(x, self.dropout, self.training)


class MemoryAttention(nn.Module):
    """A stack of layers; what is the same for all objects runs once, up to the first cross-attention."""

    def __init__(self, config: SAM2Config) -> None:
        super().__init__()
        self.rope_theta = config.rope_theta
        self.layers = nn.ModuleList(MemoryAttentionLayer(config) for _ in range(config.memory_layers))
        self.norm = nn.LayerNorm(config.dim)

    def forward(self, features_bdhw: Tensor, memory: MemoryTokens) -> Tensor:
        """Features that know of the past.

        Args:
            features_bdhw: features at stride 16, one frame for all objects or one per object.
            memory: what n objects remember.

        Returns:
            ``(n, dim, height, width)``.
        """
        _, dim, height, width = features_bdhw.shape
        place_1dhw = sine_grid(height, width, dim, features_bdhw.device, features_bdhw.dtype)
        rotary = Rotary(rotary_turns(height, width, dim, self.rope_theta, features_bdhw.device))
        x_bpd = (features_bdhw + 0.1 * place_1dhw).flatten(2).transpose(1, 2)
        for layer in self.layers:
            x_bpd = layer(x_bpd, memory, rotary)
        normed: Tensor = self.norm(x_bpd)
        return normed.transpose(1, 2).reshape(-1, dim, height, width)
