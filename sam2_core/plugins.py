"""The pluggy manager: where models, videos and exporters are looked up by name or by source."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Generic, TypeVar

import pluggy

from sam2_core import exporters, hookspecs, videos
from sam2_core.errors import ExportError, ModelError, VideoError
from sam2_core.hookspecs import Exporter, ModelLoader, VideoModel, has_windows
from sam2_core.models import registry
from sam2_core.types import Video

Registered = TypeVar("Registered")


@dataclass(frozen=True)
class Entry(Generic[Registered]):
    """Something registered under a name."""

    name: str
    value: Registered
    description: str


def plugin_manager(*, entry_points: bool = True) -> pluggy.PluginManager:
    """A manager with the built-ins, and with installed plugins unless ``entry_points`` is False."""
    from sam2_core.tracking import builtins  # names its models; loads no torch

    manager = pluggy.PluginManager("sam2")
    manager.add_hookspecs(hookspecs)
    for builtin in (builtins, videos, exporters):
        manager.register(builtin)
    if entry_points:
        manager.load_setuptools_entrypoints("sam2")
    manager.check_pending()
    return manager


@cache
def default_manager() -> pluggy.PluginManager:
    """The manager that the public functions use."""
    return plugin_manager()


def models(manager: pluggy.PluginManager | None = None) -> dict[str, Entry[ModelLoader]]:
    """All registered models, by name."""
    found: dict[str, Entry[ModelLoader]] = {}

    def register(name: str, load: ModelLoader, description: str) -> None:
        found[name] = Entry(name, load, description)

    (manager or default_manager()).hook.sam2_register_models(register=register)
    return found


def model_names() -> tuple[str, ...]:
    """The names that ``load_model`` knows; a path of a checkpoint works as well."""
    return tuple(models())


def fetch_model(name: str) -> Iterator[tuple[int, int]]:
    """Download a published model, once; iterate to go on.

    Yields:
        How many bytes are here, and of how many (0 if the server does not tell).

    Raises:
        ModelError: if there is no such model, nobody delivers, or what came is damaged.
    """
    yield from registry.fetch(name)


def exporters_by_name(manager: pluggy.PluginManager | None = None) -> dict[str, Entry[Exporter]]:
    """All registered exporters, by name."""
    found: dict[str, Entry[Exporter]] = {}

    def register(name: str, export: Exporter, description: str) -> None:
        found[name] = Entry(name, export, description)

    (manager or default_manager()).hook.sam2_register_exporters(register=register)
    return found


def exporter(name: str) -> Exporter:
    """An exporter by its name; ExportError if there is none."""
    known = exporters_by_name()
    if name not in known:
        raise ExportError(f"no format is called {name!r}; there are: {', '.join(sorted(known))}")
    return known[name].value


def load_model(
    name: str | Path, device: str = "auto", precision: str = "auto", *, windows: bool = True
) -> VideoModel:
    """A model that is ready to use.

    Args:
        name: a registered name, or the path of a checkpoint in Meta's or the hub's layout.
        device: "auto" (CUDA, MPS or CPU, whichever is there) or a torch device.
        precision: "exact" (float32, equal to the reference implementations, so without windows) or "auto".
        windows: follow objects that are small on the frame in windows at its own resolution, if the model
            can; False squeezes the whole frame into the model's input, as the references do.

    Raises:
        ModelError: for a name that is not known, or a checkpoint that does not fit.
    """
    check_model_name(name)
    known = models()
    if str(name) in known:
        model = known[str(name)].value(device, precision)
    else:
        from sam2_core.tracking.builtins import load_checkpoint  # torch, only when it is needed

        model = load_checkpoint(Path(name), device, precision)
    return model if windows or not has_windows(model) else model.whole_frames


def check_model_name(name: str | Path) -> None:
    """Whether a model is registered under this name, or it is a checkpoint's; loads nothing.

    Raises:
        ModelError: if neither is so; it says what there is.
    """
    known = models()
    is_file = isinstance(name, (str, Path)) and Path(name).suffix in registry.SUFFIXES
    if str(name) not in known and not is_file:
        raise ModelError(
            f"no model is called {str(name)!r}; there are: {', '.join(sorted(known))}, "
            "or give the path of a .pt or .safetensors file"
        )


@dataclass(frozen=True)
class Origin:
    """Where an opened video came from, so that it can be opened again.

    Attributes:
        path: the absolute path, or whatever other text a plugin took.
        options: how it was to be read, if the caller said so.
    """

    path: str
    options: videos.ImageOptions | None = None


def origin_of(video: Video) -> Origin | None:
    """Where a video came from, if ``open_video`` opened it from a path."""
    origin = getattr(video, "origin", None)
    return origin if isinstance(origin, Origin) else None


def open_video(source: Any, options: videos.ImageOptions | None = None) -> Video:
    """A video from a file, a folder of frames, a TIFF or OME-Zarr, an array, or whatever a plugin knows.

    A video that was opened from a path remembers it (``origin_of``) and has a ``name``, the last part of the
    path without its suffix; exporters write it where their format names videos.

    Args:
        source: what to open.
        options: contrast limits, channels, plane and axes of what is not 8-bit RGB.

    Raises:
        VideoError: if nobody can open it.
    """
    video: Video | None = default_manager().hook.sam2_open_video(source=source, options=options)
    if video is None and isinstance(source, (str, Path)) and not _exists(source):
        raise VideoError(f"there is no file or folder called {str(source)!r}")
    if video is None:
        raise VideoError(
            f"cannot open {describe(source)} as a video; give a video file, a folder of frames, "
            "an image, a TIFF, an OME-Zarr, a .npy or an array"
        )
    if isinstance(source, (str, Path)):
        with suppress(AttributeError):  # a plugin's video may take no attributes; it is saved without a path
            # A link keeps its own name: what it points at may lack the suffix.
            path = Path(source).absolute() if _exists(source) else source
            video.origin = Origin(str(path), options)  # type: ignore[attr-defined]  # read by origin_of
            if not getattr(video, "name", None):
                video.name = Path(source).stem  # type: ignore[attr-defined]  # read by exporters
    return video


def _exists(source: str | Path) -> bool:
    try:
        return Path(source).exists()
    except (OSError, ValueError):  # what no file can be called
        return False


def describe(source: Any) -> str:
    """The source in a few words, for messages."""
    return repr(str(source)) if isinstance(source, (str, Path)) else f"a {type(source).__name__}"
