"""Prompts as tokens and as an image: points, boxes (two points each) and masks."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sam2_core.models.layers import LayerNorm2d
from sam2_core.models.positions import Derived

PAD, NEGATIVE, POSITIVE, TOP_LEFT, BOTTOM_RIGHT = -1, 0, 1, 2, 3
"""What a point of a prompt can be."""


@dataclass(frozen=True, eq=False)
class PointPrompts:
    """Points for n objects; a box is two of them and comes first.

    Attributes:
        coords_np2: x and y in pixels of the model's image, 0 at the centre of the first pixel.
        labels_np: POSITIVE, NEGATIVE, TOP_LEFT, BOTTOM_RIGHT, or PAD where an object has fewer points.
    """

    coords_np2: Tensor
    labels_np: Tensor

    @classmethod
    def joined(cls, each: Sequence[PointPrompts]) -> PointPrompts:
        """Those of several objects with as many points each."""
        return cls(torch.cat([one.coords_np2 for one in each]), torch.cat([one.labels_np for one in each]))


class FourierPositions(nn.Module):
    """Sines and cosines of random projections of a place in the image (Tancik et al. 2020)."""

    positional_encoding_gaussian_matrix: Tensor

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.register_buffer("positional_encoding_gaussian_matrix", torch.randn(2, dim // 2))
        self._grid = Derived()

    def forward(self, places: Tensor) -> Tensor:
        """Places ``(..., 2)``, x and y from 0 to 1 -> ``(..., dim)``."""
        matrix = self.positional_encoding_gaussian_matrix
        # Not a matrix product: autocast would round the places to bfloat16, some pixels apart.
        x, y = (2 * places.float() - 1).unbind(-1)
        angles = (x[..., None] * matrix[0] + y[..., None] * matrix[1]) * (2 * math.pi)
        return torch.cat([angles.sin(), angles.cos()], dim=-1).to(matrix.dtype)

    def grid(self, height: int, width: int) -> Tensor:
        """The positions of all pixel centres of a grid, ``(1, height * width, dim)``."""
        matrix = self.positional_encoding_gaussian_matrix
        return self._grid.get((matrix,), (height, width), lambda: self._compute_grid(height, width))

    def _compute_grid(self, height: int, width: int) -> Tensor:
        device = self.positional_encoding_gaussian_matrix.device
        y = (torch.arange(height, device=device) + 0.5) / height
        x = (torch.arange(width, device=device) + 0.5) / width
        places_hw2 = torch.stack(torch.meshgrid(y, x, indexing="ij")[::-1], dim=-1)
        grid: Tensor = self(places_hw2).flatten(0, 1)[None]
        return grid


class PromptEncoder(nn.Module):
    """Turns prompts into tokens and into something to add to the image features.

    Args:
        dim: channels of the tokens.
        mask_dim: channels inside the mask branch.
    """

    def __init__(self, dim: int, mask_dim: int = 16) -> None:
        super().__init__()
        self.pe_layer = FourierPositions(dim)
        self.point_embeddings = nn.ModuleList(nn.Embedding(1, dim) for _ in range(4))
        self.not_a_point_embed = nn.Embedding(1, dim)
        self.mask_downscaling = nn.Sequential(
            nn.Conv2d(1, mask_dim // 4, kernel_size=2, stride=2),
            LayerNorm2d(mask_dim // 4),
            nn.GELU(),
            nn.Conv2d(mask_dim // 4, mask_dim, kernel_size=2, stride=2),
            LayerNorm2d(mask_dim),
            nn.GELU(),
            nn.Conv2d(mask_dim, dim, kernel_size=1),
        )
        self.no_mask_embed = nn.Embedding(1, dim)

    def points(self, prompts: PointPrompts | None, image_size: tuple[int, int]) -> Tensor:
        """Points as tokens, with one pad token at the end.

        Args:
            prompts: points of n objects, or None for no points at all.
            image_size: height and width of the model's image.

        Returns:
            ``(n, points + 1, dim)``; ``(1, 2, dim)`` without points.
        """
        pad: Tensor = self.not_a_point_embed.weight
        if prompts is None:
            return pad.expand(1, 2, -1)  # what the published models saw for "no prompt"
        height, width = image_size
        x_np, y_np = (prompts.coords_np2 + 0.5).unbind(-1)
        tokens_npd = self.pe_layer(torch.stack([x_np / width, y_np / height], dim=-1))
        kinds_4d = torch.cat(list(self.point_embeddings.parameters()))
        tokens_npd = tokens_npd + F.embedding(prompts.labels_np.clamp(min=0).long(), kinds_4d)
        tokens_npd = torch.where((prompts.labels_np == PAD)[..., None], pad, tokens_npd)
        return torch.cat([tokens_npd, pad.expand(len(tokens_npd), 1, -1)], dim=1)

    def mask(self, logits_n1hw: Tensor | None) -> Tensor:
        """Earlier mask logits at stride 4, or None -> an addition to the features at stride 16.

        Returns:
            ``(n, dim, height / 4, width / 4)``, or ``(1, dim, 1, 1)`` without a mask.
        """
        if logits_n1hw is None:
            nothing: Tensor = self.no_mask_embed.weight
            return nothing[:, :, None, None]
        embedded: Tensor = self.mask_downscaling(logits_n1hw)
        return embedded
