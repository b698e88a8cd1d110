"""What the panel looks like: its fields and buttons; what they do is said in ``actions``."""

from __future__ import annotations

from importlib.util import find_spec

from magicgui.widgets import (
    CheckBox,
    ComboBox,
    Container,
    Label,
    LineEdit,
    ProgressBar,
    PushButton,
    SpinBox,
)
from magicgui.widgets.bases import Widget
from qtpy.QtWidgets import QSizePolicy

from sam2_napari.layer_video import Contrast

CONTRASTS: dict[str, Contrast] = {"percentiles of the film": "percentiles", "as the layer shows it": "layer"}
FORMATS = {
    "labels": "label images",
    "ctc": "Cell Tracking Challenge",
    "tracks": "a table of places, areas and intensities",
    "geff": "a graph",
    "coco": "JSON",
    "overlay": "a film",
}


def button(text: str, tooltip: str) -> PushButton:
    """A button that says what it does."""
    return PushButton(text=text, tooltip=tooltip)


def row(*widgets: Widget, label: str = "") -> Container[Widget]:
    """Widgets side by side."""
    found: Container[Widget] = Container(widgets=widgets, layout="horizontal", labels=False, label=label)
    found.margins = (0, 0, 0, 0)
    return found


def number(value: int, least: int = 0, tooltip: str = "") -> SpinBox:
    """A number that takes no more room than those of a film need."""
    found = SpinBox(min=least, max=2**31 - 1, value=value, tooltip=tooltip)
    found.min_width, found.max_width = 66, 88
    return found


class Form:
    """All fields and buttons; ``tabs`` shows them. The key of each button stands in its tooltip."""

    def __init__(self) -> None:
        self.image = ComboBox(label="image", choices=[], nullable=True, tooltip="the layer that is worked on")
        self.object = number(1, 1, "the object of the next click (J, K: the next one, the one before)")
        self.new = button("new", "new object: the next click begins it (N)")
        self.negative = CheckBox(text="not this", tooltip="the next clicks lie beside the object (Shift-N)")
        self.backward = button("◀", "track backward from this frame (Shift-B)")
        self.all = button(
            "track all", "follow all objects forward to the end, then backward to the beginning (G)"
        )
        self.forward = button("▶", "track forward from this frame (Shift-F)")
        self.stop = button("stop", "stop tracking; what is done is kept (Q)")
        self.only = CheckBox(
            text="current object only", tooltip="track no others than the one of the next click"
        )
        self.limited = CheckBox(text="only frames", tooltip="track no others than these")
        self.first, self.last = number(0, tooltip="the first frame"), number(0, tooltip="the last frame")
        self.undo = button("undo", "take the last step back (Ctrl-Z)")
        self.redo = button("redo", "do it again (Ctrl-Shift-Z)")
        self.help = button("keys", "all keys (H)")
        self._make_objects()
        self._make_files()
        self.progress = ProgressBar(min=0, max=1, value=0)
        self.status = Label(value="click on an object")
        self.tabs: dict[str, Container[Widget]] = {
            "track": Container(widgets=[
                self.image, row(self.object, self.new, self.negative, label="object"),
                row(self.backward, self.all, self.forward, self.stop), self.only,
                row(self.limited, self.first, Label(value="to"), self.last),
                row(self.undo, self.redo, self.help),
            ]),
            "objects": Container(widgets=[
                self.find, self.seeds, self.seed, row(self.remove, self.split), row(self.begin, self.end),
                row(self.divide, self.daughters, self.undivide), row(self.merge, self.renumber, self.number),
            ]),
            "files": Container(widgets=[
                row(self.save, self.open, self.resume), *self._format_rows(), self.export
            ]),
            "model": Container(widgets=[self.model, self.fetch, *self.settings, self.anew]),
        }  # fmt: skip
        for container in self.tabs.values():
            container.native.layout().addStretch(1)
        self.below: Container[Widget] = Container(widgets=[self.progress, self.status], labels=False)
        said = self.status.native
        said.setMinimumHeight(3 * said.fontMetrics().lineSpacing() + 4)  # else a further line is cut
        said.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.MinimumExpanding)
        self.progress.native.setTextVisible(False)

    def _format_rows(self) -> list[Container[Widget]]:
        boxes = list(self.formats.values())
        return [row(*boxes[:3], label="formats"), row(*boxes[3:])]

    @property
    def chosen_formats(self) -> list[str]:
        """What is exported."""
        return [name for name, box in self.formats.items() if box.value]

    def _make_objects(self) -> None:
        self.seeds = ComboBox(
            label="labels", choices=[], nullable=True, tooltip="of any plugin that segments"
        )
        self.seed = button("begin with these", "each object of the Labels layer on this frame is followed")
        self.find = button("find objects", "look for all objects of this frame")
        self.remove = button("remove", "remove the current object (Shift-X)")
        self.split = button("split", "the current object is several: its parts on this frame")
        self.begin = button("begins here", "the current object is first seen on this frame")
        self.end = button("ends here", "the current object is seen for the last time on this frame (Shift-E)")
        self.number = number(2, 1, "the number for 'merge with' and 're-number'")
        self.merge = button("merge with", "the object with this number is a part of the current one")
        self.renumber = button("re-number", "give the current object this number")
        self.daughters = LineEdit(
            value="", tooltip="the daughters, such as 4, 5; each is clicked on this frame"
        )
        self.daughters.native.setPlaceholderText("daughters: 4, 5")
        self.undivide = button("undivide", "take back the division of the current object")
        self.divide = button(
            "divides into", "on this frame the current object ends, its daughters begin (Shift-D)"
        )

    def _make_files(self) -> None:
        self.save = button("save ...", "save the session to a file; drop it on napari to go on")
        self.open = button("open ...", "go on with a saved session on this image")
        self.resume = button("resume", "go on with the work on this image that is kept from before")
        self.formats = {name: CheckBox(text=name, tooltip=what) for name, what in FORMATS.items()}
        for name in ("labels", "ctc", "tracks"):
            self.formats[name].value = True
        if find_spec("geff") is None:
            self.formats["geff"].enabled = False
            self.formats["geff"].tooltip = "a graph; needs the library geff: pip install 'sam2-core[geff]'"
        self.export = button("export ...", "write what is known in the chosen formats")
        self.model = ComboBox(
            label="model", choices=["nano"], tooltip="nano is here; others are fetched once"
        )
        self.fetch = button("fetch", "download the chosen model from its publisher")
        self.device = ComboBox(
            label="device", choices=["auto", "cpu", "cuda", "mps"], tooltip="where the model runs"
        )
        self.axis = ComboBox(label="along", choices=[], nullable=True, tooltip="the axis that is the video")
        self.contrast = ComboBox(
            label="contrast", choices=list(CONTRASTS), tooltip="how the film is shown to the model"
        )
        self.colours = CheckBox(
            text="all channels as colours", tooltip="else the model sees the channel that was shown at first"
        )
        self.settings = (self.device, self.axis, self.contrast, self.colours)
        self.anew = button("begin anew", "a new session on the plane that is shown; the work is kept")
