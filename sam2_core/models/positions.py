"""Positions as numbers: sines over a grid and over time, rotary tables, and a cache for such constants."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor


@lru_cache(maxsize=16)
def sine_grid(height: int, width: int, channels: int, device: torch.device, dtype: torch.dtype) -> Tensor:
    """Sine positions of a grid: the first half of the channels tells y, the second x (DETR).

    Returns:
        ``(1, channels, height, width)``.
    """
    with torch.inference_mode(False), torch.no_grad():
        half = channels // 2
        period = 10000 ** (2 * torch.div(torch.arange(half), 2, rounding_mode="floor") / half)
        y_hc = _alternate((torch.arange(1, height + 1) / (height + 1e-6) * (2 * math.pi))[:, None] / period)
        x_wc = _alternate((torch.arange(1, width + 1) / (width + 1e-6) * (2 * math.pi))[:, None] / period)
        grid_hwc = torch.cat([y_hc[:, None].expand(-1, width, -1), x_wc[None].expand(height, -1, -1)], dim=-1)
        return grid_hwc.permute(2, 0, 1)[None].contiguous().to(device, dtype)


def _alternate(angle_nc: Tensor) -> Tensor:
    return torch.stack([angle_nc[:, 0::2].sin(), angle_nc[:, 1::2].cos()], dim=-1).flatten(1)


def sine_times(time_p: Tensor, channels: int) -> Tensor:
    """Sine positions of points in time: sines in the first half of the channels, cosines in the second.

    Returns:
        ``(points, channels)``.
    """
    half = channels // 2
    index = torch.arange(half, device=time_p.device)
    period = 10000 ** (2 * torch.div(index, 2, rounding_mode="floor") / half)
    angle_pc = time_p[:, None] / period
    return torch.cat([angle_pc.sin(), angle_pc.cos()], dim=-1)


@lru_cache(maxsize=8)
def rotary_turns(height: int, width: int, channels: int, theta: float, device: torch.device) -> Tensor:
    """2-D rotary positions (Su et al. 2021, per axis as in ViT) as complex numbers of length 1.

    The first half of the pairs of channels turns with x, the second with y.

    Returns:
        ``(height * width, channels // 2)`` complex64, tokens in row order.
    """
    with torch.inference_mode(False), torch.no_grad():
        quarter = channels // 4
        frequency = 1.0 / theta ** (torch.arange(quarter) / quarter)
        x_wf = torch.arange(width)[:, None] * frequency
        y_hf = torch.arange(height)[:, None] * frequency
        angle_hwf = torch.cat([x_wf[None].expand(height, -1, -1), y_hf[:, None].expand(-1, width, -1)], -1)
        angle_nf = angle_hwf.flatten(0, 1).to(device)
        return torch.complex(angle_nf.cos(), angle_nf.sin())


@dataclass(frozen=True, eq=False)
class Rotary:
    """Turns neighbouring pairs of channels by an angle that tells the place in the image.

    Attributes:
        turns_nf: one turn per pair for the tokens of a frame, from ``rotary_turns``.
        pointers: how many keys at the end have no place and stay as they are.
    """

    turns_nf: Tensor
    pointers: int = 0

    def turn_queries(self, query_bnc: Tensor) -> Tensor:
        """Turn ``(batch, tokens, channels)``; tokens are whole frames, one after another.

        A product of complex numbers: the same bits as cosines and sines by hand, in a tenth of the time.
        """
        batch, count, channels = query_bnc.shape
        tokens = len(self.turns_nf)
        pairs = query_bnc.float().reshape(batch, count // tokens, tokens, channels // 2, 2)
        turned = torch.view_as_real(torch.view_as_complex(pairs) * self.turns_nf)
        return turned.flatten(-2).flatten(1, 2).type_as(query_bnc)

    def turn_keys(self, key_bmc: Tensor) -> Tensor:
        """Turn all keys but the pointers, ``(batch, tokens, channels)``."""
        if not self.pointers:
            return self.turn_queries(key_bmc)
        placed = key_bmc.shape[1] - self.pointers
        if not placed:
            return key_bmc
        return torch.cat([self.turn_queries(key_bmc[:, :placed]), key_bmc[:, placed:]], dim=1)


class Derived:
    """The last value computed from weights, kept while they stay as they are.

    Nothing is kept where gradients are recorded, so training sees fresh values. Changes are seen through
    the weights' version counters: write with ``weight.copy_(...)`` under ``torch.no_grad()``, never through
    ``weight.data``.
    """

    def __init__(self) -> None:
        self._kept: tuple[tuple[Tensor, ...], list[object], Tensor] | None = None

    def get(self, weights: tuple[Tensor, ...], key: object, compute: Callable[[], Tensor]) -> Tensor:
        """The value for these weights and this key: the kept one, or a new one."""
        if torch.is_grad_enabled() or any(weight.is_inference() for weight in weights):
            return compute()
        stamp = [key, *((weight.device, weight.dtype, weight._version) for weight in weights)]
        kept = self._kept
        if kept and kept[1] == stamp and all(a is b for a, b in zip(kept[0], weights, strict=True)):
            return kept[2]
        with torch.inference_mode(False), torch.no_grad():
            value = compute()
        self._kept = (weights, stamp, value)
        return value
