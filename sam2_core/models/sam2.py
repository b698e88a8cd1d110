"""SAM 2 as stateless verbs, batched over objects (Ravi et al. 2024, section 4 and figure 3).

Names of tensors end in their shape: n objects, b frames (as many as objects, or one for all), d channels.
Nothing here looks at the values of a tensor to decide what to do, so every verb serves training as well.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sam2_core.models import devices
from sam2_core.models.config import SAM2Config
from sam2_core.models.layers import MLP
from sam2_core.models.mask_decoder import Decoded, MaskDecoder
from sam2_core.models.memory_attention import MemoryAttention, MemoryTokens
from sam2_core.models.memory_encoder import MemoryEncoder
from sam2_core.models.neck import ImageEncoder
from sam2_core.models.positions import sine_grid, sine_times
from sam2_core.models.prompt_encoder import PointPrompts, PromptEncoder

NO_OBJECT = -1024.0
"""The logit of every pixel of an object that is not there."""

MASK_LOGIT = 10
"""What stands for a mask that is certain: 10 inside, -10 outside (the same for its object score)."""

CLAMP = 32.0
"""Largest logit that is given back to the decoder."""

STABLE_MARGIN, STABLE_SHARE = 0.05, 0.98
"""A mask is stable if that share of it survives a threshold that is raised by the margin."""


def mask_to_logits(mask: Tensor) -> Tensor:
    """A mask between 0 and 1 as logits."""
    return mask * (2 * MASK_LOGIT) - MASK_LOGIT


def clamped(logits: Tensor) -> Tensor:
    """An earlier answer as the decoder wants it back: logits of at most +-32, as in SAM 2's training."""
    return logits.clamp(-CLAMP, CLAMP)


@dataclass(frozen=True, eq=False)
class Features:
    """What is kept of a frame.

    Attributes:
        stride16: ``(b, dim, height, width)``, not conditioned on any memory.
        stride8: ``(b, dim / 4, 2 height, 2 width)``, ready for the mask decoder.
        stride4: ``(b, dim / 8, 4 height, 4 width)``, ready for the mask decoder.
    """

    stride16: Tensor
    stride8: Tensor
    stride4: Tensor

    @property
    def tensors(self) -> dict[str, Tensor]:
        """All of it by name."""
        return {"stride16": self.stride16, "stride8": self.stride8, "stride4": self.stride4}

    def expand(self, n: int) -> Features:
        """One frame as a batch of n, without copying it."""
        return Features(**{name: t.expand(n, -1, -1, -1) for name, t in self.tensors.items()})

    def of(self, index: int) -> Features:
        """One frame of a batch, without copying it, in one layout: others may give other bits."""
        some = slice(index, index + 1)
        layout = torch.channels_last
        return Features(**{k: t[some].contiguous(memory_format=layout) for k, t in self.tensors.items()})

    @classmethod
    def joined(cls, frames: Sequence[Features]) -> Features:
        """Several frames of one size as a batch."""
        names = frames[0].tensors
        return cls(**{name: torch.cat([frame.tensors[name] for frame in frames]) for name in names})

    @property
    def nbytes(self) -> int:
        """Bytes that the tensors take."""
        return sum(t.nbytes for t in self.tensors.values())


@dataclass(frozen=True, eq=False)
class Prediction:
    """What the network says of n objects on a frame.

    Attributes:
        logits_n1hw: the chosen mask at stride 4, above 0 inside; -1024 where the object is not there.
        all_logits_nkhw: all masks as the decoder gave them, whether the object is there or not: the single
            mask, then whole, part and subpart (k = 4); only the given mask for a mask prompt (k = 1).
        ious_nk: predicted IoU of each of them, 0 to 1.
        iou_n: predicted IoU of the chosen mask.
        object_score_n1: logit of whether the object is there.
        pointer_nd: the object pointer.
    """

    logits_n1hw: Tensor
    all_logits_nkhw: Tensor
    ious_nk: Tensor
    iou_n: Tensor
    object_score_n1: Tensor
    pointer_nd: Tensor


class SAM2(nn.Module):
    """The network of images and videos; its parameters are named as in the published checkpoints."""

    def __init__(self, config: SAM2Config) -> None:
        super().__init__()
        dim, memory_dim = config.dim, config.memory_dim
        self.config = config
        self.image_encoder = ImageEncoder(config)
        self.sam_prompt_encoder = PromptEncoder(dim)
        self.sam_mask_decoder = MaskDecoder(config)
        self.memory_attention = MemoryAttention(config)
        self.memory_encoder = MemoryEncoder(config)
        self.mask_downsample = nn.Conv2d(1, 1, kernel_size=4, stride=4)
        self.obj_ptr_proj = MLP((dim, dim, dim, dim))
        self.maskmem_tpos_enc = _small(config.memory_slots, 1, 1, memory_dim)
        self.no_mem_embed = _small(1, 1, dim)
        self.no_mem_pos_enc = _small(1, 1, dim)  # in the published files; never used
        self.no_obj_ptr = _small(1, dim)
        self.obj_ptr_tpos_proj = nn.Linear(dim, memory_dim) if config.pointer_positions else None
        self.no_obj_embed_spatial = _small(1, memory_dim) if config.absence_embedding else None

    def encode_image(self, images_b3hw: Tensor) -> Features:
        """The features of frames.

        Args:
            images_b3hw: normalised images from ``preprocess``; sides are multiples of 32.
        """
        stride4, stride8, stride16 = self.image_encoder(images_b3hw)
        decoder = self.sam_mask_decoder
        return Features(stride16, decoder.conv_s1(stride8), decoder.conv_s0(stride4))

    def segment(
        self,
        features: Features,
        points: PointPrompts | None = None,
        memory: MemoryTokens | None = None,
        previous_logits_n1hw: Tensor | None = None,
        *,
        multimask: bool,
        stability_fallback: bool = True,
    ) -> Prediction:
        """The masks of n objects on a frame.

        Prompts and no memory: a first click; memory and no prompts: tracking; both: a correction.

        Args:
            features: of one frame for all objects, or one frame per object.
            points: points and boxes of n objects.
            memory: what n objects remember; without it the frame is taken on its own.
            previous_logits_n1hw: an earlier mask to correct, ``(n, 1, height / 4, width / 4)``, ``clamped``.
            multimask: choose the best of whole, part and subpart; else the single mask.
            stability_fallback: take the best of the three all the same where the single mask is not stable.
        """
        stride16 = features.stride16
        if memory is None:
            image = stride16 + self.no_mem_embed.flatten()[:, None, None]
        else:
            image = self.memory_attention(stride16, memory)
        decoded = self._decode(image, features, points, previous_logits_n1hw)
        chosen_n1, pointer_n1 = self._choose(decoded, multimask, stability_fallback)
        there_n1 = decoded.object_score_n1 > 0
        logits_n1hw = _pick(decoded.logits_n4hw, chosen_n1)
        pointer_nd = self.obj_ptr_proj(_pick(decoded.tokens_n4d, pointer_n1)[:, 0])
        return Prediction(
            torch.where(there_n1[..., None, None], logits_n1hw, NO_OBJECT),
            decoded.logits_n4hw,
            decoded.ious_n4,
            decoded.ious_n4.gather(1, chosen_n1)[:, 0],
            decoded.object_score_n1,
            torch.where(there_n1, pointer_nd, self.no_obj_ptr),
        )

    def segment_mask(self, features: Features, masks_n1hw: Tensor) -> Prediction:
        """Take given masks as they are; only the object pointers are computed.

        Args:
            features: of one frame for all objects, or one frame per object.
            masks_n1hw: 0 or 1, at the size of the model's image.
        """
        size, dtype = features.stride4.shape[-2:], features.stride16.dtype
        full_n1hw = masks_n1hw.float()  # torch antialiases no bfloat16
        sure_n1hw = mask_to_logits(full_n1hw)
        logits_n1hw = F.interpolate(sure_n1hw, size, mode="bilinear", antialias=True).to(dtype)
        # The pointer comes from the decoder, without memory and without the embedding that stands for it.
        decoded = self._decode(features.stride16, features, None, self.mask_downsample(full_n1hw.to(dtype)))
        pointer_nd = self.obj_ptr_proj(decoded.tokens_n4d[:, 0])
        there_n1 = (masks_n1hw > 0).flatten(1).any(dim=1, keepdim=True)
        seen_n1 = there_n1 & (decoded.object_score_n1 > 0)
        ones_n1 = torch.ones_like(decoded.object_score_n1)
        return Prediction(
            logits_n1hw,
            logits_n1hw,
            ones_n1,
            ones_n1[:, 0],
            mask_to_logits(there_n1.to(ones_n1.dtype)),
            torch.where(seen_n1, pointer_nd, self.no_obj_ptr),
        )

    def encode_memory(
        self, features: Features, logits_n1hw: Tensor, object_score_n1: Tensor, *, binarise: bool
    ) -> Tensor:
        """What is to be remembered of n objects on a frame.

        The reference implementations keep it in bfloat16.

        Args:
            features: of one frame for all objects, or one frame per object.
            logits_n1hw: mask logits at stride 4 (or at the size of the model's image).
            object_score_n1: logit of whether the object is there.
            binarise: the mask is the user's or corrected by the user: inside or outside, nothing between.

        Returns:
            ``(n, memory_dim, height / 16, width / 16)``.
        """
        height, width = features.stride16.shape[-2:]
        full_n1hw = logits_n1hw
        if logits_n1hw.shape[-2:] != (16 * height, 16 * width):
            full_n1hw = F.interpolate(logits_n1hw, (16 * height, 16 * width), mode="bilinear")
        mask_n1hw = (full_n1hw > 0).to(full_n1hw.dtype) if binarise else torch.sigmoid(full_n1hw)
        memory_ndhw: Tensor = self.memory_encoder(features.stride16, mask_to_logits(mask_n1hw))
        if self.no_obj_embed_spatial is None:
            return memory_ndhw
        absent_n1 = (object_score_n1 <= 0).to(memory_ndhw.dtype)
        return memory_ndhw + (absent_n1 * self.no_obj_embed_spatial)[..., None, None]

    def recall(
        self,
        conditioning: Sequence[tuple[float, Tensor, Tensor]],
        recent: Sequence[tuple[int, Tensor | None, Tensor]],
    ) -> MemoryTokens:
        """Put together what n objects remember, each memory at the place that its distance gives it.

        Spatial memories: prompted frames first, then tracked ones from old to new. Pointers: prompted frames
        that lie behind (or are this one), then tracked ones from new to old (SAM 2, ``SAM2Base``).

        Args:
            conditioning: of prompted frames, how far back they lie (ahead: below 0), their memories
                ``(n, memory_dim, height, width)`` and their object pointers ``(n, dim)``.
            recent: the same of tracked frames from new to old, from one step back on; without a memory if
                only the pointer is read.
        """
        prompted_slot, pointer_span = self.config.memory_slots - 1, self.config.pointers - 1
        spatial = [(memory, prompted_slot) for _, memory, _ in conditioning]
        spatial += [(memory, steps - 1) for steps, memory, _ in reversed(recent) if memory is not None]
        pointers = [(pointer, steps / pointer_span) for steps, _, pointer in conditioning if steps >= 0]
        pointers += [(pointer, steps / pointer_span) for steps, _, pointer in recent]
        return self.memory_tokens(spatial, pointers)

    def memory_tokens(
        self, spatial: Sequence[tuple[Tensor, int]], pointers: Sequence[tuple[Tensor, float]]
    ) -> MemoryTokens:
        """Memories and pointers at given places; ``recall`` finds the places.

        Args:
            spatial: memories ``(n, memory_dim, height, width)``, each with its temporal position: 0 for the
                frame before, 1 for the one before that, ..., the last (6) for prompted frames.
            pointers: object pointers ``(n, dim)``, each with its age: the distance in frames divided by the
                largest distance that can occur.
        """
        tokens = [memory.flatten(2).transpose(1, 2) for memory, _ in spatial]
        positions = [self._spatial_positions(memory, slot) for memory, slot in spatial]
        count = 0
        if pointers:
            stacked_npd = torch.stack([pointer for pointer, _ in pointers], dim=1)
            parts = self.config.dim // self.config.memory_dim  # one pointer is several narrow tokens
            tokens.append(stacked_npd.reshape(len(stacked_npd), -1, self.config.memory_dim))
            count = parts * len(pointers)
            ages_pd = self._pointer_positions(stacked_npd, [age for _, age in pointers])
            positions.append(ages_pd.repeat_interleave(parts, dim=0)[None])
        dtype = self.maskmem_tpos_enc.dtype
        tokens_nmd = torch.cat([token.to(dtype) for token in tokens], dim=1)
        return MemoryTokens(tokens_nmd, torch.cat(positions, dim=1), count)

    def _spatial_positions(self, memory_ndhw: Tensor, slot: int) -> Tensor:
        _, dim, height, width = memory_ndhw.shape
        time_11d = self.maskmem_tpos_enc[slot]
        place_1dhw = sine_grid(height, width, dim, memory_ndhw.device, time_11d.dtype)
        return place_1dhw.flatten(2).transpose(1, 2) + time_11d

    def _pointer_positions(self, like: Tensor, ages: list[float]) -> Tensor:
        if self.obj_ptr_tpos_proj is None:  # 2.0 does not tell pointers apart
            return like.new_zeros(len(ages), self.config.memory_dim)
        ages_p = devices.send(torch.tensor(ages, dtype=torch.float32), like.device)
        sines_pd = sine_times(ages_p, self.config.dim).to(self.obj_ptr_tpos_proj.weight.dtype)
        positions: Tensor = self.obj_ptr_tpos_proj(sines_pd)
        return positions

    def _decode(
        self, image_ndhw: Tensor, features: Features, points: PointPrompts | None, mask_n1hw: Tensor | None
    ) -> Decoded:
        height, width = image_ndhw.shape[-2:]
        prompts = self.sam_prompt_encoder
        decoded: Decoded = self.sam_mask_decoder(
            image_ndhw + prompts.mask(mask_n1hw),
            prompts.pe_layer.grid(height, width),
            prompts.points(points, (16 * height, 16 * width)),
            features.stride8,
            features.stride4,
        )
        return decoded

    def _choose(self, decoded: Decoded, multimask: bool, fallback: bool) -> tuple[Tensor, Tensor]:
        """The mask to show and the mask whose token becomes the pointer, both ``(n, 1)``."""
        best_n1 = 1 + decoded.ious_n4[:, 1:].argmax(dim=1, keepdim=True)
        single_n1 = torch.zeros_like(best_n1)
        if multimask:
            return best_n1, best_n1
        if not fallback:
            return single_n1, single_n1
        single_np = decoded.logits_n4hw[:, 0].flatten(1)
        inner_n = (single_np > STABLE_MARGIN).sum(dim=1)
        outer_n = (single_np > -STABLE_MARGIN).sum(dim=1)
        stable_n = (outer_n == 0) | (inner_n / outer_n.clamp(min=1) >= STABLE_SHARE)
        return torch.where(stable_n[:, None], single_n1, best_n1), single_n1


def _pick(values_nk: Tensor, index_n1: Tensor) -> Tensor:
    """One of k for each object, ``(n, k, ...)`` -> ``(n, 1, ...)``."""
    return values_nk[torch.arange(len(index_n1), device=index_n1.device), index_n1[:, 0]][:, None]


def _small(*shape: int) -> nn.Parameter:
    return nn.Parameter(torch.randn(shape) * 0.02)
