"""The memories of passes as bytes: with them a saved session goes on from where it stopped.

They are a cache. What does not fit into the budget is left out, and what cannot be read is left alone: the
objects are then tracked again from their first prompt, to the same masks. The bytes are a safetensors file
(nothing in it is ever executed): ``document`` holds JSON, the other tensors are the arrays of the memories,
named by number, each memory once whatever reads it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from operator import index
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sam2_core.hookspecs import Memory, StoresMemories
from sam2_core.tracking.bank import MemoryBank, Spans
from sam2_core.tracking.restart import RestartPoint
from sam2_core.tracking.track import CanonicalPass, ObjectTrack
from sam2_core.types import Video, is_live

VERSION = 1

Numbered = list[tuple[int, int]]
"""Frames, each with the number of its memory."""


class Unfinished(NamedTuple):
    """What one object needs to go on.

    Attributes:
        conditioning: the memories of its prompted frames.
        state: its canonical pass; None if that of the present prompts was not begun.
        newest: by direction, the newest restart point, for a correction of a range.
    """

    conditioning: Mapping[int, Memory]
    state: CanonicalPass | None
    newest: Mapping[int, RestartPoint]

    def memories(self) -> dict[int, Memory]:
        """All memories, each once, by their identity."""
        state = self.state or CanonicalPass(0, 0, {}, {})
        banks = [*state.banks.values(), *(point.bank for point in self.newest.values())]
        held: list[Mapping[int, Memory]] = [self.conditioning, state.first_memories]
        held += [part for bank in banks for part in (bank.conditioning, bank.recent)]
        return {id(memory): memory for part in held for memory in part.values()}


def pack(
    tracks: Sequence[ObjectTrack], model: StoresMemories, video: Video, key: str, budget: int
) -> bytes | None:
    """The memories of all objects that are to go on, as far as they fit into the budget.

    On a recorded video those that are complete never go on; a live one grows, and what they saw may be gone.

    The objects for which most frames would have to be tracked again come first.

    Args:
        tracks: the objects of the session.
        model: made the memories.
        video: what they are tracked on.
        key: what the memories belong to; see ``unpack``.
        budget: bytes of memories at most.

    Returns:
        The bytes, or None if there is nothing to keep.
    """
    from safetensors.numpy import save

    numbers: dict[int, int] = {}
    arrays: dict[str, NDArray[Any]] = {}
    described = []
    for track in sorted(tracks, key=lambda track: -len(track.known)):
        if not is_live(video) and track.is_complete(len(video)):
            continue
        unfinished = _of(track)
        new = {i: memory for i, memory in unfinished.memories().items() if i not in numbers}
        if (needed := sum(memory.nbytes for memory in new.values())) > budget:
            continue
        budget -= needed
        for identity, memory in new.items():
            numbers[identity] = len(numbers)
            for name, array in model.memory_arrays(memory).items():
                arrays[f"{numbers[identity]}.{name}"] = np.ascontiguousarray(array)
        described.append({"object": track.object_id, **_described(unfinished, numbers)})
    if not numbers:
        return None
    document = {"version": VERSION, "key": key, "memories": len(numbers), "objects": described}
    return save({"document": np.frombuffer(json.dumps(document).encode(), np.uint8), **arrays})


def unpack(data: bytes, tracks: Mapping[int, ObjectTrack], model: StoresMemories, key: str) -> None:
    """Give objects the memories that were packed; all of them or, if anything is amiss, none.

    Args:
        data: what ``pack`` gave.
        tracks: the objects by id, with their prompts and results.
        model: takes the memories.
        key: what was given to ``pack``; memories that belong to something else are left alone.

    Raises:
        Exception: whatever damaged data make the libraries raise; the objects are as they were.
    """
    from safetensors.numpy import load

    arrays = load(data)
    document = json.loads(arrays.pop("document").tobytes())
    if (document["version"], document["key"]) != (VERSION, key):
        raise ValueError("these memories belong to something else")
    parts: list[dict[str, NDArray[Any]]] = [{} for _ in range(document["memories"])]
    for name, array in arrays.items():
        number, _, part = name.partition(".")
        parts[int(number)][part] = array
    memories = [model.memory_from(part) for part in parts]
    ready = [
        (track := tracks[entry["object"]], _unfinished(entry, memories, track.spans))
        for entry in document["objects"]
    ]
    for track, (conditioning, state, newest) in ready:
        for frame_index, memory in conditioning.items():
            track.set_conditioning(frame_index, memory)
        if state is not None:
            track.go_on_with(state)
        for direction, point in newest.items():
            track.restart[direction].add(*point, limit=1)


def _of(track: ObjectTrack) -> Unfinished:
    points = {direction: points.newest for direction, points in track.restart.items()}
    return Unfinished(
        track.conditioning, track.present_pass, {d: point for d, point in points.items() if point is not None}
    )


def _described(unfinished: Unfinished, numbers: Mapping[int, int]) -> dict[str, Any]:
    def numbered(memories: Mapping[int, Memory]) -> Numbered:
        return [(frame_index, numbers[id(memory)]) for frame_index, memory in memories.items()]

    def bank(of: MemoryBank) -> dict[str, Numbered]:
        return {"conditioning": numbered(of.conditioning), "recent": numbered(of.recent)}

    state = unfinished.state
    return {
        "conditioning": numbered(unfinished.conditioning),
        "pass": None
        if state is None
        else {
            "forward": state.forward,
            "backward": state.backward,
            "banks": [(direction, bank(of)) for direction, of in state.banks.items()],
            "first_memories": numbered(state.first_memories),
        },
        "newest": [(d, point.frame_index, bank(point.bank)) for d, point in unfinished.newest.items()],
    }


def _unfinished(entry: Mapping[str, Any], memories: Sequence[Memory], spans: Spans) -> Unfinished:
    def held(numbered: Numbered) -> dict[int, Memory]:
        return {index(frame_index): memories[number] for frame_index, number in numbered}

    def bank(given: Mapping[str, Numbered]) -> MemoryBank:
        recent = MappingProxyType(held(given["recent"]))
        return MemoryBank(spans, held(given["conditioning"]), recent)

    state, stood = None, entry["pass"]
    if stood is not None:
        banks = {direction: bank(given) for direction, given in stood["banks"]}
        state = CanonicalPass(
            index(stood["forward"]), index(stood["backward"]), banks, held(stood["first_memories"])
        )
    newest = {d: RestartPoint(index(frame_index), bank(given)) for d, frame_index, given in entry["newest"]}
    return Unfinished(held(entry["conditioning"]), state, newest)
