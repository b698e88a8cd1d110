"""The panel: chooses the image and the model, and gives each button its meaning."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from napari.layers import Image
from napari.qt.threading import create_worker
from napari.utils import notifications
from napari.viewer import Viewer
from qtpy.QtWidgets import QTabWidget, QVBoxLayout, QWidget

from sam2_core import SAM2Error
from sam2_napari import autosave, keys, models
from sam2_napari.actions import Actions
from sam2_napari.axes import Axes
from sam2_napari.control import Control
from sam2_napari.events import Progress
from sam2_napari.form import CONTRASTS, Form
from sam2_napari.layer_video import LayerVideo, axes_of, layer_video
from sam2_napari.objects import ObjectTable
from sam2_napari.opening import opener


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
        self._unbind: Callable[[], None] = lambda: None
        self._choosing = False
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
        self._layers_changed()
        self.destroyed.connect(lambda: self.close_session())

    # --- which image ---------------------------------------------------------------------------------

    def _connect(self) -> None:
        form = self.form
        form.image.changed.connect(self._choose_image)
        for field in form.settings:
            field.changed.connect(self._settings_changed)
        form.model.changed.connect(self._model_changed)
        form.fetch.clicked.connect(self._fetch)

    @contextmanager
    def _settling(self) -> Iterator[None]:
        """What changes within was changed by us, not by the user."""
        before, self._choosing = self._choosing, True
        try:
            yield
        finally:
            self._choosing = before

    def _layers_changed(self, event: Any = None) -> None:
        if self._choosing:
            return
        images = [layer for layer in self.viewer.layers if isinstance(layer, Image)]
        ours = self.control.layers.all if self.control is not None else ()
        labels = [x for x in self.viewer.layers if x._type_string == "labels" and x not in ours]
        with self._settling():
            self.form.image.choices = [(layer.name, layer) for layer in images]
            self.form.seeds.choices = [(layer.name, layer) for layer in labels]
        if images and self.control is None:
            self._choose_image(images[0])

    def choose(self, image: Image) -> None:
        """Work on this image."""
        self._choose_image(image)

    def _choose_image(self, image: Image | None) -> None:
        if self._choosing or image is None or (self.control is not None and self.control.image is image):
            return
        try:
            axes = axes_of(image)
            with self._settling():
                self.form.image.value = image
                self.form.axis.choices = _axis_choices(axes, image)
                self.form.axis.value = axes.time
            self._begin(image, axes)
        except (SAM2Error, ValueError) as error:
            notifications.show_error(str(error))
            self.form.status.value = str(error)

    def _settings_changed(self) -> None:
        """Other settings begin anew; what is there already is not thrown away for them."""
        if self._choosing or self.control is None:
            return
        if self.control.document.objects:
            notifications.show_warning(
                "these settings count from the beginning: remove all objects first, or save the session"
            )
            return
        image = self.control.image
        self.close_session(layers=True)
        try:
            axes = axes_of(image)
            self._begin(image, axes if self.form.axis.value is None else axes.with_time(self.form.axis.value))
        except (SAM2Error, ValueError) as error:
            notifications.show_error(str(error))

    def _begin(self, image: Image, axes: Axes, saved: Path | None = None) -> None:
        """Put the layers over an image, and open its session when it is first needed."""
        video = self._video(image, axes)
        self.close_session()
        form, file = self.form, autosave.place(video, image.name, str(image.source.path or ""))
        opened = opener(video, form.model.value, form.device.value, saved)
        with self._settling():
            self.control = control = Control(self.viewer, image, axes, opened, file)
        self._layers_changed()
        control.changed.connect(self._show_document)
        control.progressed.connect(self._show_progress)
        control.said.connect(self._say)
        form.first.max = form.last.max = form.last.value = max(axes.frames - 1, 0)
        self._unbind = keys.bind((self.viewer, *control.layers.all), self.commands)
        control.warm_up(saved is not None)
        if saved is None and file.is_file():
            notifications.show_info("there is unfinished work on this image: press 'resume' to go on with it")
        form.resume.visible = saved is None and file.is_file()

    def _video(self, image: Image, axes: Axes) -> LayerVideo:
        point = self.viewer.dims.point[-image.ndim :]
        contrast = CONTRASTS[self.form.contrast.value]
        return layer_video(image, axes, image.world_to_data(point), contrast=contrast)

    def resume(self, saved: Path | None = None) -> None:
        """Go on with a saved session on the image that is chosen; without one, with unfinished work."""
        if self.control is None:
            notifications.show_error("open the image first that the session was made on")
            return
        control = self.control
        self.close_session(layers=True)
        self._begin(control.image, control.axes, saved or control.autosave)

    # --- which model ---------------------------------------------------------------------------------

    def _model_changed(self, name: str) -> None:
        if self.control is not None and not self._choosing:
            self.control.use_model(name, self.form.device.value)

    def _fetch(self) -> None:
        worker = create_worker(models.fetch, self.form.model.value)
        worker.yielded.connect(lambda here: self._show_progress(Progress(here[0], max(here[1], here[0], 1))))
        worker.finished.connect(lambda: self._show_progress(None))
        worker.returned.connect(lambda _: self._say("the model is here"))
        worker.errored.connect(lambda error: notifications.show_error(str(error)))
        worker.start()

    # --- what is shown -------------------------------------------------------------------------------

    def _show_document(self) -> None:
        control, form = self.control, self.form
        if control is None:
            return
        with form.object.changed.blocked(), form.negative.changed.blocked():
            form.object.value = control.object_id
            form.negative.value = not control.layers.positive
        document = control.document
        form.undo.tooltip = f"take back: {document.undo}" if document.undo else "there is nothing to undo"
        form.redo.tooltip = f"do again: {document.redo}" if document.redo else "there is nothing to do again"
        self.objects.show_objects(document.objects, control.object_id)

    def _show_progress(self, progress: Progress | None) -> None:
        bar = self.form.progress
        bar.max, bar.value = (1, 0) if progress is None else (max(progress.total, 1), progress.done)
        if progress is not None:
            left = "" if progress.seconds_left is None else f", {_time(progress.seconds_left)} left"
            self._say(f"{progress.done} of {progress.total}{left}")

    def _say(self, message: str) -> None:
        self.form.status.value = message

    # --- the end -------------------------------------------------------------------------------------

    def close_session(self, *, layers: bool = False, wait: float = 0.0) -> None:
        """Let go of the session; with ``layers`` its layers go as well."""
        if (control := self.control) is None:
            return
        self._unbind()
        self.control = None
        control.close(wait)
        if layers:
            control.layers.remove()

    def closeEvent(self, event: Any) -> None:
        """The window closes: tracking stops after its present step, nobody waits for it."""
        self.close_session()
        super().closeEvent(event)


def _axis_choices(axes: Axes, image: Image) -> list[tuple[str, int]]:
    labels = [str(label) for label in image.axis_labels]
    return [(f"{labels[axis]} ({axes.shape[axis]})", axis) for axis in axes.leading]


def _time(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min"
