"""The image encoder: a trunk, and a neck that brings its features to one width."""

from __future__ import annotations

from collections import OrderedDict

import torch.nn.functional as F
from torch import Tensor, nn

from sam2_core.models.config import HieraConfig, SAM2Config
from sam2_core.models.conv_trunk import ConvTrunk
from sam2_core.models.hiera import Hiera


class Neck(nn.Module):
    """A feature pyramid: stride 32 flows into stride 16; strides 4 and 8 pass through on their own.

    Args:
        dims: channels of the trunk's stages, finest first.
        dim: channels of the output.
    """

    def __init__(self, dims: tuple[int, int, int, int], dim: int) -> None:
        super().__init__()
        # The published names count from the coarsest level.
        self.convs = nn.ModuleList(
            nn.Sequential(OrderedDict(conv=nn.Conv2d(channels, dim, kernel_size=1)))
            for channels in reversed(dims)
        )

    def forward(self, stages: list[Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        """Features of strides 4, 8, 16 and 32 -> strides 4, 8 and 16, ``(batch, dim, height, width)``."""
        stride4, stride8, stride16, stride32 = stages
        coarse = F.interpolate(self.convs[0](stride32), scale_factor=2.0, mode="nearest")
        return self.convs[3](stride4), self.convs[2](stride8), self.convs[1](stride16) + coarse


class ImageEncoder(nn.Module):
    """Trunk and neck."""

    def __init__(self, config: SAM2Config) -> None:
        super().__init__()
        trunk = config.trunk
        self.trunk = Hiera(trunk) if isinstance(trunk, HieraConfig) else ConvTrunk(trunk)
        self.neck = Neck(trunk.dims, config.dim)

    def forward(self, images_b3hw: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Normalised images -> features of strides 4, 8 and 16, ``(batch, dim, height, width)``."""
        features: tuple[Tensor, Tensor, Tensor] = self.neck(self.trunk(images_b3hw))
        return features
