"""The session: a model, a video and the prompts; masks are derived from them and can always be rebuilt."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from types import TracebackType

import numpy as np

from sam2_core import plugins, prompting, saved
from sam2_core.errors import SessionError, SupersededError
from sam2_core.hookspecs import VideoModel
from sam2_core.limits import Limits
from sam2_core.prompts import Prompt
from sam2_core.results import Candidate, FrameResult, Masklet
from sam2_core.session_document import SessionDocument, whole
from sam2_core.tracking import lineage, passes
from sam2_core.tracking.track import ObjectTrack
from sam2_core.tracking.tracker import Tracker, same_prompt
from sam2_core.types import Point, Video, brief


class Session(SessionDocument):
    """Objects of one video, from prompts to masklets; a context manager, for one thread at a time.

    Objects are independent: no prompt of one ever touches another. A prompted frame keeps the mask of its
    prompt whatever is propagated later. Where an object does not exist (``set_lifetime``, ``divide``) it has
    no mask. ``open_session`` makes sessions.

    Args:
        video: where the frames come from.
        model: what segments and tracks; sessions may share one.
        limits: what may be kept in memory; the default suits a laptop.
        owns_video: close the video with the session.
    """

    def __init__(
        self, video: Video, model: VideoModel, limits: Limits | None = None, *, owns_video: bool = False
    ) -> None:
        super().__init__(Tracker(model, video, limits or Limits()))
        self._owns_video = owns_video

    def __repr__(self) -> str:
        if self._closed:
            return f"Session(closed, model={self.model.name!r})"
        prompts = sum(len(track.prompts) for track in self._tracks.values())
        return (
            f"Session(model={self.model.name!r}, video of {len(self.video)} frames, "
            f"object_ids={brief(self.object_ids)}, {prompts} prompts)"
        )

    @property
    def source(self) -> str | None:
        """Where the video came from, if it was opened from a path; a saved session remembers it."""
        origin = plugins.origin_of(self.video)
        return None if origin is None else origin.path

    # --- prompts ---------------------------------------------------------------------------------

    def add_prompt(self, prompt: Prompt) -> FrameResult:
        """Add a prompt, or replace the one of that frame and object, and give that frame's masks at once.

        The mask depends on the prompt alone: its points count as given one after another. To correct a mask
        that tracking gave, start from it with ``correction``. The object's other frames become stale.

        Raises:
            PromptError: if the prompt does not fit the video, or the object does not exist there; nothing
                has changed then.
            VideoError: if the frame cannot be read; nothing has changed then.
            SessionClosedError: if the session is closed.
        """
        self._check_prompt(prompt)
        track = self._tracks.get(prompt.object_id)
        if track is None or not self._says_already(track, prompt):
            track = track or ObjectTrack(prompt.object_id, self._tracker.spans)
            self._tracker.prompt(track, prompt)  # may fail: nothing has changed so far
            self._tracks[prompt.object_id] = track
            self._revision += 1
        return self.result(prompt.frame_index)

    def candidates(self, prompt: Prompt) -> tuple[Candidate, ...]:
        """The readings of an ambiguous prompt (whole, part, subpart), best predicted IoU first.

        To choose one, add it as a mask prompt. A prompt that is not ambiguous has one candidate.

        Raises:
            PromptError: if the prompt does not fit the video, or the object does not exist there.
            VideoError: if the frame cannot be read.
            SessionClosedError: if the session is closed.
        """
        self._check_prompt(prompt)
        return tuple(Candidate(s.encoded, s.score) for s in self._tracker.candidates(prompt))

    def correction(self, frame_index: int, object_id: int, *points: Point) -> Prompt:
        """The prompt that corrects what is shown now by more points; ``add_prompt`` takes it.

        On a prompted frame the points are added to its prompt; elsewhere they correct the mask that tracking
        gave, which becomes a part of the prompt, so that the document says all. With it goes a point deep
        inside the mask and away from negative clicks, which says what object the mask means.

        Raises:
            PromptError: if there is no such object or frame, no point, or one outside of the frame, or if
                the object does not exist there.
            SessionClosedError: if the session is closed.
        """
        object_id = self._there(object_id)
        given = prompting.correcting_points(frame_index, object_id, points, self.video)
        self._check_prompt(given)
        track = self._tracks[object_id]
        shown = track[given.frame_index].mask() if given.frame_index in track else None
        return prompting.corrected(given, track.prompts.get(given.frame_index), shown)

    # --- what is derived: masks ------------------------------------------------------------------

    def propagate(
        self, frames: range | None = None, *, object_ids: Sequence[int] | None = None
    ) -> Iterator[FrameResult]:
        """Track the objects; a generator, so stopping is to stop iterating, and progress is counting.

        Without ``frames`` it brings every object to its canonical result: forward from its first prompted
        frame to the end, then backward to frame 0, which is what a fresh session with the same prompts gives.
        With a range it computes only the stale frames of that range (after a click on frame k:
        ``range(k, len(video))``, or ``range(k, -1, -1)`` backward), from the memories as they are.
        Frames that are up to date are served without computing. Outside of its lifetime an object
        is left out.

        Of a live video the canonical result leaves out what is lost: masks that are stale there stay so,
        without a word but for ``FrameResult.stale``. An object of a session of another model that has lost
        the frames of all its prompts is passed over, unless all have.

        Args:
            frames: start, stop, direction and stride in one; None for the canonical result.
            object_ids: the objects to track; None for all.

        Yields:
            What is known of these objects on a frame; each frame of a range once, in its order. Without a
            range the frames forward from the first prompted one of any object, then backward from before
            the last of these: where objects begin on different frames, those between come again, now
            with all objects.

        Raises:
            SessionError: if there is nothing to propagate, or the range leaves the video.
            PromptError: if there is no such object.
            VideoError: at a frame that cannot be read; what was yielded before is kept.
            SupersededError: at the next step after anything that is said changed; start again.
            SessionClosedError: if the session is closed, also at the next step after that.
        """
        self._check_open()
        chosen = self._check_objects(self._tracks if object_ids is None else object_ids)
        if not self._tracks:
            raise SessionError("there is nothing to propagate; add a prompt first")
        if not chosen:
            raise SessionError(
                "there is nothing to propagate; object_ids is empty, leave it out for all objects"
            )
        if frames is not None:
            self._check_frames(frames)
        return self._run(frames, chosen, self._revision)

    def _run(self, frames: range | None, object_ids: tuple[int, ...], revision: int) -> Iterator[FrameResult]:
        self._check_current(revision)
        tracks = [self._tracks[i] for i in object_ids]
        sharing = len(self._tracks)
        steps = (
            passes.canonical(self._tracker, tracks, sharing)
            if frames is None
            else passes.quick(self._tracker, tracks, frames, sharing)
        )
        for frame_index in steps:
            yield self.result(frame_index, object_ids)
            self._check_current(revision)

    def result(self, frame_index: int, object_ids: Sequence[int] | None = None) -> FrameResult:
        """What is known of one frame, without computing anything.

        Args:
            frame_index: the frame.
            object_ids: the objects that are asked for; None for all. Those not known there are left out.

        Raises:
            SessionError: if the video has no such frame.
            PromptError: if there is no such object.
            SessionClosedError: if the session is closed.
        """
        self._check_open()
        frame_index = whole(frame_index, "a frame")
        if frame_index not in range(len(self.video)):
            raise SessionError(
                f"there is no frame {frame_index}; the video has frames 0..{len(self.video) - 1}"
            )
        wanted = self._check_objects(self._tracks if object_ids is None else object_ids)
        known = {i: self._tracks[i][frame_index] for i in wanted if frame_index in self._tracks[i]}
        return FrameResult(
            frame_index,
            tuple(known),
            np.array([m.score for m in known.values()], np.float32),
            np.array([m.visible for m in known.values()], np.bool_),
            np.array([m.stale for m in known.values()], np.bool_),
            tuple(m.encoded for m in known.values()),
            self.video.size,
        )

    def masklets(self) -> dict[int, Masklet]:
        """All that is known so far, by object id, with the mothers; stale masks are marked.

        Raises:
            SessionClosedError: if the session is closed.
        """
        self._check_open()
        return {object_id: track.masklet() for object_id, track in self._tracks.items()}

    def prefetch(self, frames: range) -> Iterator[int]:
        """Read and encode frames ahead, while the user thinks; propagation then finds their features.

        A generator, so that whoever drives it in idle time can stop at any frame. It ends where more would
        push out what it has just encoded (``Limits.feature_bytes``, and 32 frames at most), unless there is
        room on the disk (``Limits.feature_disk_bytes``). No mask changes by it (with "auto", by
        no more than rounding). Of an object that is followed in a window, the part of the frame is encoded
        where it was on the frame seen last.

        Args:
            frames: the frames that are likely next, in that order; those that the video has not are left out.

        Yields:
            The index of each frame, once its features are at hand.

        Raises:
            SessionError: if frames are no range.
            VideoError: at a frame that cannot be read.
            SessionClosedError: if the session is closed, also at the next step after that.
        """
        self._check_open()
        if not isinstance(frames, range):
            raise _no_range(frames)
        return self._ahead(frames)

    def _ahead(self, frames: range) -> Iterator[int]:
        inside = range(len(self.video))[:: 1 if frames.step > 0 else -1]
        for frame_index in (i for i in inside if i in frames):
            self._check_open()
            if not self._tracker.features.encode_ahead(frame_index, frames):
                return
            yield frame_index

    # --- life ------------------------------------------------------------------------------------

    def save(self, path: str | Path) -> None:
        """Write what was said and the results to one file; ``open_session(path)`` goes on from there.

        Unfinished passes go on with the next frame, as far as ``Limits.saved_bytes`` holds their memories.
        The file appears when it is complete; a session that was there before is kept until then.

        Raises:
            SessionError: if the file cannot be written, or something is there that is no saved session;
                what was there before is kept.
            SessionClosedError: if the session is closed.
        """
        self._check_open()
        budget = self._tracker.limits.saved_bytes
        saved.write(Path(path), self.video, self.model, list(self._tracks.values()), budget)

    def adopt(self, tracks: Iterable[ObjectTrack]) -> None:
        """Take over objects with all that is known of them, in the place of those that there are.

        For sessions that were saved; ``open_session`` calls it.

        Raises:
            PromptError: if a prompt does not fit the video; nothing has changed then.
            SessionClosedError: if the session is closed.
        """
        self._check_open()
        adopted = {track.object_id: track for track in tracks}
        for track in adopted.values():
            for prompt in track.prompts.values():
                prompting.check_fits(prompt, self.video)
        self._tracks = adopted
        self._revision += 1

    def close(self) -> None:
        """Free what the session holds, and the file if it opened one; its model lives on. Idempotent."""
        self._closed = True
        self._tracks.clear()
        self._tracker.close()
        if self._owns_video and hasattr(self.video, "close"):
            self.video.close()

    def __enter__(self) -> Session:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # --- checks ----------------------------------------------------------------------------------

    def _check_current(self, revision: int) -> None:
        self._check_open()
        if revision != self._revision:
            raise SupersededError("the session changed while this propagation was running; start it again")

    def _check_prompt(self, prompt: Prompt) -> None:
        self._check_open()
        prompting.check_fits(prompt, self.video)
        lineage.check_exists(self._tracks, prompt.object_id, prompt.frame_index)

    def _check_frames(self, frames: range) -> None:
        if not isinstance(frames, range):
            raise _no_range(frames)
        if len(frames) and not 0 <= min(frames) <= max(frames) < len(self.video):
            raise SessionError(f"{frames} leaves the video, which has frames 0..{len(self.video) - 1}")

    def _says_already(self, track: ObjectTrack, prompt: Prompt) -> bool:
        there = track.prompts.get(prompt.frame_index)
        return there is not None and track.is_fresh(prompt.frame_index) and same_prompt(there, prompt)


def _no_range(frames: object) -> SessionError:
    return SessionError(f"frames are a range, such as range(5, 10); got {frames!r}")
