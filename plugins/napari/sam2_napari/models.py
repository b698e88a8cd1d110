"""The models: each is loaded once for all windows, away from the window; torch comes with the first."""

from __future__ import annotations

import logging
import threading
from collections.abc import Generator
from typing import Any
from weakref import WeakValueDictionary

from sam2_core import fetch_model, load_model, model_names
from sam2_napari.advice import advice

_loaded: WeakValueDictionary[tuple[str, str], Any] = WeakValueDictionary()  # as long as a session has it
_latest: list[Any] = []  # and the last one, so that it is at hand for the next
_lock = threading.Lock()
log = logging.getLogger(__name__)


def names() -> tuple[str, ...]:
    """The models that there are, the bundled one first."""
    return tuple(sorted(model_names(), key=lambda name: name != "nano"))


def load(name: str, device: str) -> Any:
    """A model that is ready; whoever asks for it while it is being loaded waits for that.

    Raises:
        ModelError: if it is not here, or does not fit; the message says what to do.
    """
    with _lock:
        model = _loaded.get((name, device)) or load_model(name, device)
        _loaded[name, device] = model
        _latest[:] = [model]
        return model


def fetch(name: str) -> Generator[tuple[int, int], None, str]:
    """Download a model; gives the bytes that are here, and all (0 if that is not known).

    Returns:
        What went wrong, in one line; empty if nothing did. A worker of napari that raises says it twice.
    """
    try:
        yield from fetch_model(name)
    except Exception as error:
        log.debug("fetching %s", name, exc_info=True)
        return advice(error)
    return ""
