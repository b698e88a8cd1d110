"""The groups of weights that learn alike: with weight decay or without, and at which share of the rate."""

from __future__ import annotations

import re
from typing import Any

from torch import Tensor, nn

_TRUNK = "image_encoder.trunk."

_UNDAMPED = (_TRUNK + "pos_embed",)
"""Weights of the trunk that learn as quickly as the others (SAM 2's recipe: position embeddings)."""


def parameter_groups(
    network: nn.Module, weight_decay: float, layer_decay: float = 1.0
) -> list[dict[str, Any]]:
    """Groups for torch's optimisers; "share" in each is its share of a step's learning rate.

    Most matrices have weight decay; biases, norms and embeddings have none. The names also leave out matrices
    of the decoder's cross-attention ("token_to_image") and of the object pointers; a run that is under way
    relies on it, as a checkpoint keeps the order of the weights.

    Args:
        network: a ``SAM2``.
        weight_decay: of the matrices.
        layer_decay: see ``layer_shares``; with 1 there are two groups, the decayed one first.
    """
    shares = layer_shares(network, layer_decay)
    groups: dict[tuple[float, bool], list[Tensor]] = {}
    for name, weight in network.named_parameters():
        small = weight.ndim < 2 or "embed" in name or "token" in name or "maskmem" in name or "ptr" in name
        groups.setdefault((shares[name], small), []).append(weight)
    return [
        {"params": weights, "weight_decay": 0.0 if small else weight_decay, "share": share}
        for (share, small), weights in sorted(groups.items(), key=lambda group: group[0])
    ]


def layer_shares(network: nn.Module, layer_decay: float) -> dict[str, float]:
    """The share of the learning rate at which each weight learns, by its name.

    Layer decay as in SAM 2's training configuration (paper, appendix D; BEiT, Bao et al. 2021): the rate
    falls by the factor with every block of the trunk from its last to its first; everything behind the trunk
    learns at the full rate.

    Args:
        network: a ``SAM2`` with either trunk.
        layer_decay: above 0, at most 1, which is the same rate for all.
    """
    names = [name for name, _ in network.named_parameters()]
    ids = {name: _place(name.removeprefix(_TRUNK)) for name in names if name.startswith(_TRUNK)}
    order = {place: depth for depth, place in enumerate(sorted(set(ids.values())))}
    return {
        name: layer_decay ** (len(order) - order[ids[name]]) if _is_damped(name) else 1.0 for name in names
    }


def _is_damped(name: str) -> bool:
    return name.startswith(_TRUNK) and not name.startswith(_UNDAMPED)


def _place(name: str) -> tuple[int, int]:
    """Where a weight of a trunk is used, in order: (0, 0) the stem, then stage and block from 1 on."""
    if found := re.match(r"blocks\.(\d+)\.", name):  # Hiera
        return 1, int(found[1]) + 1
    if found := re.match(r"stages\.(\d+)\.(\d+)\.", name):  # the convolutional trunk
        return int(found[1]) + 1, int(found[2]) + 1
    if found := re.match(r"norms\.(\d+)\.", name):  # before the first block of a stage
        return int(found[1]) + 1, 1
    if found := re.match(r"downsample\.(\d+)\.", name):  # into the stage after
        return int(found[1]) + 2, 1
    return 0, 0
