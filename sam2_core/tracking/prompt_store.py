"""The prompts of one object, kept small: hundreds of painted masks are not hundreds of full images."""

from __future__ import annotations

from collections.abc import Iterator, MutableMapping
from typing import NamedTuple

from sam2_core import masks
from sam2_core.types import Box, Mask, Point, Prompt, RunLengths


class Stored(NamedTuple):
    """A prompt with its masks as run lengths."""

    points: tuple[Point, ...]
    box: Box | None
    mask: RunLengths | None
    previous: RunLengths | None


class PromptStore(MutableMapping[int, Prompt]):
    """Frame index -> prompt; prompts are made anew when they are asked for.

    Args:
        object_id: the object that they are of.
    """

    def __init__(self, object_id: int) -> None:
        self._object_id = object_id
        self._stored: dict[int, Stored] = {}

    def __setitem__(self, frame_index: int, prompt: Prompt) -> None:
        mask, previous = (None if m is None else masks.encode(m) for m in (prompt.mask, prompt.previous))
        self._stored[frame_index] = Stored(prompt.points, prompt.box, mask, previous)

    def __getitem__(self, frame_index: int) -> Prompt:
        points, box, mask, previous = self._stored[frame_index]
        return Prompt(frame_index, self._object_id, points, box, _decoded(mask), _decoded(previous))

    def __delitem__(self, frame_index: int) -> None:
        del self._stored[frame_index]

    def __contains__(self, frame_index: object) -> bool:
        return frame_index in self._stored  # without making the prompt

    def __iter__(self) -> Iterator[int]:
        return iter(self._stored)

    def __len__(self) -> int:
        return len(self._stored)


def _decoded(mask: RunLengths | None) -> Mask | None:
    return None if mask is None else mask.decode()
