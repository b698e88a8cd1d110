"""What the panel looks like: its fields and buttons; what they do is said in ``widget``."""

from __future__ import annotations

from magicgui.widgets import (
    CheckBox,
    ComboBox,
    Container,
    Label,
    LineEdit,
    ProgressBar,
    PushButton,
    Select,
    SpinBox,
)
from magicgui.widgets.bases import Widget

from sam2_napari.layer_video import Contrast

CONTRASTS: dict[str, Contrast] = {"percentiles of the film": "percentiles", "as the layer shows it": "layer"}
FORMATS = ("labels", "ctc", "tracks", "geff", "coco", "overlay")


def button(text: str, tooltip: str) -> PushButton:
    """A button that says what it does."""
    return PushButton(text=text, tooltip=tooltip)


def row(*widgets: Widget, label: str = "") -> Container[Widget]:
    """Widgets side by side."""
    return Container(widgets=widgets, layout="horizontal", labels=False, label=label)


class Form:
    """All fields and buttons; ``tabs`` shows them. The key of each button stands in its tooltip."""

    def __init__(self) -> None:
        self.image = ComboBox(label="image", choices=[], nullable=True)
        self.object = SpinBox(
            label="object", min=1, max=2**31 - 1, value=1, tooltip="the object of the next click"
        )
        self.new = button("new", "new object: the next click begins it (N)")
        self.negative = CheckBox(text="not this", tooltip="the next clicks lie beside the object (Shift-N)")
        self.backward = button("◀", "track backward from this frame (Shift-B)")
        self.all = button(
            "track all", "follow all objects forward to the end, then backward to the beginning (G)"
        )
        self.forward = button("▶", "track forward from this frame (Shift-F)")
        self.stop = button("stop", "stop tracking; what is done is kept (Q)")
        self.only = CheckBox(text="current object only")
        self.limited = CheckBox(text="only frames", tooltip="track no others than these")
        self.first, self.last = SpinBox(min=0, value=0), SpinBox(min=0, value=0)
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
                row(self.limited, self.first, self.last), row(self.undo, self.redo, self.help),
            ]),
            "objects": Container(widgets=[
                self.find, self.seeds, self.seed, row(self.remove, self.split), row(self.begin, self.end),
                row(self.number, self.merge, self.renumber), row(self.daughters, self.divide),
            ]),
            "files": Container(widgets=[row(self.save, self.open, self.resume), self.formats, self.export]),
            "model": Container(widgets=[self.model, self.fetch, *self.settings]),
        }  # fmt: skip
        self.below: Container[Widget] = Container(widgets=[self.progress, self.status], labels=False)

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
        self.number = SpinBox(min=1, max=2**31 - 1, value=2)
        self.merge = button("merge with", "the object with this number is a part of the current one")
        self.renumber = button("re-number", "give the current object this number")
        self.daughters = LineEdit(
            value="", tooltip="the daughters, such as 4, 5; each is clicked on this frame"
        )
        self.divide = button(
            "divides into", "on this frame the current object ends, its daughters begin (Shift-D)"
        )

    def _make_files(self) -> None:
        self.save = button("save ...", "save the session; drop the file on napari to go on")
        self.open = button("open ...", "go on with a saved session on this image")
        self.resume = button("resume", "go on with unfinished work on this image")
        self.formats = Select(label="formats", choices=list(FORMATS), value=["labels", "ctc", "tracks"])
        self.export = button("export ...", "write what is known in the chosen formats")
        self.model = ComboBox(
            label="model", choices=["nano"], tooltip="nano is here; others are fetched once"
        )
        self.fetch = button("fetch", "download the chosen model from its publisher")
        self.device = ComboBox(label="device", choices=["auto", "cpu", "cuda", "mps"])
        self.axis = ComboBox(label="along", choices=[], nullable=True, tooltip="the axis that is the video")
        self.contrast = ComboBox(label="contrast", choices=list(CONTRASTS))
        self.settings = (self.device, self.axis, self.contrast)
