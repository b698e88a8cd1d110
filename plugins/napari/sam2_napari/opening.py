"""Opening the session of an image, in the thread of the session."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from sam2_core import Video, open_session
from sam2_napari import models
from sam2_napari.events import Event
from sam2_napari.workspace import Workspace


def opener(video: Video, model: str, device: str, saved: Path | None = None) -> Callable[[], Workspace]:
    """What opens the session of a video, on a saved one if it is given."""

    def open_workspace() -> Workspace:
        loaded = models.load(model, device)
        if saved is None:
            return Workspace(open_session(video, model=loaded))
        return Workspace(open_session(saved, video=video, model=loaded))

    return open_workspace


def use_model(workspace: Workspace, name: str, device: str) -> Iterator[Event]:
    """Go on with another model: prompts stay, and masks are stale until they are tracked again.

    What was done before cannot be undone any more.
    """
    loaded = models.load(name, device)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "session.sam2"
        workspace.session.save(file)
        session = open_session(file, video=workspace.session.video, model=loaded, check_video=False)
    workspace.replace(session)
    yield workspace.opened()
