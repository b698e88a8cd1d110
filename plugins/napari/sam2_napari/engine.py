"""The engine: does what a user asks of a session one by one, away from the window.

A session is for one thread at a time, so all that touches it is a task, and tasks wait in line. A long task
(tracking) lets short ones (a click) pass between two of its frames.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from napari.qt.threading import GeneratorWorker, create_worker
from qtpy.QtCore import QObject, Signal

from sam2_core import SAM2Error
from sam2_napari.events import Event, Failed, Finished, Shown
from sam2_napari.workspace import Workspace

WAITING = 3
"""Pictures that may wait for the window: tracking is not to run away from it."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Task:
    """Something that a user asks of a session.

    Attributes:
        name: in a user's words.
        steps: does it bit by bit, and tells of each.
        long: whether it can be stopped, and lets others pass between its steps.
        version: counts what the user has drawn so far; the document says how much of that is in it.
    """

    name: str
    steps: Callable[[Workspace], Iterator[Event]]
    long: bool = False
    version: int = 0


class Engine(QObject):  # type: ignore[misc]  # qtpy has no types of its own
    """Runs tasks on one workspace, in a thread of napari's while there is something to do.

    Lives in the thread of the window; ``told`` is emitted there.

    Args:
        open_workspace: opens the session; called in the other thread, before the first task.
    """

    told = Signal(object)
    _crossing = Signal(object)

    def __init__(self, open_workspace: Callable[[], Workspace]) -> None:
        super().__init__()
        self._open = open_workspace
        self._workspace: Workspace | None = None
        self._tasks: deque[Task] = deque()
        self._lock = threading.Lock()
        self._room = threading.Semaphore(WAITING)
        self._cancel = threading.Event()
        self._closing = threading.Event()
        self._worker: GeneratorWorker | None = None
        self._crossing.connect(self._deliver)

    @property
    def busy(self) -> bool:
        """Whether anything is being done."""
        return self._worker is not None

    def submit(self, task: Task) -> None:
        """Do this after all that was asked before; a short task passes a long one that is running."""
        if self._closing.is_set():
            return
        with self._lock:
            self._tasks.append(task)
            if task.long:
                self._cancel.clear()
            if self._worker is not None:
                return
            self._worker = create_worker(self._run, _start_thread=False)
        self._worker.start()

    def cancel(self) -> None:
        """Stop the long task that is running or waiting, after its present step; short ones are done."""
        self._cancel.set()

    def close(self, wait: float = 0.0) -> None:
        """Stop after the present step and close the session. Idempotent.

        Args:
            wait: seconds to wait for the present step; a window that closes does not wait.
        """
        self._closing.set()
        self._cancel.set()
        with self._lock:
            self._tasks.clear()
            worker = self._worker
        if worker is None and self._workspace is not None:
            self._workspace.close()
        elif worker is not None and wait:
            _wait_for(worker, wait)

    # --- in the thread of the window ---------------------------------------------------------------

    def _deliver(self, event: Event) -> None:
        try:
            if not self._closing.is_set():
                self.told.emit(event)
        finally:
            if isinstance(event, Shown):
                self._room.release()

    # --- in the thread of the session --------------------------------------------------------------

    def _run(self) -> Iterator[None]:
        """All tasks that wait, until there are none; a generator, as napari's workers are."""
        try:
            while (task := self._next()) is not None:
                self._do(task)
                yield
        finally:
            if self._closing.is_set() and self._workspace is not None:
                self._workspace.close()

    def _next(self) -> Task | None:
        with self._lock:
            if self._tasks and not self._closing.is_set():
                return self._tasks.popleft()
            self._worker = None
            return None

    def _do(self, task: Task) -> None:
        try:
            if self._workspace is None:
                self._workspace = self._open()
                self._tell(self._workspace.opened())
            self._take_steps(task, self._workspace)
        except Exception as error:  # a plugin must not take the window down; nothing is swallowed
            log.log(
                logging.DEBUG if isinstance(error, SAM2Error) else logging.ERROR, task.name, exc_info=True
            )
            self._tell(Failed(advice(error)))
            self._tell(Finished(task.name, cancelled=True))
        else:
            self._tell(Finished(task.name, task.long and self._cancel.is_set()))
        if self._workspace is not None:
            for event in self._workspace.state(task.version):
                self._tell(event)

    def _take_steps(self, task: Task, workspace: Workspace) -> None:
        for event in task.steps(workspace):
            self._tell(event)
            if task.long and self._cancel.is_set():
                return
            while task.long and (passing := self._short()) is not None:
                self._do(passing)

    def _short(self) -> Task | None:
        with self._lock:
            if self._tasks and not self._tasks[0].long:
                return self._tasks.popleft()
            return None

    def _tell(self, event: Event) -> None:
        if isinstance(event, Shown):
            while not self._room.acquire(timeout=0.1):
                if self._closing.is_set():
                    return
        if not self._closing.is_set():
            self._crossing.emit(event)


def advice(error: BaseException) -> str:
    """An error in one line that says what to do."""
    if isinstance(error, SAM2Error):
        return str(error)
    text = " ".join(str(error).split())
    if isinstance(error, MemoryError) or "out of memory" in text.lower():
        return (
            "there is not enough memory: choose a smaller model (nano, sam2.1-tiny), track fewer objects "
            "at a time, or choose the device cpu; what was done is kept"
        )
    return f"this did not work: {type(error).__name__}: {text or 'no more is known'}; the log has more"


def _wait_for(worker: GeneratorWorker, seconds: float) -> None:
    ended = threading.Event()
    worker.finished.connect(ended.set)
    if worker.is_running:
        ended.wait(seconds)
