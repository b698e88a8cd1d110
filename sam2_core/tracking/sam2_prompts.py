"""From the session's plain values to SAM 2's tensors: pixels, points, masks, memories."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from sam2_core.hookspecs import Memories
from sam2_core.models import devices, motion
from sam2_core.models.memory_attention import MemoryTokens
from sam2_core.models.prompt_encoder import PointPrompts
from sam2_core.models.sam2 import SAM2, mask_to_logits
from sam2_core.prompts import Prompt
from sam2_core.types import Mask

BOX_CORNERS = (2, 3)
"""Labels of a box's corners: left top, right bottom."""


def to_points(prompt: Prompt, frame: tuple[int, int], size: int, device: torch.device) -> PointPrompts:
    """The points of a prompt in the network's pixels; the corners of its box come first."""
    height, width = frame
    corners = [(prompt.box.left, prompt.box.top), (prompt.box.right, prompt.box.bottom)] if prompt.box else []
    coordinates = corners + [(p.x, p.y) for p in prompt.points]
    labels = [*(BOX_CORNERS if prompt.box else ()), *(int(p.positive) for p in prompt.points)]
    scale = np.array([size / width, size / height])
    coords = torch.tensor(np.array(coordinates).reshape(-1, 2) * scale, dtype=torch.float32)
    return PointPrompts(devices.send(coords[None], device), devices.send(torch.tensor([labels]), device))


def is_ambiguous(prompt: Prompt) -> bool:
    """Whether the prompt is one click and nothing else: then the decoder offers three masks."""
    return len(prompt.points) == 1 and prompt.box is None and prompt.previous is None


def to_model_mask(mask: Mask, size: int) -> Tensor:
    """A mask at the network's input size, 0 or 1, ``(1, 1, size, size)``."""
    mask_11hw = torch.from_numpy(mask.astype(np.float32))[None, None]
    resized = F.interpolate(mask_11hw, (size, size), mode="bilinear", align_corners=False, antialias=True)
    threshold = resized.max().clamp(max=0.5)  # an object smaller than a pixel of the network does not vanish
    return ((resized >= threshold) & (resized > 0)).float()


def to_logits(mask: Mask, size: int) -> Tensor:
    """A mask as the logits that the decoder would have given, ``(1, 1, size / 4, size / 4)``."""
    return to_size(mask_to_logits(to_model_mask(mask, size)), size // 4)


def to_size(logits_11hw: Tensor, side: int) -> Tensor:
    """Logits in another size, ``(1, 1, side, side)``; a sure mask of few pixels stays sure somewhere."""
    if logits_11hw.shape[-1] == side:
        return logits_11hw
    resized = F.interpolate(logits_11hw, (side, side), mode="bilinear", align_corners=False, antialias=True)
    lost = (logits_11hw > motion.SURE).any() & ~(resized > motion.SURE).any()
    return torch.where(lost, F.adaptive_max_pool2d(logits_11hw, side), resized)


def signature(memories: Memories) -> object:
    """Objects with the same signature can share one call: their memories lie in the same places."""
    recent = [(steps, memory.spatial_1chw is None) for steps, memory in memories.recent]
    return tuple(steps for steps, _ in memories.conditioning), tuple(recent)


def previous_masks(group: Sequence[Memories]) -> Tensor | None:
    """The masks of the frame one step back, ``(n, 1, h, w)``; None if nothing is remembered of that frame.

    The objects have one signature, so all of them remember that frame or none does.
    """
    found = []
    for memories in group:
        last = [memory for steps, memory in (*memories.recent, *memories.conditioning) if steps == 1]
        if not last:
            return None
        found.append(last[0].mask_11hw)
    return torch.cat(found).float()


def to_tokens(network: SAM2, group: Sequence[Memories]) -> MemoryTokens:
    """The memory tokens of objects with one signature."""
    first = group[0]

    def stack(kind: str, index: int, name: str) -> Tensor:
        return torch.cat([getattr(getattr(m, kind)[index][1], name) for m in group]).float()

    def centres(kind: str, index: int) -> Tensor:
        return stack(kind, index, "centre_12")

    def places(kind: str, index: int) -> Tensor:
        memories = [getattr(m, kind)[index][1] for m in group]
        return torch.cat([m.centre_12 if m.now_12 is None else m.now_12 for m in memories]).float()

    now_at = _now_at(first, places) if network.config.previous_mask_tracking else None

    def spatial(kind: str, index: int) -> Tensor:
        memory = stack(kind, index, "spatial_1chw")
        return memory if now_at is None else motion.moved(memory, centres(kind, index), now_at)

    def pointer(kind: str, index: int) -> Tensor:
        return stack(kind, index, "pointer_1d")

    conditioning = [
        (steps, spatial("conditioning", i), pointer("conditioning", i))
        for i, (steps, _) in enumerate(first.conditioning)
    ]
    recent = [
        (steps, None if memory.spatial_1chw is None else spatial("recent", i), pointer("recent", i))
        for i, (steps, memory) in enumerate(first.recent)
    ]
    return network.recall(conditioning, recent)


def _now_at(memories: Memories, centres: Callable[[str, int], Tensor]) -> Tensor | None:
    """Where the objects were seen last, looking at what lies behind from new to old."""
    behind = [
        (steps, kind, index)
        for kind, every in (("recent", memories.recent), ("conditioning", memories.conditioning))
        for index, (steps, memory) in enumerate(every)
        if steps > 0 and memory.centre_12 is not None
    ]
    return motion.latest(centres(kind, index) for _, kind, index in sorted(behind))
