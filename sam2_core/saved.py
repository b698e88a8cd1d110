"""Saved sessions: the prompts, and as a cache the results and what tracking needs to go on, in one file.

The file is NumPy's ``.npz`` (a zip of arrays, no pickles): ``document`` holds JSON with the model, the video
and the prompts; ``memories`` are the bytes of ``tracking.memory_file``; the other arrays hold one row per
known mask, their run lengths one after another.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sam2_core import masks, plugins, thumbnails
from sam2_core.errors import SAM2Error, SessionError, SessionVideoError, VideoError, reason
from sam2_core.files import new_file, writable
from sam2_core.hookspecs import VideoModel, stores_memories
from sam2_core.types import Box, Mask, MaskletFrame, Point, Prompt, RunLengths, Source, Video
from sam2_core.videos import ImageOptions

if TYPE_CHECKING:
    from sam2_core.tracking.track import ObjectTrack

FORMAT, VERSION = "sam2-core session", 1
COLUMNS = ("frame", "object", "score", "visible", "prompted", "stale", "place", "runs", "counts")
FIRST = b"document.npy"
"""The first entry of the zip, by which a file is known even if its end is missing."""

ADVICE = "give the right one with video="

DENSEST, LARGEST = 1100, 2**30
"""Deflate packs at most 1032 times, frames have fewer pixels; what claims more would fill memory."""


class Row(NamedTuple):
    """One known mask."""

    frame_index: int
    object_id: int
    frame: MaskletFrame


@dataclass(frozen=True, eq=False)
class SavedSession:
    """A saved session, read but not yet bound to a video and a model.

    Attributes:
        path: the file.
        document: the JSON part.
        prompts: the prompts, in the order of the document.
        rows: the results.
        options: how the frames were read, if the caller had said so.
        key: a checksum of all that the memories belong to.
        memories: what tracking needs to go on, if it is there.
    """

    path: Path
    document: Mapping[str, Any]
    prompts: tuple[Prompt, ...]
    rows: tuple[Row, ...]
    options: ImageOptions | None
    key: str
    memories: bytes | None

    @property
    def model(self) -> str:
        """The name of the model, or the path of its checkpoint."""
        return str(self.document["model"])

    def open_video(self, given: Any = None) -> Video:
        """The frames, read as when the session was made; a given video or array is taken as it is.

        Args:
            given: where they are now; None for where they were, or beside the file.

        Raises:
            SessionVideoError: if nothing is given, and they are not found.
            VideoError: if what is there cannot be opened.
        """
        source = self._source() if given is None else given
        try:
            return plugins.open_video(source, self.options if isinstance(source, (str, Path)) else None)
        except VideoError as error:
            if given is not None or Path(source).exists():
                raise
            raise SessionVideoError(f"{self.path} cannot find its video: {error}", ADVICE) from error

    def _source(self) -> str | Path:
        source = self.document["video"]["source"]
        if source is None:
            raise SessionVideoError(f"{self.path} was made from an array, which it does not hold", ADVICE)
        beside = self.path.parent / Path(source).name
        return beside if beside.exists() and not Path(source).exists() else str(source)

    def check(self, video: Video, *, compare: bool = True) -> None:
        """Whether this may be the video on which the session was made.

        Args:
            video: the video.
            compare: compare the first prompted frame; False takes any video of that size and length.

        Raises:
            SessionVideoError: if it is another one.
        """
        saved = self.document["video"]
        if (tuple(saved["size"]), saved["frames"]) != (tuple(video.size), len(video)):
            raise SessionVideoError(
                f"{self.path} was made on {saved['frames']} frames of height and width {saved['size']}; "
                f"this video has {len(video)} of {list(video.size)}",
                ADVICE,
            )
        thumbnail = saved.get("thumbnail")
        if compare and not thumbnails.matches(video, thumbnail):
            raise SessionVideoError(
                f"frame {thumbnail['frame']} of this video looks unlike the one that {self.path} was made on",
                f"{ADVICE}, or check_video=False to go on with this one",
            )

    def tracks(self, model: VideoModel) -> Iterator[ObjectTrack]:
        """The objects with all that was known of them, for the model with which it was computed."""
        from sam2_core.tracking import memory_file
        from sam2_core.tracking.bank import Spans
        from sam2_core.tracking.track import ObjectTrack

        spans = Spans.of(model)
        tracks = {i: ObjectTrack(i, spans) for i in self.document["objects"]}
        prompts = {(p.frame_index, p.object_id): p for p in self.prompts}
        for row in self.rows:
            tracks[row.object_id].restore(row.frame_index, row.frame, prompts.get(row[:2]))
        for object_id in self.document["complete"]:
            tracks[object_id].mark_complete(self.document["video"]["frames"])
        if self.memories is not None and stores_memories(model):
            with suppress(Exception):  # a cache: what is damaged is computed again
                memory_file.unpack(self.memories, tracks, model, self.key)
        yield from tracks.values()


def is_session(source: object) -> bool:
    """Whether this is the path of a saved session, be it whole or cut off."""
    if not isinstance(source, (str, Path)) or not Path(source).is_file():
        return False
    try:
        with Path(source).open("rb") as file:
            header = file.read(30 + len(FIRST))  # of a zip's first entry; its name starts at byte 30
    except OSError:
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
    from sam2_core.tracking import memory_file

    check_target(path)
    origin = plugins.origin_of(video)
    document = {
        "format": FORMAT,
        "version": VERSION,
        "model": model.name,
        "identity": model.identity,
        "video": {
            "source": origin and origin.path,
            "options": _options_to_json(origin.options) if origin and origin.options else None,
            "size": list(video.size),
            "frames": len(video),
            "thumbnail": thumbnails.thumbnail(video, min((t.first for t in tracks), default=0)),
        },
        "objects": [track.object_id for track in tracks],
        "complete": [t.object_id for t in tracks if t.is_complete(len(video))],
        "prompts": [_to_json(t.prompts[i]) for t in tracks for i in sorted(t.prompts)],
    }
    rows = [Row(i, t.object_id, t[i]) for t in tracks for i in t]
    rows += [Row(i, t.object_id, frame) for t in tracks for i, frame in t.covered()]
    arrays: Any = {"document": np.frombuffer(json.dumps(document).encode(), np.uint8), **_columns(rows)}
    if stores_memories(model):
        memories = memory_file.pack(tracks, model, video, _key(arrays), memory_bytes)
        if memories is not None:
            arrays["memories"] = np.frombuffer(memories, np.uint8)
            arrays["checksum"] = np.frombuffer(_key(arrays).encode(), np.uint8)
    try:
        with new_file(path) as temporary, temporary.open("wb") as file:
            np.savez_compressed(file, **arrays)
    except OSError as error:
        raise SessionError(f"cannot write {str(path)!r}: {reason(error)}") from error


def _columns(rows: Sequence[Row]) -> dict[str, NDArray[Any]]:
    frames = [row.frame for row in rows]
    encoded = [frame.encoded for frame in frames]
    return {
        "frame": np.array([row.frame_index for row in rows], np.int64),
        "object": np.array([row.object_id for row in rows], np.int64),
        "score": np.array([f.score for f in frames], np.float32),
        "visible": np.array([f.visible for f in frames], np.bool_),
        "prompted": np.array([f.source == "prompted" for f in frames], np.bool_),
        "stale": np.array([f.stale for f in frames], np.bool_),
        "place": np.array([(m.top, m.left, *m.shape) for m in encoded], np.int32).reshape(-1, 4),
        "runs": np.array([len(m.counts) for m in encoded], np.int64),
        "counts": np.concatenate([np.zeros(0, np.uint32), *(m.counts for m in encoded)]),
    }


def read(path: Path) -> SavedSession:
    """Read a saved session.

    Raises:
        SessionError: if the file is broken or from a newer version.
    """
    try:
        with path.open("rb") as opened, np.load(opened, allow_pickle=False) as file:
            entries = {entry.filename.removesuffix(".npy"): entry for entry in file.zip.infolist()}
            memory_entry = entries.pop("memories", None)
            claimed = sum(entry.file_size for entry in entries.values())
            if claimed > max(2**26, DENSEST * path.stat().st_size):
                raise SessionError(f"it claims to hold {claimed} bytes")
            arrays = {name: file[name] for name in ("document", *COLUMNS)}
            document = json.loads(arrays["document"].tobytes())
            if document["format"] != FORMAT or document["version"] > VERSION:
                raise SessionError("a newer version of sam2-core wrote it; update")
            size = _size(document)
            prompts = tuple(_from_json(prompt, size) for prompt in document["prompts"])
            rows = tuple(_rows({name: arrays[name] for name in COLUMNS}, size))
            options = _options_from_json(document["video"].get("options"))
            memories = _memories(file, memory_entry, arrays)
        _check(document, prompts, rows)
    except Exception as error:  # a broken file makes zipfile, NumPy and json raise what they like
        text = str(error) if isinstance(error, SAM2Error) else repr(error)
        raise SessionError(f"{path} cannot be read as a saved session: {' '.join(text.split())}") from error
    return SavedSession(path, document, prompts, rows, options, _key(arrays), memories)


def _memories(file: Any, entry: zipfile.ZipInfo | None, arrays: Mapping[str, NDArray[Any]]) -> bytes | None:
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


def _options_to_json(options: ImageOptions) -> dict[str, Any]:
    limits, channels = options.contrast_limits, options.channels
    return {
        "contrast_limits": None if limits is None else np.asarray(limits, np.float64).tolist(),
        "channels": None if channels is None else [int(channel) for channel in channels],
        "z": None if options.z is None else int(options.z),
        "axes": options.axes,
    }


def _options_from_json(options: Mapping[str, Any] | None) -> ImageOptions | None:
    return None if options is None else ImageOptions(**options)


def _size(document: Mapping[str, Any]) -> tuple[int, int]:
    """Height and width of the frames, after a look at what else the document says of the video."""
    video = document["video"]
    (height, width), texts = video["size"], [document["model"], document["identity"], video["source"] or ""]
    numbers = [height, width, video["frames"], *document["objects"], *document["complete"]]
    if {*map(type, numbers)} != {int} or {*map(type, texts)} != {str} or not 0 < height * width < LARGEST:
        raise SessionError("its document lacks numbers or names")
    seen = video.get("thumbnail")
    if seen is not None and not (bytes.fromhex(seen["gray"]) and seen["frame"] >= 0):
        raise SessionError("its document lacks what its video looks like")
    return height, width


def _rows(columns: Mapping[str, NDArray[Any]], size: tuple[int, int]) -> Iterator[Row]:
    height, width = size
    counts = columns["counts"]
    if (
        counts.dtype != np.uint32
        or counts.ndim != 1
        or len({len(columns[name]) for name in COLUMNS[:-1]}) > 1
        or columns["runs"].sum() != len(counts)
    ):
        raise SessionError("its columns do not belong together")
    ends = np.cumsum(columns["runs"])
    for i in range(len(columns["frame"])):
        value = {name: column[i] for name, column in columns.items() if name != "counts"}
        top, left, *shape = (int(n) for n in value["place"])
        own = counts[int(ends[i] - value["runs"]) : int(ends[i])]
        inside = 0 <= top <= height - shape[0] and 0 <= left <= width - shape[1]
        if not inside or own.sum() != shape[0] * shape[1]:
            raise SessionError("a mask does not fit its frame")
        encoded = RunLengths((height, width), top, left, (shape[0], shape[1]), own)
        source: Source = "prompted" if value["prompted"] else "propagated"
        frame = MaskletFrame(
            encoded, float(value["score"]), bool(value["visible"]), source, bool(value["stale"])
        )
        yield Row(int(value["frame"]), int(value["object"]), frame)


def _check(document: Mapping[str, Any], prompts: Sequence[Prompt], rows: Sequence[Row]) -> None:
    """Whether the parts say the same: each prompt has its mask, each mask its object."""
    objects, frames = set(document["objects"]), range(document["video"]["frames"])
    prompted = {row[:2] for row in rows if row.frame.source == "prompted"}
    complete = objects == {p.object_id for p in prompts} and objects.issuperset(document["complete"])
    fitting = all(row.object_id in objects and row.frame_index in frames for row in rows)
    if not (complete and fitting and prompted == {(p.frame_index, p.object_id) for p in prompts}):
        raise SessionError("its prompts and masks do not belong together")


def _to_json(prompt: Prompt) -> dict[str, Any]:
    return {
        "frame": prompt.frame_index,
        "object_id": prompt.object_id,
        "points": [[float(x), float(y), int(positive)] for x, y, positive in prompt.points],
        "box": None if prompt.box is None else [float(n) for n in prompt.box],
        "mask": None if prompt.mask is None else masks.to_coco(masks.encode(prompt.mask)),
        "previous": None if prompt.previous is None else masks.to_coco(masks.encode(prompt.previous)),
    }


def _from_json(prompt: Mapping[str, Any], size: tuple[int, ...]) -> Prompt:
    masklike = {name: _mask(prompt[name], size) for name in ("mask", "previous")}
    return Prompt(
        prompt["frame"],
        prompt["object_id"],
        tuple(Point(x, y, bool(positive)) for x, y, positive in prompt["points"]),
        Box(*prompt["box"]) if prompt["box"] else None,
        **masklike,
    )


def _mask(rle: Mapping[str, Any] | None, size: tuple[int, ...]) -> Mask | None:
    if not rle:
        return None
    if tuple(rle["size"]) != size:
        raise SessionError(f"a prompt's mask has the size {rle['size']}")
    return masks.from_coco(rle).decode()
