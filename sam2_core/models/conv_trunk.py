"""The convolutional trunk of nano: about 1.6 M parameters, strides 4 to 32, fast on a CPU.

In place of Hiera it gave about twice the IoU for the same training time, and a three times faster encoder.
"""

from __future__ import annotations

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sam2_core.models.config import ConvTrunkConfig
from sam2_core.models.layers import LayerNorm2d


class ResidualBlock(nn.Module):
    """Two 3 x 3 convolutions with a shortcut around them."""

    def __init__(self, dim: int, inner: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(dim, inner, kernel_size=3, padding=1)
        self.norm = LayerNorm2d(inner)
        self.conv2 = nn.Conv2d(inner, dim, kernel_size=3, padding=1)

    def forward(self, x_bchw: Tensor) -> Tensor:
        """``(batch, dim, height, width)`` -> the same."""
        inner: Tensor = self.conv2(F.relu(self.norm(self.conv1(x_bchw))))
        return x_bchw + inner


class WideBlock(nn.Module):
    """A 7 x 7 depthwise convolution and a small MLP per pixel (ConvNeXt, Liu et al. 2022)."""

    def __init__(self, dim: int, ratio: int = 2) -> None:
        super().__init__()
        self.dwconv = nn.Conv2d(dim, dim, kernel_size=7, padding=3, groups=dim)
        self.norm = nn.LayerNorm(dim, eps=1e-6)
        self.pwconv1 = nn.Linear(dim, ratio * dim)
        self.pwconv2 = nn.Linear(ratio * dim, dim)

    def forward(self, x_bchw: Tensor) -> Tensor:
        """``(batch, dim, height, width)`` -> the same."""
        inner_bhwc: Tensor = self.norm(self.dwconv(x_bchw).permute(0, 2, 3, 1))
        inner_bhwc = self.pwconv2(F.relu(self.pwconv1(inner_bhwc)))
        return x_bchw + inner_bhwc.permute(0, 3, 1, 2)


class PooledContext(nn.Module):
    """What the whole image is like, added to every pixel."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(dim, eps=1e-6)
        self.linear1 = nn.Linear(dim, dim // 2)
        self.linear2 = nn.Linear(dim // 2, dim)

    def forward(self, x_bchw: Tensor) -> Tensor:
        """``(batch, dim, height, width)`` -> the same."""
        context_bc: Tensor = self.linear2(F.relu(self.linear1(self.norm(x_bchw.mean(dim=(2, 3))))))
        return x_bchw + context_bc[:, :, None, None]


class ConvTrunk(nn.Module):
    """Four stages; the early ones plain, the third with wide kernels, the last with the whole image."""

    def __init__(self, config: ConvTrunkConfig) -> None:
        super().__init__()
        dims, counts = config.dims, config.blocks
        self.stem = nn.Conv2d(3, dims[0], kernel_size=7, stride=4, padding=3)
        self.downsample = nn.ModuleList(
            nn.Conv2d(before, after, kernel_size=3, stride=2, padding=1) for before, after in pairwise(dims)
        )
        self.norms = nn.ModuleList(LayerNorm2d(dim) for dim in dims)
        self.stages = nn.ModuleList(
            [
                nn.Sequential(*(ResidualBlock(dims[0], dims[0]) for _ in range(counts[0]))),
                nn.Sequential(*(ResidualBlock(dims[1], dims[1]) for _ in range(counts[1]))),
                nn.Sequential(
                    *(
                        nn.Sequential(ResidualBlock(dims[2], dims[2] // 2), WideBlock(dims[2]))
                        for _ in range(counts[2])
                    )
                ),
                nn.Sequential(PooledContext(dims[3]), *(WideBlock(dims[3]) for _ in range(counts[3]))),
            ]
        )

        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's types lack it

    def forward(self, images_b3hw: Tensor) -> list[Tensor]:
        """Features of four strides.

        Args:
            images_b3hw: normalised images, sides multiples of 32.

        Returns:
            ``(batch, dim, height / stride, width / stride)`` for the strides 4, 8, 16 and 32.
        """
        x_bchw = self.stem(images_b3hw.contiguous(memory_format=torch.channels_last))
        features = []
        for index, (stage, norm) in enumerate(zip(self.stages, self.norms, strict=True)):
            if index:
                x_bchw = self.downsample[index - 1](x_bchw)
            x_bchw = stage(F.relu(norm(x_bchw)))
            features.append(x_bchw)
        return features
