"""Mixed precision: which weights a network keeps in bfloat16 where it computes in bfloat16."""

from __future__ import annotations

import copy

import torch
from torch import nn

from sam2_core.models.sam2 import SAM2

_PRODUCTS = (nn.Linear, nn.Conv2d, nn.ConvTranspose2d)


def with_bfloat16_weights(network: SAM2) -> SAM2:
    """A copy of a network whose matrix products and convolutions hold bfloat16 weights.

    Under autocast the results are the same as with float32 weights, which would be rounded anew in every
    call. Norms, positions and embeddings stay float32, and so do the sums of the residual connections.
    """
    halved = copy.deepcopy(network)
    for module in halved.modules():
        if isinstance(module, _PRODUCTS):
            module.to(torch.bfloat16)
    return halved
