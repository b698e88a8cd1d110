"""The features of the frames seen last, within a byte budget: one encoding serves all objects."""

from __future__ import annotations

from collections import OrderedDict

from sam2_core.hookspecs import Features, VideoModel
from sam2_core.types import Video
from sam2_core.videos.frames import frame_of

MAX_FRAMES = 32
"""Whatever the budget: a small model would fill it with frames that nobody looks at again."""


class FeatureCache:
    """Least recently used features go first; the newest ones stay even if they alone exceed the budget.

    Args:
        model: encodes the frames.
        video: where the frames come from.
        budget: bytes to keep at most.
    """

    def __init__(self, model: VideoModel, video: Video, budget: int) -> None:
        self._model, self._video = model, video
        self._budget = budget
        self._kept: OrderedDict[int, Features] = OrderedDict()

    @property
    def nbytes(self) -> int:
        """Bytes kept now."""
        return sum(features.nbytes for features in self._kept.values())

    def __contains__(self, frame_index: object) -> bool:
        return frame_index in self._kept

    def __len__(self) -> int:
        return len(self._kept)

    def __getitem__(self, frame_index: int) -> Features:
        """The features of a frame; reads and encodes it if they are not at hand.

        Raises:
            VideoError: if it cannot be read, or is no 8-bit RGB image of the size of the video.
        """
        if frame_index not in self._kept:
            self._kept[frame_index] = self._model.encode_image(frame_of(self._video, frame_index))
        self._kept.move_to_end(frame_index)
        while len(self._kept) > 1 and (len(self) > MAX_FRAMES or self.nbytes > self._budget):
            self._kept.popitem(last=False)
        return self._kept[frame_index]

    def clear(self) -> None:
        """Drop everything."""
        self._kept.clear()
