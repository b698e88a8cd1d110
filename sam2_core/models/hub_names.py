"""Names of tensors: Meta's, which are ours, and those of the transformers library on the Hugging Face hub."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from torch import Tensor

_PLACE_MATRIX = "sam_prompt_encoder.pe_layer.positional_encoding_gaussian_matrix"
_PLACE_COPY = "shared_image_embedding.positional_embedding"  # the hub's files hold the matrix twice
_POINTS = tuple(f"sam_prompt_encoder.point_embeddings.{kind}.weight" for kind in range(4))
_STACKED_POINTS = "prompt_encoder.point_embed.weight"

# Applied one after another; Meta's name on the left, the hub's on the right.
_RULES = tuple(
    (re.compile(pattern), replacement)
    for pattern, replacement in (
        (r"^image_encoder\.trunk\.patch_embed\.proj\.", "vision_encoder.backbone.patch_embed.projection."),
        (r"^image_encoder\.trunk\.", "vision_encoder.backbone."),
        (r"^image_encoder\.neck\.convs\.(\d+)\.conv\.", r"vision_encoder.neck.convs.\1."),
        (r"^sam_", ""),
        (r"pe_layer\.positional_encoding_gaussian_matrix$", "shared_embedding.positional_embedding"),
        (r"mask_downscaling\.0\.", "mask_embed.conv1."),
        (r"mask_downscaling\.1\.", "mask_embed.layer_norm1."),
        (r"mask_downscaling\.3\.", "mask_embed.conv2."),
        (r"mask_downscaling\.4\.", "mask_embed.layer_norm2."),
        (r"mask_downscaling\.6\.", "mask_embed.conv3."),
        (r"output_upscaling\.0\.", "upscale_conv1."),
        (r"output_upscaling\.1\.", "upscale_layer_norm."),
        (r"output_upscaling\.3\.", "upscale_conv2."),
        (r"mask_downsampler\.encoder\.12\.", "mask_downsampler.final_conv."),
        (r"mask_downsampler\.encoder\.0\.", "mask_downsampler.layers.0.conv."),
        (r"mask_downsampler\.encoder\.1\.", "mask_downsampler.layers.0.layer_norm."),
        (r"mask_downsampler\.encoder\.3\.", "mask_downsampler.layers.1.conv."),
        (r"mask_downsampler\.encoder\.4\.", "mask_downsampler.layers.1.layer_norm."),
        (r"mask_downsampler\.encoder\.6\.", "mask_downsampler.layers.2.conv."),
        (r"mask_downsampler\.encoder\.7\.", "mask_downsampler.layers.2.layer_norm."),
        (r"mask_downsampler\.encoder\.9\.", "mask_downsampler.layers.3.conv."),
        (r"mask_downsampler\.encoder\.10\.", "mask_downsampler.layers.3.layer_norm."),
        (r"pix_feat_proj\.", "feature_projection."),
        (r"^memory_encoder\.fuser\.", "memory_encoder.memory_fuser."),
        (r"\.dwconv\.", ".depthwise_conv."),
        (r"\.pwconv(\d)\.", r".pointwise_conv\1."),
        (r"\.gamma$", ".scale"),
        (r"^memory_encoder\.out_proj\.", "memory_encoder.projection."),
        (r"\bmlp\.layers\.0\.", "mlp.proj_in."),
        (r"\bmlp\.layers\.1\.", "mlp.proj_out."),
        (r"(mlps\.\d|_head|obj_ptr_proj)\.layers\.0\.", r"\1.proj_in."),
        (r"(mlps\.\d|_head|obj_ptr_proj)\.layers\.1\.", r"\1.layers.0."),
        (r"(mlps\.\d|_head|obj_ptr_proj)\.layers\.2\.", r"\1.proj_out."),
        (r"\.out_proj\.", ".o_proj."),
        (r"\bnorm", "layer_norm"),
        (r"^obj_ptr_proj\.", "object_pointer_proj."),
        (r"^obj_ptr_tpos_proj\.", "temporal_positional_encoding_projection_layer."),
        (r"^no_obj_ptr$", "no_object_pointer"),
        (r"^no_obj_embed_spatial$", "occlusion_spatial_embedding_parameter"),
        (r"^maskmem_tpos_enc$", "memory_temporal_positional_encoding"),
        (r"^no_mem_embed$", "no_memory_embedding"),
        (r"^no_mem_pos_enc$", "no_memory_positional_encoding"),
    )
)


def hub_name(name: str) -> str:
    """The hub's name of one of Meta's tensors."""
    if name in _POINTS:
        return _STACKED_POINTS
    for pattern, replacement in _RULES:
        name = pattern.sub(replacement, name)
    return name


def is_hub_layout(names: Iterable[str]) -> bool:
    """Whether the names are those of the hub."""
    return any(name.startswith("vision_encoder.") for name in names)


def from_hub_names(state: Mapping[str, Tensor], names: Iterable[str]) -> dict[str, Tensor]:
    """A state dict in the hub's names -> the same in Meta's; tensors that are not known keep their names.

    Args:
        state: tensors by the hub's names.
        names: the names of Meta that are wanted.
    """
    wanted = {hub_name(name): name for name in names if name not in _POINTS}
    renamed = {wanted.get(name, name): tensor for name, tensor in state.items() if name != _PLACE_COPY}
    if _PLACE_COPY in state:
        renamed.setdefault(_PLACE_MATRIX, state[_PLACE_COPY])
    stacked = renamed.pop(_STACKED_POINTS, None)
    if stacked is not None:
        renamed |= {name: row[None] for name, row in zip(_POINTS, stacked, strict=False)}
    return renamed
