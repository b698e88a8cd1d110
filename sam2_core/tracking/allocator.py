"""Memory that the C library holds but nobody uses goes back to the system.

Every frame takes and frees tens of MiB in blocks of changing sizes, and leaves a few small ones that are
kept: masks, memories. With glibc the kept ones pin the heap, which so grows by 10 to 15 % over thousands of
frames although no more is in use (measured: decision record 4). Other allocators are left alone.
"""

from __future__ import annotations

import ctypes
from contextlib import suppress

EVERY = 32
"""Frames between two calls; a call costs a few milliseconds."""


def give_back() -> None:
    """Return the unused pages of the heap to the system, where that can be asked for."""
    # OSError, TypeError: no such library (Windows knows none without a name); AttributeError: not glibc.
    with suppress(OSError, TypeError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
