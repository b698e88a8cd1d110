"""Objects that begin, end, divide and change their ids: each change gives new objects, or is refused.

Nothing is changed in place: a function takes the objects of a session and gives those that it has
afterwards, which share all that is known: a session takes them over at once or, if it was interrupted, not.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from sam2_core.errors import PromptError
from sam2_core.tracking.life import ENDLESS, Life
from sam2_core.tracking.track import ObjectTrack

Tracks = Mapping[int, ObjectTrack]


def mothers(tracks: Tracks) -> dict[int, int]:
    """The mother of each daughter."""
    lives = {object_id: track.life for object_id, track in tracks.items()}
    return {object_id: life.mother for object_id, life in lives.items() if life.mother is not None}


def daughters_of(tracks: Tracks, mother: int) -> tuple[int, ...]:
    """The daughters of an object, in the order of the objects."""
    return tuple(object_id for object_id, track in tracks.items() if track.life.mother == mother)


def check_exists(tracks: Tracks, object_id: int, frame_index: int) -> None:
    """Whether an object, if it is there, may have a prompt on a frame.

    Raises:
        PromptError: if the frame is outside of its lifetime; it says why and what to do.
    """
    if object_id not in tracks or frame_index in (life := tracks[object_id].life).frames:
        return
    where = f"object {object_id} on frame {frame_index}"
    if frame_index >= life.divides:
        raise PromptError(
            f"{where}: it divides on frame {life.divides}; prompt one of its daughters "
            f"({_listed(daughters_of(tracks, object_id))}), or take that back with undivide({object_id})"
        )
    if frame_index < life.born:
        raise PromptError(
            f"{where}: object {life.mother} divides into it on frame {life.born}; prompt "
            f"object {life.mother}, or take that back with undivide({life.mother})"
        )
    raise PromptError(f"{where}: its lifetime is {_span(life)}; widen that with set_lifetime first")


def limited(tracks: Tracks, object_id: int, frames: range | None, length: int) -> dict[int, ObjectTrack]:
    """The objects with another lifetime of one of them.

    An end that the video or a division sets anyway is not noted as said: it goes where that goes.

    Args:
        tracks: the objects.
        object_id: the object.
        frames: its lifetime; None for the whole video.
        length: the frames of the video.

    Raises:
        PromptError: if these are no frames of the video one after another, if one of its prompts is outside,
            or if its division or that of its mother says otherwise.
    """
    life, start, stop = tracks[object_id].life, 0, ENDLESS
    if frames is not None:
        _check_lifetime(frames, length)
        _check_divisions(object_id, life, frames)
        for frame_index in sorted(tracks[object_id].prompts):
            if frame_index not in frames:
                raise PromptError(
                    f"object {object_id} has a prompt on frame {frame_index}, outside of {frames}; "
                    "remove that prompt first, or leave its frame inside"
                )
        start = 0 if frames.start == life.born else frames.start
        stop = ENDLESS if frames.stop in (length, life.divides) else frames.stop
    return _living(tracks, {object_id: replace(life, start=start, stop=stop)})


def divided(
    tracks: Tracks, frame_index: int, mother: int, daughters: Sequence[int]
) -> dict[int, ObjectTrack]:
    """The objects after a division.

    Prompts forbid circles: all of a mother's are before her division, all of her daughters' are not.

    Args:
        tracks: the objects, mother and daughters among them.
        frame_index: the first frame of the daughters, and the first without the mother.
        mother: the object that divides.
        daughters: the objects into which it does, each once.

    Raises:
        PromptError: if there is no daughter, if one is the mother or has one, if the mother has divided, or
            if a prompt is on the wrong side of the division.
    """
    if not daughters:
        raise PromptError("a division has at least one daughter; name those that have a prompt")
    if mother in daughters:
        raise PromptError(f"object {mother} cannot be a daughter of its own; leave it out")
    life = tracks[mother].life
    there = daughters_of(tracks, mother)
    if there and (life.divides, {*there}) == (frame_index, {*daughters}):
        return dict(tracks)
    if there:
        raise PromptError(
            f"object {mother} divides on frame {life.divides} already, into {_listed(there)}; "
            f"take that back with undivide({mother}) first"
        )
    _check_sides(tracks, frame_index, mother, daughters)
    lives = {mother: replace(life, divides=frame_index)}
    for daughter in daughters:
        lives[daughter] = replace(tracks[daughter].life, mother=mother, born=frame_index)
    return _living(tracks, lives)


def undivided(tracks: Tracks, mother: int) -> dict[int, ObjectTrack]:
    """The objects without the division of one of them; all lifetimes are those that the user said.

    Raises:
        PromptError: if it does not divide.
    """
    daughters = daughters_of(tracks, mother)
    if not daughters:
        raise PromptError(f"object {mother} does not divide; there is nothing to take back")
    lives = {mother: replace(tracks[mother].life, divides=ENDLESS)}
    for daughter in daughters:
        lives[daughter] = replace(tracks[daughter].life, mother=None, born=0)
    return _living(tracks, lives)


def without(tracks: Tracks, object_id: int) -> dict[int, ObjectTrack]:
    """The objects without one of them, its division, and that of its mother if it was her only daughter."""
    mother = tracks[object_id].life.mother
    if mother is not None and daughters_of(tracks, mother) == (object_id,):
        tracks = undivided(tracks, mother)
    if daughters_of(tracks, object_id):
        tracks = undivided(tracks, object_id)
    return {other: track for other, track in tracks.items() if other != object_id}


def renamed(tracks: Tracks, old: int, new: int) -> dict[int, ObjectTrack]:
    """The objects with another id of one of them, in the same order.

    Raises:
        PromptError: if the new id is no id of an object, or in use.
    """
    if new in tracks:
        raise PromptError(f"there is an object {new} already; choose another id, or remove that object first")
    lives = {i: replace(tracks[i].life, mother=new) for i in daughters_of(tracks, old)}
    return {
        new if object_id == old else object_id: track.renamed(new) if object_id == old else track
        for object_id, track in _living(tracks, lives).items()
    }


def _living(tracks: Tracks, lives: Mapping[int, Life]) -> dict[int, ObjectTrack]:
    """The objects with other lives of some; those to whom nothing happens stay the same."""
    return {
        object_id: track if lives.get(object_id, track.life) == track.life else track.living(lives[object_id])
        for object_id, track in tracks.items()
    }


def _check_lifetime(frames: range, length: int) -> None:
    if not isinstance(frames, range) or frames.step != 1 or not frames:
        raise PromptError(
            f"a lifetime is a range of frames one after another, such as range(5, 10), or None; "
            f"got {frames!r}"
        )
    if not 0 <= frames.start < frames.stop <= length:
        raise PromptError(f"{frames} leaves the video, which has frames 0..{length - 1}")


def _check_divisions(object_id: int, life: Life, frames: range) -> None:
    if frames.stop > life.divides:
        raise PromptError(
            f"object {object_id} divides on frame {life.divides}, before {frames} ends; "
            f"end there, or take that back with undivide({object_id})"
        )
    if frames.start < life.born:
        raise PromptError(
            f"object {life.mother} divides into object {object_id} on frame {life.born}, after {frames} "
            f"begins; begin there, or take that back with undivide({life.mother})"
        )


def _check_sides(tracks: Tracks, frame_index: int, mother: int, daughters: Sequence[int]) -> None:
    last = max(tracks[mother].prompts)
    if last >= frame_index:
        raise PromptError(
            f"object {mother} has a prompt on frame {last} and cannot divide on frame {frame_index}; "
            "remove that prompt, or let it divide later"
        )
    for daughter in daughters:
        track = tracks[daughter]
        if track.life.mother is not None:
            raise PromptError(
                f"object {daughter} is a daughter of object {track.life.mother} already; "
                f"take that back with undivide({track.life.mother}) first"
            )
        if track.first < frame_index:
            raise PromptError(
                f"object {daughter} has a prompt on frame {track.first}, before the division on frame "
                f"{frame_index}; remove that prompt, or let the mother divide earlier"
            )


def _span(life: Life) -> str:
    start, stop = life.frames.start, life.frames.stop
    return f"from frame {start} on" if stop == ENDLESS else f"frames {start}..{stop - 1}"


def _listed(object_ids: Sequence[int]) -> str:
    return ", ".join(map(str, object_ids))
