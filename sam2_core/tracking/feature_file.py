"""Features that no longer fit into memory, in a temporary file."""

from __future__ import annotations

import tempfile
from typing import IO, NamedTuple

from safetensors.numpy import load, save

from sam2_core.hookspecs import Features, StoresFeatures


class _Place(NamedTuple):
    """Where the features of a frame lie in the file, and how many bytes they took in memory."""

    start: int
    length: int
    nbytes: int


class FeatureFile:
    """Features of the frames that were put first, as far as they fit: those stay, later ones are not kept.

    Passes go through the frames in their order. If the oldest went instead, a video that does not fit would
    lose each frame just before its turn.

    It is a cache: where the disk is full or fails, frames are encoded again. The system deletes the file with
    the process, however that ends.

    Args:
        model: turns features into arrays, and back.
        budget: bytes to write at most.
    """

    def __init__(self, model: StoresFeatures, budget: int) -> None:
        self._model, self._budget = model, budget
        self._file: IO[bytes] | None = None  # made when it is needed
        self._places: dict[int, _Place] = {}
        self._end = 0

    @property
    def nbytes(self) -> int:
        """Bytes on the disk."""
        return self._end

    def __contains__(self, frame_index: object) -> bool:
        return frame_index in self._places

    def put(self, frame_index: int, features: Features) -> None:
        """Keep the features of a frame, unless they are here already or there is no room."""
        before = self._places.get(frame_index)
        if before is not None and before.nbytes >= features.nbytes:  # they grow by the windows looked at
            return
        if self._end + features.nbytes > self._budget:
            return
        data = save(dict(self._model.feature_arrays(features)))
        if self._end + len(data) > self._budget:
            return
        try:
            if self._file is None:
                self._file = tempfile.TemporaryFile(prefix="sam2-features-")  # noqa: SIM115 - see close
            self._file.seek(self._end)
            self._file.write(data)
            self._file.flush()
        except OSError:
            self._budget = 0
            return
        self._places[frame_index] = _Place(self._end, len(data), features.nbytes)
        self._end += len(data)

    def get(self, frame_index: int) -> Features | None:
        """The features of a frame, if they are here."""
        place = self._places.get(frame_index)
        if place is None or self._file is None:
            return None
        try:
            self._file.seek(place.start)
            data = self._file.read(place.length)
        except OSError:
            del self._places[frame_index]
            return None
        return self._model.features_from(load(data))

    def close(self) -> None:
        """Delete the file."""
        self._places.clear()
        if self._file is not None:
            self._file.close()
        self._file, self._end = None, 0
