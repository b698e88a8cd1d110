"""What a user says in a session: objects by their prompts, lifetimes and divisions; and snapshots of it."""

from __future__ import annotations

import operator
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from sam2_core.errors import PromptError, SessionClosedError, SessionError
from sam2_core.hookspecs import VideoModel
from sam2_core.prompts import Prompt
from sam2_core.tracking import lineage
from sam2_core.tracking.track import ObjectTrack
from sam2_core.tracking.tracker import Tracker
from sam2_core.types import Video, brief


@dataclass(frozen=True, eq=False, repr=False)
class Snapshot:
    """All that a session knew at a moment, for ``Session.restore``; nothing else can be done with it."""

    _session: object
    _tracks: Mapping[int, ObjectTrack]

    def __repr__(self) -> str:
        return f"Snapshot(object_ids={brief(tuple(self._tracks))})"


class SessionDocument:
    """The objects of a session; ``Session`` adds the masks.

    Every change is made at once: whatever strikes, it has happened or it has not.

    Args:
        tracker: the model on the video.
    """

    def __init__(self, tracker: Tracker) -> None:
        self._tracker = tracker
        self._tracks: dict[int, ObjectTrack] = {}
        self._revision = 0
        self._closed = False
        self._identity = object()

    @property
    def video(self) -> Video:
        """Where the frames come from."""
        return self._tracker.video

    @property
    def model(self) -> VideoModel:
        """What segments and tracks."""
        return self._tracker.model

    @property
    def prompts(self) -> tuple[Prompt, ...]:
        """All prompts, object by object in the order of adding, each in the order of frames."""
        return tuple(t.prompts[i] for t in self._tracks.values() for i in sorted(t.prompts))

    @property
    def object_ids(self) -> tuple[int, ...]:
        """The objects, in the order in which they were added."""
        return tuple(self._tracks)

    @property
    def lineage(self) -> Mapping[int, int]:
        """The mother of each object that came to be by a division; as it is now, read-only."""
        return MappingProxyType(lineage.mothers(self._tracks))

    # --- objects come with their first prompt, and go ---------------------------------------------

    def remove_prompt(self, frame_index: int, object_id: int) -> None:
        """Take a prompt back. An object whose last prompt goes, goes with it; see ``remove_object``.

        Raises:
            PromptError: if there is no such prompt.
            SessionClosedError: if the session is closed.
        """
        self._check_open()
        frame_index, object_id = whole(frame_index, "a frame"), whole(object_id, "an object id")
        track = self._tracks.get(object_id)
        if track is None or frame_index not in track.prompts:
            raise PromptError(f"object {object_id} has no prompt on frame {frame_index}")
        if len(track.prompts) == 1:
            self._change(lineage.without(self._tracks, object_id))
        else:
            track.remove_prompt(frame_index)
            self._revision += 1

    def remove_object(self, object_id: int) -> None:
        """Remove an object with its prompts and masks, and with its place in the lineage.

        Its daughters have no mother then, and may reach back to before its division. The division of its own
        mother goes with her only daughter.

        Raises:
            PromptError: if there is no such object.
            SessionClosedError: if the session is closed.
        """
        object_id = self._there(object_id)
        self._change(lineage.without(self._tracks, object_id))

    def rename_object(self, old: int, new: int) -> None:
        """Give an object another id; all that is known of it stays, and its place among the objects.

        Raises:
            PromptError: if there is no such object, or the new id is in use or is none (1 or more).
            SessionClosedError: if the session is closed.
        """
        old, new = self._there(old), whole(new, "an object id")
        if new != old:
            self._change(lineage.renamed(self._tracks, old, new))
            self._tracker.rename(old, new)

    # --- when they exist --------------------------------------------------------------------------

    def lifetime(self, object_id: int) -> range:
        """The frames on which an object exists: what ``set_lifetime`` and divisions leave of the video.

        Raises:
            PromptError: if there is no such object.
            SessionClosedError: if the session is closed.
        """
        return self._tracks[self._there(object_id)].life.within(len(self.video))

    def set_lifetime(self, object_id: int, frames: range | None) -> None:
        """Say on which frames an object exists; on others it has no mask, and nothing is tracked there.

        Masks inside stay as they are, masks outside are kept: they show again, fresh or stale as a prompt
        changed meanwhile or not, when the lifetime is widened. One thing becomes stale: the frames before
        the first prompt, if one of the frames close behind that (``VideoModel.pointer_span``) comes or goes,
        since the backward pass reads them.

        Args:
            object_id: the object.
            frames: its frames, one after another; None for the whole video. A range that ends with the video
                has no end: it grows with a live video.

        Raises:
            PromptError: if there is no such object, if the frames are no such range or leave the video, if a
                prompt of the object is outside, or if its division or that of its mother says otherwise;
                nothing has changed then.
            SessionClosedError: if the session is closed.
        """
        object_id = self._there(object_id)
        self._change(lineage.limited(self._tracks, object_id, frames, len(self.video)))

    def divide(self, frame_index: int, mother: int, daughters: Iterable[int]) -> None:
        """Say that an object becomes others: from this frame on it has no mask, before that they have none.

        To say so changes lifetimes as ``set_lifetime`` does. The same division once more changes nothing.

        Args:
            frame_index: the first frame of the daughters; they may come later, and the mother go earlier.
            mother: an object that does not divide yet; all its prompts are before that frame.
            daughters: one or more objects without a mother; all their prompts are on that frame or later.

        Raises:
            PromptError: if there is no such object, or one of them is not as it has to be; nothing has
                changed then.
            SessionClosedError: if the session is closed.
        """
        mother, frame_index = self._there(mother), whole(frame_index, "a frame")
        chosen = self._check_objects(daughters)
        self._change(lineage.divided(self._tracks, frame_index, mother, chosen))

    def undivide(self, mother: int) -> None:
        """Take the division of an object back; it and its daughters live as ``set_lifetime`` says again.

        Raises:
            PromptError: if there is no such object, or it does not divide.
            SessionClosedError: if the session is closed.
        """
        self._change(lineage.undivided(self._tracks, self._there(mother)))

    # --- undo and redo ----------------------------------------------------------------------------

    def snapshot(self) -> Snapshot:
        """All that is said and known at this moment, for ``restore``; for undo and redo.

        It costs little: what does not change later is shared with the session and with other snapshots. What
        does change is kept alive by a snapshot as it was: the masks (run lengths), the memories of prompts,
        and of each object those with which its passes go on; all restart points of a snapshot are within
        ``Limits.restart_bytes`` (and the newest eight each way of an object). So keep some dozens, not all.

        Raises:
            SessionClosedError: if the session is closed.
        """
        self._check_open()
        return Snapshot(self._identity, {i: track.copy() for i, track in self._tracks.items()})

    def restore(self, snapshot: Snapshot) -> None:
        """Bring back what was said and known when a snapshot was taken, as if nothing had happened.

        That is prompts, masks, which of them are stale, lifetimes, lineage, and how far propagation had come.
        Snapshots stay as they are: they may be restored any number of times and in any order.

        Raises:
            SessionError: if this is no snapshot, or one of another session.
            SessionClosedError: if the session is closed.
        """
        self._check_open()
        if not isinstance(snapshot, Snapshot):
            raise SessionError(f"give a Snapshot, as snapshot() made it; got {type(snapshot).__name__}")
        if snapshot._session is not self._identity:
            raise SessionError("this snapshot is of another session; restore one that this session made")
        self._change({i: track.copy() for i, track in snapshot._tracks.items()}, always=True)

    # --- checks -----------------------------------------------------------------------------------

    def _change(self, tracks: dict[int, ObjectTrack], *, always: bool = False) -> None:
        """Take over other objects, if there are others, and supersede what runs."""
        if always or tracks != self._tracks:  # equal are only the same
            self._tracks, self._revision = tracks, self._revision + 1

    def _check_open(self) -> None:
        if self._closed:
            raise SessionClosedError("this session is closed; open it again with open_session")

    def _there(self, object_id: int) -> int:
        """An object of this session, which is open."""
        self._check_open()
        (object_id,) = self._check_objects([object_id])
        return object_id

    def _check_objects(self, object_ids: Iterable[int]) -> tuple[int, ...]:
        if not isinstance(object_ids, Iterable):
            raise PromptError(f"object_ids are a sequence, such as [1, 2]; got {object_ids!r}")
        chosen = tuple(dict.fromkeys(whole(object_id, "an object id") for object_id in object_ids))
        for object_id in chosen:
            if object_id not in self._tracks:
                known = ", ".join(map(str, self._tracks)) or "none"
                raise PromptError(f"there is no object {object_id}; there are: {known}")
        return chosen


def whole(number: Any, name: str) -> int:
    """A whole number of any kind as Python's.

    Raises:
        PromptError: if it is none.
    """
    try:
        return operator.index(number)
    except TypeError:
        raise PromptError(f"{name} is a whole number; got {' '.join(repr(number).split())[:60]}") from None
