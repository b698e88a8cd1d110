"""A session with its undo, and the picture of each of its frames; for the thread of the session."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from sam2_core import FrameResult, Prompt, RunLengths, Session
from sam2_napari.events import Document, Event, ObjectState, Opened, Shown, Tracked
from sam2_napari.measures import Centres

UNDO_STEPS = 30
"""Each holds the run lengths of its time, and the memories from which tracking went on."""

Signature = tuple[tuple[int, RunLengths | None], ...]
"""What a frame shows: its objects and their masks."""

REPAINT: Signature = ((0, None),)
"""What no frame shows."""


class Step(NamedTuple):
    """What there was before something was done.

    Attributes:
        name: what was done, in a user's words.
        snapshot: the session before it.
    """

    name: str
    snapshot: Any


class Workspace:
    """One session, as a window shows it.

    Args:
        session: the session; closed with this.
    """

    def __init__(self, session: Session) -> None:
        self.session = session
        self._beneath: WeakKeyDictionary[Prompt, Prompt] = WeakKeyDictionary()
        self._undo: deque[Step] = deque(maxlen=UNDO_STEPS)
        self._redo: deque[Step] = deque(maxlen=UNDO_STEPS)
        self._cleared: tuple[Step, ...] = ()  # what could be done again before the last step
        self._shown: dict[int, Signature] = {}
        self._centres = Centres()

    def opened(self) -> Opened:
        """Word that the session is there."""
        video = self.session.video
        return Opened(self.session.model.name, len(video), video.size)

    # --- undo --------------------------------------------------------------------------------------

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """What is done within can be undone in one step; if it fails, nothing has changed."""
        before = self._now(name)
        try:
            yield
        except Exception:
            self.session.restore(before.snapshot)
            raise
        self._record(before)

    def begin(self, name: str) -> Step:
        """Make what is done from now on a step of undo."""
        step = self._now(name)
        self._record(step)
        return step

    def drop(self, step: Step) -> None:
        """Nothing was done in this step."""
        if self._undo and self._undo[-1] is step:
            self._undo.pop()
            self._redo.extend(self._cleared)

    def _record(self, step: Step) -> None:
        self._undo.append(step)
        self._cleared = tuple(self._redo)
        self._redo.clear()

    def _now(self, name: str) -> Step:
        return Step(name, self.session.snapshot())

    def undo(self) -> str | None:
        """Take the last step back; gives its name, None if there is none."""
        return self._step_back(self._undo, self._redo)

    def redo(self) -> str | None:
        """Do the last step that was undone again; gives its name, None if there is none."""
        return self._step_back(self._redo, self._undo)

    def _step_back(self, steps: deque[Step], others: deque[Step]) -> str | None:
        if not steps:
            return None
        name, snapshot = steps.pop()
        others.append(self._now(name))
        self.session.restore(snapshot)
        return name

    # --- pictures ----------------------------------------------------------------------------------

    def shown(self, result: FrameResult) -> Shown | None:
        """The picture of a frame, if it is another than before."""
        signature: Signature = tuple(zip(result.object_ids, result.encoded, strict=True))
        if self._shown.get(result.frame_index, ()) == signature:
            return None
        self._shown[result.frame_index] = signature
        return Shown(result.frame_index, self.labels(result))

    def labels(self, result: FrameResult) -> NDArray[np.int32]:
        """Object ids as pixel values, ``(height, width)``; what a user painted lies on top."""
        labels = result.label_image()
        painted = {
            p.object_id for p in self.session.prompts
            if p.frame_index == result.frame_index and p.encoded_mask is not None
        }  # fmt: skip
        for object_id, encoded in zip(result.object_ids, result.encoded, strict=True):
            if object_id in painted:
                encoded.paint(labels, object_id)
        return labels

    def frame(self, frame_index: int) -> Iterator[Shown]:
        """The picture of one frame, if it is another than before."""
        if (shown := self.shown(self.session.result(frame_index))) is not None:
            yield shown

    def changed(self, first: int | None = None) -> Iterator[Shown]:
        """The pictures of all frames that are others than before.

        Args:
            first: the frame that the user looks at.
        """
        known = self._known_frames() | self._shown.keys()
        for frame_index in sorted(known, key=lambda i: (i != first, i)):
            yield from self.frame(frame_index)

    def repaint(self, frame_index: int) -> None:
        """The window shows something else on this frame: a user has painted on it."""
        self._shown[frame_index] = REPAINT

    def _known_frames(self) -> set[int]:
        return {i for masklet in self.session.masklets().values() for i in masklet}

    # --- what is told after each task ----------------------------------------------------------------

    def state(self, version: int) -> Iterator[Event]:
        """The document and the tracks as they stand."""
        masklets = self.session.masklets()
        prompted: dict[int, list[int]] = {}
        for prompt in self.session.prompts:
            prompted.setdefault(prompt.object_id, []).append(prompt.frame_index)
        objects = tuple(
            ObjectState(
                i, tuple(prompted.get(i, ())), len(m), sum(f.stale for f in m.values()), m.mother
            )
            for i, m in masklets.items()
        )  # fmt: skip
        undo, redo = (steps[-1].name if steps else None for steps in (self._undo, self._redo))
        yield Document(version, self.session.prompts, objects, undo, redo)
        rows = self._centres.rows(masklets)
        seen = set(rows[:, 0].astype(int).tolist())  # napari refuses a graph of tracks without a place
        graph = {i: [m.mother] for i, m in masklets.items() if m.mother is not None and {i, m.mother} <= seen}
        yield Tracked(rows, graph)

    def lay_over(self, prompt: Prompt, existing: Prompt | None) -> None:
        """A prompt is drawn in the place of another, which it may be taken off again."""
        if existing is not None and (beneath := self.beneath(existing)) is not None:
            self._beneath[prompt] = beneath

    def beneath(self, prompt: Prompt) -> Prompt | None:
        """The painted mask or the correction over which a prompt was drawn in this window, or itself."""
        begins_with_mask = prompt.encoded_mask is not None or prompt.encoded_previous is not None
        return self._beneath.get(prompt, prompt if begins_with_mask else None)

    def prompt(self, frame_index: int, object_id: int) -> Prompt | None:
        """The prompt of a frame and object, if there is one."""
        found = (p for p in self.session.prompts if (p.frame_index, p.object_id) == (frame_index, object_id))
        return next(found, None)

    def free_id(self, taken: Iterable[int] = ()) -> int:
        """An object id that nobody has."""
        return max((0, *self.session.object_ids, *taken)) + 1

    def replace(self, session: Session) -> None:
        """Go on with another session on the same video; what was done before cannot be undone any more."""
        self.session.close()
        self.session = session
        self._undo.clear()
        self._redo.clear()

    def close(self) -> None:
        """Close the session."""
        self.session.close()


class Pace:
    """How long a task will still take, at the pace of its last steps: the first ones may be known already."""

    LAST = 8

    def __init__(self, total: float) -> None:
        self._total = total
        self._passed: deque[tuple[float, float]] = deque(maxlen=self.LAST)

    def left(self, done: float) -> float | None:
        """Seconds left after so many steps; None before the second."""
        self._passed.append((time.monotonic(), done))
        (then, before), (now, _) = self._passed[0], self._passed[-1]
        return (now - then) / (done - before) * (self._total - done) if done > before else None
