"""The transformers library's SAM 2 with the weights of one of our networks: what we must be equal to."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import Sam2VideoConfig, Sam2VideoModel

from sam2_core.models.config import HieraConfig, SAM2Config
from sam2_core.models.sam2 import SAM2
from tests.hub_names_for_tests import to_hub_names


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
        network.sam_mask_decoder.pred_obj_score_head.layers[-1].bias.fill_(8.0)
    return network


def reference_of(network: SAM2) -> Sam2VideoModel:
    """A ``Sam2VideoModel`` of the same sizes and weights, in float32 on the CPU, for a Hiera network.

    Its mask-prompt path takes the pointer from the best of three masks, where Meta's takes the single mask;
    compare pointers of mask prompts with ``_single_frame_forward(..., multimask_output=False)``.
    """
    model = Sam2VideoModel(reference_config(network.config)).eval()
    model.load_state_dict(to_hub_names(network.state_dict()), strict=True)
    return model


def reference_config(config: SAM2Config) -> Sam2VideoConfig:
    """The same sizes in the words of transformers."""
    trunk = config.trunk
    if not isinstance(trunk, HieraConfig):
        raise TypeError("transformers knows only Hiera")
    grid = config.image_size // 16
    return Sam2VideoConfig(
        vision_config={
            "model_type": "sam2_vision_model",
            "backbone_config": {
                "model_type": "sam2_hiera_det_model",
                "image_size": [config.image_size, config.image_size],
                "hidden_size": trunk.dims[0],
                "num_attention_heads": trunk.heads[0],
                "embed_dim_per_stage": list(trunk.dims),
                "num_attention_heads_per_stage": list(trunk.heads),
                "blocks_per_stage": list(trunk.blocks),
                "window_size_per_stage": list(trunk.windows),
                "global_attention_blocks": list(trunk.global_blocks),
                "window_positional_embedding_background_size": [trunk.position_grid] * 2,
            },
            "backbone_channel_list": list(reversed(trunk.dims)),
            "backbone_feature_sizes": [[4 * grid, 4 * grid], [2 * grid, 2 * grid], [grid, grid]],
        },
        prompt_encoder_config={"image_size": config.image_size},
        image_size=config.image_size,
        memory_attention_rope_feat_sizes=[grid, grid],
        enable_temporal_pos_encoding_for_object_pointers=config.pointer_positions,
        enable_occlusion_spatial_embedding=config.absence_embedding,
    )


def textured_frame(seed: int = 0, size: tuple[int, int] = (180, 240)) -> NDArray[np.uint8]:
    """A frame with smooth colours, edges and grain, ``(height, width, 3)``."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[: size[0], : size[1]] / 40.0
    waves = random.uniform(0.5, 3.0, (3, 2)), random.uniform(0, 6.28, 3)
    image = np.stack(
        [np.sin(wave[0] * x + wave[1] * y + phase) for wave, phase in zip(*waves, strict=True)], -1
    )
    disc = (x - random.uniform(1, 5)) ** 2 + (y - random.uniform(1, 3.5)) ** 2 < 1
    image[disc] = random.uniform(-1, 1, 3)
    return np.clip(127 + 90 * image + random.normal(0, 12, image.shape), 0, 255).astype(np.uint8)
