"""What an error means to a user, and what to do."""

from __future__ import annotations

from sam2_core import SAM2Error

SCARCE = ("out of memory", "can't allocate memory", "not enough memory", "cannot allocate memory")
"""How CUDA, MPS, torch on a CPU and operating systems say it."""


def advice(error: BaseException) -> str:
    """An error in one line that says what to do."""
    if isinstance(error, SAM2Error):
        return " ".join(str(error).split())
    text = " ".join(str(error).split())
    if isinstance(error, MemoryError) or any(words in text.lower() for words in SCARCE):
        return (
            "there is not enough memory: choose a smaller model (nano, sam2.1-tiny), track fewer objects "
            "at a time, or choose the device cpu; what was done is kept"
        )
    return f"unexpected error: {type(error).__name__}: {text or 'no more is known'}; the log has more"
