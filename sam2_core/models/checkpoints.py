"""Networks from files: Meta's ``.pt``, the hub's ``.safetensors``, and our own.

Sizes and version are recognised from names and shapes. Whatever is wrong with a file is one ModelError.
"""

from __future__ import annotations

import pickle
import warnings
from collections.abc import Collection, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as serialised
from torch import Tensor

from sam2_core.errors import ModelError, reason
from sam2_core.models.config import CONFIGS, ConvTrunkConfig, HieraConfig, SAM2Config
from sam2_core.models.hub_names import from_hub_names, hub_name, is_hub_layout
from sam2_core.models.sam2 import SAM2

State = dict[str, Tensor]

_KINDS = (torch.float32, torch.float16, torch.bfloat16, torch.float64)
_PATCHES = "image_encoder.trunk.patch_embed.proj.weight"
_STEM = "image_encoder.trunk.stem.weight"
_BLOCK = "image_encoder.trunk.blocks.{}.norm1.weight"
_ONLY_IN_21 = ("obj_ptr_tpos_proj.weight", "no_obj_embed_spatial")


def build(config: SAM2Config) -> SAM2:
    """A network with random weights, in training mode."""
    return SAM2(config)


def load(path: Path) -> SAM2:
    """The network in a file, in float32 on the CPU, in evaluation mode.

    Raises:
        ModelError: as ``load_state``.
    """
    config, state = load_state(path)
    with torch.device("meta"):
        network = SAM2(config)
    network.to_empty(device="cpu").load_state_dict(state, strict=True)
    return network.eval()


def load_state(path: Path) -> tuple[SAM2Config, State]:
    """Recognise and read a checkpoint; no code in it is ever run.

    Args:
        path: ``.pt`` or ``.pth`` (a state dict, or a dict that holds one under "model"), or
            ``.safetensors`` in Meta's or in the hub's names.

    Returns:
        The sizes, and all tensors in Meta's names and in float32.

    Raises:
        ModelError: if the file cannot be read, or is not a network that is known.
    """
    if not path.is_file():
        raise ModelError(f"there is no model file called {str(path)!r}")
    state, notes = _read_safetensors(path) if path.suffix == ".safetensors" else (_read_pickle(path), {})
    config = _recognise(state, path)
    if "image_size" in notes:
        config = config.at_size(_whole_number(notes["image_size"], path))
    shapes = _shapes(config.name)
    if is_hub_layout(state):
        state = from_hub_names(state, shapes)
    _check(state, shapes, config.name, path)
    return config, {name: state[name].float() for name in shapes}


def save(network: SAM2, path: Path, dtype: torch.dtype = torch.float32, **notes: str) -> None:
    """Write a network as ``.safetensors`` that ``load`` reads back.

    Args:
        network: the network.
        path: the file to write.
        dtype: how to keep the numbers; float16 halves the file.
        notes: anything to be kept with it, such as how it was trained.
    """
    state = {name: tensor.detach().to(dtype).contiguous() for name, tensor in network.state_dict().items()}
    config = network.config
    notes |= {"model": config.name, "image_size": str(config.image_size)}
    path.write_bytes(serialised(state, notes))  # safetensors' own file could be read by its writer alone


def _read_pickle(path: Path) -> State:
    try:
        with warnings.catch_warnings(action="ignore"):  # about pickles that are refused anyway
            content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        if "global" in str(error).lower():
            raise ModelError(f"{str(path)!r} holds code, not only tensors; nothing of it was run") from None
        raise ModelError(
            f"{str(path)!r} is not a checkpoint, is damaged, or holds code (nothing was run); get it again"
        ) from None
    except Exception as error:  # a hostile or damaged file may raise anything
        raise ModelError(f"{str(path)!r} cannot be read; it may be cut off: {reason(error)}") from None
    if isinstance(content, dict) and isinstance(content.get("model"), Mapping):
        content = content["model"]
    if not isinstance(content, Mapping) or not all(_is_entry(*item) for item in content.items()):
        raise ModelError(f"{str(path)!r} holds no state dict (names of tensors, and tensors)")
    return dict(content)


def _is_entry(name: Any, value: Any) -> bool:
    return isinstance(name, str) and isinstance(value, Tensor)


def _read_safetensors(path: Path) -> tuple[State, dict[str, str]]:
    try:
        with safe_open(path, framework="pt") as file:
            names = file.keys()
            return {name: file.get_tensor(name) for name in names}, file.metadata() or {}
    except (SafetensorError, OSError, ValueError) as error:
        raise ModelError(
            f"{str(path)!r} cannot be read as safetensors; get it again: {reason(error)}"
        ) from None


def _whole_number(text: str, path: Path) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) < 10):
        raise ModelError(f"{str(path)!r} says that its image_size is {text[:20]!r}; expected a whole number")
    return int(text)


def _recognise(state: Mapping[str, Tensor], path: Path) -> SAM2Config:
    """The sizes that fit the first layer, the number of blocks and the version's own tensors."""
    name_of = hub_name if is_hub_layout(state) else str
    is_21 = any(name_of(name) in state for name in _ONLY_IN_21)
    for config in CONFIGS.values():
        trunk = config.trunk
        first = state.get(name_of(_PATCHES if isinstance(trunk, HieraConfig) else _STEM))
        if first is None or first.ndim != 4 or first.shape[0] != trunk.dims[0]:
            continue
        if isinstance(trunk, ConvTrunkConfig):
            return config
        last, beyond = (name_of(_BLOCK.format(sum(trunk.blocks) + more)) for more in (-1, 0))
        if last in state and beyond not in state and config.pointer_positions == is_21:
            return config
    raise ModelError(
        f"{str(path)!r} is no SAM 2 that is known ({len(state)} tensors{_some(state)}); "
        f"there are: {', '.join(CONFIGS)}"
    )


@lru_cache(maxsize=4)
def _shapes(name: str) -> dict[str, torch.Size]:
    with torch.device("meta"):
        return {key: tensor.shape for key, tensor in SAM2(CONFIGS[name]).state_dict().items()}


def _check(state: Mapping[str, Tensor], shapes: Mapping[str, torch.Size], name: str, path: Path) -> None:
    start = f"{str(path)!r} looks like {name}, but"
    if missing := shapes.keys() - state.keys():
        raise ModelError(f"{start} {len(missing)} of its tensors are missing{_some(missing)}")
    if foreign := state.keys() - shapes.keys():
        raise ModelError(f"{start} it holds {len(foreign)} tensors that do not belong there{_some(foreign)}")
    for key, shape in shapes.items():
        if state[key].shape != shape:
            raise ModelError(
                f"{start} {key!r} has the shape {tuple(state[key].shape)}; expected {tuple(shape)}"
            )
        if state[key].dtype not in _KINDS:
            raise ModelError(
                f"{start} {key!r} holds {state[key].dtype}; expected float32, float16 or bfloat16"
            )
        if state[key].is_sparse or state[key].is_meta or not state[key].isfinite().all():
            raise ModelError(f"{start} {key!r} holds no numbers, or infinite ones; the file is damaged")


def _some(names: Collection[str]) -> str:
    """The first names in words: ": 'a', 'b', ..."."""
    first = ", ".join(repr(name) for name in sorted(names)[:3])
    return f": {first}{', ...' if len(names) > 3 else ''}" if names else ""
