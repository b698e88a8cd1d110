"""What the C library keeps of freed memory, and what it gives back to the system.

Every frame takes and frees hundreds of MiB in blocks of changing sizes, and leaves a few small ones that are
kept: masks, memories. glibc by itself gives large blocks back at once, so that the system has to clear the
same pages again and again; and the kept ones pin its heap, which so grows by 10 to 15 % over thousands of
frames although no more is in use. Both are measured in decision record 4.
"""

from __future__ import annotations

import ctypes
import os
from contextlib import suppress
from functools import cache

EVERY = 32
"""Frames between two calls of ``give_back``; a call costs a few milliseconds."""

_MMAP_THRESHOLD, _TRIM_THRESHOLD = -3, -1
"""The names of glibc's options (malloc.h)."""

_LARGEST, _UNUSED = (256 * 2**20, 32 * 2**20), 2**30
"""Blocks up to the first (older glibc: the second) come from the heap; so much of its end may be unused."""

_CHOSEN_BY_USER = ("GLIBC_TUNABLES", "MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_")

_ABSENT = (OSError, TypeError, AttributeError)
"""No such library (Windows knows none without a name), or not glibc."""


@cache
def keep_blocks() -> None:
    """Let the heap keep the large blocks of a frame for the next one, unless the user has chosen otherwise.

    For networks with tensors of tens of MiB on a CPU: their steps take 7 to 17 % less time. It is for the
    whole process, which so holds up to 1 GiB more than it uses, until ``give_back``. In threads besides the
    main one, blocks above 64 MiB are mapped all the same.
    """
    if any(name in os.environ for name in _CHOSEN_BY_USER):
        return
    with suppress(*_ABSENT):
        option = ctypes.CDLL(None).mallopt
        # Alone, the second would fix the threshold of mapped blocks where it stands: at first, 128 KiB.
        if any(option(_MMAP_THRESHOLD, largest) for largest in _LARGEST):
            option(_TRIM_THRESHOLD, _UNUSED)


def give_back() -> None:
    """Return the unused pages of the heap to the system, where that can be asked for."""
    with suppress(*_ABSENT):
        ctypes.CDLL(None).malloc_trim(0)
