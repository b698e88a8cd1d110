"""How fast the window of napari is: click to mask, scrubbing, and stalls while 100 objects are tracked.

    xvfb-run -a -s "-screen 0 1600x1000x24 +extension GLX" python benchmarks/napari_window.py [--only click]

Films of simulated cells are made on the spot, and the bundled model is used. A click is a mouse event on the
canvas, its mask counts when the canvas has drawn it. A stall is the longest gap between the calls of a 5 ms
timer in the thread of the window. Other work on the machine counts as well, so the load is printed too.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import napari
import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import Qt, QTimer
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication

sys.path.insert(0, str(Path(__file__).parents[1]))
from sam2_napari.events import Shown, Tracked

from tests.napari_for_tests import Window

TICK = 5
"""Milliseconds between two calls of the timer that watches the window."""


class Bot:
    """What ``Window`` needs of pytest-qt."""

    mouseClick = staticmethod(QTest.mouseClick)

    def wait(self, milliseconds: int) -> None:
        """Let the window do what it has to do."""
        QTest.qWait(milliseconds)

    def waitUntil(self, condition: Callable[[], bool], timeout: int) -> None:
        """Wait for something."""
        end = time.perf_counter() + timeout / 1000
        while not condition():
            if time.perf_counter() > end:
                raise TimeoutError(f"nothing happened for {timeout / 1000:.0f} s")
            QTest.qWait(1)


class Film:
    """Round cells that drift, 16-bit.

    Args:
        frames: how many.
        size: height and width.
        grid: rows and columns of cells.

    Attributes:
        labels: the truth, ``(frames, height, width)``.
        images: ``(frames, height, width)``.
    """

    def __init__(self, frames: int, size: tuple[int, int], grid: tuple[int, int]) -> None:
        random = np.random.default_rng(0)
        step = np.array(size) / grid
        places = (np.argwhere(np.ones(grid)) + 0.5) * step + random.uniform(-3, 3, (grid[0] * grid[1], 2))
        drift = random.uniform(-0.5, 0.5, places.shape)
        radii = random.uniform(0.25, 0.36, len(places)) * step.min()
        yx = np.moveaxis(np.indices(size), 0, -1)
        self.labels = np.zeros((frames, *size), np.int32)
        for frame in range(frames):
            for cell, (place, radius) in enumerate(zip(places + drift * frame, radii, strict=True), 1):
                low = np.maximum((place - radius).astype(int), 0)
                part = tuple(slice(a, int(a + 2 * radius + 2)) for a in low)
                inside = ((yx[part] - place) ** 2).sum(-1) < radius**2
                self.labels[frame][part][inside] = cell
        bright = random.uniform(2000, 6000, len(places) + 1)
        bright[0] = 600
        self.images = random.normal(bright[self.labels], 150).clip(0, 65535).astype(np.uint16)

    def middle(self, frame: int, cell: int) -> tuple[float, float]:
        """The centre of a cell."""
        ys, xs = np.nonzero(self.labels[frame] == cell)
        return float(ys.mean()), float(xs.mean())


@contextmanager
def opened(images: NDArray[np.uint16], *, plugin: bool = True) -> Iterator[Window]:
    """A window with a film, and with the panel docked or not."""
    viewer = napari.Viewer(show=True)
    viewer.add_image(images, name="film")
    window = Window(viewer, Bot())
    if plugin:
        window.dock()
    else:
        viewer.window._qt_window.resize(1500, 950)
    QTest.qWait(500)
    try:
        yield window
    finally:
        window.close()
        viewer.close()
        QApplication.processEvents()


class Drawn:
    """Counts how often the canvas of a window has been drawn."""

    def __init__(self, window: Window) -> None:
        self.times, self._canvas = 0, window.canvas
        self._canvas._scene_canvas.events.draw.connect(self._count, position="last")

    def _count(self, event: Any = None) -> None:
        self.times += 1

    def wait(self, after: int, seconds: float = 30) -> None:
        """Wait until it was drawn once more."""
        end = time.perf_counter() + seconds
        while self.times <= after and time.perf_counter() < end:
            QApplication.processEvents()


def click_to_mask(window: Window, drawn: Drawn, y: float, x: float) -> tuple[float, float]:
    """Seconds of the clock and of the processor from a click to the canvas that shows its mask."""
    painted: list[int] = []
    row, column = round(y), round(x)
    index = window.layers.axes.index(window.layers.frame_index, window.layers.position)

    def look(event: Any) -> None:
        if not painted and window.layers.masks.data[index][row, column] == window.control.object_id:
            painted.append(drawn.times)

    window.layers.masks.events.set_data.connect(look)
    place = window.on_canvas(y, x)
    QTest.mouseMove(window.canvas.native, place)
    start, end, used = time.perf_counter(), time.perf_counter() + 60, time.process_time()
    QTest.mouseClick(window.canvas.native, Qt.MouseButton.LeftButton, pos=place)
    while not painted or drawn.times <= painted[0]:
        QTest.qWait(1)
        if time.perf_counter() > end:
            raise TimeoutError(f"no mask of object {window.control.object_id} appeared: {window.status()}")
    seconds, used = time.perf_counter() - start, time.process_time() - used
    window.layers.masks.events.set_data.disconnect(look)
    return seconds, used


def clicks() -> None:
    """The first click on a frame, and the next."""
    film = Film(8, (1024, 1024), (6, 6))
    first, second = [], []
    with opened(film.images) as window:
        drawn = Drawn(window)
        for frame in range(8):
            window.go_to(frame)
            window.idle()
            window.control.choose(2 * frame + 1)
            y, x = film.middle(frame, 8 + frame)
            first.append(click_to_mask(window, drawn, y, x))
            window.idle()
            window.control.choose(2 * frame + 2)
            second.append(click_to_mask(window, drawn, *film.middle(frame, 15 + frame)))
            window.idle()
    report("click to mask, 1024 x 1024, first click of the session", first[0][0], "s", 0.3)
    for what, all_taken in (("first on a frame", first[1:]), ("next on it", second[1:])):
        taken = np.median(all_taken, axis=0)
        report(f"click to mask, {what}, median of 7", taken[0], "s", 0.3)
        report("  of the processor, all threads", taken[1], "s")


def scrub(window: Window, frames: int) -> NDArray[np.float64]:
    """Seconds of the clock and of the processor per frame that is drawn, the best of five."""
    drawn, best = Drawn(window), np.full(2, np.inf)
    for _ in range(5):
        window.viewer.dims.set_current_step(0, 0)
        QTest.qWait(300)
        start = np.array([time.perf_counter(), time.process_time()])
        for frame in range(1, frames):
            before = drawn.times
            window.viewer.dims.set_current_step(0, frame)
            drawn.wait(before)
        took = np.array([time.perf_counter(), time.process_time()]) - start
        best = np.minimum(best, took / (frames - 1))
    return best


def scrubbing() -> None:
    """50 frames without the plugin, with it, and with napari's own layers of the same contents instead."""
    film = Film(50, (576, 720), (10, 10))
    rows = np.array([(cell, t, *film.middle(t, cell)) for cell in range(1, 101) for t in range(0, 50)])
    with opened(film.images, plugin=False) as window:
        without = scrub(window, 50)
    with opened(film.images, plugin=False) as window:
        window.viewer.add_labels(film.labels)
        window.viewer.add_tracks(rows)
        window.viewer.add_shapes(ndim=3)
        window.viewer.add_points(ndim=3)
        QTest.qWait(500)
        layers = scrub(window, 50)
    with opened(film.images) as window:
        for frame, labels in enumerate(film.labels):
            window.layers.show(Shown(frame, labels))
        window.layers.show_tracks(Tracked(rows, {}))
        QTest.qWait(500)
        beside = scrub(window, 50)
    for number, kind in enumerate(("", ", processor")):
        report(f"scrubbing 576 x 720, the image alone{kind}", without[number], "s/frame")
        report(f"with labels and tracks of 100 cells, no plugin{kind}", layers[number], "s/frame")
        report(f"the same from the plugin{kind}", beside[number], "s/frame")
        report(f"  ratio to these layers{kind}", beside[number] / layers[number], "", 1.1)
        report(f"  ratio to the image alone{kind}", beside[number] / without[number], "", 1.1)


class Stalls:
    """The longest gap between two calls of a timer, and when it was."""

    def __init__(self) -> None:
        self.calls: list[float] = []
        self.timer = QTimer()
        self.timer.timeout.connect(lambda: self.calls.append(time.perf_counter()))
        self.timer.start(TICK)

    def gaps(self) -> list[float]:
        """The gaps since the last time this was asked, in seconds."""
        found = [last - first for first, last in pairwise(self.calls)]
        self.calls = self.calls[-1:]
        return sorted(found)


def many_objects() -> None:
    """100 objects from a Labels layer, tracked over ten frames."""
    film = Film(10, (576, 720), (10, 10))
    with opened(film.images) as window:
        seeds = window.viewer.add_labels(film.labels[:1], name="seeds", visible=False)
        stalls = Stalls()
        window.qtbot.wait(200)
        stalls.gaps()
        window.viewer.layers.selection.active = window.layers.points
        start = time.perf_counter()
        window.control.seed(seeds)
        window.idle(600)
        seconds, gaps = time.perf_counter() - start, stalls.gaps()
        report("100 seeds", seconds, "s")
        report("  longest stall", gaps[-1], "s", 0.2)
        start = time.perf_counter()
        window.control.track(None)
        window.idle(600)
        seconds, gaps = time.perf_counter() - start, stalls.gaps()
        report("100 objects, 10 frames tracked", 10 / seconds, "frames/s")
        report("  longest stall", gaps[-1], "s", 0.2)
        report("  stall that one in a hundred exceeds", gaps[int(len(gaps) * 0.99)], "s")
        start = time.perf_counter()
        window.control.undo()
        window.idle(600)
        report("undo of it", time.perf_counter() - start, "s")
        report("  longest stall", stalls.gaps()[-1], "s", 0.2)
        stalls.timer.stop()


def report(what: str, value: float, unit: str, mark: float | None = None) -> None:
    """One row of the table."""
    said = "" if mark is None else f"   mark {mark:g} {unit}: {'met' if value <= mark else 'MISSED'}"
    print(f"{what:<58}{value:8.3f} {unit}{said}", flush=True)


CASES = {"click": clicks, "scrub": scrubbing, "many": many_objects}


def main() -> None:
    """Measure, print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--only", choices=CASES)
    options = parser.parse_args()
    print(f"load of the machine {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    with tempfile.TemporaryDirectory() as folder:
        os.environ["SAM2_CACHE"] = folder
        for name, measure in CASES.items():
            if options.only in (None, name):
                measure()
    print(f"load of the machine {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()
