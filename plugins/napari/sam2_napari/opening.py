"""Opening the session of an image, in the thread of the session; another model, and saved work."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

from sam2_core import SessionError, SessionVideoError, open_session
from sam2_napari import models
from sam2_napari.events import Event, Said
from sam2_napari.layer_video import LayerVideo
from sam2_napari.workspace import Workspace


class Opening:
    """Opens the session of a video, with the model that is chosen when it does.

    Args:
        video: the frames.
        model: a model name.
        device: "auto" or a device of torch.

    Attributes:
        video: the frames.
        choice: the model and the device; set it to have the next attempt use others.
    """

    def __init__(self, video: LayerVideo, model: str, device: str) -> None:
        self.video = video
        self.choice = (model, device)

    def __call__(self) -> Workspace:
        """Load the model and open the session.

        Raises:
            ModelError: if the model is not here, or does not fit; the message says what to do.
        """
        return Workspace(open_session(self.video, model=models.load(*self.choice)))


def use_model(workspace: Workspace, name: str, device: str) -> Iterator[Event]:
    """Go on with another model: prompts stay, and masks are stale until they are tracked again.

    What was done before cannot be undone any more. If the model cannot be loaded, the one before goes on.
    """
    before = workspace.session
    loaded = models.load(name, device)
    if loaded is not before.model:
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "session.sam2"
            before.save(file)
            session = open_session(file, video=before.video, model=loaded, check_video=False)
        workspace.replace(session)
    yield workspace.opened()


def resume(workspace: Workspace, path: Path, frame_index: int, aside: Path | None) -> Iterator[Event]:
    """Go on with a saved session in the place of this one; if it cannot be opened, this one goes on.

    Args:
        workspace: the session.
        path: the saved one.
        frame_index: the frame that the user looks at.
        aside: where the objects that there are now are kept; None for nowhere.
    """
    before = workspace.session
    try:
        session = open_session(path, video=before.video, model=before.model)
    except SessionVideoError as error:  # its advice is for those who write Python
        raise SessionError(f"{error.problem}; choose the image that it was made on, then open it") from error
    if aside is not None and before.object_ids:
        before.save(aside)
    workspace.replace(session)
    yield from workspace.changed(frame_index)
    count = len(session.object_ids)
    yield Said(f"the work goes on with {count} object{'s' if count != 1 else ''}")
