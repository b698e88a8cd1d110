"""The file of a saved session: written whole or not at all, and read without trust."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sam2_core.errors import SAM2Error, SessionError, reason
from sam2_core.files import new_file, writable
from sam2_core.hookspecs import VideoModel, stores_memories
from sam2_core.saved.document import Document, document_of, from_json
from sam2_core.saved.restoring import SavedSession
from sam2_core.saved.rows import COLUMNS, Columns, Row, from_columns, to_columns
from sam2_core.tracking import memory_file
from sam2_core.tracking.track import ObjectTrack
from sam2_core.types import Video

FIRST = b"document.npy"
"""The first entry of the zip, by which a file is known even if its end is missing."""

DENSEST = 1100
"""Deflate packs at most 1032 times; what claims more would fill the memory."""


def is_session(source: object) -> bool:
    """Whether this is the path of a saved session, be it whole or cut off."""
    if not isinstance(source, (str, Path)):
        return False
    try:
        if not Path(source).is_file():
            return False
        with Path(source).open("rb") as file:
            header = file.read(30 + len(FIRST))  # of a zip's first entry; its name starts at byte 30
    except (OSError, ValueError):  # no file can have this name, or nobody may read it
        return False
    return header.startswith(b"PK") and header.endswith(FIRST)


def check_target(path: str | Path) -> None:
    """Whether a session may be saved there: nothing is, or an empty file, or a saved session.

    Raises:
        SessionError: if something else is there, which saving would destroy.
    """
    try:
        there = writable(Path(path))
        taken = there.exists() and there.stat().st_size > 0 and not is_session(there)
    except OSError as error:
        raise SessionError(f"cannot write {str(path)!r}: {reason(error)}") from error
    if taken:
        raise SessionError(f"{str(path)!r} is there and is no saved session; give another name")


def write(
    path: Path, video: Video, model: VideoModel, tracks: Sequence[ObjectTrack], memory_bytes: int
) -> None:
    """Write a session; the file appears when it is complete.

    Args:
        path: the file.
        video: the video; a thumbnail of its first prompted frame is kept.
        model: the model.
        tracks: the objects.
        memory_bytes: for the memories of passes that are to go on at most.

    Raises:
        SessionError: if it cannot be written, or something else is there; what was there before is kept.
    """
    check_target(path)
    try:
        arrays: Any = _arrays(video, model, tracks, memory_bytes)
        with new_file(path) as temporary, temporary.open("wb") as file:
            np.savez_compressed(file, **arrays)
    except Exception as error:  # the disk, or a user's video or model that says what JSON does not know
        raise SessionError(f"cannot write {str(path)!r}: {reason(error)}") from error


def _arrays(
    video: Video, model: VideoModel, tracks: Sequence[ObjectTrack], memory_bytes: int
) -> dict[str, NDArray[Any]]:
    document = json.dumps(document_of(video, model, tracks).to_json())
    rows = [Row(i, t.object_id, t[i]) for t in tracks for i in t]
    rows += [Row(i, t.object_id, frame) for t in tracks for i, frame in t.covered()]
    arrays = {"document": np.frombuffer(document.encode(), np.uint8), **to_columns(rows)}
    memories = None
    if stores_memories(model):
        with suppress(Exception):  # a cache: without it the objects are tracked again
            memories = memory_file.pack(tracks, model, video, _key(arrays), memory_bytes)
    if memories is not None:
        arrays["memories"] = np.frombuffer(memories, np.uint8)
        arrays["checksum"] = np.frombuffer(_key(arrays).encode(), np.uint8)
    return arrays


def read(path: Path) -> SavedSession:
    """Read a saved session.

    Raises:
        SessionError: if the file is broken or from a newer version.
    """
    try:
        arrays, memories = _read(path)
        document = from_json(json.loads(arrays["document"].tobytes()))
        rows = from_columns(arrays, document.size)
        _check(document, arrays)
    except Exception as error:  # a broken file makes zipfile, NumPy and json raise what they like
        text = str(error) if isinstance(error, SAM2Error) else repr(error)
        raise SessionError(f"{path} cannot be read as a saved session: {' '.join(text.split())}") from error
    return SavedSession(path, document, rows, _key(arrays), memories)


def _read(path: Path) -> tuple[dict[str, NDArray[Any]], bytes | None]:
    """The document and the columns, and the memories if they are whole."""
    with path.open("rb") as opened, np.load(opened, allow_pickle=False) as file:
        entries = {entry.filename.removesuffix(".npy"): entry for entry in file.zip.infolist()}
        memory_entry = entries.pop("memories", None)
        claimed = sum(entry.file_size for entry in entries.values())
        if claimed > max(2**26, DENSEST * path.stat().st_size):
            raise SessionError(f"it claims to hold {claimed} bytes")
        arrays = {name: file[name] for name in ("document", *COLUMNS)}
        return arrays, _memories(file, memory_entry, arrays)


def _memories(file: Any, entry: zipfile.ZipInfo | None, arrays: Columns) -> bytes | None:
    """The bytes of the memories; None if there are none, or if they or what they belong to are damaged."""
    if entry is None or entry.file_size > max(2**26, DENSEST * entry.compress_size):
        return None
    with suppress(Exception):  # a cache: nothing that may be wrong with it makes the session unreadable
        memories = file["memories"]
        if file["checksum"].tobytes() == _key({**arrays, "memories": memories}).encode():
            return bytes(memories.tobytes())
    return None


def _key(arrays: Mapping[str, NDArray[Any]]) -> str:
    """A checksum of the document and the results, by which their memories know them, or of all three."""
    checksum = sha256()
    for name in ("document", *COLUMNS, *({"memories"} & arrays.keys())):
        checksum.update(arrays[name].tobytes())
    return checksum.hexdigest()


def _check(document: Document, columns: Columns) -> None:
    """Whether the parts say the same: each prompt has its mask, each mask its object."""
    frames, objects, prompted = columns["frame"], columns["object"], columns["prompted"]
    told = {(prompt.frame_index, prompt.object_id) for prompt in document.prompts}
    if not (
        {*document.objects} == {object_id for _, object_id in told} >= {*document.complete}
        and np.isin(objects, document.objects).all()
        and ((frames >= 0) & (frames < document.frames)).all()
        and set(zip(frames[prompted].tolist(), objects[prompted].tolist(), strict=True)) == told
    ):
        raise SessionError("its prompts and masks do not belong together")
