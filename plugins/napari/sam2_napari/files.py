"""Saving and exporting, in the thread of the session."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from sam2_core import ExportError, SAM2Error, Session, exporter
from sam2_napari.events import Kept, Progress, Said, Telling
from sam2_napari.workspace import Workspace


def save(workspace: Workspace, path: Path) -> Telling:
    """Save the session to a file; dropping it on napari's window opens it again."""
    workspace.session.save(path)
    yield Said(f"saved as {path}")


def export(workspace: Workspace, formats: Sequence[str], folder: Path) -> Telling:
    """Write what is known in these formats, each into the folder; one that fails does not stop the others.

    Raises:
        ExportError: if one failed, or there is nothing to write.
    """
    session, written = workspace.session, []
    if not formats:
        raise ExportError("no format is chosen; choose one or more in the list")
    if not session.object_ids:
        raise ExportError("there is nothing to export; click on an object first")
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
        names = ", ".join(path.name for path in written)
        yield Said(f"written: {names} in {folder}{_unfinished(session)}")
    if failed:
        raise ExportError("; ".join(failed))


def _unfinished(session: Session) -> str:
    """What to know of objects that are not tracked to their ends; empty if all are."""
    found = [
        object_id for object_id, masklet in session.masklets().items()
        if set(session.lifetime(object_id)) - masklet.keys() or any(f.stale for f in masklet.values())
    ]  # fmt: skip
    return f"; not tracked to the end: object {', '.join(map(str, found))}" if found else ""


def keep(workspace: Workspace, path: Path) -> Telling:
    """Save the session in case of a crash; of one without objects nothing is kept."""
    try:
        if workspace.session.object_ids:
            path.parent.mkdir(parents=True, exist_ok=True)
            workspace.session.save(path)
        else:
            path.unlink(missing_ok=True)
    except (OSError, SAM2Error) as error:
        advice = "save it elsewhere, or set SAM2_CACHE to a folder with room"
        yield Kept(f"the work is not kept in case of a crash: {error}; {advice}")
    else:
        yield Kept()
