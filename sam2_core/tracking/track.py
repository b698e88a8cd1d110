"""One object of a session: its prompts, what is known of its frames, and the memories to go on from."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from sam2_core.hookspecs import Memory, Segmentation
from sam2_core.tracking.bank import MemoryBank, Spans
from sam2_core.tracking.prompt_store import PromptStore
from sam2_core.tracking.restart import RestartPoints
from sam2_core.types import Masklet, MaskletFrame, Prompt, RunLengths


@dataclass(frozen=True, eq=False, slots=True)
class Known:
    """The result of tracking on one frame.

    Attributes:
        encoded: the mask.
        score: predicted IoU, 0 where the object is not visible.
        visible: whether the object score is above 0.
        revision: the revision of the object's prompts from which it was computed.
    """

    encoded: RunLengths
    score: float
    visible: bool
    revision: int


@dataclass(eq=False)
class CanonicalPass:
    """How far the canonical result has come: forward to the end, then backward to frame 0.

    Attributes:
        forward: the next frame of the forward pass, never a prompted one.
        backward: the next frame of the backward pass.
        banks: the memories after the last frame of each pass, by direction.
        first_memories: the memories of the first frames of the forward pass, which the backward pass reads.
    """

    forward: int
    backward: int
    banks: dict[int, MemoryBank]
    first_memories: dict[int, Memory]

    def stands_at(self, frame_index: int) -> bool:
        """Whether the forward pass goes on with this frame, and has the memories for it."""
        return self.forward == frame_index and 1 in self.banks


class ObjectTrack:
    """The state of one object; bounded but for its prompts and the run lengths of its masks.

    Its one rule of staleness: every change of a prompt is a new revision, and a tracked frame is stale if it
    was computed from another revision. Prompted frames are never stale: their mask is the prompt's own.
    """

    def __init__(self, object_id: int, spans: Spans) -> None:
        self.object_id = object_id
        self.spans = spans
        self.revision = 0
        self.prompts = PromptStore(object_id)
        self.prompted: dict[int, Segmentation] = {}
        self.conditioning: dict[int, Memory] = {}
        self.known: dict[int, Known] = {}
        self.restart = {1: RestartPoints(1), -1: RestartPoints(-1)}
        self._pass: tuple[int, CanonicalPass] | None = None

    @property
    def first(self) -> int:
        """The first prompted frame."""
        return min(self.prompts)

    def set_prompt(self, prompt: Prompt, segmentation: Segmentation) -> None:
        """Add or replace the prompt of a frame."""
        self._forget(prompt.frame_index)
        self.prompts[prompt.frame_index] = prompt
        self.prompted[prompt.frame_index] = replace(segmentation, raw=None)

    def remove_prompt(self, frame_index: int) -> None:
        """Take the prompt of a frame back; what tracking gave there, if anything, shows again."""
        self._forget(frame_index)
        del self.prompts[frame_index], self.prompted[frame_index]

    def _forget(self, frame_index: int) -> None:
        self.revision += 1
        for points in self.restart.values():
            points.drop(frame_index)
        # A new mapping: banks that were kept along the video hold the old one.
        self.conditioning = {i: m for i, m in self.conditioning.items() if i != frame_index}

    def set_conditioning(self, frame_index: int, memory: Memory) -> None:
        """Keep the memory of a prompted frame."""
        self.conditioning = self.conditioning | {frame_index: memory}

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
        return self._pass[1] if self._pass is not None and self._pass[0] == self.revision else None

    def is_complete(self, frames: int) -> bool:
        """Whether the canonical result of a video of so many frames is known, from its end to frame 0."""
        state = self.present_pass
        through = state is not None and state.forward >= frames and state.backward < 0
        return through and all(map(self.is_fresh, range(frames)))

    def go_on_with(self, state: CanonicalPass) -> None:
        """Take over how far the canonical pass of the present prompts had come (it was saved)."""
        self._pass = (self.revision, state)

    def mark_complete(self, frames: int) -> None:
        """Take what is known as canonical, without memories (it was saved), on a video of so many frames."""
        self._pass = (self.revision, CanonicalPass(frames, -1, {}, {}))

    def after(self, frame_index: int) -> int:
        """The next frame that is not prompted."""
        while frame_index in self.prompts:
            frame_index += 1
        return frame_index

    def is_fresh(self, frame_index: int) -> bool:
        """Whether the mask of this frame is up to date."""
        if frame_index in self.prompts:
            return True
        known = self.known.get(frame_index)
        return known is not None and known.revision == self.revision

    def __getitem__(self, frame_index: int) -> MaskletFrame:
        """What is known of one frame; KeyError if nothing is."""
        if (prompted := self.prompted.get(frame_index)) is not None:
            return MaskletFrame(prompted.encoded, prompted.score, prompted.visible, "prompted")
        known = self.known[frame_index]
        stale = known.revision != self.revision
        return MaskletFrame(known.encoded, known.score, known.visible, "propagated", stale)

    def __contains__(self, frame_index: int) -> bool:
        return frame_index in self.prompted or frame_index in self.known

    def __iter__(self) -> Iterator[int]:
        return iter(sorted(self.prompted.keys() | self.known.keys()))

    def masklet(self) -> Masklet:
        """All that is known of the object."""
        return Masklet(self.object_id, {i: self[i] for i in self})

    def covered(self) -> Iterator[tuple[int, MaskletFrame]]:
        """What tracking once gave on frames that a prompt covers now; it shows again when the prompt goes."""
        for i in sorted(self.prompted.keys() & self.known.keys()):
            known = self.known[i]
            yield i, MaskletFrame(known.encoded, known.score, known.visible, "propagated", stale=True)

    def restore(self, frame_index: int, frame: MaskletFrame, prompt: Prompt | None) -> None:
        """Take over what a saved session knew of a frame."""
        if prompt is not None and frame.source == "prompted":
            self.prompts[frame_index] = prompt
            self.prompted[frame_index] = Segmentation(frame.encoded, frame.score, frame.visible)
        else:
            revision = self.revision - int(frame.stale)
            self.known[frame_index] = Known(frame.encoded, frame.score, frame.visible, revision)
