"""What a session may keep in memory and in its file, in bytes and frames."""

from __future__ import annotations

import operator
from dataclasses import dataclass, fields

from sam2_core.errors import SessionError


@dataclass(frozen=True)
class Limits:
    """What a session may keep besides its prompts and results; bytes are at least 0, frames at least 1.

    No limit of bytes changes a mask of a recorded video, only how often frames are computed again (with
    "auto" by no more than rounding, which depends on what is encoded and tracked together).

    Attributes:
        feature_bytes: for the features of the frames seen last, which are 32 at most.
        restart_bytes: for the restart points of all objects together, from which a correction goes on; None
            for 16 MiB, or for as much as 32 points take if that is more (large models). Whatever this says,
            each object keeps its eight newest banks of each direction: about 0.5 MiB with nano, 7 MiB with a
            published model.
        max_conditioning_frames: prompted frames that a frame reads at most; None for all (the references).
        saved_bytes: for the memories in a saved session. Objects whose memories do not fit are tracked again
            from their first prompt when it goes on, to the same masks.
        feature_disk_bytes: for features that no longer fit into memory, in a temporary file; 0 for none. It
            pays where frames take long to encode and are gone through again: a published model on a CPU, with
            10 MiB a frame in bfloat16 and 17 in float32. Of the folder that the variable TMPDIR names; where
            that is a tmpfs, it is memory all the same.

    Raises:
        SessionError: for limits that cannot be kept to.
    """

    feature_bytes: int = 256 * 2**20
    restart_bytes: int | None = None
    max_conditioning_frames: int | None = None
    saved_bytes: int = 64 * 2**20
    feature_disk_bytes: int = 0

    def __post_init__(self) -> None:
        """Refuse what cannot be kept to."""
        for field in fields(self):
            given, least = getattr(self, field.name), int(field.name == "max_conditioning_frames")
            if given is None and field.default is None:
                continue
            try:
                fits = operator.index(given) >= least
            except TypeError:
                fits = False
            if not fits:
                shown = " ".join(repr(given).split())[:60]
                also = " or None" if field.default is None else ""
                raise SessionError(
                    f"these limits cannot be kept to: {field.name} is a whole number, at least {least}{also}"
                    f"; got {shown}"
                )
