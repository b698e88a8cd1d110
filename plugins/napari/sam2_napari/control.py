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
from numpy.typing import NDArray
from qtpy.QtCore import QObject, QTimer, Signal

from sam2_core import Point
from sam2_napari import edits, files, opening, tasks
from sam2_napari.autosave import Autosave
from sam2_napari.axes import Axes
from sam2_napari.convert import Drawn, Key, as_drawn, differences
from sam2_napari.engine import Engine, Task
from sam2_napari.events import Document, Event, Failed, Finished, Opened, Progress, Said, Shown, Tracked
from sam2_napari.layer_video import LayerVideo
from sam2_napari.layers import PromptLayers, shown_plane
from sam2_napari.opening import Opening
from sam2_napari.workspace import Workspace

AUTOSAVE_AFTER = 5000
"""Milliseconds after the last thing that was done."""

AUTOSAVE_WHILE_TRACKING = 60_000
"""Milliseconds: tracking stands still as long as it takes."""

AUTOSAVE = "autosave"

Steps = Callable[[Workspace], Iterator[Event]]


class Control(QObject):  # type: ignore[misc]  # qtpy has no types of its own
    """One image, its layers and its session. Lives in the thread of the window.

    Args:
        viewer: where all is shown.
        image: the image.
        axes: which of its axes is what.
        opened: opens the session, in another thread and when it is first needed.
        kept: where the work is kept in case of a crash; None for nowhere.

    Attributes:
        document: what the session last said of its prompts and objects.
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
        opened: Opening,
        kept: Autosave | None = None,
    ) -> None:
        super().__init__()
        self.viewer, self.image, self.axes, self._kept = viewer, image, axes, kept
        self.layers = PromptLayers(viewer, image, axes)
        self.layers.on_drawn = self._drawn
        self.layers.on_painted = self._painted
        self.layers.on_chosen = self.choose
        self._opening = opened
        self.engine = Engine(opened)
        self.engine.told.connect(self._told)
        self.document = Document(0, (), ())
        self._drawn_so_far: dict[Key, Drawn] = {}
        self._version = 0
        self._answered = self._cannot_keep = False
        self._before: NDArray[np.int32] | None = None  # the frame that is being painted on, as it was
        self._held: Shown | None = None
        self.layers.masks.mouse_drag_callbacks.insert(0, self._while_painting)
        self._heard: dict[type, Callable[[Any], None]] = {
            Opened: self._opened,
            Shown: self._show,
            Document: self._take,
            Tracked: self.layers.show_tracks,
            Progress: self._progress,
            Said: lambda event: self._say(event.message),
            Failed: self._failed,
            Finished: self._finished,
        }
        self._strokes, self._unsaved = QTimer(self), QTimer(self)
        for timer, late in ((self._strokes, self._take_painted), (self._unsaved, self._keep)):
            timer.setSingleShot(True)
            timer.timeout.connect(late)
        viewer.layers.events.removed.connect(self._removed)

    @property
    def video(self) -> LayerVideo:
        """The frames."""
        return self._opening.video

    @property
    def unfinished(self) -> Path | None:
        """Earlier work on this image, to go on with; None if there is none."""
        return None if self._kept is None else self._kept.earlier()

    # --- the object of the next click ----------------------------------------------------------------

    @property
    def choice(self) -> tuple[str, str]:
        """The model and the device that this image is worked on with."""
        return self._opening.choice

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

    def ask(self, name: str, steps: Steps, *, long: bool = False, work: bool = True) -> None:
        """Do something with the session, after all that was asked before; see ``Task``."""
        if missing := self.layers.missing():
            self.layers.show_again()
            self._say(f"{', '.join(missing)} had been removed and is back, with all that it held")
        self.said.emit(f"{name} ...")
        self.engine.submit(Task(name, steps, long, self._version, work))

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
            plane = shown_plane(labels, self.viewer.dims.point)
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
        if new in {o.object_id for o in self.document.objects}:
            self._fail(f"there is an object {new} already; choose a number that is free, or merge the two")
        elif self._edit("new number", edits.renumber, old=(old := self.object_id), new=new):
            self.layers.rename(old, new)  # at once: the next click may come before the session has done it
            self._drawn_so_far = self.layers.drawn()
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

    def undivide(self) -> None:
        """The current object did not divide."""
        self._edit("undivide", edits.undivide, mother=self.object_id)

    def begin_or_end(self, *, end: bool) -> None:
        """The current object is first seen here, or for the last time."""
        self._edit("end" if end else "begin", edits.begin_or_end, object_id=self.object_id, end=end)

    def warm_up(self) -> None:
        """Load the model and open the session, while the user looks for the first object."""
        steps = partial(tasks.warm_up, frame_index=self.layers.frame_index)
        self.ask("loading the model", steps, work=False)

    def use_model(self, name: str, device: str) -> None:
        """Go on with another model: prompts stay, masks are stale until they are tracked again."""
        self.stop()
        self._opening.choice = (name, device)  # if the session could not be opened, it is tried with this one
        self.ask(f"loading {name}", partial(opening.use_model, name=name, device=device), work=False)

    def resume(self, path: Path) -> None:
        """Go on with a saved session; what there is now is kept as earlier work."""
        self.stop()
        aside = None if self._kept is None else self._kept.another()
        steps = partial(opening.resume, path=path, frame_index=self.layers.frame_index, aside=aside)
        self.ask("opening the session", steps, work=False)

    def save(self, path: Path) -> None:
        """Save the session."""
        self.ask("saving", partial(files.save, path=path))

    def export(self, formats: Sequence[str], folder: Path) -> None:
        """Write what is known in these formats."""
        self.ask("export", partial(files.export, formats=formats, folder=folder), long=True)

    def _edit(self, name: str, steps: Callable[..., Iterator[Event]], **given: Any) -> bool:
        if self.object_id not in {o.object_id for o in self.document.objects}:
            self._fail(
                f"object {self.object_id} has no mask yet; choose another object, or click on it first"
            )
            return False
        self.ask(name, partial(steps, frame_index=self.layers.frame_index, **given))
        return True

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

    def _while_painting(self, layer: Any, event: Any) -> Iterator[None]:
        """What tracking brings meanwhile is not painted over the stroke."""
        if layer.mode not in ("paint", "erase", "fill", "polygon"):
            return
        self._before = self.layers.painted()
        yield
        while event.type == "mouse_move":
            yield
        QTimer.singleShot(0, self._stroke_ended)

    def _stroke_ended(self) -> None:
        if self._before is not None and not self._strokes.isActive():  # it changed nothing
            self._before = None
            self._show_held()

    def _take_painted(self) -> None:
        self._version += 1
        here, labels, before = self.layers.frame_index, self.layers.painted(), self._before
        self._before = self._held = None  # the picture of this frame comes again with what was painted
        self.ask("painting", partial(tasks.paint, frame_index=here, labels=labels, before=before))

    def _show_held(self) -> None:
        held, self._held = self._held, None
        if held is not None:
            self.layers.show(held)

    # --- what is told --------------------------------------------------------------------------------

    def _told(self, event: Event) -> None:
        self._heard[type(event)](event)

    def _opened(self, event: Opened) -> None:
        height, width = event.size
        self._answered = True
        self.said.emit(f"{event.model} is ready: {event.frames} frames of {width} x {height}")

    def _show(self, shown: Shown) -> None:
        if self._before is not None and shown.frame_index == self.layers.frame_index:
            self._held = shown
        else:
            self.layers.show(shown)

    def _progress(self, progress: Progress) -> None:
        if not self._unsaved.isActive():
            self._unsaved.start(AUTOSAVE_WHILE_TRACKING)
        self.progressed.emit(progress)

    def _finished(self, event: Finished) -> None:
        if event.name == AUTOSAVE:
            self._cannot_keep = event.failed
            return
        self._unsaved.start(AUTOSAVE_AFTER)
        if event.long:  # short ones pass it
            self.progressed.emit(None)
        if not self._answered:
            self.said.emit(f"{event.name}: {'stopped, what is done is kept' if event.cancelled else 'done'}")
        self._answered = False

    def _failed(self, event: Failed) -> None:
        if event.name != AUTOSAVE or not self._cannot_keep:  # that is tried again and again, but said once
            self._fail(event.message)

    def _take(self, document: Document) -> None:
        self.document = document
        if document.version == self._version:  # else the user has drawn more since
            found = as_drawn(document.prompts)
            if found != self.layers.drawn():
                self.layers.draw(found)
            self._drawn_so_far = self.layers.drawn()
        self.changed.emit()

    def _say(self, message: str) -> None:
        self._answered = self.engine.busy  # it stays until something else is asked
        self.said.emit(message)
        notifications.show_info(message)

    def _fail(self, message: str) -> None:
        self._answered = self.engine.busy
        self.said.emit(message)
        notifications.show_error(message)

    def _keep(self) -> None:
        if (task := self._keeping()) is not None:
            self.engine.submit(task)

    def _keeping(self) -> Task | None:
        if self._kept is None:
            return None
        return Task(AUTOSAVE, partial(files.keep, path=self._kept.file), version=self._version, work=False)

    # --- the end -------------------------------------------------------------------------------------

    def _removed(self, event: Any) -> None:
        if event.value is self.image:
            self.stop()
            self._say(f"the image {self.image.name!r} is gone; its masks stay, and can be saved and exported")

    def close(self, wait: float = 0.0) -> None:
        """Stop, keep the work and let go of the session; the layers stay.

        Args:
            wait: seconds to wait for that.
        """
        if self._strokes.isActive():
            self._take_painted()
        self._strokes.stop()
        self._unsaved.stop()
        self.viewer.layers.events.removed.disconnect(self._removed)
        self.layers.on_drawn = self.layers.on_painted = lambda: None
        self.layers.masks.mouse_drag_callbacks.remove(self._while_painting)
        self.engine.close(self._keeping(), wait)
