"""A SAM 2 with windows for small objects (ADR 13): a ``VideoModel`` around the one for whole images."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sam2_core import masks
from sam2_core.hookspecs import Memories, Segmentation
from sam2_core.models import checkpoints, devices
from sam2_core.models.sam2 import SAM2
from sam2_core.prompts import Prompt
from sam2_core.tracking import sam2_prompts
from sam2_core.tracking.bank import Recalled
from sam2_core.tracking.sam2_model import Decoded, Frame, Sam2Memory, Sam2Model
from sam2_core.tracking.window_prompts import (
    around,
    mirrored,
    mirrored_click,
    on_frame,
    prompt_in,
    said,
    within,
)
from sam2_core.tracking.windows import Place, Window, Windows, axes
from sam2_core.types import Image

STEADY = 0.75
"""Readings of a click in two windows, one twice as large as the other, with such an IoU are one object."""


class Views:
    """The features of a frame, as a whole and in windows, each encoded when it is first asked for."""

    def __init__(self, model: Sam2Model, image: Image) -> None:
        self.size = (image.shape[0], image.shape[1])
        # A copy: windows are cut out of it later, and the caller may use his buffer for another frame.
        self._model, self._image = model, np.array(image)
        self._encoded: dict[Window | None, Frame] = {}
        self._mirrored: Frame | None = None

    @property
    def nbytes(self) -> int:
        """Bytes of all that is encoded, and of the image."""
        mirrored = 0 if self._mirrored is None else self._mirrored.nbytes
        return self._image.nbytes + mirrored + sum(frame.nbytes for frame in self._encoded.values())

    def __getitem__(self, window: Window | None) -> Frame:
        """The features of a window; None is the whole frame."""
        if window not in self._encoded:
            self._encoded[window] = self._model.encode_image(self._part(window))
        return self._encoded[window]

    @property
    def mirrored(self) -> Frame:
        """The features of the frame with left and right exchanged."""
        if self._mirrored is None:
            self._mirrored = self._model.encode_image(np.ascontiguousarray(self._image[:, ::-1]))
        return self._mirrored

    def _part(self, window: Window | None) -> Image:
        if window is None:
            return self._image
        top, left, side = window.top, window.left, window.side
        part = self._image[top : top + side, left : left + side]
        if part.shape[:2] == (side, side):
            return part
        return np.pad(part, [*((0, side - length) for length in part.shape[:2]), (0, 0)], mode="edge")


@dataclass(frozen=True, eq=False)
class Seen:
    """What the decoder gave for one object, and in which window."""

    window: Window | None
    decoded: Decoded


@dataclass(frozen=True, eq=False)
class WindowedMemory:
    """What is remembered of an object on a frame.

    Attributes:
        window: where it was looked at; None: on the whole frame.
        memory: what was seen there.
        place: where the object was; None if it was not visible.
        whole: the same on the whole frame, of a prompted frame: a search for a lost object reads it.
    """

    window: Window | None
    memory: Sam2Memory
    place: Place | None
    whole: Sam2Memory | None = None

    @property
    def nbytes(self) -> int:
        """Bytes that it takes."""
        return self.memory.nbytes + (0 if self.whole is None else self.whole.nbytes)

    def faded(self) -> WindowedMemory:
        """The object pointer alone, and where the object was."""
        return WindowedMemory(self.window, self.memory.faded(), self.place)

    def seen_from(self, window: Window | None, frame: tuple[int, int]) -> Sam2Memory:
        """The memory as it would lie in another view of a frame of this height and width."""
        if window == self.window:
            return self.memory
        if window is None and self.whole is not None:
            return self.whole
        return self.memory.seen_from(*axes(window, self.window, frame))


class WindowedModel:
    """SAM 2, each small object in a window at its own resolution.

    Args:
        model: sees the windows and, for larger objects, whole frames; ``whole_frames`` gives it back.
        windows: which window an object gets; None for the usual ones.
    """

    def __init__(self, model: Sam2Model, windows: Windows | None = None) -> None:
        self.whole_frames = model
        self.name, self.batch = model.name, model.batch
        self.memory_span, self.pointer_span = model.memory_span, model.pointer_span
        self._image_size = model.network.config.image_size
        self._windows = windows or Windows(self._image_size)

    @property
    def network(self) -> SAM2:
        """The network, with its weights."""
        return self.whole_frames.network

    @property
    def identity(self) -> str:
        """That of the model, and which windows there are."""
        return f"{self.whole_frames.identity}, {self._windows}"

    def encode_image(self, image: Image) -> Views:
        """The features of one frame, to be computed where an object needs them."""
        return Views(self.whole_frames, image)

    # --- prompts ---------------------------------------------------------------------------------

    def segment(self, features: Views, prompt: Prompt, before: Segmentation | None) -> Segmentation:
        """The mask of a prompt, in the window that fits what the prompt says of the object's size."""
        prompt = within(prompt, features.size)
        if before is None and sam2_prompts.is_ambiguous(prompt):
            return self._click(features, prompt)
        raw: Seen | None = None if before is None else before.raw
        window = self._window(features, said(prompt, before), None if raw is None else raw.window)
        if before is not None and raw is not None:
            decoded = raw.decoded
            if raw.window != window:
                decoded = decoded.seen_from(*axes(window, raw.window, features.size))
            before = replace(before, raw=decoded)
        return self._segment_in(features, window, prompt, before)

    def _click(self, features: Views, click: Prompt) -> Segmentation:
        """The mask of a single click, which says nothing of the object's size.

        The smallest reading that stays the same when looked at from farther away is the object; a part of a
        large one, or junk around a tiny one, changes. If none does, the whole frame has the word.
        """
        windows = self._windows.around(around(click.points, None), features.size)
        read = cache(partial(self._readings, features, click))
        if self.network.config.mirrored_clicks:  # a network that cannot judge its own large answers
            found = _smallest_steady(read, windows)
            if found is None and read(None):
                found = None, self._steadiest_mirrored(features, click, read(None))
        else:
            large = bool(windows and read(None)) and not self._fits(read(None)[0], windows[-1])
            found = None if large else _smallest_steady(read, windows)
        if found is None:
            return self._segment_in(features, None, click, None)
        window, reading = found
        return self._segment_in(features, window, replace(click, previous=reading.encoded), None)

    def _steadiest_mirrored(
        self, features: Views, click: Prompt, wide: Sequence[Segmentation]
    ) -> Segmentation:
        """The reading of the whole frame that its mirror image gives too, weighed by predicted IoU."""
        turned = self.whole_frames.candidates(features.mirrored, mirrored_click(click, features.size[1]))
        others = [mirrored(reading.encoded) for reading in turned]

        def steadiness(reading: Segmentation) -> float:
            return reading.score * max(masks.overlap(reading.encoded, other) for other in others)

        return max(wide, key=steadiness)

    def _readings(self, features: Views, click: Prompt, window: Window | None) -> list[Segmentation]:
        """The readings of a click that fit the window, best predicted IoU first."""
        found = self.whole_frames.candidates(features[window], prompt_in(click, window))
        readings = [on_frame(reading, window, features.size) for reading in found]
        return [reading for reading in readings if reading.encoded.area and self._fits(reading, window)]

    def _fits(self, found: Segmentation, window: Window | None) -> bool:
        """Whether an object is not too large for a window, if it is there at all."""
        place = Place.of(found.encoded)
        return window is None or place is None or self._windows.fits(place, window)

    def _segment_in(
        self, features: Views, window: Window | None, prompt: Prompt, before: Segmentation | None
    ) -> Segmentation:
        inside = prompt_in(prompt, window)
        found = self.whole_frames.segment(features[window], inside, before)
        if prompt.encoded_mask is not None:
            return replace(found, encoded=prompt.encoded_mask, raw=Seen(window, found.raw))
        return _on_frame(found, window, features.size)

    def candidates(self, features: Views, prompt: Prompt) -> Sequence[Segmentation]:
        """Three readings of a single click, in the window of its answer; one of anything else."""
        window = self.segment(features, prompt, None).raw.window
        found = self.whole_frames.candidates(features[window], prompt_in(prompt, window))
        return [on_frame(reading, window, features.size) for reading in found]

    def _window(self, features: Views, place: Place, current: Window | None) -> Window | None:
        return self._windows.place(place, features.size, current)

    # --- tracking --------------------------------------------------------------------------------

    def track(self, features: Views, memories: Sequence[Memories]) -> Sequence[Segmentation]:
        """The masks of several objects, each where it was last; who is not there is searched for."""
        windows = [self._aim(features, memory) for memory in memories]
        found = self._track_in(features, memories, windows)
        lost = [i for i, one in enumerate(found) if windows[i] is not None and not one.visible]
        for i, again in self._search(features, {i: memories[i] for i in lost}).items():
            found[i] = again
        return found

    def _aim(self, features: Views, memories: Memories) -> Window | None:
        """The window around the place where an object was seen last."""
        behind = [pair for pair in (*memories.recent, *memories.conditioning) if pair[0] > 0]
        ahead = [pair for pair in memories.conditioning if pair[0] <= 0]
        for _, memory in [*sorted(behind, key=_distance), *sorted(ahead, key=_distance)]:
            if memory.place is not None:
                return self._window(features, memory.place, memory.window)
        return None

    def _track_in(
        self, features: Views, memories: Sequence[Memories], windows: Sequence[Window | None]
    ) -> list[Segmentation]:
        """The masks of objects, each looked for in its window."""
        found: dict[int, Segmentation] = {}
        for window in dict.fromkeys(windows):
            chosen = [i for i, other in enumerate(windows) if other == window]
            seen = [_seen_from(memories[i], window, features.size) for i in chosen]
            for i, one in zip(chosen, self.whole_frames.track(features[window], seen), strict=True):
                found[i] = _on_frame(one, window, features.size)
        return [found[i] for i in range(len(windows))]

    def _search(self, features: Views, lost: Mapping[int, Memories]) -> dict[int, Segmentation]:
        """Look for objects on the whole frame; what seems to be one is looked at in its window again."""
        known = {i: read for i, memory in lost.items() if (read := _prompted(memory)).conditioning}
        if not known:
            return {}
        coarse = zip(known, self.whole_frames.track(features[None], list(known.values())), strict=True)
        places = {i: place for i, one in coarse if one.visible and (place := Place.of(one.encoded))}
        windows = {i: self._near(features, place) for i, place in places.items()}
        near = {i: window for i, window in windows.items() if window is not None}  # else something large
        close = self._track_in(features, [lost[i] for i in near], list(near.values()))
        return {i: one for i, one in zip(near, close, strict=True) if one.visible}

    def _near(self, features: Views, place: Place) -> Window | None:
        """The window of something found, or the smallest into which it still fits."""
        there = self._windows.around(place, features.size)
        fitting = [window for window in there if self._windows.fits(place, window)]
        return self._window(features, place, None) or next(iter(fitting), None)

    # --- memories --------------------------------------------------------------------------------

    def encode_memory(
        self, features: Views, segmentations: Sequence[Segmentation], *, prompted: bool
    ) -> Sequence[WindowedMemory]:
        """The memories of several objects, each in its window; of prompts also on the whole frame."""
        seen: list[Seen] = [segmentation.raw for segmentation in segmentations]
        made: dict[int, WindowedMemory] = {}
        for window in dict.fromkeys(one.window for one in seen):
            chosen = [i for i, one in enumerate(seen) if one.window == window]
            inner = [replace(segmentations[i], raw=seen[i].decoded) for i in chosen]
            memories = self.whole_frames.encode_memory(features[window], inner, prompted=prompted)
            whole: Iterable[Sam2Memory | None] = [None] * len(chosen)
            if prompted and window is not None:
                inner = [self._on_whole_frame(segmentations[i]) for i in chosen]
                whole = self.whole_frames.encode_memory(features[None], inner, prompted=True)
            for i, memory, wide in zip(chosen, memories, whole, strict=True):
                place = Place.of(segmentations[i].encoded) if segmentations[i].visible else None
                made[i] = WindowedMemory(window, memory, place, wide)
        return [made[i] for i in range(len(seen))]

    def _on_whole_frame(self, segmentation: Segmentation) -> Segmentation:
        """A mask of a window as if it had been found on the whole frame."""
        logits = sam2_prompts.to_logits(segmentation.encoded.decode(), self._image_size)
        decoded: Decoded = segmentation.raw.decoded
        on_device = logits.to(decoded.pointer_1d.device)
        return replace(segmentation, raw=replace(decoded, logits_11hw=on_device))

    def memory_arrays(self, memory: WindowedMemory) -> dict[str, NDArray[Any]]:
        """The arrays of the memory and of that on the whole frame; window and place, -1 for none."""
        window, place = memory.window, memory.place
        arrays = {f"memory.{k}": v for k, v in self.whole_frames.memory_arrays(memory.memory).items()}
        if memory.whole is not None:
            arrays |= {f"whole.{k}": v for k, v in self.whole_frames.memory_arrays(memory.whole).items()}
        square = (-1, -1, -1) if window is None else (window.top, window.left, window.side)
        return arrays | {
            "window": np.array(square, np.int64),
            "place": np.array((-1, -1, -1, -1) if place is None else place, np.int64),
        }

    def memory_from(self, arrays: Mapping[str, NDArray[Any]]) -> WindowedMemory:
        """The memory with these arrays."""
        window, place = (_numbers(arrays[name], count) for name, count in (("window", 3), ("place", 4)))
        if window != [-1, -1, -1] and (min(window) < 0 or window[2] < self._image_size):
            raise ValueError(f"there is no window {window}")
        parts: dict[str, dict[str, NDArray[Any]]] = {"memory": {}, "whole": {}}
        for name, array in arrays.items():
            part, _, rest = name.partition(".")
            if rest:
                parts[part][rest] = array
        whole = parts["whole"]
        return WindowedMemory(
            None if window[2] < 0 else Window(*window),
            self.whole_frames.memory_from(parts["memory"]),
            None if place[3] < 0 else Place(*place),
            self.whole_frames.memory_from(whole) if whole else None,
        )


def _numbers(array: NDArray[Any], count: int) -> list[int]:
    if array.shape != (count,) or array.dtype != np.int64:
        raise ValueError(f"a window or place does not hold {array.shape} {array.dtype}")
    return [int(number) for number in array]


def _distance(pair: tuple[float, Any]) -> float:
    return abs(pair[0])


def _smallest_steady(
    read: Callable[[Window | None], Sequence[Segmentation]], windows: Sequence[Window]
) -> tuple[Window | None, Segmentation] | None:
    """The reading of the smallest window with which the window of twice the size agrees."""
    for window, wider in pairwise([*windows, None]):
        pairs = [(masks.overlap(n.encoded, f.encoded), n) for n in read(window) for f in read(wider)]
        agreement, reading = max(pairs, key=operator.itemgetter(0), default=(0.0, None))
        if reading is not None and agreement >= STEADY:
            return window, reading
    return None


def _on_frame(found: Segmentation, window: Window | None, frame: tuple[int, int]) -> Segmentation:
    """What was found in a window, as an answer of this model."""
    return replace(on_frame(found, window, frame), raw=Seen(window, found.raw))


def _seen_from(memories: Memories, window: Window | None, frame: tuple[int, int]) -> Recalled:
    """What an object's memories are in a view."""
    return Recalled(
        [(steps, memory.seen_from(window, frame)) for steps, memory in memories.conditioning],
        [(steps, memory.seen_from(window, frame)) for steps, memory in memories.recent],
    )


def _prompted(memories: Memories) -> Recalled:
    """What a search on the whole frame reads: the prompted frames."""
    wide = [
        (steps, memory.memory if memory.window is None else memory.whole)
        for steps, memory in memories.conditioning
    ]
    return Recalled([(steps, memory) for steps, memory in wide if memory is not None], [])


def load(path: Path, device: str, precision: str, name: str) -> WindowedModel | Sam2Model:
    """A model from a checkpoint file, on a device ("auto": CUDA, MPS or CPU, whichever is there).

    With windows but in exact precision: the reference implementations have none.
    """
    # What can be wrong with these is said before a large file is read.
    where, how = devices.choose(device), devices.check_precision(precision)
    model = Sam2Model(checkpoints.load(path), name, where, how)
    return model if how == "exact" else WindowedModel(model)
