"""Tensors as plain arrays and back, to the same bits; NumPy has no bfloat16, so its bits go as ``int16``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


def array_of(tensor: Tensor) -> NDArray[Any]:
    """The bits of a float32 or bfloat16 tensor."""
    plain = tensor.view(torch.int16) if tensor.dtype == torch.bfloat16 else tensor
    array: NDArray[Any] = plain.cpu().numpy()
    return array


def tensor_of(array: NDArray[Any]) -> Tensor:
    """The tensor with these bits, a copy; ValueError for another kind of array."""
    if array.dtype not in (np.int16, np.float32):
        raise ValueError(f"no tensor is made of {array.dtype}")
    tensor = torch.from_numpy(array.copy())
    return tensor.view(torch.bfloat16) if array.dtype == np.int16 else tensor


def pixels_of(features_1chw: Tensor) -> NDArray[Any]:
    """The bits of an image of features, ``(height, width, channels)``."""
    return array_of(features_1chw[0].permute(1, 2, 0).contiguous())


def features_of(pixels_hwc: NDArray[Any]) -> Tensor:
    """The image of features with these bits, ``(1, channels, height, width)``, channels last in memory."""
    return tensor_of(pixels_hwc)[None].permute(0, 3, 1, 2)


def joined(parts: Mapping[str, Mapping[str, NDArray[Any]]]) -> dict[str, NDArray[Any]]:
    """The arrays of several parts under names such as ``part.array``; names of parts hold no dot."""
    return {f"{part}.{name}": array for part, arrays in parts.items() for name, array in arrays.items()}


def parted(arrays: Mapping[str, NDArray[Any]]) -> dict[str, dict[str, NDArray[Any]]]:
    """The parts that were joined; arrays that belong to none are left out."""
    parts: dict[str, dict[str, NDArray[Any]]] = {}
    for name, array in arrays.items():
        part, _, rest = name.partition(".")
        if rest:
            parts.setdefault(part, {})[rest] = array
    return parts
