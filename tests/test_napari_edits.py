"""Whole objects are edited with the buttons of the panel, each edit one step of undo."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tests.napari_for_tests import CELLS, NUMBERS, Window, film, middle, needs_a_screen

needs_a_screen()


def click(window: Window, number: int, cell: int) -> None:
    window.viewer.layers.selection.active = window.layers.points
    window.control.choose(number)
    window.click(*middle(0, cell))
    window.idle()


def edit(window: Window, do: Callable[[], Any]) -> NDArray[np.int32]:
    """Do it, take it back, and do it again; what it gives, all frames."""
    before = film(window)
    do()
    window.idle()
    after = film(window)
    assert not np.array_equal(after, before)
    window.push("undo")
    window.idle()
    assert np.array_equal(film(window), before)
    window.push("redo")
    window.idle()
    assert np.array_equal(film(window), after)
    return after


def ids(window: Window) -> list[int]:
    return [state.object_id for state in window.control.document.objects]


def test_objects_are_renumbered_limited_merged_and_removed(window: Window) -> None:
    form = window.panel.form
    click(window, 1, NUMBERS[0])
    click(window, 2, NUMBERS[1])
    window.push("all")
    window.idle()
    before = film(window)

    window.control.choose(1)
    form.number.value = 7
    after = edit(window, lambda: window.push("renumber"))
    assert np.array_equal(after, np.where(before == 1, 7, before))
    assert window.control.object_id == 7
    assert ids(window) == [7, 2]

    window.go_to(9)
    after = edit(window, lambda: window.push("end"))
    assert [bool((after[t] == 7).any()) for t in range(16)] == [t <= 9 for t in range(16)]
    window.control.choose(2)
    window.go_to(0)
    window.push("begin")  # on the frame of its prompt: nothing changes
    window.idle()
    assert np.array_equal(film(window), after)

    form.number.value = 7
    after = edit(window, lambda: window.push("merge"))
    assert "track it again" in " ".join(window.told())
    assert ids(window) == [2]
    assert np.array_equal(after[0] == 2, before[0] > 0)
    assert (after[5] == 2).any()  # stale, and still there
    after = edit(window, lambda: window.push("remove"))
    assert not after.any()
    assert ids(window) == []


def test_an_object_that_is_several_is_split_by_clicks_by_its_pieces_or_at_its_waist(window: Window) -> None:
    layers = window.layers
    window.viewer.layers.selection.active = layers.masks

    def paint(number: int, *places: tuple[float, float], size: int = 20) -> None:
        window.control.choose(number)
        window.viewer.layers.selection.active = layers.masks
        layers.masks.mode, layers.masks.brush_size = "paint", size
        window.drag(*places)
        window.idle()

    paint(1, (60, 60), (60, 62))  # two discs, with a bridge
    paint(1, (60, 100), (60, 102))
    paint(1, (60, 60), (60, 100), size=5)
    after = edit(window, lambda: window.push("split"))[0]
    assert ids(window) == [1, 2]
    assert {after[60, 58], after[60, 104]} == {1, 2}

    paint(5, (150, 60), (150, 62))  # two pieces
    paint(5, (150, 120), (150, 124))
    after = edit(window, lambda: window.push("split"))[0]
    assert after[150, 122] == 5  # the larger one keeps its number
    assert after[150, 61] == 6

    paint(8, (210, 60), (210, 140))  # a bar, without a waist
    window.told()
    window.push("split")
    window.idle()
    assert any("click once into each part, then split" in message for message in window.told())


def test_an_object_that_is_two_cells_is_split_by_a_click_into_each(window: Window) -> None:
    places = {cell: middle(0, cell) for cell in NUMBERS}
    one, other = min(
        ((a, b) for a in NUMBERS for b in NUMBERS if a < b), key=lambda pair: np.hypot(
            *np.subtract(places[pair[0]], places[pair[1]])
        )
    )  # fmt: skip
    both = np.isin(CELLS, [one, other]) * 8
    window.panel.form.seeds.value = window.viewer.add_labels(both.astype(np.int32), name="joined")
    window.push("seed")
    window.idle()
    assert ids(window) == [8]
    click(window, 8, one)
    click(window, 8, other)
    window.push("split")
    window.idle()
    after = window.labels(0)
    (y, x), (v, u) = places[one], places[other]
    assert {after[round(y), round(x)], after[round(v), round(u)]} == {8, 9}
    assert not len(window.layers.points.data)  # the parts are what they are now


def test_other_labels_and_a_search_give_the_objects_of_a_frame(window: Window) -> None:
    click(window, 1, NUMBERS[0])
    known = window.labels(0) == 1
    seeds = window.viewer.add_labels(CELLS.astype(np.int32), name="from another plugin")
    window.panel.form.seeds.value = seeds
    window.told()
    after = edit(window, lambda: window.push("seed"))[0]
    assert np.array_equal(after == 1, known)
    assert any(f"{len(NUMBERS) - 1} objects begin on frame 0; 1 were known" in m for m in window.told())
    for cell in NUMBERS[1:]:
        found = np.unique(after[CELLS[0] == cell])
        assert cell in found

    window.push("seed")  # again: all are known, and there is nothing to take back
    window.idle()
    assert any("0 objects begin" in message for message in window.told())
    window.push("undo")
    window.idle()
    assert np.array_equal(window.labels(0) > 0, known)

    window.push("find")
    window.idle(300)
    assert len(ids(window)) > 5
    hit = [cell for cell in NUMBERS[1:] if (window.labels(0)[CELLS[0] == cell] > 0).mean() > 0.5]
    assert len(hit) >= len(NUMBERS) // 2
    window.push("undo")
    window.idle()
    assert ids(window) == [1]


def test_a_division_is_taken_back_with_its_button(window: Window) -> None:
    click(window, 1, NUMBERS[0])
    window.push("all")
    window.idle()
    window.go_to(8)
    window.viewer.layers.selection.active = window.layers.points
    for number, cell in ((2, NUMBERS[1]), (3, NUMBERS[2])):
        window.control.choose(number)
        window.click(*middle(8, cell))
    window.idle()
    before = film(window)
    window.control.choose(1)
    window.panel.form.daughters.value = "2, 3"
    after = edit(window, lambda: window.push("divide"))
    assert not (after[8:] == 1).any()
    assert np.array_equal(edit(window, lambda: window.push("undivide")), before)


def test_seeds_that_are_stopped_half_way_are_shown_and_undone_in_one_step(window: Window) -> None:
    window.viewer.add_labels(CELLS.astype(np.int32), name="cells")
    window.push("seed")
    window.until(lambda: window.panel.form.progress.value >= 2)
    window.push("stop")
    window.idle()
    begun = ids(window)
    assert 2 <= len(begun) < len(NUMBERS)
    assert set(np.unique(window.labels(0))) == {0, *begun}
    window.push("undo")
    window.idle()
    assert not window.labels(0).any()
    assert ids(window) == []


def test_a_click_that_passes_a_running_propagation_is_a_step_of_its_own(window: Window) -> None:
    click(window, 1, NUMBERS[0])
    click(window, 2, NUMBERS[1])
    window.push("all")
    window.until(lambda: bool(window.labels(2).any()))
    window.viewer.layers.selection.active = window.layers.points
    window.control.choose(3)
    window.click(*middle(0, NUMBERS[2]))
    window.idle()
    assert ids(window) == [1, 2, 3]
    assert set(np.unique(window.labels(15))) == {0, 1, 2, 3}  # tracking went on, with the new one
    steps = 0
    while 3 in ids(window):
        window.push("undo")
        window.idle()
        steps += 1
    assert steps == 2  # the rest of the tracking, then the click
    assert set(np.unique(window.labels(0))) == {0, 1, 2}
