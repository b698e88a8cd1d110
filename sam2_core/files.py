"""Files that are complete or absent. What goes wrong is an OSError; each writer says what it was about."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def new_file(path: Path) -> Iterator[Path]:
    """Give a temporary path in the same folder, and rename it to ``path`` once the block has succeeded.

    The name is hidden, ends in ``.part`` and holds the number of the process, so that two of them may write
    the same file.

    Raises:
        OSError: if the folder cannot be made or written, or the disk is full.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    make_folder(path.parent)
    try:
        yield temporary
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def make_folder(folder: Path) -> None:
    """Make a folder and those above it, if they are not there; OSError if that fails."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError) as error:
        text = "a file is in the place of a folder"
        raise NotADirectoryError(errno.ENOTDIR, text, str(folder)) from error
