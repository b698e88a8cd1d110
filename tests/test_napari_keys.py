"""The keys, in a real window: they work wherever a user draws, and take nothing of napari's away."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
from napari.layers import Labels, Points, Shapes
from napari.utils.action_manager import action_manager
from napari.utils.shortcuts import default_shortcuts
from sam2_napari.actions import Actions
from sam2_napari.keys import DRAWING, KEYS, bind, help_text

from tests.napari_for_tests import Window, needs_a_screen

needs_a_screen()

OURS_ON_PURPOSE = {(Labels, "Control-Z"), (Labels, "Control-Shift-Z")}
"""Undo of strokes is a part of our undo: a stroke is a step of it like any other."""


class Noted:
    """Actions that only note their names."""

    def __init__(self) -> None:
        self.done: list[str] = []

    def __getattr__(self, name: str) -> Any:
        return lambda: self.done.append(name)


@pytest.fixture
def window(make_napari_viewer: Any, qtbot: Any) -> Window:
    """A window with one layer of each kind, without the panel."""
    viewer = make_napari_viewer(show=True)
    viewer.add_image(np.zeros((3, 60, 80), np.uint8), name="film")
    viewer.add_labels(np.zeros((3, 60, 80), np.int32), name="masks")
    viewer.add_shapes(ndim=3, name="boxes")
    viewer.add_points(ndim=3, name="clicks")
    return Window(viewer, qtbot)


def drawing(window: Window) -> tuple[Any, ...]:
    """What the panel binds keys on."""
    layers = window.viewer.layers
    return window.viewer, layers["masks"], layers["boxes"], layers["clicks"]


def as_qt(keys: str) -> str:
    """A key of napari's as Qt writes it."""
    return keys.replace("Control", "Ctrl").replace("-", "+")


@pytest.mark.parametrize(
    ("active", "mode"),
    [
        ("film", "pan_zoom"), ("clicks", "add"), ("clicks", "select"), ("boxes", "add_rectangle"),
        ("boxes", "select"), ("masks", "paint"), ("masks", "erase"), (None, None),
    ],
)  # fmt: skip
def test_every_key_works_wherever_a_user_draws(window: Window, active: str | None, mode: str | None) -> None:
    noted, viewer = Noted(), window.viewer
    unbind = bind(drawing(window), noted)
    viewer.layers.selection.active = None if active is None else viewer.layers[active]
    if active is not None:
        viewer.layers[active].mode = mode
    for key in KEYS:
        window.press(as_qt(key.keys))
    assert noted.done == [key.action for key in KEYS]
    unbind()
    for key in KEYS:
        if not key.keys.startswith("Control"):
            window.press(as_qt(key.keys))
    assert len(noted.done) == len(KEYS)


def keymap(target: Any) -> dict[str, Any]:
    """The keys that are bound on an object alone."""
    return {str(keys): call for keys, call in target.keymap.items()}


def test_all_keys_are_as_before_when_the_panel_has_gone(window: Window) -> None:
    def mine(target: Any) -> None: ...

    viewer = window.viewer
    viewer.bind_key("G", mine)
    before = [keymap(target) for target in drawing(window)]
    unbind = bind(drawing(window), Noted())
    assert all(len(keymap(target)) >= len(KEYS) for target in drawing(window))
    unbind()
    assert [keymap(target) for target in drawing(window)] == before
    assert keymap(viewer)["G"] is mine


def bound_by_napari(layer: type) -> set[str]:
    """The keys of a layer of napari and of its viewer, with those of its shortcuts."""
    from napari.components import ViewerModel

    found = {str(keys) for cls in (layer, ViewerModel) for keys in cls.class_keymap}
    prefixes = {Labels: "labels", Points: "points", Shapes: "shapes"}
    for name, shortcuts in default_shortcuts.items():
        action = action_manager._actions.get(name)
        of_layer = action is None or action.keymapprovider in (layer, ViewerModel)
        if of_layer or prefixes[layer] in name:
            found |= {str(keys) for keys in shortcuts}
    return {
        keys.replace("Ctrl+", "Control-").replace("Shift+", "Shift-").replace("Alt+", "Alt-")
        for keys in found
    }


@pytest.mark.parametrize("layer", [Labels, Points, Shapes])
def test_no_key_of_napari_on_these_layers_is_taken_away(window: Window, layer: type) -> None:
    theirs = bound_by_napari(layer)
    assert len(theirs) > 20
    taken = {(layer, key.keys) for key in KEYS if _normal(key.keys) in {_normal(k) for k in theirs}}
    assert taken == {pair for pair in OURS_ON_PURPOSE if pair[0] is layer}


def _normal(keys: str) -> frozenset[str]:
    words = keys.replace("+", "-").split("-")
    return frozenset(word.replace("Ctrl", "Control").lower() for word in words)


def test_the_help_lists_all_keys_and_each_has_an_action() -> None:
    text = help_text()
    for key in KEYS:
        assert f"<b>{key.keys.replace('Control', 'Ctrl')}</b>" in text
        assert key.text in text
        assert callable(getattr(Actions, key.action))
    assert all(what in text for what, _ in DRAWING)
    assert len({_normal(key.keys) for key in KEYS}) == len(KEYS)


FIELDS = {"toggle_sign": "negative", "next_object": "object", "previous_object": "object"}
"""Without a button on purpose: the check box "not this", and J and K, which step through the numbers."""


def test_every_key_has_a_button_or_a_field_whose_tooltip_names_it(qapp: Any) -> None:
    from sam2_napari.actions import BUTTONS
    from sam2_napari.form import Form

    form = Form()
    buttons = {**{action: button for button, action in BUTTONS.items()}, **FIELDS}
    for key in KEYS:
        tooltip = getattr(form, buttons.get(key.action, key.action)).tooltip
        named = re.findall(r"\(([^()]+?)(?::[^()]*)?\)", tooltip)
        assert key.keys.replace("Control", "Ctrl") in ", ".join(named).split(", "), (key.keys, tooltip)
