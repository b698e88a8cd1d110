"""Between the window and the engine: what is drawn becomes a task, what is told becomes a picture."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from napari.components import ViewerModel
from napari.layers import Image, Labels
from napari.utils import notifications
from qtpy.QtCore import QObject, QTimer, Signal

from sam2_core import Point
from sam2_napari import edits, files, opening, tasks
from sam2_napari.axes import Axes
from sam2_napari.convert import Drawn, Key, as_drawn, differences
from sam2_napari.engine import Engine, Task
from sam2_napari.events import Document, Event, Failed, Finished, Opened, Progress, Said, Shown, Tracked
from sam2_napari.layers import PromptLayers
from sam2_napari.workspace import Workspace

AUTOSAVE_AFTER = 5000
"""Milliseconds after the last thing that was done."""

AUTOSAVE = "autosave"

Steps = Callable[[Workspace], Iterator[Event]]


class Control(QObject):  # type: ignore[misc]  # qtpy has no types of its own
    """One image, its layers and its session. Lives in the thread of the window.

    Args:
        viewer: where all is shown.
        image: the image.
        axes: which of its axes is what.
        open_workspace: opens the session, in another thread and when it is first needed.
        autosave: where the work is kept in case of a crash; None for nowhere.

    Attributes:
        document: what the session last said of its prompts and objects.
        autosave: where the work is kept.
    """

    changed = Signal()
    """The document, the current object or the sign of the next click is another."""
    progressed = Signal(object)
    """A ``Progress``, or None when a task has ended."""
    said = Signal(str)
    """A word on what is going on."""

    def __init__(
        self,
        viewer: ViewerModel,
        image: Image,
        axes: Axes,
        open_workspace: Callable[[], Workspace],
        autosave: Path | None = None,
    ) -> None:
        super().__init__()
        self.viewer, self.image, self.axes, self.autosave = viewer, image, axes, autosave
        self.layers = PromptLayers(viewer, image, axes)
        self.layers.on_drawn = self._drawn
        self.layers.on_painted = self._painted
        self.engine = Engine(open_workspace)
        self.engine.told.connect(self._told)
        self.document = Document(0, (), ())
        self._drawn_so_far: dict[Key, Drawn] = {}
        self._version = 0
        self._heard: dict[type, Callable[[Any], None]] = {
            Opened: self._opened,
            Shown: self.layers.show,
            Document: self._take,
            Tracked: self.layers.show_tracks,
            Progress: self.progressed.emit,
            Said: lambda event: self._say(event.message),
            Failed: lambda event: self._fail(event.message),
            Finished: self._finished,
        }
        self._strokes = QTimer(self)
        self._strokes.setSingleShot(True)
        self._strokes.timeout.connect(self._take_painted)
        self._unsaved = QTimer(self)
        self._unsaved.setSingleShot(True)
        self._unsaved.timeout.connect(self._keep)
        viewer.layers.events.removed.connect(self._removed)

    # --- the object of the next click ----------------------------------------------------------------

    @property
    def object_id(self) -> int:
        """The object of the next click, box or stroke."""
        return self.layers.object_id

    @property
    def object_ids(self) -> tuple[int, ...]:
        """The objects of the session, and the one that is about to begin."""
        return tuple(sorted({*(o.object_id for o in self.document.objects), self.object_id}))

    def choose(self, object_id: int, *, positive: bool = True) -> None:
        """Choose the object, and whether the next click is on it or beside it."""
        self.layers.choose(object_id, positive=positive)
        self.changed.emit()

    def new_object(self) -> None:
        """The next click begins an object of its own."""
        taken = {o.object_id for o in self.document.objects} | {key.object_id for key in self._drawn_so_far}
        self.choose(max(taken, default=0) + 1)

    def step_object(self, step: int) -> None:
        """Choose the next object (1) or the one before (-1)."""
        ids = self.object_ids
        self.choose(ids[(ids.index(self.object_id) + step) % len(ids)])

    def toggle_sign(self) -> None:
        """Let the next clicks say: not this, or: this again."""
        self.choose(self.object_id, positive=not self.layers.positive)

    # --- what is asked -------------------------------------------------------------------------------

    def ask(self, name: str, steps: Steps, *, long: bool = False) -> None:
        """Do something with the session, after all that was asked before."""
        if missing := self.layers.missing():
            self.layers.show_again()
            self._say(f"{', '.join(missing)} had been removed and is back, with all that it held")
        self.said.emit(f"{name} ...")
        self.engine.submit(Task(name, steps, long, self._version))

    def track(self, ranges: Sequence[range] | None, object_ids: Sequence[int] | None = None) -> None:
        """Track objects, see ``tasks.track``."""
        if not self.document.objects and not self._drawn_so_far:
            self._fail("there is nothing to track; click on an object first")
            return
        steps = partial(tasks.track, name="tracking", ranges=ranges, object_ids=object_ids)
        self.ask("tracking", steps, long=True)

    def track_from_here(
        self, step: int, object_ids: Sequence[int] | None = None, within: tuple[int, int] | None = None
    ) -> None:
        """Track from the frame that is shown to the end (step 1) or to the beginning (step -1).

        Args:
            step: the direction.
            object_ids: the objects; None for all.
            within: the first and last frame that are wanted; None for the whole video.
        """
        first, last = within or (0, self.axes.frames - 1)
        here = min(max(self.layers.frame_index, first), last)
        self.track([range(here, last + 1) if step > 0 else range(here, first - 1, -1)], object_ids)

    def stop(self) -> None:
        """Stop tracking; what is done is kept."""
        self.engine.cancel()

    def undo(self, *, again: bool = False) -> None:
        """Take the last step back, or with ``again`` do it once more; tracking stops."""
        self.engine.cancel()
        name = "redo" if again else "undo"
        self.ask(name, partial(tasks.undo, frame_index=self.layers.frame_index, again=again))

    def seed(self, labels: Labels) -> None:
        """Every object of a Labels layer on this frame becomes an object."""
        here = self.layers.frame_index
        try:
            plane = np.asarray(labels.data[_index_of(labels, self.viewer.dims.point)])
        except Exception as error:  # whatever the data of a layer raise
            self._fail(f"the layer {labels.name!r} cannot be read on this frame: {error}")
            return
        self.ask("seeds", partial(edits.seed, frame_index=here, labels=plane), long=True)

    def find(self) -> None:
        """Look for all objects of this frame."""
        self.ask("automatic seeds", partial(edits.find, frame_index=self.layers.frame_index), long=True)

    def remove(self) -> None:
        """Remove the current object."""
        self._edit("removal", edits.remove, object_id=self.object_id)

    def renumber(self, new: int) -> None:
        """Give the current object another number."""
        self._edit("new number", edits.renumber, old=self.object_id, new=new)
        self.choose(new)

    def merge(self, other: int) -> None:
        """Another object is a part of the current one."""
        self._edit("merger", edits.merge, kept=self.object_id, other=other)

    def split(self, points: Sequence[Point] = ()) -> None:
        """The current object is several."""
        self._edit("split", edits.split, object_id=self.object_id, points=points)

    def divide(self, daughters: Sequence[int]) -> None:
        """The current object divides on this frame."""
        self._edit("division", edits.divide, mother=self.object_id, daughters=daughters)

    def begin_or_end(self, *, end: bool) -> None:
        """The current object is first seen here, or for the last time."""
        self._edit("end" if end else "begin", edits.begin_or_end, object_id=self.object_id, end=end)

    def warm_up(self, show: bool = False) -> None:
        """Load the model and open the session, while the user looks for the first object.

        Args:
            show: show what the session holds; it is a saved one.
        """
        self.ask(
            "loading the model",
            partial(tasks.show_all, frame_index=self.layers.frame_index if show else None),
        )

    def use_model(self, name: str, device: str) -> None:
        """Go on with another model: prompts stay, masks are stale until they are tracked again."""
        self.stop()
        self.ask(f"loading {name}", partial(opening.use_model, name=name, device=device))

    def save(self, path: Path) -> None:
        """Save the session."""
        self.ask("saving", partial(files.save, path=path))

    def export(self, formats: Sequence[str], folder: Path) -> None:
        """Write what is known in these formats."""
        self.ask("export", partial(files.export, formats=formats, folder=folder), long=True)

    def _edit(self, name: str, steps: Callable[..., Iterator[Event]], **given: Any) -> None:
        if self.object_id not in {o.object_id for o in self.document.objects}:
            self._fail(
                f"object {self.object_id} has no mask yet; choose another object, or click on it first"
            )
            return
        self.ask(name, partial(steps, frame_index=self.layers.frame_index, **given))

    # --- what is drawn -------------------------------------------------------------------------------

    def _drawn(self) -> None:
        now = self.layers.drawn()
        changes = differences(self._drawn_so_far, now)
        self._drawn_so_far = now
        for key, (points, box) in changes.items():
            self._version += 1
            self.ask("prompt", partial(tasks.draw, **key._asdict(), points=points, box=box))

    def _painted(self) -> None:
        self._strokes.start(0)  # one stroke may tell of itself several times

    def _take_painted(self) -> None:
        self._version += 1
        here, labels = self.layers.frame_index, self.layers.painted()
        self.ask("painting", partial(tasks.paint, frame_index=here, labels=labels))

    # --- what is told --------------------------------------------------------------------------------

    def _told(self, event: Event) -> None:
        self._heard[type(event)](event)

    def _opened(self, event: Opened) -> None:
        height, width = event.size
        self.said.emit(f"{event.model} is ready: {event.frames} frames of {width} x {height}")

    def _finished(self, event: Finished) -> None:
        if event.name != AUTOSAVE:
            self._unsaved.start(AUTOSAVE_AFTER)
            self.progressed.emit(None)
            self.said.emit(f"{event.name}: {'stopped, what is done is kept' if event.cancelled else 'done'}")

    def _take(self, document: Document) -> None:
        self.document = document
        if document.version == self._version:  # else the user has drawn more since
            found = as_drawn(document.prompts)
            if found != self.layers.drawn():
                self.layers.draw(found)
            self._drawn_so_far = self.layers.drawn()
        self.changed.emit()

    def _say(self, message: str) -> None:
        self.said.emit(message)
        notifications.show_info(message)

    def _fail(self, message: str) -> None:
        self.said.emit(message)
        notifications.show_error(message)

    def _keep(self) -> None:
        if self.autosave is not None and self.document.objects:
            self.engine.submit(Task(AUTOSAVE, partial(files.keep, path=self.autosave), version=self._version))

    # --- the end -------------------------------------------------------------------------------------

    def _removed(self, event: Any) -> None:
        if event.value is self.image:
            self.stop()
            self._say(f"the image {self.image.name!r} is gone; its masks stay, and can be saved and exported")

    def close(self, wait: float = 0.0) -> None:
        """Stop, and let go of the session; the layers stay."""
        self._strokes.stop()
        self.viewer.layers.events.removed.disconnect(self._removed)
        self.layers.on_drawn = self.layers.on_painted = lambda: None
        self.engine.close(wait)


def _index_of(labels: Labels, point: Sequence[float]) -> tuple[int, ...]:
    """The plane of a Labels layer that is shown."""
    place = labels.world_to_data(point[-labels.ndim :])[:-2]
    return tuple(round(min(max(n, 0), size - 1)) for n, size in zip(place, labels.data.shape, strict=False))
