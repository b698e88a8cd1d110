"""Saving and exporting, in the thread of the session."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from sam2_core import SAM2Error, SessionError, exporter
from sam2_napari.events import Event, Progress, Said
from sam2_napari.workspace import Workspace


def save(workspace: Workspace, path: Path) -> Iterator[Event]:
    """Save the session to a file; dropping it on napari's window opens it again."""
    workspace.session.save(path)
    yield Said(f"saved as {path}")


def export(workspace: Workspace, formats: Sequence[str], folder: Path) -> Iterator[Event]:
    """Write what is known in these formats, each into the folder; one that fails does not stop the others.

    Raises:
        SessionError: if one failed, or there is nothing to write.
    """
    session, written = workspace.session, []
    if not formats:
        raise SessionError("no format is chosen; choose one or more in the list")
    if not session.object_ids:
        raise SessionError("there is nothing to export; click on an object first")
    masklets = session.masklets()  # as they are now, whatever passes
    failed = []
    for done, name in enumerate(formats):
        yield Progress(done, len(formats))
        try:
            written.append(exporter(name)(masklets, session.video, folder))
        except SAM2Error as error:
            failed.append(str(error))
    yield Progress(len(formats), len(formats))
    if written:
        yield Said(f"written: {', '.join(map(str, written))}")
    if failed:
        raise SessionError("; ".join(failed))


def keep(workspace: Workspace, path: Path) -> Iterator[Event]:
    """Save the session in case of a crash, without a word; of one without objects nothing is kept.

    Raises:
        SessionError: if it cannot be kept, with what to do.
    """
    try:
        if workspace.session.object_ids:
            path.parent.mkdir(parents=True, exist_ok=True)
            workspace.session.save(path)
        else:
            path.unlink(missing_ok=True)
    except (OSError, SessionError) as error:
        raise SessionError(
            f"the work is not kept in case of a crash: {error}; save it elsewhere, "
            "or set SAM2_CACHE to a folder with room"
        ) from error
    yield from ()
