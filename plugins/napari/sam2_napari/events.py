"""What the thread of a session tells the window; plain values, made in one thread and read in another."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sam2_core import Prompt


@dataclass(frozen=True, eq=False)
class Opened:
    """The session is there.

    Attributes:
        model: the name of its model.
        frames: how many frames the video has.
        size: their height and width.
    """

    model: str
    frames: int
    size: tuple[int, int]


@dataclass(frozen=True, eq=False)
class Shown:
    """What a frame looks like now.

    Attributes:
        frame_index: the frame.
        labels: object ids as pixel values, ``(height, width)``.
    """

    frame_index: int
    labels: NDArray[np.int32]


@dataclass(frozen=True)
class ObjectState:
    """What is known of one object.

    Attributes:
        object_id: the object.
        prompted: the frames with a prompt.
        frames: on how many frames it has a mask.
        stale: how many of these are from before the last change of its prompts.
        mother: the object that divided into it.
    """

    object_id: int
    prompted: tuple[int, ...]
    frames: int
    stale: int
    mother: int | None = None


@dataclass(frozen=True, eq=False)
class Document:
    """The prompts as they stand, after all that was asked up to a version.

    Attributes:
        version: the last request that is in it.
        prompts: all prompts.
        objects: the objects, in the order in which they were added.
        undo, redo: what would be undone and done again; None for nothing.
    """

    version: int
    prompts: tuple[Prompt, ...]
    objects: tuple[ObjectState, ...]
    undo: str | None = None
    redo: str | None = None


@dataclass(frozen=True, eq=False)
class Tracked:
    """Where the objects are, for a Tracks layer.

    Attributes:
        rows: object, frame, y and x of the centre of each mask, sorted by object and frame, ``(masks, 4)``.
        graph: the mother of each daughter, as napari writes it.
    """

    rows: NDArray[np.float64]
    graph: Mapping[int, list[int]]


@dataclass(frozen=True)
class Progress:
    """How far a long task has come.

    Attributes:
        done, total: steps, mostly frames.
        seconds_left: at the pace so far; None before it is known.
    """

    done: int
    total: int
    seconds_left: float | None = None


@dataclass(frozen=True)
class Said:
    """A word to the user that is no error, such as where a file was written."""

    message: str


@dataclass(frozen=True)
class Kept:
    """The work was saved in case of a crash.

    Attributes:
        problem: why it was not, and what to do; empty if it was.
    """

    problem: str = ""


@dataclass(frozen=True)
class Failed:
    """Something could not be done, or not all of it; what was done until then is kept.

    Attributes:
        message: one line that says what to do.
    """

    message: str


@dataclass(frozen=True)
class Finished:
    """A task ended.

    Attributes:
        name: the task, in a user's words; empty for what nobody asked for.
        long: whether it was a long one, which tells how far it has come.
        cancelled: whether it was stopped; what it did until then is kept.
        failed: whether it could not be done; ``Failed`` has said why.
    """

    name: str
    long: bool = False
    cancelled: bool = False
    failed: bool = False


Event = Opened | Shown | Document | Tracked | Progress | Said | Kept | Failed | Finished

Telling = Generator[Event, None, None]
"""Something that is done bit by bit and tells of each; whoever stops it closes it."""
