"""What a windowed model keeps: a frame seen in windows, and what was seen and remembered there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sam2_core.hookspecs import Segmentation
from sam2_core.tracking.sam2_model import Sam2Model
from sam2_core.tracking.sam2_values import Decoded, Frame, Sam2Memory
from sam2_core.tracking.tensor_arrays import joined, parted
from sam2_core.tracking.window_prompts import on_frame
from sam2_core.tracking.windows import Place, Window, axes
from sam2_core.types import Image

_WHOLE, _MIRRORED = "whole", "mirrored"


class Views:
    """The features of a frame, as a whole and in windows, each encoded when it is first asked for.

    Attributes:
        size: height and width of the frame.
        found_in: the windows in which objects were answered for.
    """

    def __init__(self, model: Sam2Model, image: Image) -> None:
        self.size = (image.shape[0], image.shape[1])
        # A copy: windows are cut out of it later, and the caller may use his buffer for another frame.
        self._model, self._image = model, np.array(image)
        self._encoded: dict[Window | None, Frame] = {}
        self._mirrored: Frame | None = None
        self.found_in: dict[Window | None, None] = {}  # in the order of finding

    @property
    def nbytes(self) -> int:
        """Bytes of all that is encoded, and of the image."""
        mirrored = 0 if self._mirrored is None else self._mirrored.nbytes
        return self._image.nbytes + mirrored + sum(frame.nbytes for frame in self._encoded.values())

    def __getitem__(self, window: Window | None) -> Frame:
        """The features of a window; None is the whole frame."""
        (frame,) = self.each([window])
        return frame

    def each(self, windows: Sequence[Window | None]) -> list[Frame]:
        """The features of several windows; those that are new are encoded together."""
        new = [window for window in dict.fromkeys(windows) if window not in self._encoded]
        encoded = self._model.encode_images([self._part(window) for window in new])
        self._encoded.update(zip(new, encoded, strict=True))
        return [self._encoded[window] for window in windows]

    def encode(self, like: Views | None) -> None:
        """Encode the windows in which objects were on a frame nearby; the whole frame if there are none."""
        self.each(list(like.found_in) if like is not None and like.found_in else [None])

    @property
    def mirrored(self) -> Frame:
        """The features of the frame with left and right exchanged."""
        if self._mirrored is None:
            self._mirrored = self._model.encode_image(np.ascontiguousarray(self._image[:, ::-1]))
        return self._mirrored

    def arrays(self) -> dict[str, NDArray[Any]]:
        """The image and all that is encoded, as plain arrays by name."""
        named = {_name(window): frame for window, frame in self._encoded.items()}
        if self._mirrored is not None:
            named[_MIRRORED] = self._mirrored
        encoded = joined({name: self._model.feature_arrays(frame) for name, frame in named.items()})
        return {"image": self._image, **encoded}

    @classmethod
    def of_arrays(cls, model: Sam2Model, arrays: Mapping[str, NDArray[Any]]) -> Views:
        """The views with these arrays."""
        views = cls(model, arrays["image"])
        for view, part in parted(arrays).items():
            frame = model.features_from(part)
            if view == _MIRRORED:
                views._mirrored = frame
            else:
                views._encoded[_window(view)] = frame
        return views

    def _part(self, window: Window | None) -> Image:
        if window is None:
            return self._image
        top, left, side = window.top, window.left, window.side
        part = self._image[top : top + side, left : left + side]
        if part.shape[:2] == (side, side):
            return part
        return np.pad(part, [*((0, side - length) for length in part.shape[:2]), (0, 0)], mode="edge")


def _name(window: Window | None) -> str:
    return _WHOLE if window is None else f"{window.top},{window.left},{window.side}"


def _window(name: str) -> Window | None:
    return None if name == _WHOLE else Window(*map(int, name.split(",")))


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
        whole: the same on the whole frame, of a prompted frame, for when the object is looked for there.
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


def answer(found: Segmentation, window: Window | None, frame: tuple[int, int]) -> Segmentation:
    """What was found in a window, in the pixels of the frame, and where it was seen."""
    return replace(on_frame(found, window, frame), raw=Seen(window, found.raw))
