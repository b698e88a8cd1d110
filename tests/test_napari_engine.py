"""The thread of a session: its order, what stops it, and that nothing that goes wrong leaves it dead."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sam2_napari.advice import advice
from sam2_napari.engine import WAITING, Engine, Task
from sam2_napari.events import Document, Event, Failed, Finished, Opened, Progress, Said, Shown

from sam2_core import ModelError
from tests.napari_for_tests import needs_a_screen

needs_a_screen()


class Fake:
    """A workspace that writes down what is done."""

    def __init__(self) -> None:
        self.done: list[str] = []
        self.threads: set[str] = set()
        self.closed = 0
        self.state_error: Exception | None = None

    def opened(self) -> Opened:
        return Opened("fake", 3, (4, 5))

    def changed(self) -> Iterator[Event]:
        yield from ()

    def state(self, version: int) -> Iterator[Event]:
        if self.state_error is not None:
            error, self.state_error = self.state_error, None
            raise error
        yield Document(version, (), ())

    def close(self) -> None:
        self.closed += 1


def steps(name: str, count: int = 1, gates: Sequence[threading.Event] = ()) -> Any:
    """Counts to a number; before each step that has a gate it waits there."""

    def run(workspace: Fake) -> Iterator[Event]:
        workspace.threads.add(threading.current_thread().name)
        for number in range(count):
            if number < len(gates):
                assert gates[number].wait(10)
            workspace.done.append(f"{name}{number}")
            yield Said(f"{name}{number}")

    return run


def fails(error: Exception) -> Callable[[Any], Iterator[Event]]:
    def run(workspace: Any) -> Iterator[Event]:
        yield Said("it begins")
        raise error

    return run


class Heard:
    """An engine on a fake workspace, and what it told."""

    def __init__(self, qtbot: Any, open_workspace: Callable[[], Any] | None = None) -> None:
        self.fake, self.qtbot, self.events = Fake(), qtbot, list[Event]()
        self.engine = Engine(open_workspace or (lambda: self.fake))  # type: ignore[arg-type, return-value]
        self.engine.told.connect(self.events.append)

    def idle(self) -> None:
        self.qtbot.waitUntil(lambda: not self.engine.busy, timeout=10_000)

    def said(self) -> list[str]:
        return [event.message for event in self.events if isinstance(event, Said)]

    def of(self, kind: type) -> list[Any]:
        return [event for event in self.events if isinstance(event, kind)]


@pytest.fixture
def heard(qtbot: Any) -> Iterator[Heard]:
    found = Heard(qtbot)
    yield found
    found.engine.close(wait=10)


def test_tasks_are_done_in_their_order_in_one_other_thread(heard: Heard) -> None:
    for name in "abc":
        heard.engine.submit(Task(name, steps(name, 2), version=ord(name)))
        assert heard.engine.busy
    heard.idle()
    assert heard.said() == heard.fake.done == ["a0", "a1", "b0", "b1", "c0", "c1"]
    assert len(heard.fake.threads) == 1
    assert threading.current_thread().name not in heard.fake.threads
    assert [type(e) for e in heard.events] == [Opened, *[Said, Said, Document, Finished] * 3]
    assert [d.version for d in heard.of(Document)] == [97, 98, 99]


def test_short_tasks_pass_a_long_one_and_long_ones_wait(heard: Heard) -> None:
    gates = [threading.Event(), threading.Event()]
    heard.engine.submit(Task("long", steps("long", 3, gates), long=True))
    heard.engine.submit(Task("a", steps("a")))
    heard.engine.submit(Task("b", steps("b")))
    heard.engine.submit(Task("later", steps("later"), long=True))
    heard.engine.submit(Task("c", steps("c")))  # behind the other long one
    for gate in gates:
        gate.set()
    heard.idle()
    assert heard.fake.done == ["long0", "a0", "b0", "long1", "long2", "later0", "c0"]


def test_what_is_asked_after_a_stop_waits_for_the_end_of_what_was_stopped(heard: Heard) -> None:
    gate = threading.Event()
    heard.engine.submit(Task("long", steps("long", 5, [gate]), long=True))
    heard.engine.submit(Task("waiting", steps("waiting"), long=True))
    heard.qtbot.waitUntil(lambda: bool(heard.fake.threads))
    heard.engine.cancel()
    heard.engine.submit(Task("undo", steps("undo")))
    heard.engine.submit(Task("again", steps("again", 2), long=True))
    gate.set()
    heard.idle()
    assert heard.fake.done == ["long0", "undo0", "again0", "again1"]
    ends = [(e.name, e.cancelled) for e in heard.of(Finished)]
    assert ends == [("long", True), ("waiting", True), ("undo", False), ("again", False)]


@pytest.mark.parametrize("error", [ValueError("no\nluck"), ModelError("it is not here"), MemoryError()])
def test_an_error_is_one_line_and_the_next_task_is_done(heard: Heard, error: Exception) -> None:
    heard.fake.state_error = error
    heard.engine.submit(Task("a", fails(error)))
    heard.engine.submit(Task("b", steps("b")))
    heard.engine.submit(Task("long", fails(error), long=True))
    heard.idle()
    assert heard.fake.done == ["b0"]
    assert [event.message for event in heard.of(Failed)] == [advice(error)] * 3
    assert "\n" not in advice(error)
    assert [(e.name, e.failed, e.cancelled) for e in heard.of(Finished)] == [
        ("a", True, False), ("b", False, False), ("long", True, False),
    ]  # fmt: skip
    assert len(heard.of(Document)) == 2  # one of the three could not be told


@pytest.mark.parametrize(
    "said",
    [
        "CUDA out of memory. Tried to allocate 2.00 GiB",
        "[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory: you tried",
        "MPS backend out of memory",
    ],
)
def test_too_little_memory_becomes_advice(said: str) -> None:
    assert advice(RuntimeError(said)).startswith("there is not enough memory: choose a smaller model")


def test_an_opening_that_failed_is_tried_again_by_the_next_task(qtbot: Any) -> None:
    fake, errors = Fake(), [ModelError("it is not here"), RuntimeError("CUDA out of memory")]

    def open_workspace() -> Any:
        if errors:
            raise errors.pop(0)
        return fake

    heard = Heard(qtbot, open_workspace)
    for name in "abc":
        heard.engine.submit(Task(name, steps(name)))
    heard.idle()
    assert heard.of(Failed)[0].message == "it is not here"
    assert len(heard.of(Failed)) == 2
    assert fake.done == ["c0"]
    assert len(heard.of(Opened)) == 1
    heard.engine.close(wait=10)
    assert fake.closed == 1


def shown(count: int, done: list[int]) -> Any:
    def run(workspace: Any) -> Iterator[Event]:
        for number in range(count):
            done.append(number)
            yield Shown(number, np.zeros((4, 5), np.int32))

    return run


def test_the_thread_waits_when_the_window_does_not_paint(heard: Heard) -> None:
    done: list[int] = []
    heard.engine.submit(Task("long", shown(20, done), long=True))
    deadline = time.monotonic() + 10
    while len(done) <= WAITING and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(0.3)
    assert len(done) == WAITING + 1  # one is made, and waits
    heard.idle()
    assert [event.frame_index for event in heard.of(Shown)] == list(range(20))


def test_words_on_progress_do_not_flood_the_window(heard: Heard) -> None:
    def run(workspace: Any) -> Iterator[Event]:
        yield from (Progress(n, 50_000) for n in range(1, 50_001))

    heard.engine.submit(Task("long", run, long=True))
    heard.idle()
    told = [event.done for event in heard.of(Progress)]
    assert told == sorted(told)
    assert told[0] == 1
    assert told[-1] == 50_000
    assert len(told) < 1000


def test_closing_stops_after_the_present_step_does_the_work_that_waits_and_saves(heard: Heard) -> None:
    gate = threading.Event()
    heard.engine.submit(Task("long", steps("long", 5, [gate]), long=True))
    heard.qtbot.waitUntil(lambda: bool(heard.fake.threads))
    heard.engine.submit(Task("click", steps("click")))
    heard.engine.submit(Task("track", steps("track"), long=True))
    heard.engine.submit(Task("model", steps("model"), work=False))
    heard.engine.submit(Task("broken", fails(OSError("disk full"))))
    heard.engine.close(Task("save", steps("save")))
    before = len(heard.events)
    gate.set()
    heard.engine.close(Task("again", steps("again")), wait=10)
    heard.engine.submit(Task("late", steps("late")))
    heard.qtbot.wait(50)
    assert heard.fake.done == ["long0", "click0", "save0"]
    assert heard.fake.closed == 1
    assert len(heard.events) == before
    assert not heard.engine.busy
    assert not [t for t in threading.enumerate() if t.name in heard.fake.threads and t.is_alive()]


def test_closing_a_window_that_does_not_paint_any_more_ends_the_thread(heard: Heard) -> None:
    done: list[int] = []
    heard.engine.submit(Task("long", shown(20, done), long=True))
    deadline = time.monotonic() + 10
    while len(done) <= WAITING and time.monotonic() < deadline:
        time.sleep(0.01)
    heard.engine.close(wait=10)
    assert heard.fake.closed == 1
    heard.qtbot.wait(50)
    assert not heard.of(Shown)


def test_closing_what_never_opened_opens_nothing(qtbot: Any) -> None:
    opened: list[int] = []
    heard = Heard(qtbot, partial(opened.append, 1))
    heard.engine.close(Task("save", steps("save")), wait=10)
    assert not opened


ACTIONS = st.lists(st.sampled_from(["short", "short", "long", "bad", "state", "stop", "paint"]), max_size=12)


def ask(heard: Heard, action: str, name: str) -> None:
    if action == "stop":
        heard.engine.cancel()
    elif action == "paint":
        heard.qtbot.wait(1)
    elif action == "state":
        heard.fake.state_error = ValueError("state")
    elif action == "bad":
        heard.engine.submit(Task(name, fails(ValueError(name)), long="1" in name))
    else:
        heard.engine.submit(Task(name, steps(name, 3), long=action == "long"))


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(actions=ACTIONS, early=st.booleans())
def test_whatever_is_asked_short_tasks_are_done_once_in_order_and_nothing_is_told_after_the_end(
    qtbot: Any, actions: list[str], early: bool
) -> None:
    heard = Heard(qtbot)
    names = [f"{action}{number}." for number, action in enumerate(actions)]
    for action, name in zip(actions, names, strict=True):
        ask(heard, action, name)
    if not early:
        heard.idle()
        assert len(heard.of(Finished)) == sum(action in ("short", "long", "bad") for action in actions)
    before = len(heard.events)
    heard.engine.close(Task("last", steps("last")), wait=10)
    qtbot.wait(1)
    assert len(heard.events) == before
    assert not heard.engine.busy
    done = heard.fake.done
    if not early:
        shorts = [f"{name}{n}" for name in names if name.startswith("short") for n in range(3)]
        assert [step for step in done if step.startswith("short")] == shorts
    for name in names:  # of what was stopped the first steps, in order
        found = [step for step in done if step.startswith(name)]
        assert found == [f"{name}{n}" for n in range(len(found))]
    assert not done or done[-1] == "last0"
    assert not done or heard.fake.closed == 1


def test_a_program_that_ends_without_closing_ends_its_thread() -> None:
    """Nobody paints, nobody closes: Python must not wait for that for ever."""
    code = """
from qtpy.QtCore import QCoreApplication
from sam2_napari.engine import Engine, Task
from sam2_napari.events import Shown
from tests.test_napari_engine import Fake, shown
import time
app, done = QCoreApplication([]), []
engine = Engine(Fake)
engine.submit(Task("long", shown(1000, done), long=True))
while len(done) < 4:
    time.sleep(0.01)
print("ends")
"""
    ended = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )
    assert ended.stdout == "ends\n", ended.stderr
    assert ended.returncode == 0
