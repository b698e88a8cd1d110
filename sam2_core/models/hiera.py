"""Hiera, the trunk of the published models (Ryali et al. 2023; windowed positions: Bolya et al. 2023)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sam2_core.models.attention import attend
from sam2_core.models.config import HieraConfig
from sam2_core.models.layers import MLP
from sam2_core.models.positions import Derived


def partition(x_bhwc: Tensor, window: int) -> Tensor:
    """Cut an image into square windows, padded with zeros at the right and at the bottom.

    Returns:
        ``(batch * windows, window, window, channels)``.
    """
    batch, height, width, channels = x_bhwc.shape
    padded = F.pad(x_bhwc, (0, 0, 0, -width % window, 0, -height % window))
    rows, columns = padded.shape[1] // window, padded.shape[2] // window
    windows = padded.view(batch, rows, window, columns, window, channels).transpose(2, 3)
    return windows.reshape(-1, window, window, channels)


def unpartition(windows_nwwc: Tensor, height: int, width: int) -> Tensor:
    """Put windows together again and cut the padding off.

    Returns:
        ``(batch, height, width, channels)``.
    """
    window, channels = windows_nwwc.shape[1], windows_nwwc.shape[3]
    rows, columns = -(-height // window), -(-width // window)
    grid = windows_nwwc.view(-1, rows, columns, window, window, channels).transpose(2, 3)
    return grid.reshape(-1, rows * window, columns * window, channels)[:, :height, :width]


def pool(x_bhwc: Tensor) -> Tensor:
    """The maximum of every 2 x 2 tokens, ``(batch, height / 2, width / 2, channels)``."""
    return F.max_pool2d(x_bhwc.permute(0, 3, 1, 2), 2).permute(0, 2, 3, 1)


class WindowAttention(nn.Module):
    """Self-attention of the tokens of an image or window; queries may be pooled to a quarter."""

    def __init__(self, dim_in: int, dim: int, heads: int, *, pooled: bool) -> None:
        super().__init__()
        self.heads, self.pooled = heads, pooled
        self.qkv = nn.Linear(dim_in, 3 * dim)
        self.proj = nn.Linear(dim, dim)

    def forward(self, x_bhwc: Tensor) -> Tensor:
        """``(batch, height, width, dim_in)`` -> ``(batch, height or half, width or half, dim)``."""
        query_bhwc, key_bhwc, value_bhwc = self.qkv(x_bhwc).chunk(3, dim=-1)
        if self.pooled:
            query_bhwc = pool(query_bhwc)
        height, width = query_bhwc.shape[1:3]
        query, key, value = (
            tensor.reshape(len(x_bhwc), -1, self.heads, tensor.shape[-1] // self.heads).transpose(1, 2)
            for tensor in (query_bhwc, key_bhwc, value_bhwc)
        )
        attended = attend(query, key, value).transpose(1, 2)
        output: Tensor = self.proj(attended.reshape(len(x_bhwc), height, width, -1))
        return output


class HieraBlock(nn.Module):
    """One transformer block; the first of a later stage halves the image and widens the channels.

    Args:
        dim_in: channels of the input.
        dim: channels of the output.
        heads: attention heads.
        window: side of the attention windows in tokens of the input; 0 for the whole image.
        pooled: whether the block halves the image.
    """

    def __init__(self, dim_in: int, dim: int, heads: int, window: int, *, pooled: bool) -> None:
        super().__init__()
        self.window, self.pooled = window, pooled
        self.norm1 = nn.LayerNorm(dim_in, eps=1e-6)
        self.attn = WindowAttention(dim_in, dim, heads, pooled=pooled)
        self.norm2 = nn.LayerNorm(dim, eps=1e-6)
        self.mlp = MLP((dim, 4 * dim, dim), F.gelu)
        if dim_in != dim:
            self.proj = nn.Linear(dim_in, dim)

    def forward(self, x_bhwc: Tensor) -> Tensor:
        """``(batch, height, width, dim_in)`` -> ``(batch, height or half, width or half, dim)``."""
        normed = self.norm1(x_bhwc)
        shortcut = pool(self.proj(normed)) if self.pooled else x_bhwc
        if self.window:
            # Padding comes after the norm and takes part in attention, as in the released models.
            windows = self.attn(partition(normed, self.window))
            attended = unpartition(windows, shortcut.shape[1], shortcut.shape[2])
        else:
            attended = self.attn(normed)
        x_bhwc = shortcut + attended
        output: Tensor = x_bhwc + self.mlp(self.norm2(x_bhwc))
        return output


class PatchEmbed(nn.Module):
    """Overlapping patches of 7 x 7 pixels, every 4 pixels."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(3, dim, kernel_size=7, stride=4, padding=3)

    def forward(self, images_b3hw: Tensor) -> Tensor:
        """``(batch, 3, height, width)`` -> ``(batch, height / 4, width / 4, dim)``."""
        patches: Tensor = self.proj(images_b3hw).permute(0, 2, 3, 1)
        return patches


class Hiera(nn.Module):
    """The trunk: four stages of transformer blocks at strides 4, 8, 16 and 32."""

    def __init__(self, config: HieraConfig) -> None:
        super().__init__()
        dims, windows = config.dims, config.windows
        self.patch_embed = PatchEmbed(dims[0])
        self.pos_embed = nn.Parameter(torch.zeros(1, dims[0], config.position_grid, config.position_grid))
        self.pos_embed_window = nn.Parameter(torch.zeros(1, dims[0], windows[0], windows[0]))
        self.blocks = nn.ModuleList()
        self.stage_ends: list[int] = []
        for stage, count in enumerate(config.blocks):
            for index in range(count):
                pooled = stage > 0 and index == 0  # it still sees the windows of the stage before
                before = stage - 1 if pooled else stage
                window = 0 if len(self.blocks) in config.global_blocks else windows[before]
                block = HieraBlock(dims[before], dims[stage], config.heads[stage], window, pooled=pooled)
                self.blocks.append(block)
            self.stage_ends.append(len(self.blocks) - 1)
        self._positions = Derived()

    def forward(self, images_b3hw: Tensor) -> list[Tensor]:
        """Features of four strides.

        Args:
            images_b3hw: normalised images, sides multiples of 32.

        Returns:
            ``(batch, dim, height / stride, width / stride)`` for the strides 4, 8, 16 and 32.
        """
        x_bhwc: Tensor = self.patch_embed(images_b3hw)
        x_bhwc = x_bhwc + self._position_grid(x_bhwc.shape[1], x_bhwc.shape[2])
        stages = []
        for index, block in enumerate(self.blocks):
            x_bhwc = block(x_bhwc)
            if index in self.stage_ends:
                stages.append(x_bhwc.permute(0, 3, 1, 2))
        return stages

    def _position_grid(self, height: int, width: int) -> Tensor:
        """The coarse grid stretched over the image plus the window's tiled, ``(1, height, width, dim)``."""
        weights = (self.pos_embed, self.pos_embed_window)
        return self._positions.get(weights, (height, width), lambda: self._compute_positions(height, width))

    def _compute_positions(self, height: int, width: int) -> Tensor:
        stretched = F.interpolate(self.pos_embed, size=(height, width), mode="bicubic")
        window = self.pos_embed_window.shape[-1]
        tiled = self.pos_embed_window.tile(1, 1, height // window, width // window)
        return (stretched + tiled).permute(0, 2, 3, 1)
