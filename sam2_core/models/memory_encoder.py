"""The memory encoder: a mask and the image it was found in become one small feature map."""

from __future__ import annotations

from collections import OrderedDict

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sam2_core.models.config import SAM2Config
from sam2_core.models.layers import LayerNorm2d


class MaskDownsampler(nn.Module):
    """A mask at full size to features at stride 16, by convolutions of stride 2."""

    def __init__(self, dims: tuple[int, ...], dim: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for inputs, outputs in zip((1, *dims[:-1]), dims, strict=True):
            layers += [
                nn.Conv2d(inputs, outputs, kernel_size=3, stride=2, padding=1),
                LayerNorm2d(outputs),
                nn.GELU(),
            ]
        self.encoder = nn.Sequential(*layers, nn.Conv2d(dims[-1], dim, kernel_size=1))

    def forward(self, mask_n1hw: Tensor) -> Tensor:
        """``(n, 1, height, width)`` -> ``(n, dim, height / 16, width / 16)``."""
        features: Tensor = self.encoder(mask_n1hw)
        return features


class FuserBlock(nn.Module):
    """A ConvNeXt block (Liu et al. 2022)."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.dwconv = nn.Conv2d(dim, dim, kernel_size=7, padding=3, groups=dim)
        self.norm = LayerNorm2d(dim)
        self.pwconv1 = nn.Linear(dim, 4 * dim)
        self.pwconv2 = nn.Linear(4 * dim, dim)
        self.gamma = nn.Parameter(torch.full((dim,), 1e-6))

    def forward(self, x_ndhw: Tensor) -> Tensor:
        """``(n, dim, height, width)`` -> the same."""
        inner_nhwd: Tensor = self.norm(self.dwconv(x_ndhw)).permute(0, 2, 3, 1)
        inner_nhwd = self.gamma * self.pwconv2(F.gelu(self.pwconv1(inner_nhwd)))
        return x_ndhw + inner_nhwd.permute(0, 3, 1, 2)


class MemoryEncoder(nn.Module):
    """Fuses a mask with the features of its frame."""

    def __init__(self, config: SAM2Config) -> None:
        super().__init__()
        dim = config.dim
        self.mask_downsampler = MaskDownsampler(config.mask_dims, dim)
        self.pix_feat_proj = nn.Conv2d(dim, dim, kernel_size=1)
        self.fuser = nn.Sequential(
            OrderedDict(layers=nn.Sequential(FuserBlock(dim), FuserBlock(dim))),
        )
        self.out_proj = nn.Conv2d(dim, config.memory_dim, kernel_size=1)

    def forward(self, features_bdhw: Tensor, mask_n1hw: Tensor) -> Tensor:
        """One memory per mask.

        Args:
            features_bdhw: unconditioned features at stride 16, one frame for all masks or one per mask.
            mask_n1hw: masks at full size, -10 outside and 10 inside.

        Returns:
            ``(n, memory_dim, height / 16, width / 16)``.
        """
        fused = self.fuser(self.pix_feat_proj(features_bdhw) + self.mask_downsampler(mask_n1hw))
        memory: Tensor = self.out_proj(fused)
        return memory
