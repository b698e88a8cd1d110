"""Where the work on an image is kept, so that a crash loses none of it."""

from __future__ import annotations

import hashlib
import os
from contextlib import suppress
from pathlib import Path

from sam2_core import Video


def folder() -> Path:
    """The folder of autosaves: of the variable SAM2_CACHE, or ``~/.cache/sam2-core``."""
    return Path(os.environ.get("SAM2_CACHE") or "~/.cache/sam2-core").expanduser() / "napari"


def place(video: Video, name: str, origin: str) -> Path:
    """The file of the work on a video: the same for the same name, place and size.

    Args:
        video: the frames.
        name: of the image layer.
        origin: the file that it came from; empty if it is not known.
    """
    height, width = video.size
    said = f"{name}|{origin}|{len(video)}x{height}x{width}"
    return folder() / f"{hashlib.sha256(said.encode()).hexdigest()[:16]}.sam2"


GENERATIONS = 3
"""Works on one image that are kept beside the present one, the latest first."""


def aside(file: Path, generation: int = 0) -> Path:
    """Where the work before this one is kept, and those before that."""
    return file.with_name(f"{file.stem}-before{generation or ''}.sam2")


def put_aside(file: Path) -> Path | None:
    """Move what is kept of earlier work out of the way of new work; where it is, None if there is none."""
    earlier = aside(file)
    # In a folder that must not be read or written nothing can be kept, which is said when it is tried.
    with suppress(OSError):
        if file.is_file():
            for generation in reversed(range(GENERATIONS - 1)):
                if (older := aside(file, generation)).is_file():
                    older.replace(aside(file, generation + 1))
            file.replace(earlier)
        return earlier if earlier.is_file() else None
    return None
