"""How a network starts that is to learn from nothing: as if it already knew what "here" means.

A SAM 2 with default initialisation stays at the empty mask. Here variance is kept from layer to layer,
queries and keys that carry positions start equal (a click looks at its own pixels), what attention reads
comes back in the space it was read from, and memory attention begins by looking at the same place.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from sam2_core.models.layers import Attention
from sam2_core.models.mask_decoder import MaskDecoder
from sam2_core.models.memory_attention import MemoryAttention
from sam2_core.models.memory_encoder import MemoryEncoder
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
        fine, middle, coarse = encoder(images_b3hw)
        convs: list[nn.Conv2d] = [level[0] for level in encoder.neck.convs]  # type: ignore[index, misc]
        for level, output, scale in ((3, fine, scales[0]), (2, middle, scales[1])):
            _rescale(convs[level], output, scale)
        _rescale(convs[1], coarse, scales[2])
        convs[0].weight.mul_(scales[2] / _spread(coarse))
        convs[0].bias.zero_()  # type: ignore[union-attr]


def _spread(output: Tensor) -> Tensor:
    return (output - output.mean((0, 2, 3), keepdim=True)).float().std().clamp(min=1e-6)


def _rescale(conv: nn.Conv2d, output: Tensor, scale: float) -> None:
    factor = scale / _spread(output)
    conv.weight.mul_(factor)
    conv.bias.sub_(output.mean((0, 2, 3)).float()).mul_(factor)  # type: ignore[union-attr]


def initialise_prompts(prompts: PromptEncoder) -> None:
    """Fourier positions of several scales: broad ones say roughly where, narrow ones exactly where."""
    matrix = prompts.pe_layer.positional_encoding_gaussian_matrix
    scales = torch.logspace(-1, 0.1, matrix.shape[1])  # 0.1 to 1.26
    matrix.copy_(torch.randn(matrix.shape) * scales)
    last = prompts.mask_downscaling[-1]
    last.weight.mul_(0.5)  # type: ignore[operator]


def copy_values(attention: Attention, gain: float = 1.0) -> None:
    """What is read comes back in the space it was read from: the output projection undoes the values'."""
    nn.init.orthogonal_(attention.v_proj.weight)
    attention.out_proj.weight.copy_(attention.v_proj.weight.T * gain)


def tie(attention: Attention, gain: float) -> None:
    """Equal queries and keys: what lies at the same place is similar."""
    nn.init.orthogonal_(attention.q_proj.weight)
    attention.q_proj.weight.mul_(gain)
    attention.k_proj.weight.copy_(attention.q_proj.weight)


def initialise_decoder(decoder: MaskDecoder) -> None:
    """Tied position-carrying attention; quiet residual branches; logits of about unit size."""
    for block in decoder.transformer.layers:
        copy_values(block.self_attn)  # type: ignore[arg-type]
        for attention in (block.cross_attn_token_to_image, block.cross_attn_image_to_token):
            tie(attention, 1.5)  # type: ignore[arg-type]
            copy_values(attention)  # type: ignore[arg-type]
        block.mlp.layers[-1].weight.mul_(0.3)  # type: ignore[union-attr, index, operator]
    tie(decoder.transformer.final_attn_token_to_image, 1.5)
    copy_values(decoder.transformer.final_attn_token_to_image)
    for mlp in (*decoder.output_hypernetworks_mlps, decoder.iou_prediction_head, decoder.pred_obj_score_head):
        for layer in list(mlp.layers)[:-1]:  # type: ignore[arg-type, union-attr]
            layer.weight.mul_(2**0.5)  # type: ignore[union-attr, operator]
    decoder.iou_prediction_head.layers[-1].weight.mul_(0.1)  # type: ignore[operator, union-attr]
    decoder.pred_obj_score_head.layers[-1].weight.mul_(0.1)  # type: ignore[operator, union-attr]


def initialise_memory_attention(attention: MemoryAttention, sharpness: float = 6.0) -> None:
    """Constant parts of queries and keys that agree most at the same place of the image.

    With rotary positions, equal biases b give the similarity ``sum b_f^2 cos(f * distance)``: only the
    quickest frequencies are used, so that it falls off within two or three tokens.
    """
    for layer in attention.layers:
        for part, gain in ((layer.self_attn, 0.3), (layer.cross_attn_image, 0.7)):
            width = part.q_proj.out_features  # type: ignore[union-attr]
            part.q_proj.weight.mul_(0.5)  # type: ignore[union-attr, operator]
            part.k_proj.weight.mul_(0.5)  # type: ignore[union-attr, operator]
            part.out_proj.weight.mul_(gain)  # type: ignore[union-attr, operator]
            quarter = width // 4  # type: ignore[operator]
            used = max(1, quarter // 4)
            size = (sharpness * width**0.5 / used) ** 0.5  # type: ignore[operator]
            bias = torch.zeros(2, quarter, 2)  # axis, frequency, pair
            bias[:, :used, 0] = size
            part.q_proj.bias.copy_(bias.flatten())  # type: ignore[union-attr, operator]
            part.k_proj.bias.copy_(bias.flatten())  # type: ignore[union-attr, operator]
        layer.linear2.weight.mul_(0.3)  # type: ignore[union-attr, operator]
    attention.norm.weight.fill_(NECK_SCALES[2])


def initialise_memory_encoder(encoder: MemoryEncoder) -> None:
    """Its ConvNeXt blocks take part from the start."""
    for block in encoder.fuser.layers:  # type: ignore[union-attr]
        block.gamma.fill_(0.3)
