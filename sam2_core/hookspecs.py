"""What a plugin may add: models, readers of videos, exporters. Built-ins come through the same hooks.

A plugin is a module (or object) with functions marked ``@hookimpl``, named in the entry-point group ``sam2``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from inspect import signature
from pathlib import Path
from typing import Any, Protocol, TypeVar, runtime_checkable

import pluggy
from numpy.typing import NDArray
from typing_extensions import TypeIs

from sam2_core.prompts import Prompt
from sam2_core.results import Masklet, RunLengths
from sam2_core.types import Image, Video

hookspec = pluggy.HookspecMarker("sam2")
hookimpl = pluggy.HookimplMarker("sam2")


class Features(Protocol):
    """What a model keeps of one frame; opaque to everybody else, cached by its size."""

    @property
    def nbytes(self) -> int:
        """Bytes that it takes."""


@runtime_checkable
class LazyFeatures(Features, Protocol):
    """Features that are computed when they are first needed."""

    def encode(self, like: Any | None) -> None:
        """Compute now what objects will likely need, as on the frame nearby with the features ``like``."""


@dataclass(frozen=True, eq=False)
class Segmentation:
    """One object on one frame, as a model gives it.

    Attributes:
        encoded: the mask at the size of the video.
        score: predicted IoU in 0..1, 0 where the object is not visible.
        visible: whether the object score is above 0 and the mask not empty.
        raw: what the model needs to go on from here (logits, pointer, ...); opaque to everybody else.
    """

    encoded: RunLengths
    score: float
    visible: bool
    raw: Any = None


class Memory(Protocol):
    """What a model remembers of one object on one frame."""

    @property
    def nbytes(self) -> int:
        """Bytes that it takes."""

    def faded(self) -> Memory:
        """What is kept when the frame is too far away for its spatial memory (SAM 2: the object pointer)."""


class Memories(Protocol):
    """What one frame reads of one object's memory bank; ``tracking.bank.MemoryBank.recall`` makes it."""

    @property
    def conditioning(self) -> Sequence[tuple[float, Any]]:
        """Memories of prompted frames, past and future, with the signed distance in steps.

        A positive distance lies behind in the direction of tracking.
        """

    @property
    def recent(self) -> Sequence[tuple[int, Any]]:
        """Memories of tracked frames, the nearest first, with their distance in steps (1, 2, ...)."""


class VideoModel(Protocol):
    """Everything that tracking asks of a model: stateless verbs, batched over objects.

    Features, memories and ``Segmentation.raw`` are its own business; it is handed only what it made itself.

    Attributes:
        name: the name under which it was loaded, or the path of its checkpoint.
        memory_span: how many steps back spatial memories are read (SAM 2: 6).
        pointer_span: how many steps back faded memories are read (SAM 2: 15).
        batch: how many objects are tracked in one call; 1 where results must not depend on neighbours.
    """

    name: str
    memory_span: int
    pointer_span: int
    batch: int

    @property
    def identity(self) -> str:
        """Which weights and which arithmetic: equal identities give equal masks."""

    def encode_image(self, image: Image) -> Features:
        """The features of one frame, ``(height, width, 3)`` RGB."""

    def segment(self, features: Any, prompt: Prompt, before: Segmentation | None) -> Segmentation:
        """The mask of a prompt, without memory.

        ``before`` is the result of the same prompt without its last point (None for the first step):
        its logits are fed back, as SAM 2 was trained.
        """

    def candidates(self, features: Any, prompt: Prompt) -> Sequence[Segmentation]:
        """The readings of a prompt (whole, part, subpart), best predicted IoU first."""

    def track(self, features: Any, memories: Sequence[Memories]) -> Sequence[Segmentation]:
        """The masks of several objects on the next frame, from their memories."""

    def encode_memory(
        self, features: Any, segmentations: Sequence[Segmentation], *, prompted: bool
    ) -> Sequence[Memory]:
        """What is to be remembered of this frame, for several objects."""


class StoresMemories(Protocol):
    """What a ``VideoModel`` may do besides: turn its memories into arrays, and back to the same bits.

    A session on such a model is saved with the memories of its unfinished passes, and goes on from them.
    """

    def memory_arrays(self, memory: Any) -> Mapping[str, NDArray[Any]]:
        """What a memory holds, as plain arrays by name."""

    def memory_from(self, arrays: Mapping[str, NDArray[Any]]) -> Memory:
        """The memory that these arrays were made of; KeyError or ValueError if they are of none."""


class StoresFeatures(Protocol):
    """What a ``VideoModel`` may do besides: turn its features into arrays, and back to the same bits.

    Those of a session on such a model may go to the disk (``Limits.feature_disk_bytes``).
    """

    def feature_arrays(self, features: Any) -> Mapping[str, NDArray[Any]]:
        """What the features of a frame hold, as plain arrays by name."""

    def features_from(self, arrays: Mapping[str, NDArray[Any]]) -> Features:
        """The features that these arrays were made of; they are its own, from the same process."""


class HasWindows(Protocol):
    """What a ``VideoModel`` may do besides: follow small objects in windows of the frame."""

    @property
    def whole_frames(self) -> VideoModel:
        """The same model without windows."""


def has_windows(model: object) -> TypeIs[HasWindows]:
    """Whether a model follows small objects in windows."""
    return hasattr(model, "whole_frames")


def stores_memories(model: object) -> TypeIs[StoresMemories]:
    """Whether a model can turn its memories into arrays."""
    return hasattr(model, "memory_arrays") and hasattr(model, "memory_from")


def stores_features(model: object) -> TypeIs[StoresFeatures]:
    """Whether a model can turn its features into arrays."""
    return hasattr(model, "feature_arrays") and hasattr(model, "features_from")


ModelLoader = Callable[[str, str], VideoModel]
"""``load(device, precision)`` -> a model that is ready."""

Exporter = Callable[[Mapping[int, Masklet], Video, Path], Path]
"""``export(masklets, video, folder)`` writes into the folder and returns what it wrote."""

Item = TypeVar("Item")


class Watch(Protocol):
    """Gives the items of a sequence one by one, as ``tqdm`` does; whoever passes it sees the progress."""

    def __call__(self, sequence: Sequence[Item], /) -> Iterable[Item]:
        """The items, in their order."""


class WatchedExporter(Protocol):
    """What an ``Exporter`` may take besides: ``watch``, with which it goes through its frames or objects."""

    def __call__(
        self, masklets: Mapping[int, Masklet], video: Video, folder: Path, *, watch: Watch = iter
    ) -> Path:
        """Write into the folder and return what was written."""


def takes_watch(export: Exporter) -> TypeIs[WatchedExporter]:
    """Whether an exporter lets its progress be watched."""
    try:
        return "watch" in signature(export).parameters
    except (TypeError, ValueError):  # a callable that does not say
        return False


@hookspec
def sam2_register_models(register: Callable[[str, ModelLoader, str], None]) -> None:
    """Call ``register(name, load, description)`` for each model."""


@hookspec(firstresult=True)
def sam2_open_video(source: Any, options: Any) -> Video | None:
    """A video made from the source, or None if this plugin does not know how.

    ``options`` are the ``ImageOptions`` that the caller gave, or None. A plugin whose sources leave nothing
    to choose may take the source only: ``def sam2_open_video(source)``.
    """


@hookspec
def sam2_register_exporters(register: Callable[[str, Exporter, str], None]) -> None:
    """Call ``register(name, export, description)`` for each exporter."""
