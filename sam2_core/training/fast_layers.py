"""Layers that train more quickly on a CPU than torch's own, and give the same numbers."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from sam2_core.models.layers import LayerNorm2d

_NARROW = 4


class _Depthwise(torch.autograd.Function):
    """A depthwise convolution of odd size with stride 1; the same numbers as torch's, up to rounding.

    Torch's gradient of the weights takes most of the time of such a layer. Here it is a few batched matrix
    products: for each row of the kernel, every column of the gradient with every column of the input; the
    diagonals of the result are the gradients of the row.
    """

    @staticmethod
    def forward(ctx: Any, x_nchw: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        """Torch's forward pass is quick."""
        ctx.save_for_backward(x_nchw, weight)
        return functional.conv2d(x_nchw, weight, bias, padding=weight.shape[-1] // 2, groups=len(weight))

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Gradients of the input, the weights and the bias."""
        (grad_nchw,) = gradients
        x_nchw, weight = ctx.saved_tensors
        channels, _, size, _ = weight.shape
        pad = size // 2
        grad_x = functional.conv2d(grad_nchw, weight.flip(-1, -2), padding=pad, groups=channels)
        grad_nchw, x_nchw = grad_nchw.contiguous(), x_nchw.contiguous()
        height, width = grad_nchw.shape[-2:]
        padded_cnhw = functional.pad(x_nchw.transpose(0, 1), (pad, pad, pad, pad))
        rows_cwm = grad_nchw.permute(1, 3, 0, 2).reshape(channels, width, -1)
        lines = []
        for dy in range(size):
            seen = padded_cnhw[:, :, dy : dy + height].reshape(channels, -1, width + 2 * pad)
            pairs = rows_cwm @ seen
            lines.append(torch.stack([pairs.diagonal(dx, 1, 2).sum(-1) for dx in range(size)], -1))
        return grad_x, torch.stack(lines, 1)[:, None], grad_nchw.sum((0, 2, 3))


class FastDepthwiseConv2d(nn.Conv2d):
    """Takes the place of torch's depthwise convolution while a network is trained on a CPU."""

    def forward(self, input: Tensor) -> Tensor:
        """``(n, channels, height, width)`` -> the same."""
        weight, bias = self.weight, self.bias
        if torch.is_autocast_enabled("cpu"):
            kind = torch.get_autocast_dtype("cpu")
            input, weight = input.to(kind), weight.to(kind)
            bias = None if bias is None else bias.to(kind)
        output: Tensor = _Depthwise.apply(input, weight, bias)  # type: ignore[no-untyped-call]  # torch ships no types for it
        return output


class FastLayerNorm2d(LayerNorm2d):
    """The norm of images with few channels, channel by channel instead of pixel by pixel."""

    def forward(self, x_bchw: Tensor) -> Tensor:
        """``(batch, channels, height, width)`` -> the same, float32."""
        x_bchw = x_bchw.float()
        centred = x_bchw - x_bchw.mean(1, keepdim=True)
        spread = (centred.square().mean(1, keepdim=True) + self.eps).rsqrt()
        return centred * spread * self.weight[:, None, None] + self.bias[:, None, None]


def use_fast_layers(network: nn.Module) -> None:
    """Exchange the class of depthwise 7 x 7 convolutions and narrow norms; weights and their names stay."""
    for part in network.modules():
        if type(part) is nn.Conv2d and part.groups == part.in_channels > 1 and part.kernel_size == (7, 7):
            part.__class__ = FastDepthwiseConv2d
        if type(part) is LayerNorm2d and part.normalized_shape[0] <= _NARROW:
            part.__class__ = FastLayerNorm2d
