"""SAM 2 behind the verbs of ``VideoModel``: images, prompts and memories in, masks at video size out."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sam2_core.hookspecs import Memories, Segmentation
from sam2_core.models import devices, motion
from sam2_core.models.config import SAM2Config
from sam2_core.models.mixed import with_bfloat16_weights
from sam2_core.models.preprocess import preprocess
from sam2_core.models.prompt_encoder import PointPrompts
from sam2_core.models.sam2 import SAM2, Prediction, clamped, mask_to_logits
from sam2_core.models.sam2 import Features as ImageFeatures
from sam2_core.prompts import Prompt
from sam2_core.results import RunLengths
from sam2_core.tracking import allocator, sam2_prompts
from sam2_core.tracking.sam2_values import Decoded, Frame, Sam2Memory, joined
from sam2_core.tracking.tensor_arrays import array_of, features_of, pixels_of, tensor_of
from sam2_core.tracking.upsample import mask_of
from sam2_core.types import Image

BATCH = 64
"""Objects in one call at most; more only cost memory."""

BATCH_BYTES = 2 * 2**30
"""What the objects of one call may take while it runs, at most (nano: 64 objects; 1024 pixels: about ten)."""

BATCH_BYTES_ON_CPU = 128 * 2**20
"""The same for bfloat16 on a CPU, where more at once only outgrows the caches: two objects at 512 pixels."""


def batch_of(config: SAM2Config, budget: int = BATCH_BYTES) -> int:
    """How many objects share a call: at least one, at most ``BATCH``, within a budget of bytes.

    Counted in float32: what a layer of the memory attention holds at once (keys and values of the tokens of a
    full ring and one prompted frame, queries, and the feed-forward network; scores are held in tiles), or
    what the memory encoder holds at the network's full size, whichever is more.
    """
    pixels = (config.image_size // 16) ** 2
    tokens = config.memory_slots * pixels + config.pointers * config.dim // config.memory_dim
    attention = 4 * tokens * config.dim + pixels * (2 * config.memory_hidden + 6 * config.dim)
    encoding = 6 * config.image_size**2
    return max(1, min(BATCH, budget // (4 * max(attention, encoding))))


class Sam2Model:
    """A SAM 2 network as a ``VideoModel``.

    Args:
        network: the network, with its weights.
        name: the name under which it was loaded.
        device: where it runs.
        precision: "exact" computes in float32, one object at a time, so that no result depends on what is
            tracked beside it; "auto" batches objects, in bfloat16 where that is faster.
    """

    def __init__(self, network: SAM2, name: str, device: torch.device, precision: str) -> None:
        self.name = name
        self._exact = precision == "exact"
        pays = device.type != "cpu" or network.config.has_large_products
        self._bfloat16 = not self._exact and pays and devices.prefers_bfloat16(device)
        if device.type == "cpu" and network.config.has_large_products:
            allocator.keep_blocks()
        network = network.to(device).eval()
        self.network = with_bfloat16_weights(network) if self._bfloat16 else network
        self.memory_span = network.config.memory_slots - 1
        self.pointer_span = network.config.pointers - 1
        budget = BATCH_BYTES_ON_CPU if self._bfloat16 and device.type == "cpu" else BATCH_BYTES
        self.batch = 1 if self._exact else batch_of(network.config, budget)  # which may be 1 too
        self._device = device

    @property
    def dtype(self) -> torch.dtype:
        """What large products are computed in."""
        return torch.bfloat16 if self._bfloat16 else torch.float32

    @cached_property
    def identity(self) -> str:
        """The arithmetic, the sizes, and a checksum of the weights."""
        checksum = 0
        for tensor in self.network.state_dict().values():
            checksum = zlib.crc32(tensor.detach().cpu().contiguous().view(torch.uint8).numpy(), checksum)
        arithmetic = "float32" if self._exact else f"resized by torch, batched, bfloat16 {self._bfloat16}"
        return f"{self.network.config}, {arithmetic}, {self._device.type}, {checksum:08x}"

    @contextmanager
    def _running(self) -> Iterator[None]:
        """Inference at this model's precision, whatever autocast the caller has switched on."""
        kind = self._device.type
        with torch.inference_mode(), torch.autocast(kind, torch.bfloat16, enabled=self._bfloat16):
            yield

    def encode_image(self, image: Image) -> Frame:
        """The features of one frame."""
        (frame,) = self.encode_images([image])
        return frame

    def encode_images(self, images: Sequence[Image]) -> list[Frame]:
        """The features of several frames, or parts of one; ``batch`` of them share a call."""
        frames: list[Frame] = []
        for start in range(0, len(images), self.batch):
            some = images[start : start + self.batch]
            with self._running():
                size = self.network.config.image_size
                pixels = [preprocess(image, size, self._device, exact=self._exact) for image in some]
                encoded = self.network.encode_image(torch.cat(pixels))
            frames += [Frame(encoded.of(i), (h, w)) for i, (h, w, _) in enumerate(im.shape for im in some)]
        return frames

    def segment(self, features: Frame, prompt: Prompt, before: Segmentation | None) -> Segmentation:
        """The mask of a prompt, without memory; the logits of the step before are fed back."""
        if prompt.encoded_mask is not None:
            return self._painted(features, prompt.encoded_mask)
        previous = clamped(before.raw.logits_11hw) if before is not None else None
        prediction = self._decode(features, prompt, previous)
        return self._segmentations([prediction], [features.size])[0]

    def _painted(self, features: Frame, encoded: RunLengths) -> Segmentation:
        """A painted mask is the result; the network only makes the pointer."""
        with self._running():
            mask = encoded.decode()
            on_host = sam2_prompts.to_model_mask(mask, self.network.config.image_size)
            painted = devices.send(on_host, self._device)
            prediction = self.network.segment_mask(features.image, painted)
        # The memory is made from the mask as painted, not from its small copy.
        decoded = Decoded(mask_to_logits(painted), prediction.pointer_nd, prediction.object_score_n1)
        return Segmentation(encoded, 1.0, True, decoded)

    def candidates(self, features: Frame, prompt: Prompt) -> Sequence[Segmentation]:
        """Three readings of a single click, one of anything else."""
        if prompt.encoded_mask is not None or not sam2_prompts.is_ambiguous(prompt):
            return [self.segment(features, prompt, None)]
        return self.readings([(features, prompt)])[0]

    def readings(self, clicks: Sequence[tuple[Frame, Prompt]]) -> list[list[Segmentation]]:
        """Three readings of single clicks, best predicted IoU first, each click on a view of its own."""
        size = self.network.config.image_size
        with self._running():
            points = [sam2_prompts.to_points(click, view.size, size, self._device) for view, click in clicks]
            prediction = self.network.segment(
                joined([view for view, _ in clicks]),
                PointPrompts.joined(points),
                multimask=True,
            )
        logits_nkhw, ious_nk = devices.fetch(
            prediction.all_logits_nkhw[:, 1:].float(), prediction.ious_nk[:, 1:].float()
        )
        found = []
        for (view, _), logits, scores in zip(clicks, logits_nkhw.numpy(), ious_nk.tolist(), strict=True):
            encoded = [mask_of(logits_hw, view.size) for logits_hw in logits]
            each = [Segmentation(mask, score, True) for mask, score in zip(encoded, scores, strict=True)]
            found.append(sorted(each, key=lambda reading: -reading.score))
        return found

    def _decode(self, features: Frame, prompt: Prompt, previous: Tensor | None) -> Prediction:
        with self._running():
            size = self.network.config.image_size
            if previous is None and prompt.previous is not None:
                previous = devices.send(sam2_prompts.to_logits(prompt.previous, size), self._device)
            return self.network.segment(
                features.image,
                sam2_prompts.to_points(prompt, features.size, size, self._device),
                None,
                previous,
                multimask=sam2_prompts.is_ambiguous(prompt),
            )

    def track(self, features: Frame, memories: Sequence[Memories]) -> Sequence[Segmentation]:
        """The masks of several objects on the next frame, from their memories."""
        return self.track_each([features] * len(memories), memories)

    def track_each(self, frames: Sequence[Frame], memories: Sequence[Memories]) -> Sequence[Segmentation]:
        """The same with a view of its own for each object; those with alike memories share one call."""
        groups: dict[object, list[int]] = {}
        for index, memory in enumerate(memories):
            groups.setdefault(sam2_prompts.signature(memory), []).append(index)
        alike = list(groups.values())
        predictions = [
            self._follow(joined([frames[i] for i in indices]), [memories[i] for i in indices])
            for indices in alike
        ]
        order = [i for indices in alike for i in indices]
        found = self._segmentations(predictions, [frames[i].size for i in order])
        by_index = dict(zip(order, found, strict=True))
        return [by_index[index] for index in range(len(memories))]

    def _follow(self, image: ImageFeatures, group: Sequence[Memories]) -> Prediction:
        """What objects with alike memories look like on the next frame."""
        config = self.network.config
        with self._running():
            return self.network.segment(
                image,
                None,
                sam2_prompts.to_tokens(self.network, group),
                sam2_prompts.previous_masks(group) if config.previous_mask_tracking else None,
                multimask=config.multimask_tracking,
                stability_fallback=config.multimask_tracking,
            )

    def encode_memory(
        self, features: Frame, segmentations: Sequence[Segmentation], *, prompted: bool
    ) -> Sequence[Sam2Memory]:
        """The memories of several objects on one frame; masks of prompted frames are binarised."""
        return self.encode_memories([features] * len(segmentations), segmentations, prompted=prompted)

    def encode_memories(
        self, frames: Sequence[Frame], segmentations: Sequence[Segmentation], *, prompted: bool
    ) -> Sequence[Sam2Memory]:
        """The same with a view of its own for each object."""
        decoded = [cast(Decoded, segmentation.raw) for segmentation in segmentations]
        memories: dict[int, Tensor] = {}
        for height in {d.logits_11hw.shape[-1] for d in decoded}:  # painted masks come at full size
            chosen = [i for i, d in enumerate(decoded) if d.logits_11hw.shape[-1] == height]
            with self._running():
                spatial = self.network.encode_memory(
                    joined([frames[i] for i in chosen]),
                    torch.cat([decoded[i].logits_11hw for i in chosen]),
                    torch.cat([decoded[i].object_score_11 for i in chosen]),
                    binarise=prompted,
                )
            for i, memory_chw in zip(chosen, spatial, strict=True):
                # Cloned: a slice would keep the memories of all objects alive. In one layout, as from a file.
                memories[i] = memory_chw[None].to(
                    torch.bfloat16, copy=True, memory_format=torch.contiguous_format
                )
        if not self.network.config.previous_mask_tracking:
            return [Sam2Memory(memories[i], d.pointer_1d) for i, d in enumerate(decoded)]
        side = self.network.config.image_size // 4
        given = [clamped(sam2_prompts.to_size(d.logits_11hw, side)) for d in decoded]
        return [
            Sam2Memory(memories[i], d.pointer_1d, mask, motion.centres(mask))
            for i, (d, mask) in enumerate(zip(decoded, given, strict=True))
        ]

    def feature_arrays(self, features: Frame) -> dict[str, NDArray[Any]]:
        """The tensors of the features, and the size of the frame."""
        tensors = features.image.tensors
        pixels = map(pixels_of, devices.fetch(*tensors.values()))
        return {"size": np.array(features.size, np.int64), **dict(zip(tensors, pixels, strict=True))}

    def features_from(self, arrays: Mapping[str, NDArray[Any]]) -> Frame:
        """The features with these arrays."""
        pixels = dict(arrays)
        height, width = pixels.pop("size").tolist()
        tensors = {name: devices.send(features_of(array), self._device) for name, array in pixels.items()}
        return Frame(ImageFeatures(**tensors), (height, width))

    def memory_arrays(self, memory: Sam2Memory) -> dict[str, NDArray[Any]]:
        """The tensors of a memory, in the layout of ``tensor_arrays``."""
        tensors = {"pointer": memory.pointer_1d}
        if memory.spatial_1chw is not None:
            tensors["spatial"] = memory.spatial_1chw
        if memory.mask_11hw is not None:
            tensors["mask"] = memory.mask_11hw
        return {name: array_of(tensor) for name, tensor in tensors.items()}

    def memory_from(self, arrays: Mapping[str, NDArray[Any]]) -> Sam2Memory:
        """The memory with these tensors."""
        config = self.network.config
        side = config.image_size // 16
        shapes = {
            "pointer": (1, config.dim),
            "spatial": (1, config.memory_dim, side, side),
            "mask": (1, 1, 4 * side, 4 * side),
        }
        for name, array in arrays.items():
            if array.shape != shapes[name]:
                raise ValueError(f"a memory of SAM 2 does not hold {array.shape} as its {name}")
        tensors = {name: tensor_of(array) for name, array in arrays.items()}
        on_device = {name: devices.send(tensor, self._device) for name, tensor in tensors.items()}
        mask = on_device.get("mask")
        centre = None if mask is None else motion.centres(mask)
        return Sam2Memory(on_device.get("spatial"), on_device["pointer"], mask, centre)

    def _segmentations(
        self, predictions: Sequence[Prediction], sizes: Sequence[tuple[int, int]]
    ) -> list[Segmentation]:
        """All that was predicted in a call, one object after another; here the device is waited for, once.

        Args:
            predictions: of one or more objects each.
            sizes: of the view of each object.
        """
        if not predictions:
            return []
        logits = torch.cat([p.logits_n1hw for p in predictions]).float()
        pointers = torch.cat([p.pointer_nd for p in predictions])
        object_scores = torch.cat([p.object_score_n1 for p in predictions])
        logits_nhw, object_score_n1, iou_n = devices.fetch(
            logits[:, 0], object_scores.float(), torch.cat([p.iou_n for p in predictions]).float()
        )
        encoded = [mask_of(hw, size) for hw, size in zip(logits_nhw.numpy(), sizes, strict=True)]
        there = (object_score_n1[:, 0] > 0).tolist()
        visible = [seen and mask.area > 0 for seen, mask in zip(there, encoded, strict=True)]
        scores = iou_n.clamp(0, 1).tolist()
        return [
            Segmentation(
                encoded[i],
                scores[i] if visible[i] else 0.0,
                visible[i],
                Decoded(logits[i : i + 1], pointers[i : i + 1].clone(), object_scores[i : i + 1]),
            )
            for i in range(len(visible))
        ]
