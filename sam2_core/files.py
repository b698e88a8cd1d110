"""Files that are complete or absent. What goes wrong is an OSError; each writer says what it was about."""

from __future__ import annotations

import errno
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def new_file(path: Path) -> Iterator[Path]:
    """Give a temporary path in the same folder, and rename it to ``path`` once the block has succeeded.

    The name is hidden, ends in ``.part`` and is never used twice, so that processes and threads may write the
    same file; the last one stays. A link stays a link: the file that it points at is written.

    Raises:
        OSError: if the folder cannot be made or written, the disk is full, or no file can be there.
    """
    target = writable(path)
    temporary = target.with_name(f".{target.name}.{os.getpid()}.{secrets.token_hex(4)}.part")
    make_folder(target.parent)
    try:
        yield temporary
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)


def writable(path: Path) -> Path:
    """Where a file of this name is written: behind links, and not in the place of anything but a file.

    Raises:
        OSError: for a folder, a device or a pipe, and for what is no name.
    """
    try:
        target = Path(os.path.realpath(path))
        if path.is_dir():
            raise IsADirectoryError(errno.EISDIR, "a folder is there; give the name of a file", str(path))
        if path.exists() and not path.is_file():
            raise OSError(errno.EINVAL, "a device or a pipe is there; give the name of a file", str(path))
        os.fsencode(target)
    except ValueError as error:
        raise OSError(errno.EINVAL, "no file can have this name", str(path)) from error
    return target


def make_folder(folder: Path) -> None:
    """Make a folder and those above it, if they are not there; OSError if that fails."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError) as error:
        text = "a file is in the place of a folder"
        raise NotADirectoryError(errno.ENOTDIR, text, str(folder)) from error
