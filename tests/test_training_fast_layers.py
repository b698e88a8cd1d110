"""The fast layers give the same numbers as torch's."""

from __future__ import annotations

import copy

import pytest
import torch

from sam2_core.models.layers import LayerNorm2d
from sam2_core.training.fast_layers import FastDepthwiseConv2d, FastLayerNorm2d, use_fast_layers


@pytest.mark.parametrize("layer", [torch.nn.Conv2d(6, 6, 7, padding=3, groups=6), LayerNorm2d(4)])
def test_fast_layers_equal_torchs_forward_and_backward(layer):
    torch.manual_seed(0)
    channels = next(layer.parameters()).shape[0]
    fast = torch.nn.Sequential(copy.deepcopy(layer))
    use_fast_layers(fast)
    assert isinstance(fast[0], FastDepthwiseConv2d | FastLayerNorm2d)
    outputs, gradients = [], []
    for part in (layer, fast):
        x = torch.randn(3, channels, 9, 11, generator=torch.Generator().manual_seed(1), requires_grad=True)
        part.zero_grad()
        y = part(x)
        y.square().sum().backward()
        outputs.append(y.detach())
        gradients.append([x.grad, *(weight.grad for weight in part.parameters())])
    torch.testing.assert_close(outputs[1], outputs[0], rtol=1e-4, atol=1e-5)
    for ours, theirs in zip(gradients[1], gradients[0], strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-3)


def test_only_the_slow_layers_are_exchanged():
    network = torch.nn.Sequential(
        torch.nn.Conv2d(8, 8, 7, padding=3), LayerNorm2d(64), torch.nn.Conv2d(1, 4, 7)
    )
    kinds = [type(part) for part in network]
    use_fast_layers(network)
    assert [type(part) for part in network] == kinds
