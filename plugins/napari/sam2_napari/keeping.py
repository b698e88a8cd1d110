"""When the work of a session is kept in case of a crash."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from qtpy.QtCore import QTimer

from sam2_napari import files
from sam2_napari.autosave import Autosave
from sam2_napari.engine import Engine, Task
from sam2_napari.events import Kept

AUTOSAVE_AFTER = 5000
"""Milliseconds after the last thing that was done."""

AUTOSAVE_WHILE_TRACKING = 60_000
"""Milliseconds: tracking stands still as long as it takes."""


class Keeping:
    """Saves a session to its own file, some time after anything was done and now and then while it tracks.

    Args:
        engine: runs the session.
        autosave: the file, and those of earlier sessions on the image.
        version: gives what the user has drawn so far, as a task counts it.
        fail: tells the user, in one line, that the work cannot be kept.

    Attributes:
        autosave: as given.
        has_earlier: whether there is earlier work on the image; looked up when the session is kept.
    """

    def __init__(
        self, engine: Engine, autosave: Autosave, version: Callable[[], int], fail: Callable[[str], None]
    ) -> None:
        self.autosave = autosave
        self._engine, self._version, self._fail = engine, version, fail
        self._cannot = False
        self._timer = QTimer()
        self._timer.setSingleShot(True)
        self._timer.timeout.connect(self.keep)
        autosave.tidy()
        self.look()

    def look(self) -> None:
        """Look whether there is earlier work."""
        self.has_earlier = bool(self.autosave.earlier())

    def soon(self) -> None:
        """Something was done."""
        self._timer.start(AUTOSAVE_AFTER)

    def meanwhile(self) -> None:
        """Something long is being done."""
        if not self._timer.isActive():
            self._timer.start(AUTOSAVE_WHILE_TRACKING)

    def keep(self) -> None:
        """Save the session after all that was asked."""
        self._engine.submit(self.task())

    def task(self) -> Task:
        """What saves it."""
        return Task("", partial(files.keep, path=self.autosave.file), version=self._version(), work=False)

    def heard(self, kept: Kept) -> None:
        """It was kept or not; that it cannot be is tried again and again, but said once."""
        if kept.problem and not self._cannot:
            self._fail(kept.problem)
        self._cannot = bool(kept.problem)
        self.look()

    def stop(self) -> None:
        """Save no more."""
        self._timer.stop()
