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
from sam2_core.limits import Limits
from sam2_core.saved.document import Document, document_of, from_json
from sam2_core.saved.restoring import SavedSession
from sam2_core.saved.rows import COLUMNS, ROWS, Columns, Row, from_columns, to_columns
from sam2_core.tracking import memory_file
from sam2_core.tracking.track import ObjectTrack
from sam2_core.types import Video

FIRST = b"document.npy"
"""The first entry of the zip, by which a file is known even if its end is missing."""


LARGEST_DOCUMENT = 2**28
"""Bytes of a document: a million prompts, or thousands of ragged masks."""

MOST_ROWS = 2**25
"""Masks of a session: as objects of Python they would take some 20 GB."""

HEADER = 2**14
"""NumPy's header of an array takes fewer bytes."""


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
        with new_file(path, tidy=True) as temporary, temporary.open("wb") as file:
            np.savez_compressed(file, **arrays)
    except Exception as error:  # the disk, or a user's video or model that says what JSON does not know
        raise SessionError(f"cannot write {str(path)!r}: {reason(error)}") from error


def _arrays(
    video: Video, model: VideoModel, tracks: Sequence[ObjectTrack], memory_bytes: int
) -> dict[str, NDArray[Any]]:
    document = json.dumps(document_of(video, model, tracks).to_json()).encode()
    if len(document) > LARGEST_DOCUMENT:
        raise SessionError(f"its prompts take more than {LARGEST_DOCUMENT} bytes; remove some")
    rows = [Row(i, t.object_id, t[i]) for t in tracks for i in t]
    rows += [Row(i, t.object_id, frame) for t in tracks for i, frame in t.hidden()]
    arrays = {"document": np.frombuffer(document, np.uint8), **to_columns(rows)}
    memories = None
    if stores_memories(model):
        with suppress(Exception):  # a cache: without it the objects are tracked again
            memories = memory_file.pack(tracks, model, video, _key(arrays), memory_bytes)
    if memories is not None and len(memories) <= memory_room(memory_bytes):
        arrays["memories"] = np.frombuffer(memories, np.uint8)
        arrays["checksum"] = np.frombuffer(_key(arrays).encode(), np.uint8)
    return arrays


def read(path: Path, memory_bytes: int | None = None) -> SavedSession:
    """Read a saved session.

    Args:
        path: the file.
        memory_bytes: what the memories were limited to when it was saved, if that was more than the default;
            larger ones are not read, and their objects are tracked again.

    Raises:
        SessionError: if the file is broken or from a newer version.
    """
    try:
        with zipfile.ZipFile(path) as file:
            arrays = {"document": _read_array(file, "document", LARGEST_DOCUMENT)}
            said = json.loads(arrays["document"].tobytes())
            document = from_json(said)
            arrays |= _read_columns(file, said)
            memories = _memories(file, arrays, memory_room(memory_bytes))
        rows = from_columns(arrays, document.size)
        _check(document, arrays)
    except Exception as error:  # a broken file makes zipfile, NumPy and json raise what they like
        text = str(error) if isinstance(error, SAM2Error) else repr(error)
        raise SessionError(f"{path} cannot be read as a saved session: {' '.join(text.split())}") from error
    return SavedSession(path, document, rows, _key(arrays), memories)


def _memories(file: zipfile.ZipFile, arrays: Columns, room: int) -> bytes | None:
    """The bytes of the memories; None if there are none, or if they or what they belong to are damaged."""
    with suppress(Exception):  # a cache: nothing that may be wrong with it makes the session unreadable
        memories = _read_array(file, "memories", room)
        checksum = _read_array(file, "checksum", 64).tobytes()
        if checksum == _key({**arrays, "memories": memories}).encode():
            return bytes(memories.tobytes())
    return None


# --- no entry of the zip is read that is larger than what it belongs to can need ------------------------
# Saved masks may pack as much as deflate ever packs (1032 times); hence the size of the file bounds nothing.
# The document has a fixed bound, the rows are bounded by its frames and objects, the runs by the rows.


def memory_room(memory_bytes: int | None) -> int:
    """The bytes that the memories of a file may take, with their names, under a limit; at least the default.

    Args:
        memory_bytes: the limit of memories; None for the default.
    """
    return 2 * max(memory_bytes or 0, Limits().saved_bytes) + 2**24


def _read_array(file: zipfile.ZipFile, name: str, most: int) -> NDArray[Any]:
    """An array of the file.

    Args:
        file: the zip.
        name: the name of the array.
        most: its bytes at most.

    Raises:
        SessionError: if it claims to be larger, or is packed in a way that takes any memory.
        Exception: whatever zipfile and NumPy raise if it is broken.
    """
    entry = file.getinfo(f"{name}.npy")
    if entry.file_size > most + HEADER:
        raise SessionError(f"it claims to hold {entry.file_size} bytes of {name!r}, which has {most} at most")
    if entry.compress_type == zipfile.ZIP_LZMA:  # its dictionary may be as large as it says
        raise SessionError(f"its {name!r} is packed by LZMA, which saving never uses")
    with file.open(entry) as opened:
        return np.asarray(np.lib.format.read_array(opened, allow_pickle=False))


def _read_columns(file: zipfile.ZipFile, document: Mapping[str, Any]) -> dict[str, NDArray[Any]]:
    """The columns of the file; not yet checked but for their sizes.

    Raises:
        SessionError: if they claim to be larger than the document and one another allow.
        Exception: whatever a broken file makes the libraries raise.
    """
    frames, objects = int(document["video"]["frames"]), np.unique(np.array(document["objects"], np.int64))
    rows = min(MOST_ROWS, 2 * frames * len(objects))  # a prompt's mask may cover a tracked one
    columns: dict[str, NDArray[Any]] = {}
    for name, kind in ROWS.items():
        width = 4 if name == "place" else 1
        columns[name] = _read_array(file, name, rows * width * np.dtype(kind).itemsize)
        if name == "frame":
            rows = len(columns[name])
        if name == "object":
            _check_few(columns, frames, objects)
    columns["counts"] = _read_array(file, "counts", 4 * _most_runs(columns))
    return columns


def _check_few(columns: Columns, frames: int, objects: NDArray[np.int64]) -> None:
    """Whether each object has two masks on a frame at most: what repeats itself packs into nothing."""
    places = np.searchsorted(objects, columns["object"]).astype(np.int64)
    if np.unique(places * frames + columns["frame"], return_counts=True)[1].max(initial=0) > 2:
        raise SessionError("it holds many masks of one object on one frame")


def _most_runs(columns: Columns) -> int:
    """The runs that the rows speak of, as far as their rectangles can hold them."""
    runs, height, width = columns["runs"], columns["place"][:, 2], columns["place"][:, 3]
    pixels = height.astype(np.int64) * width
    if (runs < 0).any() or (runs > pixels + 1).any():
        raise SessionError("a mask has more runs than pixels")
    return int(runs.sum())


# --- what belongs together -----------------------------------------------------------------------------


def _key(arrays: Mapping[str, NDArray[Any]]) -> str:
    """A checksum of the document and the results, by which their memories know them, or of all three."""
    checksum = sha256()
    for name in ("document", *COLUMNS, *({"memories"} & arrays.keys())):
        checksum.update(np.ascontiguousarray(arrays[name]).data)  # where it lies, without a copy
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
