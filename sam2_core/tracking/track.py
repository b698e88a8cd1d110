"""One object of a session: its prompts, what is known of its frames, and the memories to go on from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Set
from dataclasses import dataclass, field, replace
from typing import TypeVar

from sam2_core import prompting
from sam2_core.hookspecs import Memory, Segmentation
from sam2_core.prompts import Prompt
from sam2_core.results import Masklet, MaskletFrame, RunLengths
from sam2_core.tracking.bank import MemoryBank, Spans
from sam2_core.tracking.life import ALWAYS, Life
from sam2_core.tracking.restart import RestartPoints


@dataclass(frozen=True, eq=False, slots=True)
class Known:
    """The result of tracking on one frame.

    Attributes:
        encoded: the mask.
        score: predicted IoU, 0 where the object is not visible.
        visible: whether the object score is above 0 and the mask not empty.
        revision: the revision of what is said of the object from which it was computed.
    """

    encoded: RunLengths
    score: float
    visible: bool
    revision: int


Value = TypeVar("Value")


def _without(values: Mapping[int, Value], frame_index: int) -> dict[int, Value]:
    return {i: value for i, value in values.items() if i != frame_index}


@dataclass(frozen=True, eq=False, slots=True)
class Said:
    """What is said of an object and what that alone determines; a value, so that a change is one assignment.

    Attributes:
        revision: counts the changes of the prompts, and of a lifetime where the backward pass reads others
            of the first memories by it.
        since: the revision of the last change of the prompts.
        prompts: the prompts, by frame.
        prompted: their masks.
        foreign: the frames whose masks another model gave, before the session was saved.
        conditioning: the memories of prompted frames, as far as they are encoded.
        life: on which frames the object exists, and whose daughter it is.
    """

    revision: int = 0
    since: int = 0
    prompts: Mapping[int, Prompt] = field(default_factory=dict)
    prompted: Mapping[int, Segmentation] = field(default_factory=dict)
    foreign: Set[int] = frozenset()
    conditioning: Mapping[int, Memory] = field(default_factory=dict)
    life: Life = ALWAYS

    def without(self, frame_index: int) -> Said:
        """The next revision, without the prompt of a frame, if there is one."""
        return Said(
            self.revision + 1,
            self.revision + 1,
            _without(self.prompts, frame_index),
            _without(self.prompted, frame_index),
            self.foreign - {frame_index},
            _without(self.conditioning, frame_index),
            self.life,
        )

    def with_mask(self, frame_index: int, segmentation: Segmentation) -> Said:
        """With the mask of a prompt as this model gives it."""
        prompted = {**self.prompted, frame_index: replace(segmentation, raw=None)}
        return replace(self, prompted=prompted, foreign=self.foreign - {frame_index})

    def with_memory(self, frame_index: int, memory: Memory) -> Said:
        """With the memory of a prompted frame."""
        return replace(self, conditioning={**self.conditioning, frame_index: memory})


@dataclass(frozen=True, eq=False, slots=True)
class CanonicalPass:
    """How far the canonical result has come: forward to the end, then backward to frame 0.

    A value: whatever strikes while a frame is computed, the pass stands where it stood.

    Attributes:
        forward: the next frame of the forward pass, never a prompted one.
        backward: the next frame of the backward pass.
        banks: the memories after the last frame of each pass, by direction.
        first_memories: the memories of the first frames of the forward pass, which the backward pass reads.
    """

    forward: int
    backward: int
    banks: Mapping[int, MemoryBank]
    first_memories: Mapping[int, Memory]

    def stands_at(self, frame_index: int) -> bool:
        """Whether the forward pass goes on with this frame, and has the memories for it."""
        return self.forward == frame_index and 1 in self.banks

    def before_turning(self, first: int) -> CanonicalPass:
        """The same way forward, and none backward yet from the first prompted frame."""
        return replace(self, backward=first - 1, banks={d: bank for d, bank in self.banks.items() if d == 1})


class ObjectTrack:
    """The state of one object; bounded but for its prompts and the run lengths of its masks.

    Its one rule of staleness: every change of a prompt is a new revision, and a tracked frame is stale if it
    was computed from another revision. A change of the lifetime is one only for the frames before the first
    prompted one, and only if the backward pass, which computes them, reads other memories by it. Prompted
    frames show the prompt's own mask; it is stale only if another model gave it, before the session was
    saved. Outside of its lifetime nothing of the object shows or is stale; what is known there is kept.

    Args:
        object_id: its number.
        spans: how far back the model reads.
        life: on which frames it exists, and whose daughter it is.
    """

    def __init__(self, object_id: int, spans: Spans, life: Life = ALWAYS) -> None:
        self.object_id = object_id
        self.spans = spans
        self._said = Said(life=life)
        self.known: dict[int, Known] = {}
        self._shares = False
        self.restart = {1: RestartPoints(1), -1: RestartPoints(-1)}
        self._pass: tuple[int, CanonicalPass] | None = None

    def copy(self) -> ObjectTrack:
        """Another one of the same state; what both hold is shared until one of them changes it."""
        other = ObjectTrack(self.object_id, self.spans)
        self._shares = other._shares = True
        other._said, other.known, other._pass = self._said, self.known, self._pass
        other.restart = {direction: points.copy() for direction, points in self.restart.items()}
        return other

    def renamed(self, object_id: int) -> ObjectTrack:
        """A copy with another id.

        Raises:
            PromptError: if that is no id of an object.
        """
        other = self.copy()
        other.object_id = object_id
        prompts = {i: prompting.renamed(prompt, object_id) for i, prompt in self.prompts.items()}
        other._said = replace(self._said, prompts=prompts)
        return other

    def living(self, life: Life) -> ObjectTrack:
        """A copy with another life; all prompts are within."""
        other = self.copy()
        changed = self._first_frames(life) != self._first_frames(self.life)
        other._said = replace(self._said, life=life, revision=self.revision + changed)
        return other

    def _first_frames(self, life: Life) -> set[int]:
        """The frames whose memories the backward pass reads, as far as an object of this life has them."""
        first = range(self.first + 1, self.first + self.spans.pointer)
        return {i for i in first if i in life.frames and i not in self.prompts}

    @property
    def life(self) -> Life:
        """On which frames it exists, and whose daughter it is."""
        return self._said.life

    @property
    def revision(self) -> int:
        """Counts the changes of what is said; see ``Said``."""
        return self._said.revision

    @property
    def prompts(self) -> Mapping[int, Prompt]:
        """The prompts, by frame."""
        return self._said.prompts

    @property
    def prompted(self) -> Mapping[int, Segmentation]:
        """The masks of the prompts, without what the model needs to go on."""
        return self._said.prompted

    @property
    def foreign(self) -> Set[int]:
        """The prompted frames whose masks another model gave."""
        return self._said.foreign

    @property
    def conditioning(self) -> Mapping[int, Memory]:
        """The memories of prompted frames; another mapping after each change, as banks hold the old one."""
        return self._said.conditioning

    @property
    def first(self) -> int:
        """The first prompted frame."""
        return min(self.prompts)

    def set_prompt(self, prompt: Prompt, segmentation: Segmentation, memory: Memory | None = None) -> None:
        """Add or replace the prompt of a frame, with its memory if it is encoded."""
        frame_index = prompt.frame_index
        said = self._said.without(frame_index).with_mask(frame_index, segmentation)
        said = replace(said, prompts={**said.prompts, frame_index: prompt})
        self._say(said if memory is None else said.with_memory(frame_index, memory), frame_index)

    def remove_prompt(self, frame_index: int) -> None:
        """Take the prompt of a frame back; what tracking gave there, if anything, shows again."""
        self._say(self._said.without(frame_index), frame_index)

    def _say(self, said: Said, frame_index: int) -> None:
        for points in self.restart.values():
            points.drop(frame_index)
        self._said = said  # at last and at once: an interrupt leaves what was said, or what is said now

    def renew(self, frame_index: int, segmentation: Segmentation, memory: Memory | None = None) -> None:
        """Keep the mask of a prompt as this model gives it."""
        said = self._said.with_mask(frame_index, segmentation)
        self._said = said if memory is None else said.with_memory(frame_index, memory)

    def set_conditioning(self, frame_index: int, memory: Memory) -> None:
        """Keep the memory of a prompted frame."""
        self._said = self._said.with_memory(frame_index, memory)

    def keep(self, frame_index: int, segmentation: Segmentation, state: CanonicalPass | None = None) -> None:
        """Keep the mask of a tracked frame and, if its canonical pass gave it, how far that has come.

        The mask comes first: if an interrupt falls between the two, the pass gives the same mask once more.
        """
        self._own()
        self.known[frame_index] = Known(
            segmentation.encoded, segmentation.score, segmentation.visible, self.revision
        )
        if state is not None:
            self.go_on_with(state)

    def _own(self) -> None:
        """Share what is known with no copy, before it changes."""
        if self._shares:
            self.known = dict(self.known)
            self._shares = False

    def canonical_pass(self) -> CanonicalPass:
        """How far the canonical result of the present prompts has come."""
        return self.present_pass or self.restart_canonical_pass()

    def restart_canonical_pass(self) -> CanonicalPass:
        """Begin the canonical result anew."""
        fresh = CanonicalPass(self.after(self.first), self.first - 1, {1: MemoryBank(self.spans)}, {})
        self._pass = (self.revision, fresh)
        return fresh

    @property
    def present_pass(self) -> CanonicalPass | None:
        """The canonical pass of the present prompts, if it was begun."""
        if self._pass is None or self._pass[0] < self._said.since:
            return None
        revision, state = self._pass
        return state if revision == self.revision else state.before_turning(self.first)

    def is_through(self, frames: int) -> bool:
        """Whether the canonical pass has come through the lifetime, on a video of so many frames."""
        state, lived = self.present_pass, self.life.within(frames)
        return state is not None and state.forward >= lived.stop and state.backward < lived.start

    def is_complete(self, frames: int) -> bool:
        """Whether the canonical result of a video of so many frames is known, from its end to frame 0."""
        return self.is_through(frames) and all(map(self.is_fresh, range(frames)))

    def go_on_with(self, state: CanonicalPass) -> None:
        """Take over how far the canonical pass of the present prompts has come."""
        self._pass = (self.revision, state)

    def mark_complete(self, frames: int) -> None:
        """Take what is known as canonical, without memories (it was saved), on a video of so many frames."""
        lived = self.life.within(frames)
        self._pass = (self.revision, CanonicalPass(lived.stop, lived.start - 1, {}, {}))

    def after(self, frame_index: int) -> int:
        """The next frame that is not prompted."""
        while frame_index in self.prompts:
            frame_index += 1
        return frame_index

    def is_fresh(self, frame_index: int) -> bool:
        """Whether the mask of this frame is up to date, or the object does not exist there."""
        if frame_index not in self.life.frames:
            return True
        if frame_index in self.prompts:
            return frame_index not in self.foreign
        return frame_index in self.known and self._is_right(frame_index)

    def _is_right(self, frame_index: int) -> bool:
        """Whether what tracking gave on a frame is what it would give now."""
        revision, said = self.known[frame_index].revision, self._said
        return revision >= said.revision or (revision >= said.since and frame_index >= self.first)

    def _tracked(self, frame_index: int, *, stale: bool) -> MaskletFrame:
        known = self.known[frame_index]
        return MaskletFrame(known.encoded, known.score, known.visible, "propagated", stale)

    def __getitem__(self, frame_index: int) -> MaskletFrame:
        """What is known of one frame; KeyError if nothing is."""
        if frame_index not in self.life.frames:
            raise KeyError(frame_index)
        if (prompted := self.prompted.get(frame_index)) is not None:
            stale = frame_index in self.foreign
            return MaskletFrame(prompted.encoded, prompted.score, prompted.visible, "prompted", stale)
        return self._tracked(frame_index, stale=not self._is_right(frame_index))

    def __contains__(self, frame_index: int) -> bool:
        return frame_index in self.life.frames and (frame_index in self.prompted or frame_index in self.known)

    def __iter__(self) -> Iterator[int]:
        lived = self.life.frames
        return (i for i in sorted(self.prompted.keys() | self.known.keys()) if i in lived)

    def masklet(self) -> Masklet:
        """All that is known of the object."""
        return Masklet(self.object_id, {i: self[i] for i in self}, self.life.mother)

    def hidden(self) -> Iterator[tuple[int, MaskletFrame]]:
        """What tracking gave and does not show.

        On frames that a prompt covers it shows again when the prompt goes, outside of the lifetime when that
        is widened.
        """
        for i in sorted(self.known):
            if i in self.prompted:
                yield i, self._tracked(i, stale=True)
            elif i not in self.life.frames:
                yield i, self._tracked(i, stale=not self._is_right(i))

    def restore(self, frame_index: int, frame: MaskletFrame, prompt: Prompt | None) -> None:
        """Take over what a saved session knew of a frame."""
        if prompt is not None and frame.source == "prompted":
            said, mask = self._said, Segmentation(frame.encoded, frame.score, frame.visible)
            self._said = replace(
                said,
                prompts={**said.prompts, frame_index: prompt},
                prompted={**said.prompted, frame_index: mask},
                foreign=said.foreign | ({frame_index} if frame.stale else set()),
            )
        else:
            self._own()
            revision = self.revision - int(frame.stale)
            self.known[frame_index] = Known(frame.encoded, frame.score, frame.visible, revision)
