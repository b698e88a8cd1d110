"""The models that come with the package, registered through the hook that plugins use; loads no torch."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

from sam2_core.hookspecs import ModelLoader, VideoModel, hookimpl
from sam2_core.models import registry


@hookimpl
def sam2_register_models(register: Callable[[str, ModelLoader, str], None]) -> None:
    """Register nano, the published checkpoints and the two baselines."""
    register("nano", load_nano, "small, bundled, works offline on a laptop")
    for name in registry.PUBLISHED:
        register(name, partial(load_published, name), "published by Meta; fetch or import it first")
    register("copy", load_copy, "baseline: repeats the nearest known mask")
    register("flow", load_flow, "baseline: warps the nearest known mask by optical flow")


def load_nano(device: str, precision: str) -> VideoModel:
    """The bundled model."""
    path = Path(__file__).parent.parent / "weights" / "nano.safetensors"
    return load_checkpoint(path, device, precision, name="nano")


def load_published(name: str, device: str, precision: str) -> VideoModel:
    """A published model from the cache folder; ModelError says how to get it if it is not there."""
    return load_checkpoint(registry.find(name), device, precision, name=name)


def load_checkpoint(path: Path, device: str, precision: str, name: str | None = None) -> VideoModel:
    """A model from a checkpoint file in Meta's or the hub's layout."""
    from sam2_core.tracking.windowed_model import load

    return load(path, device, precision, name or str(path.absolute()))


def load_copy(device: str, precision: str) -> VideoModel:
    """The tracker that repeats masks; device and precision do not matter to it."""
    from sam2_core.tracking.trivial import CopyModel

    return CopyModel()


def load_flow(device: str, precision: str) -> VideoModel:
    """The tracker that warps masks; device and precision do not matter to it."""
    from sam2_core.tracking.trivial import FlowModel

    return FlowModel()
