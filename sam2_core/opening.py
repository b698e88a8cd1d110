"""Opening a session, on a video or where a saved one stopped."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import Any

from typing_extensions import TypeIs

from sam2_core import plugins, saved
from sam2_core.errors import PromptError, SessionError
from sam2_core.hookspecs import VideoModel, has_windows
from sam2_core.limits import Limits
from sam2_core.session import Session


def open_session(
    source: Any,
    *,
    model: str | Path | VideoModel | None = None,
    device: str = "auto",
    precision: str = "auto",
    windows: bool | None = None,
    video: Any = None,
    check_video: bool = True,
    limits: Limits | None = None,
) -> Session:
    """Open a session on a video, or go on with a saved one.

    Args:
        source: a video file, a folder of frames, a TIFF or OME-Zarr, an array, a Video, or a saved session.
        model: a registered name, the path of a checkpoint, or a loaded model; None for "nano", or for the
            model of the saved session.
        device: "auto" (CUDA, MPS or CPU, whichever is there) or a torch device; a loaded model stays where it
            is.
        precision: "exact" (float32, equal to the reference implementations) or "auto"; a loaded model stays
            as it is.
        windows: follow small objects in windows of the frame, see ``load_model``; None: yes, or as the saved
            session did; a loaded model stays as it is.
        video: where the frames of a saved session are now, if not where they were.
        check_video: refuse the frames of a saved session if its first prompted frame looks unlike it did;
            False goes on with any video of the same size and length.
        limits: what may be kept in memory.

    Raises:
        VideoError: if the source cannot be opened.
        ModelError: if the model cannot be loaded.
        SessionError: if the saved session is broken, or ``video`` is given beside a source that is none.
        SessionVideoError: if the video of a saved session is unknown, gone, or another one.
    """
    saved_bytes = limits.saved_bytes if limits is not None else None
    restored = saved.read(Path(source), saved_bytes) if saved.is_session(source) else None
    if restored is None and video is not None:
        name = plugins.describe(source)
        raise SessionError(f"video= is for saved sessions, and {name} is none; leave it out")
    given = source if restored is None else video
    with ExitStack() as undo:
        opened = plugins.open_video(given) if restored is None else restored.open_video(given)
        owns_video = isinstance(given, (str, Path)) or given is None
        if owns_video and hasattr(opened, "close"):
            undo.callback(opened.close)
        if restored is not None:
            restored.check(opened, compare=check_video)
        if model is None:
            model = "nano" if restored is None else restored.document.model
        loaded = model if _is_model(model) else _load(model, device, precision, windows, restored)
        session = Session(opened, loaded, limits, owns_video=owns_video)
        if restored is not None:
            _adopt(session, restored)
        undo.pop_all()
    return session


def _load(
    name: str | Path, device: str, precision: str, windows: bool | None, restored: saved.SavedSession | None
) -> VideoModel:
    loaded = plugins.load_model(name, device, precision, windows=windows is not False)
    if windows is None and restored is not None and has_windows(loaded):
        whole = loaded.whole_frames
        return whole if whole.identity == restored.document.identity else loaded
    return loaded


def _adopt(session: Session, restored: saved.SavedSession) -> None:
    try:
        session.adopt(restored.tracks(session.model))
    except PromptError as error:
        raise SessionError(f"{restored.path} cannot be read as a saved session: {error}") from error


def _is_model(model: str | Path | VideoModel) -> TypeIs[VideoModel]:
    return hasattr(model, "encode_image")


def saved_source(path: str | Path) -> str | None:
    """Where the video of a saved session was, or is beside it; None if it was made from an array.

    Raises:
        SessionError: if this is no saved session, or it is broken.
    """
    restored = saved.read(Path(path)) if saved.is_session(path) else None
    if restored is None:
        raise SessionError(f"{str(path)!r} is no saved session; give a file that Session.save wrote")
    return None if restored.document.source is None else str(restored.source())
