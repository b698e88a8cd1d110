"""Opening the session of an image, in the thread of the session; another model, and saved work."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

from sam2_core import SAM2Error, Session, SessionError, SessionVideoError, open_session, saved_source
from sam2_napari import models
from sam2_napari.events import Said, Telling
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


def use_model(workspace: Workspace, name: str, device: str) -> Telling:
    """Go on with another model: prompts stay, and masks are stale until they are tracked again.

    What was done before cannot be undone any more. If the model cannot be loaded, the one before goes on.

    Raises:
        ModelError: if the model cannot be loaded.
        SessionError: if there is no room to carry the work over.
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


OTHER = "choose the image that it was made on, then open it"
OTHER_EARLIER = "show the plane that it was made on, push 'begin anew' (tab model), then 'resume'"
"""What to do where a saved session, or earlier work, is of another video."""


def resume(
    workspace: Workspace, paths: Sequence[Path], frame_index: int, aside: Path, other: str = OTHER
) -> Telling:
    """Go on with a saved session in the place of this one; if none can be opened, this one goes on.

    Args:
        workspace: the session.
        paths: saved ones; the first of this video that is whole counts.
        frame_index: the frame that the user looks at.
        aside: where the objects that there are now are kept.
        other: what to do if they are of another video.

    Raises:
        SessionError: if none of them can be opened; it says so of the first.
    """
    before = workspace.session
    session = _first_of(paths, before, other)
    if before.object_ids:
        before.save(aside)
    workspace.replace(session)
    yield from workspace.changed(frame_index)
    count = len(session.object_ids)
    yield Said(f"the work goes on with {count} object{'s' if count != 1 else ''}")


def _first_of(paths: Sequence[Path], before: Session, other: str) -> Session:
    problems = []
    for path in paths:
        try:
            saved_source(path)  # says it best if this is no saved session
            return open_session(path, video=before.video, model=before.model)
        except SessionVideoError as error:  # its advice is for those who write Python
            problems.append(f"{error.problem}; {other}")
        except SAM2Error as error:
            problems.append(f"{path.name} cannot be opened: {error}")
    raise SessionError(problems[0] if problems else "there is no earlier work on this image")
