"""A saved session on its way back: the video and the objects that its file speaks of."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from sam2_core import plugins, thumbnails
from sam2_core.errors import SessionVideoError, VideoError
from sam2_core.hookspecs import VideoModel, stores_memories
from sam2_core.saved.document import Document
from sam2_core.saved.rows import Row
from sam2_core.tracking import memory_file
from sam2_core.tracking.bank import Spans
from sam2_core.tracking.life import ALWAYS
from sam2_core.tracking.track import ObjectTrack
from sam2_core.types import Video

ADVICE = "give the right one with video="


@dataclass(frozen=True, eq=False)
class SavedSession:
    """A saved session, read but not yet bound to a video and a model.

    Attributes:
        path: the file.
        document: the model, the video and the prompts.
        rows: the results.
        key: a checksum of all that the memories belong to.
        memories: what tracking needs to go on, if it is there.
    """

    path: Path
    document: Document
    rows: tuple[Row, ...]
    key: str
    memories: bytes | None

    def open_video(self, given: Any = None) -> Video:
        """The frames, read as when the session was made; a given video or array is taken as it is.

        Args:
            given: where they are now; None for where they were, or beside the file.

        Raises:
            SessionVideoError: if nothing is given, and they are not found.
            VideoError: if what is there cannot be opened.
        """
        source = self.source() if given is None else given
        options = self.document.options if isinstance(source, (str, Path)) else None
        try:
            return plugins.open_video(source, options)
        except VideoError as error:
            if given is not None or _is_there(Path(source)):
                raise
            raise SessionVideoError(f"{self.path} cannot find its video: {error}", ADVICE) from error

    def source(self) -> str | Path:
        """Where the frames are: where they were, or beside the file.

        Raises:
            SessionVideoError: if the session was made from an array.
        """
        source = self.document.source
        if source is None:
            raise SessionVideoError(f"{self.path} was made from an array, which it does not hold", ADVICE)
        beside = self.path.parent / Path(source).name
        return beside if _is_there(beside) and not _is_there(Path(source)) else source

    def check(self, video: Video, *, compare: bool = True) -> None:
        """Whether this may be the video on which the session was made.

        Args:
            video: the video.
            compare: compare the first prompted frame; False takes any video of that size and length.

        Raises:
            SessionVideoError: if it is another one.
        """
        saved = self.document
        if (saved.size, saved.frames) != (tuple(video.size), len(video)):
            raise SessionVideoError(
                f"{self.path} was made on {saved.frames} frames of height and width {list(saved.size)}; "
                f"this video has {len(video)} of {[int(n) for n in video.size]}",
                ADVICE,
            )
        thumbnail = saved.thumbnail
        if compare and thumbnail is not None and not thumbnails.matches(video, thumbnail):
            raise SessionVideoError(
                f"frame {thumbnail['frame']} of this video looks unlike the one that {self.path} was made on",
                f"{ADVICE}, or check_video=False to go on with this one",
            )

    def tracks(self, model: VideoModel) -> list[ObjectTrack]:
        """The objects with all that was known of them; all of it is stale if another model computed it."""
        own = self.document.identity == model.identity
        spans = Spans.of(model)
        lives = self.document.lives
        tracks = {i: ObjectTrack(i, spans, lives.get(i, ALWAYS)) for i in self.document.objects}
        prompts = {(p.frame_index, p.object_id): p for p in self.document.prompts}
        for row in self.rows:
            frame = row.frame if own else replace(row.frame, stale=True)
            tracks[row.object_id].restore(row.frame_index, frame, prompts.get(row[:2]))
        if own:
            for object_id in self.document.complete:
                tracks[object_id].mark_complete(self.document.frames)
            self._give_memories(tracks, model)
        return list(tracks.values())

    def _give_memories(self, tracks: dict[int, ObjectTrack], model: VideoModel) -> None:
        if self.memories is not None and stores_memories(model):
            with suppress(Exception):  # a cache: what is damaged is computed again
                memory_file.unpack(self.memories, tracks, model, self.key)


def _is_there(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):  # no file can have this name; a plugin may know it all the same
        return False
