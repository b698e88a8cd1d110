"""Ctrl-C as a question to work that ends by itself at a good place."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from sam2_core.cli import common


@contextmanager
def asked_to_stop() -> Iterator[threading.Event]:
    """An event that Ctrl-C and SIGTERM set; a second Ctrl-C is a KeyboardInterrupt, at once.

    Under torchrun there is no second one: it sends either signal once more to processes that have it already,
    which must not disturb saving. In a thread nothing is done, as Python handles no signals there.
    """
    asked = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield asked
        return

    def ask(number: int, _: FrameType | None) -> None:
        again = asked.is_set()
        asked.set()
        if number != signal.SIGINT or "TORCHELASTIC_RUN_ID" in os.environ:
            return
        if again:
            raise KeyboardInterrupt
        common.say("stopping after this step; Ctrl-C again stops at once")

    handlers = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield asked
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler or signal.SIG_DFL)  # None: not Python's
