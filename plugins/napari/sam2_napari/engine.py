"""The engine: does what a user asks of a session one by one, away from the window.

A session is for one thread at a time, so all that touches it is a task, and tasks wait in line. A long task
(tracking) lets short ones (a click) pass between two of its frames.

The thread is Python's own: napari would keep each of its workers, and with it the session, as long as the
window lives. Python waits for it at its end, so what is saved last is saved.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import dataclass

from qtpy.QtCore import QObject, Qt, Signal

from sam2_core import SAM2Error
from sam2_napari.advice import advice
from sam2_napari.events import Event, Failed, Finished, Progress, Shown, Telling
from sam2_napari.workspace import Workspace

WAITING = 3
"""Pictures that may wait for the window: tracking is not to run away from it."""

PACE = 0.05
"""Seconds between two words on how far it has come; frames that are up to date pass faster than that."""

LINGER, LOOK = 30.0, 0.2
"""Seconds that the thread waits for the next task, and between two looks whether Python is ending."""

log = logging.getLogger(__name__)


Steps = Callable[[Workspace], Telling]
"""What a task does with a session."""


@dataclass(frozen=True, eq=False)
class Task:
    """Something that a user asks of a session.

    Attributes:
        name: in a user's words; empty for what nobody asked for.
        steps: does it bit by bit, and tells of each.
        long: whether it can be stopped, and lets others pass between its steps.
        version: counts what the user has drawn so far; the document says how much of that is in it.
        work: whether it is done even if the user closes the image before its turn has come, as a click is.
    """

    name: str
    steps: Steps
    long: bool = False
    version: int = 0
    work: bool = True


class Engine(QObject):  # type: ignore[misc]  # qtpy has no types of its own
    """Runs tasks on one workspace, in a thread of its own that ends when there was nothing to do for a while.

    Lives in the thread of the window; ``told`` is emitted there.

    Args:
        open_workspace: opens the session; called in the other thread before the first task, and again before
            the next one if it failed.
    """

    told = Signal(object)
    _crossing = Signal(object)

    def __init__(self, open_workspace: Callable[[], Workspace]) -> None:
        super().__init__()
        self._open = open_workspace
        self._workspace: Workspace | None = None
        self._tasks: deque[tuple[int, Task]] = deque()
        self._last: list[Task] = []
        self._lock = threading.Condition()
        self._room = threading.Semaphore(WAITING)
        self._asked = self._stopped = 0  # numbers of tasks: of the last one, and up to which all are stopped
        self._open_tasks = 0  # asked for and not finished
        self._running = self._busy = self._ending = False
        self._told_at = 0.0
        self._closing, self._ended = threading.Event(), threading.Event()
        self._crossing.connect(self._deliver, Qt.ConnectionType.QueuedConnection)

    @property
    def busy(self) -> bool:
        """Whether anything is being done, or is not told yet."""
        return self._busy

    def submit(self, task: Task) -> None:
        """Do this after all that was asked before; a short task passes a long one that is running."""
        with self._lock:
            if self._closing.is_set():
                return
            self._asked += 1
            self._open_tasks += 1
            self._tasks.append((self._asked, task))
            self._busy = True
            self._wake()

    def cancel(self) -> None:
        """Stop the long tasks that are running or waiting, after the present step; short ones are done."""
        with self._lock:
            self._stopped = self._asked

    def close(self, last: Task | None = None, wait: float = 0.0) -> None:
        """Stop after the present step, do the work that waits, then the last task, and close the session.

        Nothing is told any more. Idempotent: the first call counts.

        Args:
            last: such as saving it.
            wait: seconds to wait until the session is closed; a window that closes does not wait.
        """
        with self._lock:
            if not self._closing.is_set():
                self._closing.set()
                work = [task for _, task in self._tasks if task.work and not task.long]
                self._tasks.clear()
                self._last = work if last is None else [*work, last]
                if self._workspace is None and not self._running:
                    self._ended.set()
                else:
                    self._wake()
        if wait:
            self.wait(wait)
        self._busy = False

    def wait(self, seconds: float) -> bool:
        """Wait until the session is closed, at most so long; whether it is."""
        return self._ended.wait(seconds)

    def _wake(self) -> None:
        """Have the thread look what there is to do; the lock is held."""
        if self._running:
            self._lock.notify()
            return
        try:
            threading.Thread(target=self._run, name="sam2-session").start()
            self._running = True
        except RuntimeError:  # Python itself is ending, and starts nothing more
            self._ended.set()

    # --- in the thread of the window ---------------------------------------------------------------

    def _deliver(self, event: Event | None) -> None:
        if event is None:
            with self._lock:
                self._busy = self._open_tasks > 0 and not self._closing.is_set()
            return
        try:
            if not self._closing.is_set():
                self.told.emit(event)
        finally:
            if isinstance(event, Shown):
                self._room.release()

    # --- in the thread of the session --------------------------------------------------------------

    def _run(self) -> None:
        """All tasks, until there have been none for a while, or until the end."""
        while (asked := self._next()) is not None:
            try:
                self._do(*asked)
            finally:
                self._cross(None)
        if self._closing.is_set():
            self._end()

    def _next(self) -> tuple[int, Task] | None:
        with self._lock:
            limit = time.monotonic() + LINGER
            while not self._tasks and not self._over and time.monotonic() < limit:
                self._lock.wait(LOOK)
            if self._tasks and not self._over:
                return self._tasks.popleft()
            self._running = False
            return None

    def _do(self, number: int, task: Task) -> None:
        done = failed = False
        try:
            must = task.work and not task.long  # no longer in line, so nobody else would do it at the end
            if must or not self._is_stopped(number, task):
                done = self._take_steps(number, task, self._ready())
        except Exception as error:  # a plugin must not take the window down; nothing is swallowed
            failed = True
            self._fail(task, error)
        try:
            if self._workspace is not None and not self._over:
                if not done:  # what it did until then is shown
                    for shown in self._workspace.changed():
                        self._tell(shown)
                for event in self._workspace.state(task.version):
                    self._tell(event)
        except Exception as error:  # the next task tells it again
            self._fail(task, error)
        self._tell(Finished(task.name, task.long, cancelled=not done and not failed, failed=failed))
        with self._lock:
            self._open_tasks -= 1

    def _ready(self) -> Workspace:
        if self._workspace is None:
            self._workspace = self._open()
            self._tell(self._workspace.opened())
        return self._workspace

    def _take_steps(self, number: int, task: Task, workspace: Workspace) -> bool:
        """Whether it was done to its end."""
        with closing(task.steps(workspace)) as steps:  # what it does at its end is done now
            for event in steps:
                self._tell(event)
                while task.long and (passing := self._short(number, task)) is not None:
                    self._do(*passing)
                if self._is_stopped(number, task):
                    return False
        return True

    def _is_stopped(self, number: int, task: Task) -> bool:
        return self._over or (task.long and number <= self._stopped)

    def _short(self, number: int, running: Task) -> tuple[int, Task] | None:
        """A short task that passes; what waits for the running one to be stopped does not."""
        with self._lock:
            if self._tasks and not self._tasks[0][1].long and not self._is_stopped(number, running):
                return self._tasks.popleft()
            return None

    def _fail(self, task: Task, error: Exception) -> None:
        level = logging.DEBUG if isinstance(error, SAM2Error) else logging.ERROR
        log.log(level, task.name, exc_info=error)
        self._tell(Failed(advice(error)))

    def _end(self) -> None:
        with self._lock:  # a thread that has waited long enough may meet the one that closing starts
            first, self._ending = not self._ending, True
        if not first:
            return
        try:
            if self._workspace is None:
                return
            for task in self._last:
                try:
                    for _ in task.steps(self._workspace):
                        pass  # nobody looks any more
                except Exception:
                    log.warning("%s failed as the session was closed", task.name, exc_info=True)
            self._workspace.close()
        finally:
            self._ended.set()

    @property
    def _over(self) -> bool:
        """Whether the window is gone, or Python is ending and nobody closed it."""
        return self._closing.is_set() or not threading.main_thread().is_alive()

    def _tell(self, event: Event) -> None:
        if isinstance(event, Progress) and event.done < event.total:
            if (now := time.monotonic()) - self._told_at < PACE:
                return
            self._told_at = now
        if isinstance(event, Shown):
            while not self._room.acquire(timeout=0.1):
                if self._over:
                    return
        if not self._over:
            self._cross(event)

    def _cross(self, event: Event | None) -> None:
        with suppress(RuntimeError):  # Qt's half of this is gone: the window was taken down without a word
            self._crossing.emit(event)
