"""Between the window and the engine: what is drawn becomes a task, what is told becomes a picture."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from napari.components import ViewerModel
from napari.layers import Image, Labels
from napari.utils import notifications
from numpy.typing import NDArray
from qtpy.QtCore import QObject, Signal

from sam2_napari import edits, files, opening, tasks
from sam2_napari.autosave import Autosave
from sam2_napari.axes import Axes
from sam2_napari.convert import Drawn, PromptKey, as_drawn, differences
from sam2_napari.engine import Engine, Steps, Task
from sam2_napari.events import (
    Document,
    Event,
    Failed,
    Finished,
    Kept,
    Opened,
    Progress,
    Said,
    Shown,
    Telling,
    Tracked,
)
from sam2_napari.keeping import Keeping
from sam2_napari.layer_video import LayerVideo
from sam2_napari.layers import PromptLayers, shown_plane
from sam2_napari.opening import Opening
from sam2_napari.strokes import Strokes


class Control(QObject):  # type: ignore[misc]  # qtpy has no types of its own
    """One image, its layers and its session. Lives in the thread of the window.

    Args:
        viewer: where all is shown.
        image: the image.
        axes: which of its axes is what.
        opened: opens the session, in another thread and when it is first needed.
        autosave: where the work is kept in case of a crash.

    Attributes:
        layers: where the user draws, and masks appear.
        engine: runs the session.
        keeping: keeps the work in case of a crash.
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
        autosave: Autosave,
    ) -> None:
        super().__init__()
        self.viewer, self.image, self.axes = viewer, image, axes
        self.layers = PromptLayers(viewer, image, axes)
        self.layers.on_drawn = self._drawn
        self.layers.on_chosen = self.choose
        self._strokes = Strokes(self.layers, self._painted)
        self._opening = opened
        self.engine = Engine(opened)
        self.engine.told.connect(self._told)
        self.document = Document(0, (), ())
        self._drawn_so_far: dict[PromptKey, Drawn] = {}
        self._version = 0
        self._answered = self._arriving = False
        self.keeping = Keeping(self.engine, autosave, lambda: self._version, self._fail)
        self._heard: dict[type, Callable[[Any], None]] = {
            Opened: self._opened,
            Shown: self._strokes.show,
            Document: self._take,
            Tracked: self.layers.show_tracks,
            Progress: self._progress,
            Said: lambda event: self._say(event.message),
            Kept: self.keeping.heard,
            Failed: lambda event: self._fail(event.message),
            Finished: self._finished,
        }

    @property
    def video(self) -> LayerVideo:
        """The frames."""
        return self._opening.video

    @property
    def choice(self) -> tuple[str, str]:
        """The model and the device that this image is worked on with."""
        return self._opening.choice

    @property
    def is_empty(self) -> bool:
        """Whether there is no object, nor anything drawn for one."""
        return not self.document.objects and not self._drawn_so_far

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

    def ask(self, name: str, steps: Steps, *, long: bool = False, work: bool = True) -> None:
        """Do something with the session, after all that was asked before; see ``Task``."""
        if missing := self.layers.missing():
            self.layers.show_again()
            self._say(f"{', '.join(missing)} had been removed and is back, with all that it held")
        self.said.emit(f"{name} ...")
        self.engine.submit(Task(name, steps, long, self._version, work))

    def track(self, object_ids: Sequence[int] | None = None, within: tuple[int, int] | None = None) -> None:
        """Track objects in both directions.

        Args:
            object_ids: the objects; None for all.
            within: the first and last frame that are wanted, from the frame that is shown; None for the
                canonical result of the whole video.
        """
        self._track(None if within is None else [self._way(1, within), self._way(-1, within)], object_ids)

    def track_from_here(
        self, step: int, object_ids: Sequence[int] | None = None, within: tuple[int, int] | None = None
    ) -> None:
        """Track from the frame that is shown to the end (step 1) or to the beginning (step -1).

        Args:
            step: the direction.
            object_ids: the objects; None for all.
            within: the first and last frame that are wanted; None for the whole video.
        """
        self._track([self._way(step, within or (0, self.axes.frames - 1))], object_ids)

    def _way(self, step: int, within: tuple[int, int]) -> range:
        first, last = sorted(within)
        here = min(max(self.layers.frame_index, first), last)
        return range(here, last + 1) if step > 0 else range(here, first - 1, -1)

    def _track(self, ranges: Sequence[range] | None, object_ids: Sequence[int] | None) -> None:
        if self.is_empty:
            self._fail("there is nothing to track; click on an object first")
            return
        self.ask("tracking", partial(tasks.track, ranges=ranges, object_ids=object_ids), long=True)

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
        plane = shown_plane(labels, self.viewer.dims.point)
        steps = partial(edits.seed, frame_index=self.layers.frame_index, name=labels.name, read=plane)
        self.ask("seeds", steps, long=True)

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

    def split(self) -> None:
        """The current object is several."""
        self._edit("split", edits.split, object_id=self.object_id)

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

    def resume(self, saved: Path | None = None) -> None:
        """Go on with a saved session, or with earlier work; what there is now is kept as earlier work."""
        self.stop()
        autosave = self.keeping.autosave
        paths = autosave.earlier() if saved is None else [saved]
        other = opening.OTHER_EARLIER if saved is None else opening.OTHER
        here, aside = self.layers.frame_index, autosave.aside
        steps = partial(opening.resume, paths=paths, frame_index=here, aside=aside, other=other)
        self._arriving = True
        self.ask("opening the session", steps, work=False)

    def save(self, path: Path) -> None:
        """Save the session."""
        self.ask("saving", partial(files.save, path=path))

    def export(self, formats: Sequence[str], folder: Path) -> None:
        """Write what is known in these formats."""
        self.ask("export", partial(files.export, formats=formats, folder=folder), long=True)

    def _edit(self, name: str, steps: Callable[..., Telling], **given: Any) -> bool:
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

    def _painted(self, frame_index: int, labels: NDArray[np.int32], before: NDArray[np.int32] | None) -> None:
        self._version += 1
        steps = partial(tasks.paint, frame_index=frame_index, labels=labels, before=before)
        self.ask("painting", steps)

    # --- what is told --------------------------------------------------------------------------------

    def _told(self, event: Event) -> None:
        self._heard[type(event)](event)

    def _opened(self, event: Opened) -> None:
        height, width = event.size
        self._answered = True
        self.keeping.look()
        earlier = "earlier work: 'resume' (tab files)"
        then = f"; {earlier if self.keeping.has_earlier and self.is_empty else 'click on an object'}"
        self.said.emit(f"{event.model} is ready: {event.frames} frames of {width} x {height}{then}")

    def _progress(self, progress: Progress) -> None:
        self.keeping.meanwhile()
        self.progressed.emit(progress)

    def _finished(self, event: Finished) -> None:
        if not event.name:
            return
        self.keeping.soon()
        if event.long:  # short ones pass it
            self.progressed.emit(None)
        if not self._answered:
            self.said.emit(f"{event.name}: {'stopped, what is done is kept' if event.cancelled else 'done'}")
        self._answered = False

    def _take(self, document: Document) -> None:
        self.document = document
        if document.version == self._version:  # else the user has drawn more since
            found = as_drawn(document.prompts)
            if found != self.layers.drawn():
                self.layers.draw(found)
            self._drawn_so_far = self.layers.drawn()
        if self._arriving and document.prompts:
            self.layers.go_to(document.prompts[0].frame_index)
        self._arriving = False
        self.changed.emit()

    def _say(self, message: str) -> None:
        self._answered = self.engine.busy  # it stays until something else is asked
        self.said.emit(message)
        notifications.show_info(message)

    def _fail(self, message: str) -> None:
        self._arriving = False  # the session that was there goes on, where the user looks
        self._answered = self.engine.busy
        self.said.emit(message)
        notifications.show_error(message)

    # --- the end -------------------------------------------------------------------------------------

    def say_gone(self) -> None:
        """Tell the user what becomes of the work on an image that was taken out of the viewer."""
        self._say(f"the image {self.image.name!r} is gone; its masks stay, and can be saved and exported")

    def close(self, wait: float = 0.0) -> None:
        """Stop, keep the work and let go of the session; the layers stay.

        Args:
            wait: seconds to wait for that.
        """
        self._strokes.close()
        self.keeping.stop()
        self.layers.on_drawn = lambda: None
        self.engine.close(self.keeping.task(), wait)
