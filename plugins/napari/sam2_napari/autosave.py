"""Where the work on an image is kept, so that a crash loses none of it.

Every session has a file of its own in the folder of its image: one that is just being closed, or that another
napari has open, is never written over.
"""

from __future__ import annotations

import hashlib
import itertools
import os
import time
from contextlib import suppress
from pathlib import Path

from sam2_core import Video

GENERATIONS, WEEK = 4, 7 * 24 * 3600
"""The latest works on one image are kept, and all that changed within these seconds."""

_numbers = itertools.count()


class Autosave:
    """The file of one session, beside those of earlier ones on the same image.

    Args:
        image_folder: what ``place`` gives.

    Attributes:
        file: where this session is kept.
        aside: where its objects are kept when it goes on with others.
    """

    def __init__(self, image_folder: Path) -> None:
        self._folder = image_folder
        self.file = image_folder / f"{time.time_ns():020d}-{os.getpid()}-{next(_numbers)}.sam2"
        self.aside = self.file.with_name(f"{self.file.stem}-before.sam2")

    def tidy(self) -> None:
        """Remove what nobody has touched for a week, but for the latest; halves that a crash left, too."""
        for old in (*self.earlier()[GENERATIONS - 1 :], *self._folder.glob(".*.part")):
            with suppress(OSError):  # where nothing can be written, that is said when it is tried
                if time.time() - old.stat().st_mtime > WEEK:
                    old.unlink()

    def earlier(self) -> list[Path]:
        """What is kept beside the present work, the latest first; some of it may be of another image."""
        found = []
        with suppress(OSError):
            for path in self._folder.glob("*.sam2"):
                if path != self.file:
                    with suppress(OSError):  # another napari may take it away
                        found.append((path.stat().st_mtime_ns, path))
        return [path for _, path in sorted(found, reverse=True)]


def folder() -> Path:
    """The folder of autosaves: of the variable SAM2_CACHE, or ``~/.cache/sam2-core``."""
    return Path(os.environ.get("SAM2_CACHE") or "~/.cache/sam2-core").expanduser() / "napari"


def place(video: Video, name: str, origin: str) -> Path:
    """The folder of the works on a video: the same for the same name, place and size.

    Args:
        video: the frames.
        name: of the image layer.
        origin: the file that it came from; empty if it is not known.
    """
    height, width = video.size
    said = f"{name}|{origin}|{len(video)}x{height}x{width}"
    return folder() / hashlib.sha256(said.encode()).hexdigest()[:16]
