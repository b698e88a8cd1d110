"""A model whose masks say what they were computed from: one other memory, and every pixel is another one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from sam2_core import Prompt, masks
from sam2_core.hookspecs import Segmentation

SIZE = (4, 8)


class Numbers:
    """A video of tiny frames, each of its own colour; it notes which are read."""

    size = SIZE

    def __init__(self, frames: int) -> None:
        self._frames = frames
        self.reads: list[int] = []

    def __len__(self) -> int:
        return self._frames

    def __getitem__(self, frame_index: int) -> NDArray[np.uint8]:
        self.reads.append(frame_index)
        return np.full((*SIZE, 3), frame_index, np.uint8)


@dataclass(frozen=True)
class Number:
    """Features and memories: a number."""

    value: int
    nbytes: int = 100

    def faded(self) -> Number:
        return Number(self.value, 1)


class Hashing:
    """Masks are checksums of what they were computed from; ``asked`` hears of every verb before it runs."""

    name = identity = "hashing"
    memory_span, pointer_span = 3, 5

    def __init__(self, asked: Callable[[str], object] = len, batch: int = 1) -> None:
        self.asked, self.batch = asked, batch

    def encode_image(self, image: NDArray[np.uint8]) -> Number:
        self.asked("encode_image")
        return Number(int(image[0, 0, 0]))

    def segment(self, features: Number, prompt: Prompt, before: Segmentation | None) -> Segmentation:
        self.asked("segment")
        if prompt.mask is not None:
            return _segmentation("painted", features, prompt.mask.tolist(), mask=prompt.mask)
        logits = None if before is None else before.raw
        return _segmentation("clicked", features, prompt.points, prompt.box, logits)

    def candidates(self, features: Number, prompt: Prompt) -> Sequence[Segmentation]:
        return [self.segment(features, prompt, None)]

    def track(self, features: Number, memories: Sequence[Any]) -> Sequence[Segmentation]:
        self.asked("track")
        return [_segmentation("tracked", features, m.conditioning, m.recent) for m in memories]

    def encode_memory(
        self, features: Number, segmentations: Sequence[Segmentation], *, prompted: bool
    ) -> Sequence[Number]:
        self.asked("encode_memory")
        return [Number(_checksum(features, s.raw, prompted)) for s in segmentations]


def _segmentation(*seen: object, mask: NDArray[np.bool_] | None = None) -> Segmentation:
    value = _checksum(*seen)
    if mask is None:
        mask = np.array([value >> bit & 1 for bit in range(32)], bool).reshape(SIZE)
    return Segmentation(masks.encode(mask), 0.5, True, value)


def _checksum(*seen: object) -> int:
    return crc32(repr(seen).encode())
