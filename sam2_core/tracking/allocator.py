"""Memory that the C library holds but nobody uses goes back to the system.

Every frame takes and frees tens of MiB in blocks of changing sizes, and leaves a few small ones that are
kept: masks, memories. With glibc the kept ones pin the heap, which so grows by 10 to 15 % over thousands of
frames although no more is in use (measured: decision record 4). Other allocators are left alone.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from functools import cache

EVERY = 32
"""Frames between two calls; a call costs a few milliseconds."""


def give_back() -> None:
    """Return the unused pages of the heap to the system, where that can be asked for."""
    if (trim := _malloc_trim()) is not None:
        trim(0)


@cache
def _malloc_trim() -> Callable[[int], int] | None:
    try:
        trim: Callable[[int], int] = ctypes.CDLL(None).malloc_trim
    except (OSError, TypeError, AttributeError):  # TypeError: Windows knows no library without a name
        return None
    return trim
