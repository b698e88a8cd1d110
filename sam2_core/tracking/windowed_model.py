"""A SAM 2 with windows (ADR 13): a ``VideoModel`` around the one for whole images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sam2_core.hookspecs import Memories, Segmentation
from sam2_core.models import checkpoints, devices
from sam2_core.models.sam2 import SAM2
from sam2_core.prompts import Prompt
from sam2_core.tracking import sam2_prompts
from sam2_core.tracking.bank import Recalled
from sam2_core.tracking.sam2_model import Sam2Model
from sam2_core.tracking.sam2_values import Decoded, Sam2Memory
from sam2_core.tracking.tensor_arrays import joined, parted
from sam2_core.tracking.views import Seen, Views, WindowedMemory, answer
from sam2_core.tracking.window_clicks import Clicks
from sam2_core.tracking.window_prompts import on_frame, prompt_in, said, within
from sam2_core.tracking.window_search import Lost, search
from sam2_core.tracking.windows import Place, Window, Windows, axes
from sam2_core.types import Image


class WindowedModel:
    """SAM 2, each object that takes only a part of the frame in a window of it.

    Args:
        model: sees the windows and, for larger objects, whole frames; ``whole_frames`` gives it back.
        windows: which window an object gets; None for the usual ones.
    """

    def __init__(self, model: Sam2Model, windows: Windows | None = None) -> None:
        self.whole_frames = model
        self.name, self.batch = model.name, model.batch
        self.memory_span, self.pointer_span = model.memory_span, model.pointer_span
        self._image_size = model.network.config.image_size
        self._windows = windows or Windows.usual(self._image_size)
        self._clicks, self._search = Clicks(model, self._windows), search(model, self._windows)

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

    def feature_arrays(self, features: Views) -> dict[str, NDArray[Any]]:
        """The image, and the features of all views of it."""
        return features.arrays()

    def features_from(self, arrays: Mapping[str, NDArray[Any]]) -> Views:
        """The views with these arrays."""
        return Views.of_arrays(self.whole_frames, arrays)

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
        """The mask of a single click, in the window where it was understood."""
        found = self._clicks.read(features, click)
        if found is None:
            return self._segment_in(features, None, click, None)
        window, reading = found
        return self._segment_in(features, window, replace(click, previous=reading.encoded), None)

    def _segment_in(
        self, features: Views, window: Window | None, prompt: Prompt, before: Segmentation | None
    ) -> Segmentation:
        inside = prompt_in(prompt, window)
        features.found_in[window] = None
        found = self.whole_frames.segment(features[window], inside, before)
        if prompt.encoded_mask is not None:
            return replace(found, encoded=prompt.encoded_mask, raw=Seen(window, found.raw))
        return answer(found, window, features.size)

    def candidates(self, features: Views, prompt: Prompt) -> Sequence[Segmentation]:
        """Three readings of a single click, in the window of its answer; one of anything else."""
        window = self.segment(features, prompt, None).raw.window
        found = self.whole_frames.candidates(features[window], prompt_in(prompt, window))
        return [on_frame(reading, window, features.size) for reading in found]

    def _window(self, features: Views, place: Place, current: Window | None) -> Window | None:
        return self._windows.place(place, features.size, current)

    # --- tracking --------------------------------------------------------------------------------

    def track(self, features: Views, memories: Sequence[Memories]) -> Sequence[Segmentation]:
        """The masks of several objects, each where it was last.

        Who leaves his window is looked at again in one that reaches farther; who is gone is searched for.
        """
        last = [_last_seen(memory) for memory in memories]
        windows = [
            None if one is None or one.place is None else self._window(features, one.place, one.window)
            for one in last
        ]
        found = self._track_in(features, memories, windows)
        lost: dict[int, Lost] = {}
        cut: dict[int, Window | None] = {}
        for i, (one, window, before) in enumerate(zip(found, windows, last, strict=True)):
            if window is None or before is None:
                continue
            if not one.visible or one.score < self._search.faint:
                lost[i] = Lost(memories[i], window)
            elif self._windows.cuts(window, Place.box(one.encoded), features.size):
                wider = self._beyond(features, one, before)
                if wider != window:
                    cut[i] = wider
        again = self._track_in(features, [memories[i] for i in cut], list(cut.values()))
        seen = {i: better for i, better in zip(cut, again, strict=True) if better.visible}
        for i, better in (seen | self._search.find(features, lost)).items():
            found[i] = better
        return found

    def _beyond(self, features: Views, found: Segmentation, before: WindowedMemory) -> Window | None:
        """The window around what was found of an object, where it was before, and what may be missing."""
        there = Place.of(found.encoded)
        if there is None:
            return None
        return self._window(features, there.joined(before.place).grown(there.extent // 4), None)

    def _track_in(
        self, features: Views, memories: Sequence[Memories], windows: Sequence[Window | None]
    ) -> list[Segmentation]:
        """The masks of objects, each looked for in its window."""
        seen = [_seen_from(one, window, features.size) for one, window in zip(memories, windows, strict=True)]
        found = self.whole_frames.track_each(features.each(windows), seen)
        features.found_in |= dict.fromkeys(windows)
        return [answer(one, window, features.size) for one, window in zip(found, windows, strict=True)]

    # --- memories --------------------------------------------------------------------------------

    def encode_memory(
        self, features: Views, segmentations: Sequence[Segmentation], *, prompted: bool
    ) -> Sequence[WindowedMemory]:
        """The memories of several objects, each in its window; of prompts also on the whole frame."""
        seen: list[Seen] = [segmentation.raw for segmentation in segmentations]
        views = features.each([one.window for one in seen])
        inner = [replace(s, raw=one.decoded) for s, one in zip(segmentations, seen, strict=True)]
        memories = self.whole_frames.encode_memories(views, inner, prompted=prompted)
        whole: dict[int, Sam2Memory] = {}
        if inside := [i for i, one in enumerate(seen) if prompted and one.window is not None]:
            inner = [self._on_whole_frame(segmentations[i]) for i in inside]
            encoded = self.whole_frames.encode_memory(features[None], inner, prompted=True)
            whole = dict(zip(inside, encoded, strict=True))
        places = [Place.of(s.encoded) if s.visible else None for s in segmentations]
        return [
            WindowedMemory(one.window, memory, place, whole.get(i))
            for i, (one, memory, place) in enumerate(zip(seen, memories, places, strict=True))
        ]

    def _on_whole_frame(self, segmentation: Segmentation) -> Segmentation:
        """A mask of a window as if it had been found on the whole frame."""
        logits = sam2_prompts.to_logits(segmentation.encoded.decode(), self._image_size)
        decoded: Decoded = segmentation.raw.decoded
        on_device = devices.send(logits, decoded.pointer_1d.device)
        return replace(segmentation, raw=replace(decoded, logits_11hw=on_device))

    def memory_arrays(self, memory: WindowedMemory) -> dict[str, NDArray[Any]]:
        """The arrays of the memory and of that on the whole frame; window and place, -1 for none."""
        window, place = memory.window, memory.place
        parts = {"memory": memory.memory} | ({} if memory.whole is None else {"whole": memory.whole})
        square = (-1, -1, -1) if window is None else (window.top, window.left, window.side)
        return joined({name: self.whole_frames.memory_arrays(part) for name, part in parts.items()}) | {
            "window": np.array(square, np.int64),
            "place": np.array((-1, -1, -1, -1) if place is None else place, np.int64),
        }

    def memory_from(self, arrays: Mapping[str, NDArray[Any]]) -> WindowedMemory:
        """The memory with these arrays."""
        window, place = (_numbers(arrays[name], count) for name, count in (("window", 3), ("place", 4)))
        if window != [-1, -1, -1] and (min(window) < 0 or window[2] < self._image_size):
            raise ValueError(f"there is no window {window}")
        parts = parted(arrays)
        whole = parts.get("whole")
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


def _last_seen(memories: Memories) -> WindowedMemory | None:
    """The memory of the frame on which an object was seen last."""
    behind = [pair for pair in (*memories.recent, *memories.conditioning) if pair[0] > 0]
    ahead = [pair for pair in memories.conditioning if pair[0] <= 0]
    nearest = [*sorted(behind, key=_distance), *sorted(ahead, key=_distance)]
    return next((memory for _, memory in nearest if memory.place is not None), None)


def _seen_from(memories: Memories, window: Window | None, frame: tuple[int, int]) -> Recalled:
    """What an object's memories are in a view."""
    return Recalled(
        [(steps, memory.seen_from(window, frame)) for steps, memory in memories.conditioning],
        [(steps, memory.seen_from(window, frame)) for steps, memory in memories.recent],
    )


def load(path: Path, device: str, precision: str, name: str) -> WindowedModel | Sam2Model:
    """A model from a checkpoint file, on a device ("auto": CUDA, MPS or CPU, whichever is there).

    With windows but in exact precision: the reference implementations have none.
    """
    # What can be wrong with these is said before a large file is read.
    where, how = devices.choose(device), devices.check_precision(precision)
    model = Sam2Model(checkpoints.load(path), name, where, how)
    return model if how == "exact" else WindowedModel(model)
