"""Saved sessions: the prompts, and as a cache the results, in one file.

The file is NumPy's ``.npz`` (a zip of arrays, no pickles): ``document`` holds JSON with the model, the video
and the prompts; the other arrays hold one row per known mask, their run lengths one after another.
"""

from __future__ import annotations

import json
import os
import tempfile
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from sam2_core import masks
from sam2_core.errors import PromptError, SessionError
from sam2_core.types import Box, MaskletFrame, Point, Prompt, RunLengths, Source

if TYPE_CHECKING:
    from sam2_core.session import Session
    from sam2_core.tracking.bank import Spans
    from sam2_core.tracking.track import ObjectTrack

FORMAT, VERSION = "sam2-core session", 1
COLUMNS = ("frame", "object", "score", "visible", "prompted", "stale", "place", "runs", "counts")


@dataclass(frozen=True, eq=False)
class SavedSession:
    """A saved session, read but not yet bound to a video and a model.

    Attributes:
        path: the file.
        document: the JSON part.
        arrays: the results.
        prompts: the prompts, in the order of the document.
    """

    path: Path
    document: Mapping[str, Any]
    arrays: Mapping[str, NDArray[Any]]
    prompts: tuple[Prompt, ...]

    @property
    def model(self) -> str:
        """The name of the model."""
        return str(self.document["model"])

    def source(self, video: Any = None) -> Any:
        """Where the frames are: as the caller says, where they were, or beside the file."""
        if video is not None:
            return video
        source = self.document["video"]["source"]
        if source is None:
            raise SessionError(
                f"{self.path} was made from an array; open it with open_session(path, video=...)"
            )
        beside = self.path.parent / Path(source).name
        return beside if beside.exists() and not Path(source).exists() else source

    def fits(self, session: Session) -> bool:
        """Whether the saved results are of this session's model; SessionError if the video is another one."""
        saved, video = self.document["video"], session.video
        if (tuple(saved["size"]), saved["frames"]) != (tuple(video.size), len(video)):
            raise SessionError(
                f"{self.path} was made on {saved['frames']} frames of height and width {saved['size']}; "
                f"this video has {len(video)} of {list(video.size)}"
            )
        return session.model.name == self.model

    def tracks(self, spans: Spans) -> Iterator[ObjectTrack]:
        """The objects with all that was known of them."""
        from sam2_core.tracking.track import ObjectTrack

        tracks = {i: ObjectTrack(i, spans) for i in self.document["objects"]}
        prompts = {(p.frame_index, p.object_id): p for p in self.prompts}
        for frame_index, object_id, row in self._rows():
            tracks[object_id].restore(frame_index, row, prompts.get((frame_index, object_id)))
        for object_id in self.document["complete"]:
            tracks[object_id].mark_complete(self.document["video"]["frames"])
        yield from tracks.values()

    def _rows(self) -> Iterator[tuple[int, int, MaskletFrame]]:
        a, size = self.arrays, tuple(self.document["video"]["size"])
        ends = np.cumsum(a["runs"])
        for i in range(len(a["frame"])):
            top, left, height, width = (int(n) for n in a["place"][i])
            counts = a["counts"][int(ends[i] - a["runs"][i]) : int(ends[i])]
            encoded = RunLengths((size[0], size[1]), top, left, (height, width), counts)
            source: Source = "prompted" if a["prompted"][i] else "propagated"
            frame = MaskletFrame(
                encoded,
                float(a["score"][i]),
                bool(a["visible"][i]),
                source,
                bool(a["stale"][i]),
            )
            yield int(a["frame"][i]), int(a["object"][i]), frame


def is_session(source: object) -> bool:
    """Whether this is the path of a saved session."""
    if not isinstance(source, (str, Path)) or not Path(source).is_file():
        return False
    try:
        with zipfile.ZipFile(source) as file:
            return "document.npy" in file.namelist()
    except (zipfile.BadZipFile, OSError):
        return False


def write(path: Path, session: Session, tracks: Iterable[ObjectTrack]) -> None:
    """Write a session; the file appears when it is complete."""
    tracks = list(tracks)
    document = {
        "format": FORMAT,
        "version": VERSION,
        "model": session.model.name,
        "video": {
            "source": session.source and str(Path(session.source).resolve()),
            "size": list(session.video.size),
            "frames": len(session.video),
        },
        "objects": [track.object_id for track in tracks],
        "complete": [t.object_id for t in tracks if t.is_complete and len(t.masklet()) == len(session.video)],
        "prompts": [_to_json(t.prompts[i]) for t in tracks for i in sorted(t.prompts)],
    }
    rows = [(t.object_id, i, t[i]) for t in tracks for i in t]
    rows += [(t.object_id, i, frame) for t in tracks for i, frame in t.covered()]
    encoded = [frame.encoded for _, _, frame in rows]
    arrays: dict[str, NDArray[Any]] = {
        "document": np.frombuffer(json.dumps(document).encode(), np.uint8),
        "frame": np.array([i for _, i, _ in rows], np.int64),
        "object": np.array([o for o, _, _ in rows], np.int64),
        "score": np.array([f.score for _, _, f in rows], np.float32),
        "visible": np.array([f.visible for _, _, f in rows], np.bool_),
        "prompted": np.array([f.source == "prompted" for _, _, f in rows], np.bool_),
        "stale": np.array([f.stale for _, _, f in rows], np.bool_),
        "place": np.array([(m.top, m.left, *m.shape) for m in encoded], np.int32).reshape(-1, 4),
        "runs": np.array([len(m.counts) for m in encoded], np.int64),
        "counts": np.concatenate([m.counts for m in encoded] or [np.zeros(0, np.uint32)]),
    }
    try:
        _write_atomically(path, arrays)
    except OSError as error:
        raise SessionError(f"cannot write the session to {path}: {error.strerror or error}") from error


def _write_atomically(path: Path, arrays: Mapping[str, NDArray[Any]]) -> None:
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            np.savez_compressed(file, **arrays)  # type: ignore[arg-type]  # its stubs take no mapping
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def read(path: Path) -> SavedSession:
    """Read a saved session.

    Raises:
        SessionError: if the file is broken or from a newer version.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            document = json.loads(file["document"].tobytes())
            arrays = {name: file[name] for name in COLUMNS}
        if document["format"] != FORMAT or document["version"] > VERSION:
            raise SessionError(
                f"{path} was written by a newer version of sam2-core; update it to open this file"
            )
        return SavedSession(path, document, arrays, tuple(map(_from_json, document["prompts"])))
    except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile) as error:
        if isinstance(error, PromptError):
            raise
        raise SessionError(f"{path} is not a saved session, or it is broken: {error}") from error


def _to_json(prompt: Prompt) -> dict[str, Any]:
    return {
        "frame": prompt.frame_index,
        "object_id": prompt.object_id,
        "points": [[float(x), float(y), int(positive)] for x, y, positive in prompt.points],
        "box": None if prompt.box is None else [float(n) for n in prompt.box],
        "mask": None if prompt.mask is None else masks.to_coco(masks.encode(prompt.mask)),
        "previous": None if prompt.previous is None else masks.to_coco(masks.encode(prompt.previous)),
    }


def _from_json(prompt: Mapping[str, Any]) -> Prompt:
    masklike = {k: masks.from_coco(prompt[k]).decode() if prompt[k] else None for k in ("mask", "previous")}
    return Prompt(
        prompt["frame"],
        prompt["object_id"],
        tuple(Point(x, y, bool(positive)) for x, y, positive in prompt["points"]),
        Box(*prompt["box"]) if prompt["box"] else None,
        **masklike,
    )
