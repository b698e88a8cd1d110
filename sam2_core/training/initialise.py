"""How a network starts that is to learn from nothing: as if it already knew what "here" means.

A SAM 2 with default initialisation stays at the empty mask. Here variance is kept from layer to layer,
queries and keys that carry positions start equal (a click looks at its own pixels), what attention reads
comes back in the space it was read from, and memory attention begins by looking at the same place.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from sam2_core.models.layers import MLP, Attention
from sam2_core.models.mask_decoder import MaskDecoder, TwoWayBlock
from sam2_core.models.memory_attention import MemoryAttention, MemoryAttentionLayer
from sam2_core.models.memory_encoder import FuserBlock, MemoryEncoder
from sam2_core.models.neck import ImageEncoder
from sam2_core.models.prompt_encoder import PromptEncoder
from sam2_core.models.sam2 import SAM2

NECK_SCALES = (0.16, 0.45, 0.7)
"""Standard deviation of the features at strides 4, 8 and 16 that the decoder starts with."""


def initialise(network: SAM2) -> None:
    """Give every part its start; random numbers come from torch's global generator."""
    with torch.no_grad():
        keep_variance(network)
        initialise_encoder(network.image_encoder)
        initialise_prompts(network.sam_prompt_encoder)
        initialise_decoder(network.sam_mask_decoder)
        initialise_memory_attention(network.memory_attention)
        initialise_memory_encoder(network.memory_encoder)


def keep_variance(module: nn.Module) -> None:
    """Weights of standard deviation one over the square root of the inputs, no biases, small embeddings."""
    for part in module.modules():
        if isinstance(part, nn.Linear | nn.Conv2d):
            nn.init.normal_(part.weight, std=part.weight[0].numel() ** -0.5)
        elif isinstance(part, nn.ConvTranspose2d):
            nn.init.normal_(part.weight, std=part.in_channels**-0.5)
        elif isinstance(part, nn.Embedding):
            nn.init.normal_(part.weight, std=0.3)
        bias = getattr(part, "bias", None)
        if isinstance(bias, Tensor):
            nn.init.zeros_(bias)


def initialise_encoder(encoder: ImageEncoder) -> None:
    """Convolutions before a rectifier get twice the variance; residual branches start quiet."""
    for name, part in encoder.named_modules():
        if not isinstance(part, nn.Linear | nn.Conv2d):
            continue
        if name.endswith(("conv2", "pwconv2", "linear2")):
            part.weight.mul_(0.5)
        elif "neck" not in name and not name.endswith("dwconv"):
            part.weight.mul_(2**0.5)


def rescale_neck(encoder: ImageEncoder, images_b3hw: Tensor, scales: tuple[float, ...] = NECK_SCALES) -> None:
    """Scale the neck so that its outputs have the wanted standard deviations on these images.

    Too large features drown the position codes. The bias is set so that each channel's mean is zero.
    """
    with torch.no_grad():
        fine, middle, coarse = encoder.neck(encoder.trunk(images_b3hw))
        convs = [part for part in encoder.neck.modules() if isinstance(part, nn.Conv2d)]
        _rescale(convs[3], fine, scales[0])
        _rescale(convs[2], middle, scales[1])
        _rescale(convs[1], coarse, scales[2])
        convs[0].weight.mul_(scales[2] / _spread(coarse))
        nn.init.zeros_(_bias(convs[0]))


def _spread(output: Tensor) -> Tensor:
    return (output - output.mean((0, 2, 3), keepdim=True)).float().std().clamp(min=1e-6)


def _rescale(conv: nn.Conv2d, output: Tensor, scale: float) -> None:
    factor = scale / _spread(output)
    conv.weight.mul_(factor)
    _bias(conv).sub_(output.mean((0, 2, 3)).float()).mul_(factor)


def _bias(conv: nn.Conv2d) -> Tensor:
    if conv.bias is None:
        raise ValueError("the neck's convolutions have biases")
    return conv.bias


def initialise_prompts(prompts: PromptEncoder) -> None:
    """Fourier positions of several scales: broad ones say roughly where, narrow ones exactly where."""
    matrix = prompts.pe_layer.positional_encoding_gaussian_matrix
    scales = torch.logspace(-1, 0.1, matrix.shape[1])  # 0.1 to 1.26
    matrix.copy_(torch.randn(matrix.shape) * scales)
    list(prompts.mask_downscaling.parameters())[-2].mul_(0.5)


def pass_values_through(attention: Attention, gain: float = 1.0) -> None:
    """What is read comes back in the space it was read from: the output projection undoes the values'."""
    nn.init.orthogonal_(attention.v_proj.weight)
    attention.out_proj.weight.copy_(attention.v_proj.weight.T * gain)


def tie_queries_and_keys(attention: Attention, gain: float) -> None:
    """Equal queries and keys: what lies at the same place is similar."""
    nn.init.orthogonal_(attention.q_proj.weight)
    attention.q_proj.weight.mul_(gain)
    attention.k_proj.weight.copy_(attention.q_proj.weight)


def scale_weights(layers: Iterable[nn.Module], factor: float) -> None:
    """Multiply the weights of linear layers."""
    for layer in layers:
        if isinstance(layer, nn.Linear):
            layer.weight.mul_(factor)


def initialise_decoder(decoder: MaskDecoder) -> None:
    """Tied position-carrying attention; quiet residual branches; logits of about unit size."""
    for block in decoder.modules():
        if not isinstance(block, TwoWayBlock):
            continue
        pass_values_through(block.self_attn)
        for attention in (block.cross_attn_token_to_image, block.cross_attn_image_to_token):
            tie_queries_and_keys(attention, 1.5)
            pass_values_through(attention)
        scale_weights([block.mlp.layers[-1]], 0.3)
    tie_queries_and_keys(decoder.transformer.final_attn_token_to_image, 1.5)
    pass_values_through(decoder.transformer.final_attn_token_to_image)
    heads = [decoder.iou_prediction_head, decoder.pred_obj_score_head]
    for mlp in [*decoder.output_hypernetworks_mlps, *heads]:
        if isinstance(mlp, MLP):
            scale_weights(list(mlp.layers)[:-1], 2**0.5)
    scale_weights([head.layers[-1] for head in heads], 0.1)


def initialise_memory_attention(attention: MemoryAttention, sharpness: float = 6.0) -> None:
    """Constant parts of queries and keys that agree most at the same place of the image."""
    for layer in attention.modules():
        if isinstance(layer, MemoryAttentionLayer):
            look_at_the_same_place(layer.self_attn, 0.3, sharpness)
            look_at_the_same_place(layer.cross_attn_image, 0.7, sharpness)
            layer.linear2.weight.mul_(0.3)
    attention.norm.weight.fill_(NECK_SCALES[2])


def look_at_the_same_place(attention: Attention, gain: float, sharpness: float) -> None:
    """Equal biases b of rotary queries and keys: the similarity is ``sum b_f^2 cos(f * distance)``.

    Only the quickest frequencies are used, so that it falls off within two or three tokens.

    Args:
        attention: with rotary positions and one head.
        gain: of what is read.
        sharpness: how much more similar, in logits and per axis, the same place is than one far away.
    """
    width = attention.q_proj.out_features
    quarter = width // 4
    used = max(1, quarter // 4)
    bias = torch.zeros(2, quarter, 2)  # axis, frequency, pair of channels
    bias[:, :used, 0] = (sharpness * width**0.5 / used) ** 0.5
    for projection in (attention.q_proj, attention.k_proj):
        projection.weight.mul_(0.5)
        projection.bias.copy_(bias.flatten())
    attention.out_proj.weight.mul_(gain)


def initialise_memory_encoder(encoder: MemoryEncoder) -> None:
    """Its ConvNeXt blocks take part from the start."""
    for block in encoder.modules():
        if isinstance(block, FuserBlock):
            block.gamma.fill_(0.3)
