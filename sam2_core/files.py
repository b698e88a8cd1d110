"""Files that are complete or absent. What goes wrong is an OSError; each writer says what it was about."""

from __future__ import annotations

import errno
import os
import platform
import re
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from hashlib import sha256
from pathlib import Path

DAY = 24 * 3600
"""Seconds after which what another machine has half written is left over."""


@contextmanager
def new_file(path: Path, *, tidy: bool = False) -> Iterator[Path]:
    """Give a temporary path in the same folder, and rename it to ``path`` once the block has succeeded.

    The name is hidden, ends in ``.part`` and is never used twice, so that processes and threads may write the
    same file; the last one stays. A link stays a link: the file that it points at is written.

    Args:
        path: the file.
        tidy: remove what killed processes left half written of this file. It lists the folder, so it is for
            files that are few in theirs.

    Raises:
        OSError: if the folder cannot be made or written, the disk is full, or no file can be there.
    """
    target = writable(path)
    token = secrets.token_hex(4) + (_machine() if tidy else "")
    temporary = target.with_name(f".{target.name}.{os.getpid()}.{token}.part")
    make_folder(target.parent)
    if tidy:
        _remove_leftovers(target)
    try:
        yield temporary
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)


def _remove_leftovers(target: Path) -> None:
    """Remove the parts of a file whose processes are gone; those of other machines when they are old."""
    part = re.compile(rf"\.{re.escape(target.name)}\.(\d{{1,10}})\.[0-9a-f]{{8}}([0-9a-f]{{8}})?\.part")
    with suppress(OSError), os.scandir(target.parent) as entries:
        for entry in entries:
            found = part.fullmatch(entry.name)
            if found is None:
                continue
            with suppress(OSError):  # another process may remove it too
                if _is_left_over(int(found[1]), found[2], entry):
                    Path(entry.path).unlink()


def _is_left_over(process: int, machine: str | None, part: os.DirEntry[str]) -> bool:
    if machine == _machine() and os.name != "nt":  # on Windows, to ask for a process may end it
        return not _is_alive(process)
    old = time.time() - part.stat(follow_symlinks=False).st_mtime > DAY
    return old and process != os.getpid()


def _is_alive(process: int) -> bool:
    """Whether a process of this machine is there; True if that cannot be known."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):  # it is of another user
        pass
    return True


@cache
def _machine() -> str:
    """Eight digits for this machine, or this container: where the number of a process means something."""
    name = platform.node()
    with suppress(OSError):
        name += str(Path("/proc/self/ns/pid").readlink())
    return sha256(name.encode()).hexdigest()[:8]


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
