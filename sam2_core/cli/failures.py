"""What went wrong, in one line."""

from __future__ import annotations

from sam2_core.errors import SAM2Error


class UsageError(SAM2Error):
    """An argument that cannot be understood; the exit status is 2."""


def one_line(error: BaseException) -> str:
    """The one line of a command that failed; what nobody foresaw says so."""
    text = " ".join(str(error).split())
    if isinstance(error, KeyboardInterrupt):
        return "interrupted"
    if isinstance(error, BrokenPipeError):
        return "nobody reads the output any more; files that were written are whole"
    if isinstance(error, (SAM2Error, OSError)):
        return text
    if isinstance(error, MemoryError):
        return f"there is not enough memory: {text or 'use a smaller video or fewer objects'}"
    return f"{type(error).__name__}: {text} (this should not happen; --debug shows where it did)"
