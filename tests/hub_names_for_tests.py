"""Files in the hub's layout, written on the spot."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from sam2_core.models.hub_names import hub_name

STACKED_POINTS = "prompt_encoder.point_embed.weight"


def to_hub_names(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A state dict in Meta's names -> the same in the hub's: points in one tensor, the place matrix twice."""
    points = [name for name in sorted(state) if hub_name(name) == STACKED_POINTS]
    renamed = {hub_name(name): tensor for name, tensor in state.items() if name not in points}
    renamed[STACKED_POINTS] = torch.cat([state[name] for name in points])
    matrix = state["sam_prompt_encoder.pe_layer.positional_encoding_gaussian_matrix"]
    renamed["shared_image_embedding.positional_embedding"] = matrix
    return renamed
