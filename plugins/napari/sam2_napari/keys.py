"""The keys: bound on the viewer and on each layer in which a user draws, and listed in a help window.

The viewer's keys alone do not reach a user who draws: a layer's own keys come first. What is bound here is
free in the layers of napari, but for undo and redo of Labels: a stroke is a step of ours like any other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple


class Shortcut(NamedTuple):
    """One key.

    Attributes:
        keys: as napari writes it, such as ``Shift-F``.
        action: the name of the action in ``Actions``.
        text: what it does.
    """

    keys: str
    action: str
    text: str


KEYS = (
    Shortcut("N", "new_object", "new object: the next click begins it"),
    Shortcut("Shift-N", "toggle_sign", "the next clicks say: not this (or: this, again)"),
    Shortcut("G", "track_all", "go: track everything, forward and backward"),
    Shortcut("Shift-F", "track_forward", "track forward from this frame"),
    Shortcut("Shift-B", "track_backward", "track backward from this frame"),
    Shortcut("Q", "stop", "stop tracking; what is done is kept"),
    Shortcut("Control-Z", "undo", "undo"),
    Shortcut("Control-Shift-Z", "redo", "redo"),
    Shortcut("Shift-D", "divide", "divide: the current object ends, those named in 'objects' begin"),
    Shortcut("Shift-E", "end_here", "the current object is seen for the last time on this frame"),
    Shortcut("Shift-X", "remove", "remove the current object"),
    Shortcut("J", "next_object", "next object"),
    Shortcut("K", "previous_object", "previous object"),
    Shortcut("H", "help", "these keys"),
)

DRAWING = (
    ("click", "on the object (layer ... clicks)"),
    ("Ctrl + click", "beside the object: not this"),
    ("rectangle", "a box around the object (layer ... boxes, napari's key R)"),
    ("paint", "the mask itself (layer ... masks, napari's key 2); it is kept exactly"),
)


def bind(targets: Iterable[Any], actions: Any) -> Callable[[], None]:
    """Bind all keys on a viewer and on layers; gives what unbinds them."""
    bound = []
    for target in targets:
        for key in KEYS:
            before = target.bind_key(key.keys, _calls(actions, key.action), overwrite=True)
            bound.append((target, key.keys, before))

    def unbind() -> None:
        for target, keys, before in bound:
            target.bind_key(keys, before, overwrite=True)

    return unbind


def _calls(actions: Any, name: str) -> Callable[[Any], None]:
    def call(target: Any) -> None:
        getattr(actions, name)()

    return call


def help_text() -> str:
    """All keys, and what can be drawn, as HTML."""
    drawn = "".join(_row(*row) for row in DRAWING)
    keys = "".join(_row(key.keys.replace("Control", "Ctrl"), key.text) for key in KEYS)
    return f"<h3>Drawing</h3>{_TABLE}{drawn}</table><h3>Keys</h3>{_TABLE}{keys}</table>"


_TABLE = "<table cellpadding='4'>"


def _row(what: str, text: str) -> str:
    return f"<tr><td><b>{what}</b></td><td>{text}</td></tr>"
