"""The models: each is loaded once for all windows, away from the window; torch comes with the first."""

from __future__ import annotations

import threading
from collections.abc import Generator
from typing import Any

from sam2_core import fetch_model, load_model, model_names
from sam2_napari.advice import advice

_loaded: dict[tuple[str, str], Any] = {}
_lock = threading.Lock()


def names() -> tuple[str, ...]:
    """The models that there are, the bundled one first."""
    return tuple(sorted(model_names(), key=lambda name: name != "nano"))


def load(name: str, device: str) -> Any:
    """A model that is ready; whoever asks for it while it is being loaded waits for that.

    Raises:
        ModelError: if it is not here, or does not fit; the message says what to do.
    """
    with _lock:
        if (name, device) not in _loaded:
            loaded = load_model(name, device)  # if that fails, the one that is used stays at hand
            _loaded.clear()  # one at a time: they are large
            _loaded[name, device] = loaded
        return _loaded[name, device]


def fetch(name: str) -> Generator[tuple[int, int], None, str]:
    """Download a model; gives the bytes that are here, and all (0 if that is not known).

    Returns:
        What went wrong, in one line; empty if nothing did. A worker of napari that raises says it twice.
    """
    try:
        yield from fetch_model(name)
    except Exception as error:
        return advice(error)
    return ""
