"""Networks with random weights: as fast as trained ones, and nothing to download."""

from __future__ import annotations

import torch

from sam2_core.models.config import SAM2Config
from sam2_core.models.sam2 import SAM2


def random_network(config: SAM2Config, seed: int = 0) -> SAM2:
    """A network with random weights that are lively enough for a comparison to mean something.

    Objects count as present (a raised object score), and what training would have moved away from zero
    (position grids, layer scales) is not near zero.
    """
    torch.manual_seed(seed)
    network = SAM2(config).eval()
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if name.endswith("gamma"):
                parameter.normal_(std=0.5)
            elif "pos_embed" in name or parameter.ndim == 1:
                parameter.add_(torch.randn_like(parameter), alpha=0.1)
            elif name.startswith(("no_", "maskmem")):
                parameter.normal_(std=0.5)
        network.state_dict()["sam_mask_decoder.pred_obj_score_head.layers.2.bias"].fill_(8.0)
    return network
