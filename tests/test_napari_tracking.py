"""Tracking from the panel: backward, within limits, one object; divisions as shown, saved and exported."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray

from tests.napari_for_tests import (
    FIRST,
    SECOND,
    THIRD,
    Window,
    click_cells,
    film,
    middle,
    needs_a_screen,
    overlap,
)

needs_a_screen()

FILM = tifffile.imread(Path(__file__).parents[1] / "sam2_core" / "samples" / "timelapse.tif")


def frames_of(labels: NDArray[np.int32], number: int) -> list[int]:
    """The frames on which an object has pixels."""
    return [frame for frame, picture in enumerate(labels) if (picture == number).any()]


def there_and_back(window: Window, do: Callable[[], None]) -> NDArray[np.int32]:
    """Do it, take it back with one Ctrl+Z, and do it again; gives what it shows."""
    before = film(window)
    do()
    window.idle()
    after = film(window)
    assert not np.array_equal(after, before)
    window.press("Ctrl+Z")
    window.idle()
    assert np.array_equal(film(window), before)
    window.press("Ctrl+Shift+Z")
    window.idle()
    assert np.array_equal(film(window), after)
    return after


def limit(window: Window, first: int, last: int) -> None:
    """Track no other frames than these."""
    window.push("limited")
    for name, value in (("first", first), ("last", last)):
        field = window.field(name)
        field.selectAll()
        window.qtbot.keyClicks(field, str(value))
    assert (window.panel.form.first.value, window.panel.form.last.value) == (first, last)


@pytest.mark.parametrize("way", ["key", "button"])
def test_backward_is_to_the_beginning_and_no_further_than_this_frame(window: Window, way: str) -> None:
    window.go_to(9)
    window.click(*middle(9, FIRST))
    window.idle()
    track = {"key": lambda: window.press("Shift+B"), "button": lambda: window.push("backward")}[way]
    after = there_and_back(window, track)
    assert frames_of(after, 1) == [*range(10)]
    assert all(overlap(after[frame], 1, frame, FIRST) > 0.5 for frame in (0, 5, 9))
    (state,) = window.control.document.objects
    assert (state.prompted, state.frames, state.stale) == ((9,), 10, 0)


def test_all_within_limits_is_both_directions_and_one_step_of_undo(window: Window) -> None:
    window.go_to(8)
    for number, cell in ((1, FIRST), (2, SECOND)):
        window.control.choose(number)
        window.click(*middle(8, cell))
    window.idle()
    limit(window, 5, 11)
    after = there_and_back(window, lambda: window.push("all"))
    for number, cell in ((1, FIRST), (2, SECOND)):
        assert frames_of(after, number) == [*range(5, 12)]
        assert all(overlap(after[frame], number, frame, cell) > 0.5 for frame in (5, 8, 11))

    window.push("backward")  # of frame 8 and within the limits nothing is left to do
    window.push("forward")
    window.idle()
    assert np.array_equal(film(window), after)
    window.push("limited")
    after = there_and_back(window, lambda: window.push("all"))
    assert frames_of(after, 1) == frames_of(after, 2) == [*range(16)]


def test_the_current_object_alone_is_tracked_and_the_others_stay(window: Window) -> None:
    click_cells(window, 2)
    window.push("only")
    after = there_and_back(window, lambda: window.push("all"))
    assert (frames_of(after, 1), frames_of(after, 2)) == ([0], [*range(16)])
    window.press("K")
    limit(window, 0, 6)
    last = there_and_back(window, lambda: window.press("Shift+F"))
    assert (frames_of(last, 1), frames_of(last, 2)) == ([*range(7)], [*range(16)])
    assert np.array_equal(last == 2, np.where(last == 1, False, after == 2))


def test_while_it_tracks_the_panel_says_how_far_it_is_and_how_long_it_takes(window: Window) -> None:
    click_cells(window, 6)
    said, bars, bar = list[str](), list[tuple[int, int, bool]](), window.panel.form.progress

    def note(progress: object) -> None:  # the panel has heard it before
        if progress is not None:
            said.append(window.status())
            bars.append((bar.value, bar.max, bar.native.isTextVisible()))

    window.control.progressed.connect(note)
    window.press("G")
    window.idle()
    found = [re.fullmatch(r"step (\d+) of 16(?:, \d+ (?:s|min) left)?", text) for text in said]
    assert all(found), said
    assert sum("left" in text for text in said) >= 2  # not before two steps were timed
    done = [int(match[1]) for match in found if match]
    assert len(done) >= 3  # frames that come fast are told of together
    assert done == sorted(set(done))
    assert done[-1] == 16
    assert bars == [(n, 16, True) for n in done]
    assert (bar.value, bar.native.isTextVisible()) == (0, False)  # it is over
    assert window.status() == "tracking: done"


# --- divisions ---------------------------------------------------------------------------------------

LINEAGE = {2: [1], 3: [1]}


@pytest.fixture
def divided(window: Window) -> Window:
    """Object 1 is seen on frames 0 to 7, and divides into 2 and 3 on frame 8."""
    window.click(*middle(0, FIRST))
    window.press("G")
    window.idle()
    window.go_to(8)
    for number, cell in ((2, SECOND), (3, THIRD)):
        window.control.choose(number)
        window.click(*middle(8, cell))
    window.idle()
    window.control.choose(1)
    window.panel.form.daughters.value = "2, 3"
    window.push("divide")
    window.press("G")
    window.idle()
    return window


def lineage(window: Window) -> tuple[dict[int, list[int]], dict[int, list[int]], dict[int, str]]:
    """The graph of the tracks layer, the frames of its tracks, and the mothers of the table."""
    tracks, table = window.layers.tracks, window.panel.objects
    rows = tracks.data[:, :2].astype(int).tolist()
    frames = {number: [t for i, t in rows if i == number] for number in {i for i, _ in rows}}
    mothers = {int(table.item(row, 0).text()): table.item(row, 4).text() for row in range(table.rowCount())}
    return dict(tracks.graph), frames, mothers


WHOLE = (LINEAGE, {1: [*range(8)], 2: [*range(8, 16)], 3: [*range(8, 16)]}, {1: "", 2: "1", 3: "1"})


def test_the_lineage_goes_with_undo_and_comes_again_with_redo(divided: Window) -> None:
    assert lineage(divided) == WHOLE
    divided.press("Ctrl+Z")  # tracking
    divided.press("Ctrl+Z")  # the division
    divided.idle()
    assert lineage(divided) == ({}, {1: [*range(16)], 2: [8], 3: [8]}, {1: "", 2: "", 3: ""})
    divided.press("Ctrl+Shift+Z")
    divided.press("Ctrl+Shift+Z")
    divided.idle()
    assert lineage(divided) == WHOLE


def test_a_saved_division_is_there_again_in_masks_tracks_and_table(divided: Window, tmp_path: Path) -> None:
    before = film(divided)
    divided.answer("save", tmp_path / "family")
    for number in (3, 2, 1):
        divided.control.choose(number)
        divided.push("remove")
        divided.idle()
    assert not film(divided).any()
    assert not divided.layers.tracks.data[:, 0].any()
    divided.answer("open", tmp_path / "family.sam2")
    assert np.array_equal(film(divided), before)
    assert lineage(divided) == WHOLE
    assert len(divided.layers.points.data) == 3
    divided.control.choose(1)
    divided.push("undivide")  # it is a division like any other
    divided.idle()
    assert lineage(divided)[0] == {}


def test_a_division_is_exported_as_a_graph_that_the_geff_package_reads(
    divided: Window, tmp_path: Path
) -> None:
    from geff import validate_structure
    from geff.core_io import read_to_memory

    divided.export_as("geff")
    divided.answer("export", tmp_path)
    validate_structure(tmp_path / "geff.zarr")
    found = read_to_memory(tmp_path / "geff.zarr")
    columns = {name: values["values"] for name, values in found["node_props"].items()}
    nodes = [*zip(columns["object_id"].tolist(), columns["t"].tolist(), strict=True)]
    _, frames, _ = lineage(divided)
    assert sorted(nodes) == [(number, t) for number in (1, 2, 3) for t in frames[number]]
    edges = {(nodes[a], nodes[b]) for a, b in found["edge_ids"].tolist()}
    within = {((i, t), (i, t + 1)) for i, known in frames.items() for t in known[:-1]}
    assert edges == within | {((1, 7), (2, 8)), ((1, 7), (3, 8))}
    for (number, t), y, x in zip(nodes, columns["y"], columns["x"], strict=True):
        mask = divided.labels(t) == number
        assert np.allclose(
            np.argwhere(mask).mean(0), (y, x), atol=0.5
        )  # of masks that overlap one lies on top
    assert set(columns["lineage_id"].tolist()) == {1}


def test_the_table_of_tracks_says_where_masks_lie_how_large_and_how_bright(
    divided: Window, tmp_path: Path
) -> None:
    divided.export_as("tracks")
    divided.answer("export", tmp_path)
    with (tmp_path / "tracks.csv").open(newline="") as file:
        rows = [*csv.DictReader(file)]
    assert list(rows[0]) == [
        "object", "frame", "mother", "y", "x", "area", "top", "left", "bottom", "right", "score", "visible",
        "source", "stale", "intensity_mean", "intensity_min", "intensity_max", "intensity_sum",
    ]  # fmt: skip
    assert [(row["object"], row["frame"]) for row in rows] == [
        *(("1", str(t)) for t in range(8)), *((i, str(t)) for t in range(8, 16) for i in ("2", "3")),
    ]  # fmt: skip
    (row,) = (row for row in rows if (row["object"], row["frame"]) == ("2", "12"))
    mask = divided.labels(12) == 2
    places, values = np.argwhere(mask), FILM[12][mask]
    expected = {
        "area": mask.sum(), "y": places[:, 0].mean(), "x": places[:, 1].mean(),
        "top": places[:, 0].min(), "left": places[:, 1].min(),
        "bottom": places[:, 0].max(), "right": places[:, 1].max(),
        "intensity_mean": values.mean(), "intensity_min": values.min(), "intensity_max": values.max(),
        "intensity_sum": values.sum(dtype=np.int64),
    }  # fmt: skip
    assert {name: float(row[name]) for name in expected} == pytest.approx(expected)
    assert (row["mother"], row["visible"], row["stale"]) == ("1", "1", "0")
