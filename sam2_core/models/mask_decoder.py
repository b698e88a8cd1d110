"""The mask decoder: prompt tokens and the image look at each other, then tokens become masks."""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sam2_core.models.config import SAM2Config
from sam2_core.models.layers import MLP, Attention, LayerNorm2d

MASKS = 4
"""One mask for clear prompts, and whole, part and subpart for ambiguous ones."""


class TwoWayBlock(nn.Module):
    """Tokens attend to themselves and to the image, then the image to the tokens.

    Args:
        dim: channels of tokens and image.
        heads: attention heads.
        hidden: width of the tokens' MLP.
        first: the first block: the tokens are nothing but their positions yet.
    """

    def __init__(self, dim: int, heads: int, hidden: int, *, first: bool) -> None:
        super().__init__()
        self.first = first
        self.self_attn = Attention(dim, dim, heads)
        self.norm1 = nn.LayerNorm(dim)
        self.cross_attn_token_to_image = Attention(dim, dim // 2, heads)
        self.norm2 = nn.LayerNorm(dim)
        self.mlp = MLP((dim, hidden, dim))
        self.norm3 = nn.LayerNorm(dim)
        self.norm4 = nn.LayerNorm(dim)
        self.cross_attn_image_to_token = Attention(dim, dim // 2, heads)

    def forward(
        self, tokens_ntd: Tensor, image_npd: Tensor, token_place_ntd: Tensor, image_place_1pd: Tensor
    ) -> tuple[Tensor, Tensor]:
        """One exchange; a batch of 1 on either side is broadcast.

        Args:
            tokens_ntd: ``(objects, tokens, dim)``.
            image_npd: ``(objects or 1, pixels, dim)``.
            token_place_ntd: positions of the tokens.
            image_place_1pd: positions of the pixels.

        Returns:
            The new tokens and the new image.
        """
        if self.first:
            tokens_ntd = self.self_attn(tokens_ntd, tokens_ntd, tokens_ntd)
        else:
            placed = tokens_ntd + token_place_ntd
            tokens_ntd = tokens_ntd + self.self_attn(placed, placed, tokens_ntd)
        tokens_ntd = self.norm1(tokens_ntd)
        placed_image = image_npd + image_place_1pd
        seen = self.cross_attn_token_to_image(tokens_ntd + token_place_ntd, placed_image, image_npd)
        tokens_ntd = self.norm2(tokens_ntd + seen)
        tokens_ntd = self.norm3(tokens_ntd + self.mlp(tokens_ntd))
        told = self.cross_attn_image_to_token(placed_image, tokens_ntd + token_place_ntd, tokens_ntd)
        return tokens_ntd, self.norm4(image_npd + told)


class TwoWayTransformer(nn.Module):
    """Two-way blocks, and a last look of the tokens at the image."""

    def __init__(self, dim: int, layers: int, heads: int, hidden: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            TwoWayBlock(dim, heads, hidden, first=index == 0) for index in range(layers)
        )
        self.final_attn_token_to_image = Attention(dim, dim // 2, heads)
        self.norm_final_attn = nn.LayerNorm(dim)

    def forward(
        self, tokens_ntd: Tensor, image_npd: Tensor, image_place_1pd: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Shapes as ``TwoWayBlock``; the tokens that come in are their positions."""
        place_ntd = tokens_ntd
        for layer in self.layers:
            tokens_ntd, image_npd = layer(tokens_ntd, image_npd, place_ntd, image_place_1pd)
        seen = self.final_attn_token_to_image(tokens_ntd + place_ntd, image_npd + image_place_1pd, image_npd)
        return self.norm_final_attn(tokens_ntd + seen), image_npd


class Decoded(NamedTuple):
    """What the decoder says of n objects.

    Attributes:
        logits_n4hw: the four masks at stride 4.
        ious_n4: how good each is, predicted, 0 to 1.
        tokens_n4d: the token behind each; object pointers are made of them.
        object_score_n1: logit of whether the object is there at all.
    """

    logits_n4hw: Tensor
    ious_n4: Tensor
    tokens_n4d: Tensor
    object_score_n1: Tensor


class MaskDecoder(nn.Module):
    """SAM's decoder with an object score and features of strides 4 and 8."""

    def __init__(self, config: SAM2Config) -> None:
        super().__init__()
        dim = config.dim
        self.transformer = TwoWayTransformer(
            dim, config.decoder_layers, config.decoder_heads, config.decoder_hidden
        )
        self.iou_token = nn.Embedding(1, dim)
        self.mask_tokens = nn.Embedding(MASKS, dim)
        self.obj_score_token = nn.Embedding(1, dim)
        self.output_upscaling = nn.Sequential(
            nn.ConvTranspose2d(dim, dim // 4, kernel_size=2, stride=2),
            LayerNorm2d(dim // 4),
            nn.GELU(),
            nn.ConvTranspose2d(dim // 4, dim // 8, kernel_size=2, stride=2),
            nn.GELU(),
        )
        self.conv_s0 = nn.Conv2d(dim, dim // 8, kernel_size=1)
        self.conv_s1 = nn.Conv2d(dim, dim // 4, kernel_size=1)
        self.output_hypernetworks_mlps = nn.ModuleList(MLP((dim, dim, dim, dim // 8)) for _ in range(MASKS))
        self.iou_prediction_head = MLP((dim, dim, dim, MASKS))
        self.pred_obj_score_head = MLP((dim, dim, dim, 1))

    def forward(
        self,
        image_ndhw: Tensor,
        place_1pd: Tensor,
        prompts_ntd: Tensor,
        stride8_ndhw: Tensor,
        stride4_ndhw: Tensor,
    ) -> Decoded:
        """Decode the masks of n objects; a batch of 1 of anything is broadcast.

        Args:
            image_ndhw: features at stride 16 with the dense prompt added, ``(n or 1, dim, height, width)``.
            place_1pd: positions of their pixels, ``(1, height * width, dim)``.
            prompts_ntd: prompt tokens, ``(n or 1, tokens, dim)``.
            stride8_ndhw: features after ``conv_s1``, ``(n or 1, dim / 4, 2 height, 2 width)``.
            stride4_ndhw: features after ``conv_s0``, ``(n or 1, dim / 8, 4 height, 4 width)``.
        """
        own_td = torch.cat([self.obj_score_token.weight, self.iou_token.weight, self.mask_tokens.weight])
        tokens_ntd = torch.cat([own_td.expand(len(prompts_ntd), -1, -1), prompts_ntd], dim=1)
        tokens_ntd, image_npd = self.transformer(tokens_ntd, image_ndhw.flatten(2).transpose(1, 2), place_1pd)
        mask_tokens_n4d = tokens_ntd[:, 2 : 2 + MASKS]
        image_ndhw = image_npd.transpose(1, 2).reshape(-1, *image_ndhw.shape[1:])
        return Decoded(
            self._masks(image_ndhw, mask_tokens_n4d, stride8_ndhw, stride4_ndhw),
            torch.sigmoid(self.iou_prediction_head(tokens_ntd[:, 1])),
            mask_tokens_n4d,
            self.pred_obj_score_head(tokens_ntd[:, 0]),
        )

    def _masks(self, image_ndhw: Tensor, tokens_n4d: Tensor, stride8: Tensor, stride4: Tensor) -> Tensor:
        """Upscale the image four times and weigh its channels with what each token asks for."""
        upscale1, norm, activate, upscale2, _ = self.output_upscaling
        fine_nchw = activate(norm(upscale1(image_ndhw) + stride8))
        fine_nchw = F.gelu(upscale2(fine_nchw) + stride4)
        weights_n4c = torch.stack(
            [mlp(tokens_n4d[:, index]) for index, mlp in enumerate(self.output_hypernetworks_mlps)], dim=1
        )
        return (weights_n4c @ fine_nchw.flatten(2)).reshape(-1, MASKS, *fine_nchw.shape[2:])
