"""What buttons and keys do; each has one name, by which ``keys`` and ``form`` know it."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from napari.utils import notifications
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QFileDialog, QMessageBox

from sam2_napari import keys
from sam2_napari.control import Control
from sam2_napari.form import Form
from sam2_napari.objects import ObjectTable

SESSIONS = "SAM 2 session (*.sam2)"

NO_IMAGE = "there is no image; open one, or File > Open Sample > Time-lapse of simulated cells (SAM 2)"


class Panel(Protocol):
    """What actions need of the widget: its fields, and the image that is worked on."""

    form: Form
    control: Control | None

    def resume(self, saved: Path | None = None) -> None:
        """Go on with a saved session on the chosen image; None for earlier work."""

    def begin_anew(self) -> None:
        """A new session on the chosen image, at the sliders."""


class Actions:
    """What a user can do, on the image that is worked on.

    Args:
        panel: the widget.
    """

    def __init__(self, panel: Panel) -> None:
        self._panel = panel

    def connect(self, form: Form, objects: ObjectTable) -> None:
        """Give each button its action."""
        for name in (
            "new", "all", "forward", "backward", "stop", "seed", "find", "remove", "split", "end", "begin",
            "merge", "renumber", "divide", "undivide", "undo", "redo", "help", "save", "open", "resume",
            "export", "anew",
        ):  # fmt: skip
            getattr(form, name).clicked.connect(getattr(self, BUTTONS.get(name, name)))
        form.object.changed.connect(lambda object_id: self._with(lambda c: c.choose(object_id)))
        form.negative.changed.connect(lambda _: self.toggle_sign())
        objects.chosen.connect(lambda object_id: self._with(lambda c: c.choose(object_id)))
        objects.sought.connect(lambda frame_index: self._with(lambda c: c.layers.go_to(frame_index)))

    def _with(self, do: Callable[[Control], Any]) -> None:
        if self._panel.control is None:
            notifications.show_error(NO_IMAGE)
            return
        do(self._panel.control)

    # --- objects and clicks --------------------------------------------------------------------------

    def new_object(self) -> None:
        """The next click begins another object."""
        self._with(Control.new_object)

    def toggle_sign(self) -> None:
        """The next clicks say: not this, or: this again."""
        self._with(Control.toggle_sign)

    def next_object(self) -> None:
        """Choose the next object."""
        self._with(lambda control: control.step_object(1))

    def previous_object(self) -> None:
        """Choose the object before."""
        self._with(lambda control: control.step_object(-1))

    # --- tracking ------------------------------------------------------------------------------------

    def track_all(self) -> None:
        """Track in both directions; all of the video, or the frames of the form."""
        self._with(lambda control: control.track(self._chosen(control), self._limits()))

    def track_forward(self) -> None:
        """Track from this frame to the end."""
        self._with(lambda control: control.track_from_here(1, self._chosen(control), self._limits()))

    def track_backward(self) -> None:
        """Track from this frame to the beginning."""
        self._with(lambda control: control.track_from_here(-1, self._chosen(control), self._limits()))

    def stop(self) -> None:
        """Stop tracking."""
        self._with(Control.stop)

    def _chosen(self, control: Control) -> list[int] | None:
        return [control.object_id] if self._panel.form.only.value else None

    def _limits(self) -> tuple[int, int] | None:
        form = self._panel.form
        return (form.first.value, form.last.value) if form.limited.value else None

    # --- many objects --------------------------------------------------------------------------------

    def seed(self) -> None:
        """Each object of the chosen Labels layer begins on this frame."""
        labels = self._panel.form.seeds.value
        if labels is None:
            notifications.show_error(
                "there is no other Labels layer; segment a frame with any plugin, or add one"
            )
            return
        self._with(lambda control: control.seed(labels))

    def find(self) -> None:
        """Look for all objects of this frame."""
        self._with(Control.find)

    def remove(self) -> None:
        """Remove the current object."""
        self._with(Control.remove)

    def split(self) -> None:
        """The current object is several."""
        self._with(Control.split)

    def end_here(self) -> None:
        """The current object is seen for the last time on this frame."""
        self._with(lambda control: control.begin_or_end(end=True))

    def begin_here(self) -> None:
        """The current object is first seen on this frame."""
        self._with(lambda control: control.begin_or_end(end=False))

    def merge(self) -> None:
        """The object with the number of the form is a part of the current one."""
        self._with(lambda control: control.merge(self._panel.form.number.value))

    def renumber(self) -> None:
        """Give the current object the number of the form."""
        self._with(lambda control: control.renumber(self._panel.form.number.value))

    def divide(self) -> None:
        """On this frame the current object ends, and its daughters begin."""
        daughters = [int(text) for text in re.findall(r"\d+", self._panel.form.daughters.value)]
        if not daughters:
            notifications.show_error(
                "write the numbers of the daughters beside the button, such as 4, 5; click each on this frame"
            )
            return
        self._with(lambda control: control.divide(daughters))

    def undivide(self) -> None:
        """The current object did not divide."""
        self._with(Control.undivide)

    # --- undo, files, help ---------------------------------------------------------------------------

    def undo(self) -> None:
        """Take the last step back."""
        self._with(Control.undo)

    def redo(self) -> None:
        """Do it again."""
        self._with(lambda control: control.undo(again=True))

    def save(self) -> None:
        """Ask for a file, and save the session there."""
        offered = str(self._home() / f"{self._name()}.sam2")
        path, _ = QFileDialog.getSaveFileName(self._panel, "Save the session", offered, SESSIONS)
        if path:
            # Not with_suffix: of "day 1.5" that would make "day 1.sam2", which may be there.
            file = Path(path if path.endswith(".sam2") else f"{path}.sam2")
            self._with(lambda control: control.save(file))

    def open(self) -> None:
        """Ask for a saved session, and go on with it on the chosen image."""
        path, _ = QFileDialog.getOpenFileName(self._panel, "Open a session", str(self._home()), SESSIONS)
        if path:
            self._panel.resume(Path(path))

    def resume(self) -> None:
        """Go on with earlier work on this image."""
        self._panel.resume()

    def anew(self) -> None:
        """A new session on this image; the present work is kept."""
        self._with(lambda _: self._panel.begin_anew())

    def export(self) -> None:
        """Ask for a folder, and write the chosen formats there."""
        title = "Export into this folder, replacing what was exported there before"
        folder = QFileDialog.getExistingDirectory(self._panel, title, str(self._home()))
        if folder:
            self._with(lambda control: control.export(self._panel.form.chosen_formats, Path(folder)))

    def _home(self) -> Path:
        """The folder of the image; that of the user if it is not from a file."""
        control = self._panel.control
        source = None if control is None else control.image.source.path
        return Path(source).parent if source and Path(source).exists() else Path.home()

    def _name(self) -> str:
        """The name of the image, as a file can have it."""
        control = self._panel.control
        return "session" if control is None else re.sub(r"[^\w .-]+", "_", control.image.name)

    def help(self) -> None:
        """All keys."""
        box = QMessageBox(self._panel)
        box.setWindowTitle("SAM 2: keys")
        box.setText(keys.help_text())
        box.setModal(False)
        box.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        box.show()


BUTTONS = {
    "new": "new_object", "all": "track_all", "forward": "track_forward", "backward": "track_backward",
    "end": "end_here", "begin": "begin_here",
}  # fmt: skip
