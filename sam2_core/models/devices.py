"""Which device and which precision: decided in one place."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from sam2_core.errors import ModelError

PRECISIONS = ("auto", "exact")


def choose(device: str) -> torch.device:
    """The device of this name; "auto" is CUDA, MPS or CPU, whichever is there.

    Raises:
        ModelError: if there is no such device.
    """
    if device == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        chosen = torch.device(device)
        torch.zeros(1, device=chosen).tolist()  # "meta" makes tensors that hold nothing
    except (RuntimeError, AssertionError, TypeError) as error:  # torch raises any of them, by device
        raise ModelError(f"the device {device!r} cannot be used here; give auto, cpu, cuda or mps") from error
    return chosen


def check_precision(precision: str) -> str:
    """The precision, if there is one of that name.

    Raises:
        ModelError: if there is not.
    """
    if precision not in PRECISIONS:
        raise ModelError(f"no precision is called {precision!r}; there are: {', '.join(PRECISIONS)}")
    return precision


def prefers_bfloat16(device: torch.device) -> bool:
    """Whether bfloat16 is native there, and so "auto" uses it for large matrix products."""
    if device.type == "cpu":
        return any(processor().get(name) for name in ("avx512_bf16", "amx_bf16"))
    return device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)


def send(tensor: Tensor, device: torch.device) -> Tensor:
    """A tensor of the CPU where it is needed, without a wait for what runs there.

    A GPU finishes all that it was given before it takes a copy, unless that comes from pinned memory.
    """
    if device.type != "cuda":
        return tensor.to(device)
    return tensor.pin_memory().to(device, non_blocking=True)


def fetch(*tensors: Tensor) -> tuple[Tensor, ...]:
    """Tensors of one device on the CPU, after one wait for what runs there."""
    device = tensors[0].device
    if device.type != "cuda":
        return tuple(tensor.cpu() for tensor in tensors)
    fetched = tuple(tensor.to("cpu", non_blocking=True) for tensor in tensors)
    torch.cuda.current_stream(device).synchronize()
    return fetched


def processor() -> dict[str, Any]:
    """What torch knows of this processor, by its names; nothing from an older torch."""
    tell = getattr(torch.cpu, "get_capabilities", None)
    return {} if tell is None else dict(tell())
