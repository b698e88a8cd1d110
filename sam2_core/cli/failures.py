"""What went wrong, in one line."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sam2_core.errors import SAM2Error, reason


class UsageError(SAM2Error):
    """An argument that makes no sense, whatever the video is; the exit status is 2."""


@contextmanager
def usage() -> Iterator[None]:
    """What the package refuses in here was wrong in the arguments already."""
    try:
        yield
    except SAM2Error as error:
        raise UsageError(str(error)) from error


def one_line(error: BaseException) -> str:
    """The one line of a command that failed; what nobody foresaw says so."""
    if isinstance(error, KeyboardInterrupt):
        return "interrupted"
    if isinstance(error, BrokenPipeError):
        return "nobody reads the output any more; files that were written are whole"
    if isinstance(error, SAM2Error):
        return " ".join(str(error).split())
    if isinstance(error, OSError):
        return reason(error) if error.filename is None else f"{error.filename}: {reason(error)}"
    if isinstance(error, MemoryError):
        help_ = reason(error) if str(error) else "use a smaller video or fewer objects"
        return f"there is not enough memory: {help_}"
    return f"{type(error).__name__}: {reason(error)} (this should not happen; --debug shows where it did)"
