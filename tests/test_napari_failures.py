"""What goes wrong in a window is one line that says what to do, and loses nothing."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import tifffile
from sam2_napari import models

from sam2_core import ModelError, open_session
from tests.layers_for_tests import Counting, lazy
from tests.napari_for_tests import NUMBERS, Window, click_cells, fails, middle, needs_a_screen

needs_a_screen()

SAMPLES = Path(__file__).parents[1] / "sam2_core" / "samples"
FILM = tifffile.imread(SAMPLES / "timelapse.tif")


def sessions_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "sam2-session"]


def test_images_that_cannot_be_used_are_refused_and_the_next_one_is_taken(empty: Window) -> None:
    window, panel = empty, empty.panel
    assert panel.control is None
    window.told()
    for name in ("new", "all", "stop", "remove", "undo", "resume", "find", "split", "merge", "divide"):
        panel.form.daughters.value = "2"
        window.push(name)
        (told,) = window.told()
        assert "image" in told
    window.viewer.add_image(np.zeros((0, 32, 32), np.uint8), name="empty", contrast_limits=(0, 255))
    (told,) = window.told()
    assert "empty" in told
    assert panel.control is None

    nan = np.where(FILM[:3] > 250, np.nan, FILM[:3].astype(np.float32))
    nan[1] = np.nan
    window.viewer.layers.clear()
    image = window.viewer.add_image(nan, name="with holes", contrast_limits=(0, 255))
    assert panel.control.image is image
    window.idle()
    window.viewer.reset_view()
    window.go_to(0)
    click_cells(window, 1)
    window.press("G")
    window.idle()
    assert window.labels(0).any()
    assert not window.labels(1).any()  # a frame of nothing but holes
    assert window.told() == []
    panel.choose(window.viewer.add_image(np.zeros((0, 32, 32)), name="empty again", contrast_limits=(0, 1)))
    assert "empty again" in window.told()[0]
    assert panel.control.image is image
    assert panel.form.image.value is image


def test_prompts_that_cannot_be_are_refused_and_taken_off_the_canvas(window: Window) -> None:
    click_cells(window, 2)
    layers, control = window.layers, window.control
    control.choose(3)
    fails(window, lambda: window.click(*middle(0, NUMBERS[5]), control=True), "no mask on frame 0 yet; click")
    fails(
        window,
        lambda: window.click(-20, 30),
        r"object 3 on frame 0: the point \(.*\) lies outside the 256 x 256",
    )
    assert len(layers.points.data) == 2
    line = np.array([[0, 40, 50], [0, 40, 90], [0, 40, 90], [0, 40, 50]], float)
    fails(
        window,
        lambda: layers.boxes.add_rectangles(line),
        "the box .* has no area; give left, top, right, bot",
    )
    assert len(layers.boxes.data) == 0

    control.choose(77)
    window.panel.form.number.value = 66
    for name in ("remove", "split", "begin", "end", "renumber", "merge"):
        fails(window, lambda name=name: window.push(name), "object 77 has no mask yet")  # type: ignore[misc]
    control.choose(1)
    form = window.panel.form
    for number, name, says in (
        (1, "merge", "with itself"), (9, "merge", "no object 9"), (2, "renumber", "an object 2 already"),
    ):  # fmt: skip
        form.number.value = number
        fails(window, lambda name=name: window.push(name), says)  # type: ignore[misc]
    for daughters, says in (
        ("", "write the numbers of the daughters"), ("8, 9", "no object 8"),
        ("1", "object 1 cannot be a daughter of its own; leave it out"),
        ("2", "object 1 has a prompt on frame 0 and cannot divide on frame 0"),
    ):  # fmt: skip
        form.daughters.value = daughters
        fails(window, lambda: window.push("divide"), says)
    assert control.object_id == 1

    viewer = window.viewer
    form.seeds.value = viewer.add_labels(np.ones((16, 9, 9), np.int32), name="small")
    fails(window, lambda: window.push("seed"), "the labels are 9 x 9 pixels, the frame is 256 x 256")
    form.seeds.value = viewer.add_labels(np.zeros((16, 256, 256), np.int32), name="none")
    fails(window, lambda: window.push("seed"), "the labels are empty on frame 0")
    viewer.layers.selection.active = layers.points
    window.click(*middle(0, NUMBERS[3]))  # it goes on: object 1 is corrected
    window.idle()
    assert [len(prompt.points) for prompt in control.document.prompts] == [2, 1]


def test_layers_that_are_removed_come_back_and_a_removed_image_stops_tracking(window: Window) -> None:
    click_cells(window, 5)
    viewer, layers = window.viewer, window.layers
    for layer in layers.all:
        viewer.layers.remove(layer)
    window.told()
    control = window.control
    control.new_object()
    control.track(None)
    window.until(lambda: bool(window.labels(2).any()))
    assert any("is back" in message for message in window.told())
    assert layers.missing() == []
    assert len(layers.points.data) == 5
    viewer.layers.remove(layers.masks)
    viewer.layers.remove(layers.points)
    window.until(lambda: bool(window.labels(4).any()))
    viewer.layers.remove(control.image)
    window.idle()
    assert any("is gone" in message for message in window.told())
    done = [frame for frame in range(16) if window.labels(frame).any()]
    assert 5 <= len(done) < 16
    viewer.layers.clear()
    control.undo()
    window.idle()
    assert not window.labels(4).any()
    control.undo(again=True)
    window.idle()
    assert window.labels(4).any()

    # Another image is taken up at once.
    other = viewer.add_image(FILM[:4], name="other", axis_labels=("t", "y", "x"))
    assert window.control.image is other
    window.idle()
    viewer.reset_view()
    window.go_to(0)
    click_cells(window, 1)


def test_a_window_that_closes_while_it_tracks_keeps_the_work_and_leaves_no_thread(
    window: Window, tmp_path: Path
) -> None:
    click_cells(window, 8)
    window.press("G")
    window.until(lambda: bool(window.labels(2).any()))
    file, engine = window.control.keeping.autosave.file, window.control.engine
    assert sessions_threads()
    with window.qtbot.capture_exceptions() as errors:
        window.viewer.close()
        window.qtbot.wait(100)
        assert engine.wait(20)
        window.qtbot.wait(200)
    assert not errors
    window.until(lambda: not sessions_threads())
    with open_session(file, video=FILM) as session:
        assert len(session.object_ids) == 8
        assert 3 <= len(session.masklets()[1]) < 16


def test_a_frame_that_cannot_be_read_stops_tracking_until_it_can(empty: Window) -> None:
    window, film = empty, Counting(FILM)
    window.viewer.add_image(lazy(film), name="film", contrast_limits=(0, 255), cache=False)
    window.idle()
    window.viewer.reset_view()
    window.go_to(0)
    click_cells(window, 2)
    film.broken = 4
    film.read.clear()
    window.told()
    window.press("G")
    window.idle()
    assert any("frame 4 cannot be read: the disk is gone" in message for message in window.told())
    assert [frame for frame in range(16) if window.labels(frame).any()] == [0, 1, 2, 3]
    assert "cannot be read" in window.status()
    film.broken = None
    window.press("G")
    window.idle()
    assert all(window.labels(frame).any() for frame in range(16))
    window.press("Ctrl+Z")
    window.press("Ctrl+Z")
    window.idle()
    assert [frame for frame in range(16) if window.labels(frame).any()] == [0]


def test_files_that_cannot_be_written_or_opened_change_nothing(
    window: Window, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    control = window.control
    fails(window, lambda: control.export(["labels"], tmp_path / "out"), "nothing to export; click on an obj")
    click_cells(window, 1)
    control.save(tmp_path / "one.sam2")
    window.idle()
    fails(window, window.panel.resume, "no earlier work")
    (tmp_path / "a file").write_text("mine")
    fails(window, lambda: control.export(["labels"], tmp_path / "a file"), "a file is in the place of a fo")
    fails(window, lambda: control.export([], tmp_path / "out"), "no format is chosen")
    with monkeypatch.context() as patch:

        def full(*args: object, **kwargs: object) -> None:
            raise OSError(28, "No space left on device")

        patch.setattr(np, "savez_compressed", full)
        fails(window, lambda: control.save(tmp_path / "full.sam2"), "No space left on device")
        fails(window, control.keeping.keep, "not kept in case of a crash: .*No space left.*SAM2_CACHE")
        window.told()
        control.keeping.keep()
        window.idle()
        assert window.told() == []  # once is enough
    (tmp_path / "broken.sam2").write_bytes((tmp_path / "one.sam2").read_bytes()[:1000])
    fails(window, lambda: window.viewer.open(tmp_path / "broken.sam2", plugin=None), "broken.sam2")
    fails(window, lambda: window.panel.resume(tmp_path / "broken.sam2"), "broken.sam2")
    with open_session(FILM[:, ::-1].copy(), model=models.load("nano", "auto")) as session:
        from sam2_core import Point, Prompt

        session.add_prompt(Prompt(0, 1, (Point(100, 100),)))
        session.save(tmp_path / "other.sam2")
    fails(window, lambda: window.panel.resume(tmp_path / "other.sam2"), "unlike.*choose the image that")
    window.press("Ctrl+Z")
    window.idle()
    assert not window.labels(0).any()


def test_a_model_that_is_missing_or_too_large_leaves_the_one_before(
    window: Window, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    click_cells(window, 1)
    form = window.panel.form
    name = next(name for name in form.model.choices if name != "nano")
    fails(window, lambda: setattr(form.model, "value", name), "is not on this computer; run 'sam2 models fe")
    window.press("G")
    window.idle()
    assert window.labels(15).any()
    form.model.value = "nano"
    window.idle()
    assert "nano is ready" in window.status()
    assert all(o.stale == 0 for o in window.control.document.objects)  # it never went

    model = models.load("nano", "auto")
    from sam2_core.tracking.tracker import Tracker

    def too_much(*args: object, **kwargs: object) -> None:
        raise RuntimeError("CUDA out of memory. Tried to allocate 20.00 GiB")

    with monkeypatch.context() as patch:
        patch.setattr(Tracker, "prompt", too_much)
        window.control.choose(2)
        fails(window, lambda: window.click(*middle(0, NUMBERS[1])), "not enough memory: choose a smaller mod")
        assert len(window.layers.points.data) == 1
    window.click(*middle(0, NUMBERS[1]))
    window.idle()
    assert set(np.unique(window.labels(0))) == {0, 1, 2}
    assert models.load("nano", "auto") is model


def test_a_model_that_is_missing_from_the_beginning_can_be_changed(empty: Window) -> None:
    window, panel = empty, empty.panel
    panel.form.model.value = next(name for name in panel.form.model.choices if name != "nano")
    window.viewer.add_image(FILM, name="film", axis_labels=("t", "y", "x"))
    window.idle()
    window.viewer.reset_view()
    window.go_to(0)
    assert "is not on this computer" in window.status()
    window.click(*middle(0, NUMBERS[0]))
    window.idle()
    assert "is not on this computer" in window.status()
    panel.form.model.value = "nano"
    window.idle()
    window.press("Ctrl+Z")
    window.idle()
    click_cells(window, 1)
    assert window.labels(0).any()


def test_a_model_is_fetched_once_however_often_the_button_is_pushed(
    empty: Window, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, go_on = list[str](), threading.Event()

    def fetch_model(name: str) -> Iterator[tuple[int, int]]:
        asked.append(name)
        yield 3_100_000, 10_000_000
        go_on.wait(20)
        if len(asked) == 1:
            raise ModelError("the connection broke; fetch it again")
        yield 10_000_000, 10_000_000

    monkeypatch.setattr(models, "fetch_model", fetch_model)
    form = empty.panel.form
    form.model.value = "sam2.1-tiny"
    empty.told()
    empty.push("fetch")
    empty.push("fetch")
    empty.until(lambda: form.progress.max == 10 and form.progress.value == 3)
    assert empty.status() == "3 of 10 MB"
    assert not form.fetch.enabled
    go_on.set()
    empty.until(lambda: form.fetch.enabled)
    assert asked == ["sam2.1-tiny"]
    assert empty.told() == ["the connection broke; fetch it again"]
    empty.push("fetch")
    empty.until(lambda: len(asked) == 2 and form.fetch.enabled)
    assert "the model is here" in empty.status()
