"""The features of the frames seen last, within a byte budget: one encoding serves all objects."""

from __future__ import annotations

from collections import OrderedDict

from sam2_core.hookspecs import Features, LazyFeatures, VideoModel
from sam2_core.tracking.feature_file import FeatureFile
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
        disk: where those go that leave, and come back from; None for nowhere.
    """

    def __init__(self, model: VideoModel, video: Video, budget: int, disk: FeatureFile | None = None) -> None:
        self._model, self._video, self._disk = model, video, disk
        self._budget = budget
        self._kept: OrderedDict[int, Features] = OrderedDict()

    @property
    def nbytes(self) -> int:
        """Bytes kept in memory now."""
        return sum(features.nbytes for features in self._kept.values())

    def __contains__(self, frame_index: object) -> bool:
        return frame_index in self._kept

    def __len__(self) -> int:
        return len(self._kept)

    def __getitem__(self, frame_index: int) -> Features:
        """The features of a frame; reads and encodes it if they are neither at hand nor on the disk.

        Raises:
            VideoError: if it cannot be read, or is no 8-bit RGB image of the size of the video.
        """
        if frame_index not in self._kept:
            found = None if self._disk is None else self._disk.get(frame_index)
            if found is None:
                found = self._model.encode_image(frame_of(self._video, frame_index))
            self._kept[frame_index] = found
        self._kept.move_to_end(frame_index)
        self._shrink()
        return self._kept[frame_index]

    def encode_ahead(self, frame_index: int, ahead: range) -> bool:
        """Have the features of a frame at hand, unless they would push out others of the range ahead.

        Then they go to the disk, where there is one with room. The frame that was asked for last, outside of
        the range, is kept too: the user looks at it.

        Returns:
            Whether they are at hand.

        Raises:
            VideoError: as for asking for the frame.
        """
        shown = next((i for i in reversed(self._kept) if i not in ahead), None)
        needed = [f.nbytes for i, f in self._kept.items() if i in ahead or i == shown]
        if frame_index not in self._kept:
            like = [f.nbytes for i, f in self._kept.items() if i in ahead]
            needed.append(max(like) if like else min((f.nbytes for f in self._kept.values()), default=0))
        shown_features = None if shown is None else self._kept[shown]
        if len(needed) > MAX_FRAMES or sum(needed) > self._budget:
            return frame_index in self._kept or self._encode_to_disk(frame_index, shown_features)
        for i in [i for i in self._kept if i in ahead or i == shown]:
            self._kept.move_to_end(i)
        _complete(self[frame_index], shown_features)
        self._shrink()
        return True

    def _encode_to_disk(self, frame_index: int, like: Features | None) -> bool:
        """Have the features of a frame on the disk, if there is one with room."""
        if self._disk is None:
            return False
        if frame_index not in self._disk:
            features = self._model.encode_image(frame_of(self._video, frame_index))
            _complete(features, like)
            self._disk.put(frame_index, features)
        return frame_index in self._disk

    def _shrink(self) -> None:
        while len(self._kept) > 1 and (len(self) > MAX_FRAMES or self.nbytes > self._budget):
            frame_index, features = self._kept.popitem(last=False)
            if self._disk is not None:
                self._disk.put(frame_index, features)

    def clear(self) -> None:
        """Drop everything."""
        self._kept.clear()
        if self._disk is not None:
            self._disk.close()


def _complete(features: Features, like: Features | None) -> None:
    """Compute what is computed only when it is needed, as far as a frame nearby tells what that will be."""
    if isinstance(features, LazyFeatures):
        features.encode(like)
