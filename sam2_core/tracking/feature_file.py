"""Features that no longer fit into memory, in a temporary file."""

from __future__ import annotations

import os
import tempfile
from contextlib import suppress
from io import FileIO
from typing import NamedTuple
from weakref import finalize

from safetensors import SafetensorError
from safetensors.numpy import load, save

from sam2_core.hookspecs import Features, StoresFeatures


class _Record(NamedTuple):
    """Where the features of a frame lie in the file, and how many bytes they took in memory."""

    start: int
    length: int
    nbytes: int


class FeatureFile:
    """Features of the frames that were put first, as far as they fit: those stay, later ones are not kept.

    Passes go through the frames in their order. If the oldest went instead, a video that does not fit would
    lose each frame just before its turn.

    It is a cache: where the disk is full or fails, frames are encoded again. The file goes with the process,
    however that ends; a process that was forked off begins one of its own.

    Args:
        model: turns features into arrays, and back.
        budget: bytes to write at most.
    """

    def __init__(self, model: StoresFeatures, budget: int) -> None:
        self._model, self._budget = model, budget
        self._file: FileIO | None = None  # made when it is needed
        self._process = os.getpid()
        self._records: dict[int, _Record] = {}
        self._gaps: list[tuple[int, int]] = []
        self._end = 0

    @property
    def nbytes(self) -> int:
        """Bytes on the disk."""
        return self._end

    def __contains__(self, frame_index: object) -> bool:
        return frame_index in self._records

    def put(self, frame_index: int, features: Features) -> None:
        """Keep the features of a frame, unless they are here already or there is no room."""
        self._leave_to_parent()
        before = self._records.get(frame_index)
        if before is not None and before.nbytes >= features.nbytes:  # they grow by the windows looked at
            return
        if self._place(features.nbytes) is None:
            return
        data = save(dict(self._model.feature_arrays(features)))
        start = self._place(len(data))
        if start is None:
            return
        if not self._written(data, start):
            self._budget = 0
            self._gaps.clear()
            return
        # In this order: an interrupt between two lines costs room, and lets no record be written over.
        self._gaps = [gap for gap in self._gaps if gap[0] != start]
        self._end = max(self._end, start + len(data))
        self._records[frame_index] = _Record(start, len(data), features.nbytes)
        if before is not None:
            self._gaps.append((before.start, before.length))

    def get(self, frame_index: int) -> Features | None:
        """The features of a frame, if they are here."""
        self._leave_to_parent()
        record = self._records.get(frame_index)
        if record is None or self._file is None:
            return None
        try:
            self._file.seek(record.start)
            return self._model.features_from(load(self._file.read(record.length)))
        except (OSError, SafetensorError):
            del self._records[frame_index]
            return None

    def close(self) -> None:
        """Delete the file."""
        self._records.clear()
        self._gaps.clear()
        if self._file is not None:
            with suppress(OSError):
                self._file.close()
        self._file, self._end = None, 0

    def _leave_to_parent(self) -> None:
        """After a fork: what the file holds, and where one reads, is no longer known here."""
        if self._process != os.getpid():
            self.close()
            self._process = os.getpid()

    def _place(self, length: int) -> int | None:
        """Where so many bytes fit: where a frame lay that has grown, or at the end; None if nowhere."""
        gap = next((start for start, size in self._gaps if size >= length), None)
        if gap is not None:
            return gap
        return self._end if self._end + length <= self._budget else None

    def _written(self, data: bytes, start: int) -> bool:
        try:
            if self._file is None:
                # Without a buffer, in which a disk that is full would leave bytes that fail again and again.
                self._file = tempfile.TemporaryFile(prefix="sam2-features-", buffering=0)  # noqa: SIM115
                finalize(self, self._file.close)
            self._file.seek(start)
            return self._file.write(data) == len(data)
        except OSError:
            return False
