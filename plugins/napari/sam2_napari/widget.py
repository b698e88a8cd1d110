"""The panel: which image is worked on and with which model, and what is shown of it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from napari.layers import Image, Labels
from napari.qt.threading import create_worker
from napari.utils import notifications
from napari.viewer import Viewer
from qtpy.QtCore import QEvent, QTimer
from qtpy.QtWidgets import QApplication, QTabWidget, QVBoxLayout, QWidget

from sam2_core import SAM2Error
from sam2_napari import autosave, keys, models
from sam2_napari.actions import Actions
from sam2_napari.autosave import Autosave
from sam2_napari.axes import Axes
from sam2_napari.control import Control
from sam2_napari.events import Progress
from sam2_napari.form import CONTRASTS, Form
from sam2_napari.layer_video import LayerVideo, axes_of, layer_video
from sam2_napari.layers import DRAWING
from sam2_napari.objects import ObjectTable
from sam2_napari.opening import Opening
from sam2_napari.quiet import Quiet
from sam2_napari.sessions import Sessions


class SegmentAndTrack(QWidget):  # type: ignore[misc]  # qtpy has no types of its own
    """The dock widget "Segment and track".

    Args:
        napari_viewer: where it is docked.

    Attributes:
        form: its fields and buttons.
        control: the image that is worked on; None before there is one.
        commands: what buttons and keys do.
    """

    def __init__(self, napari_viewer: Viewer) -> None:
        super().__init__()
        self.viewer, self.form = napari_viewer, Form()
        self.control: Control | None = None
        self.commands = Actions(self)
        self.sessions = Sessions.of_viewer(napari_viewer)
        self._unbind: Callable[[], None] = lambda: None
        self._choosing = Quiet()  # what changes within was not chosen by the user
        layout, self.tabs = QVBoxLayout(self), QTabWidget(self)
        for title, container in self.form.tabs.items():
            self.tabs.addTab(container.native, title)
        self.form.status.native.setWordWrap(True)
        layout.addWidget(self.tabs)
        layout.addWidget(self.form.below.native)
        self.objects = ObjectTable(self)
        layout.addWidget(self.objects, 1)
        self.form.model.choices = models.names()
        self.commands.connect(self.form, self.objects)
        self._connect()
        napari_viewer.layers.events.inserted.connect(self._layers_changed)
        napari_viewer.layers.events.removed.connect(self._layers_changed)
        self.sessions.keep_only(self._images())
        self._choose_image(self.sessions.latest(self._images()))
        self._layers_changed()
        QApplication.instance().aboutToQuit.connect(self.sessions.close)

    # --- which image ---------------------------------------------------------------------------------

    def _connect(self) -> None:
        form = self.form
        form.image.changed.connect(self._choose_image)
        for field in form.settings:
            field.changed.connect(self._model_changed if field is form.device else self._settings_changed)
        form.model.changed.connect(self._model_changed)
        form.fetch.clicked.connect(self._fetch)

    def _layers_changed(self, event: Any = None) -> None:
        if self._choosing:
            return
        kind, layer = getattr(event, "type", ""), getattr(event, "value", None)
        inserted = layer if kind == "inserted" else None
        if kind == "removed":
            if self.control is not None and layer is self.control.image:
                self.control.stop()
                QTimer.singleShot(0, self._say_gone)  # a window that closes has no panel by then
            self.sessions.keep_only([*self._images(), self.control and self.control.image])
        self._show_choices()
        images = self._images()
        if images and self.control is None and kind != "removed":
            self._choose_image(images[0])
        elif isinstance(inserted, Image) and self.control is not None and self.control.image not in images:
            self._choose_image(inserted)  # the other one is gone

    def _say_gone(self) -> None:
        if self.control is not None and self.control.image not in self.viewer.layers:
            self.control.say_gone()

    def _images(self) -> list[Image]:
        return [layer for layer in self.viewer.layers if isinstance(layer, Image)]

    def _show_choices(self, event: Any = None) -> None:
        images, control = self._images(), self.control
        ours = self.sessions.masks
        labels = [x for x in self.viewer.layers if isinstance(x, Labels) and x not in ours]
        for layer in self.viewer.layers:
            layer.events.name.connect(self._show_choices)  # once more changes nothing
        with self._choosing:
            self.form.image.choices = [(layer.name, layer) for layer in images]
            self.form.image.value = control.image if control is not None and control.image in images else None
            self.form.seeds.choices = [(layer.name, layer) for layer in labels]
            if labels and self.form.seeds.value is None:
                self.form.seeds.value = labels[-1]

    def choose(self, image: Image) -> None:
        """Work on this image."""
        self._choose_image(image)

    def _choose_image(self, image: Image | None) -> None:
        if self._choosing or image is None or (self.control is not None and self.control.image is image):
            return
        if (control := self.sessions.of(image)) is not None:
            self._work_on(control)
            return
        try:
            self._begin(image, axes_of(image))
        except (SAM2Error, ValueError) as error:
            self._fail(str(error))
            self._show_choices()

    def _settings_changed(self) -> None:
        """Other settings begin anew; what is there already is not thrown away for them."""
        control = self.control
        if self._choosing or control is None:
            return
        if not control.is_empty:
            notifications.show_warning(
                "these settings cannot change while there are objects; 'begin anew' keeps the work "
                "and starts a new session"
            )
            self._show_settings(control)
            return
        self.begin_anew()

    def begin_anew(self) -> None:
        """A new session on this image, with the settings of the form and at the sliders; the work is kept."""
        if (control := self.control) is None:
            return
        chosen, axes = self.form.axis.value, control.axes
        try:
            axes = axes if chosen is None else axes.with_time(chosen)
            video = self._video(control.image, axes)
        except (SAM2Error, ValueError) as error:
            self._fail(str(error))
            self._show_settings(control)
            return
        self._leave()
        with self._choosing:
            self.sessions.end(control)
        self._begin(control.image, axes, video)

    def _begin(self, image: Image, axes: Axes, video: LayerVideo | None = None) -> None:
        """Put the layers over an image, and open its session away from the window."""
        video = self._video(image, axes) if video is None else video
        form, kept = self.form, Autosave(autosave.place(video, image.name, str(image.source.path or "")))
        opening = Opening(video, form.model.value, form.device.value)
        self._leave()
        with self._choosing:
            control = Control(self.viewer, image, axes, opening, kept)
        self.sessions.add(control)
        self._work_on(control)
        control.warm_up()
        if control.keeping.has_earlier:
            notifications.show_info("earlier work found: 'resume' (tab files)")

    def _work_on(self, control: Control) -> None:
        """From now on what the user does is about this image."""
        self._leave()
        self.control, form = control, self.form
        control.layers.show_again()
        _show(control, visible=True)
        control.changed.connect(self._show_document)
        control.progressed.connect(self._show_progress)
        control.said.connect(self._say)
        self._unbind = keys.bind((self.viewer, *control.layers.all), self.commands)
        form.first.max = form.last.max = form.last.value = max(control.axes.frames - 1, 0)
        self._show_choices()
        self._show_settings(control)
        self._show_document()
        control.layers.move_inside()
        QTimer.singleShot(0, lambda: self._select(control))  # napari selects an image after it was inserted

    def _select(self, control: Control) -> None:
        """The next click on the canvas is a prompt."""
        if self.control is control and control.layers.points in self.viewer.layers:
            self.viewer.layers.selection.active = control.layers.points

    def _leave(self) -> None:
        """Let the image be that was worked on, for another one; it keeps its session."""
        if (control := self._let_go()) is not None:
            self._show_progress(None)
            _show(control, visible=False)

    def _let_go(self) -> Control | None:
        """Hear no more of the image that is worked on, and give its keys back; gives what worked on it."""
        self._unbind()
        self._unbind = lambda: None
        control, self.control = self.control, None
        if control is not None:
            control.changed.disconnect(self._show_document)
            control.progressed.disconnect(self._show_progress)
            control.said.disconnect(self._say)
        return control

    def _show_settings(self, control: Control) -> None:
        form, video = self.form, control.video
        with self._choosing:
            form.model.value, form.device.value = control.choice
            form.axis.choices = _axis_choices(control.axes, control.image)
            form.axis.value = control.axes.time
            form.contrast.value = next(name for name, rule in CONTRASTS.items() if rule == video.contrast)
            form.colours.value, form.colours.visible = video.all_channels, control.axes.channels > 1

    def _video(self, image: Image, axes: Axes) -> LayerVideo:
        point, form = self.viewer.dims.point[-image.ndim :], self.form
        contrast, colours = CONTRASTS[form.contrast.value], form.colours.value and axes.channels > 1
        return layer_video(image, axes, image.world_to_data(point), contrast=contrast, all_channels=colours)

    def resume(self, saved: Path | None = None) -> None:
        """Go on with a saved session on the image that is chosen; without one, with earlier work."""
        if (control := self.control) is None:
            self._fail("first open the image on which this session was made, then open the session")
        else:
            control.resume(saved)

    # --- which model ---------------------------------------------------------------------------------

    def _model_changed(self) -> None:
        if self.control is not None and not self._choosing:
            self.control.use_model(self.form.model.value, self.form.device.value)

    def _fetch(self) -> None:
        self.form.fetch.enabled = False  # until it has ended
        worker = create_worker(models.fetch, self.form.model.value)
        worker.yielded.connect(self._fetching)  # methods of this widget: Qt forgets them with it
        worker.returned.connect(self._fetched)
        worker.start()

    def _fetching(self, here: tuple[int, int]) -> None:
        megabytes = [round(n / 1e6) for n in (here[0], max(here))]
        self._show_progress(Progress(*megabytes))
        self._say(f"{megabytes[0]} of {megabytes[1]} MB")

    def _fetched(self, problem: str) -> None:
        self._show_progress(None)
        self.form.fetch.enabled = True
        if problem:
            self._fail(problem)
            return
        self._say("the model is here")
        self._model_changed()

    # --- what is shown -------------------------------------------------------------------------------

    def _show_document(self) -> None:
        control, form = self.control, self.form
        if control is None:
            return
        with form.object.changed.blocked(), form.negative.changed.blocked():
            form.object.value = control.object_id
            form.negative.value = not control.layers.positive
        document = control.document
        undo = f"take back: {document.undo}" if document.undo else "there is nothing to undo"
        redo = f"do again: {document.redo}" if document.redo else "there is nothing to do again"
        form.undo.tooltip, form.redo.tooltip = f"{undo} (Ctrl-Z)", f"{redo} (Ctrl-Shift-Z)"
        form.resume.visible = control.keeping.has_earlier
        self.objects.show_objects(document.objects, control.object_id)

    def _show_progress(self, progress: Progress | None) -> None:
        bar = self.form.progress
        bar.max, bar.value = (1, 0) if progress is None else (max(progress.total, 1), progress.done)
        bar.native.setTextVisible(progress is not None)
        if progress is not None:
            left = "" if progress.seconds_left is None else f", {_time(progress.seconds_left)} left"
            self._say(f"step {progress.done} of {progress.total}{left}")

    def _say(self, message: str) -> None:
        self.form.status.value = message

    def _fail(self, message: str) -> None:
        self._say(message)
        notifications.show_error(message)

    # --- the end -------------------------------------------------------------------------------------

    def close_session(self, *, wait: float = 0.0) -> None:
        """Let go of all sessions, whose work is kept; the layers stay.

        Args:
            wait: seconds to wait for each; a window that closes does not wait.
        """
        self._let_go()
        self.sessions.close(wait)

    def showEvent(self, event: Any) -> None:
        """The panel is docked: now it is known with which window its sessions end."""
        self.sessions.end_with(self)
        super().showEvent(event)

    def event(self, event: Any) -> bool:
        """The panel was taken out of the window, which napari does without closing or deleting it.

        Tracking stops; the next panel goes on with the work, and its layers stay as they are.
        """
        if event.type() == QEvent.Type.ParentChange and self.parent() is None:
            self.viewer.layers.events.inserted.disconnect(self._layers_changed)
            self.viewer.layers.events.removed.disconnect(self._layers_changed)
            self.sessions.stop()
            self._let_go()
        return bool(super().event(event))

    def closeEvent(self, event: Any) -> None:
        """The window closes: tracking stops after its present step, nobody waits for it."""
        self.close_session()
        super().closeEvent(event)


def _show(control: Control, *, visible: bool) -> None:
    """Show the layers of an image, or hide them while the user works on another."""
    layers = control.layers
    if layers.tracks is not None:
        layers.tracks.visible = visible
    modes = [(layer, layer.mode) for layer in layers.all if layer.visible != visible]
    for layer, mode in modes:
        layer.visible = visible
        if visible:  # napari stops drawing in layers that it hides
            layer.mode = DRAWING.get(type(layer), mode) if mode == "pan_zoom" else mode
    if modes and visible:
        control.viewer.layers.selection.active = control.layers.points


def _axis_choices(axes: Axes, image: Image) -> list[tuple[str, int]]:
    labels = [str(label) for label in image.axis_labels]
    return [(f"{labels[axis]} ({axes.shape[axis]})", axis) for axis in axes.leading]


def _time(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min"
