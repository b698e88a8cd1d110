"""Memory attention: the features of a frame read what is remembered of an object."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch.nn.functional as F
from torch import Tensor, nn

from sam2_core.models.config import SAM2Config
from sam2_core.models.layers import Attention
from sam2_core.models.positions import Rotary, rotary_turns, sine_grid


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


class MemoryAttentionLayer(nn.Module):
    """The frame attends to itself, then to the memories, then an MLP; norms come first."""

    def __init__(self, config: SAM2Config) -> None:
        super().__init__()
        dim = config.dim
        self.dropout = config.memory_dropout
        self.self_attn = Attention(dim, dim, heads=1)
        self.cross_attn_image = Attention(dim, dim, heads=1, memory_dim=config.memory_dim)
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
        keys = memory.tokens_nmd + memory.positions_1md
        read_npd = self.cross_attn_image(
            self.norm2(x_bpd), keys, memory.tokens_nmd, replace(rotary, pointers=memory.pointer_count)
        )
        x_npd = x_bpd + self._drop(read_npd)
        hidden = self._drop(F.relu(self.linear1(self.norm3(x_npd))))
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
