"""One step of propagation with full memories: image, memory attention, decoder and memory encoder."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import torch
from torch import Tensor

from sam2_core.bench.cases import Conditions, Pair
from sam2_core.bench.films import FRAME, textured_frame
from sam2_core.bench.theirs import Theirs
from sam2_core.hookspecs import Segmentation
from sam2_core.models.config import SAM2Config
from sam2_core.tracking.bank import Recalled
from sam2_core.tracking.sam2_model import Sam2Model
from sam2_core.tracking.sam2_values import Decoded, Sam2Memory
from sam2_core.types import Image

Remembered = list[tuple[list[Tensor], Tensor]]
"""Of each object: a memory ``(1, memory dim, height, width)`` per frame, and pointers ``(frames, dim)``."""


def step(name: str, image_size: int, objects: int) -> Callable[[Conditions], Pair]:
    """The sides of a step with so many objects."""

    def prepare(conditions: Conditions) -> Pair:
        network = conditions.network(name, image_size)
        count = conditions.count(objects, min(objects, 2))
        frame, remembered = textured_frame(0, FRAME), _remembered(network.config, count)
        quick, exact = (Sam2Model(network, "random", conditions.device, p) for p in ("auto", "exact"))
        return Pair(
            _our_step(quick, frame, remembered),
            {
                name: _their_step(theirs, frame, remembered)
                for name, theirs in conditions.theirs(network).items()
            },
            _our_step(exact, frame, remembered),
            _logits,
            quick.dtype,
        )

    return prepare


def _remembered(config: SAM2Config, objects: int) -> Remembered:
    """One prompted frame and as many tracked ones as are ever read."""
    random, side = torch.Generator().manual_seed(1), config.image_size // 16
    shape = (1, config.memory_dim, side, side)
    return [
        (
            [torch.randn(shape, generator=random).bfloat16() for _ in range(config.pointers)],
            torch.randn(config.pointers, config.dim, generator=random),
        )
        for _ in range(objects)
    ]


def _our_step(model: Sam2Model, frame: Image, remembered: Remembered) -> Callable[[], list[Segmentation]]:
    banks = [_recalled(model, spatial, pointers) for spatial, pointers in remembered]

    def work() -> list[Segmentation]:
        features = model.encode_image(frame)
        found: list[Segmentation] = []
        for start in range(0, len(banks), model.batch):
            tracked = model.track(features, banks[start : start + model.batch])
            model.encode_memory(features, tracked, prompted=False)
            found += tracked
        return found

    return work


def _recalled(model: Sam2Model, spatial: list[Tensor], pointers: Tensor) -> Recalled:
    device = next(model.network.parameters()).device
    memories = [
        Sam2Memory(memory.to(device), pointer[None].to(device))
        for memory, pointer in zip(spatial, pointers, strict=True)
    ]
    now = len(memories)
    recent = [
        (now - t, memories[t] if now - t <= model.memory_span else memories[t].faded())
        for t in range(now - 1, 0, -1)
    ]
    return Recalled([(float(now), memories[0])], recent)


def _their_step(theirs: Theirs, frame: Image, remembered: Remembered) -> Callable[[], Tensor]:
    now = len(remembered[0][0])
    session = theirs.session([frame] * (now + 1), FRAME)
    for object_id, (spatial, pointers) in enumerate(remembered, 1):
        theirs.remember(session, object_id, spatial, pointers)

    def work() -> Tensor:
        session.cache.clear_all()
        return theirs.step(session, now)

    return work


def _logits(found: object) -> Tensor:
    if isinstance(found, Tensor):
        return found.float().cpu()
    segmentations = cast(list[Segmentation], found)
    return torch.cat([cast(Decoded, s.raw).logits_11hw for s in segmentations]).float().cpu()
