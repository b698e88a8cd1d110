"""SAM 2 as software people rely on: promptable segmentation of images and videos in constant memory.

    from sam2_core import Point, Prompt, open_session

    with open_session("video.mp4") as session:
        session.add_prompt(Prompt(frame_index=0, object_id=1, points=[Point(420, 270)]))
        for result in session.propagate():
            labels = result.label_image()

Importing this package loads nothing, a public name loads what it needs, and opening a session loads torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sam2_core.automatic import Found, Seeding, automatic_prompts
    from sam2_core.errors import (
        ExportError,
        ModelError,
        PromptError,
        SAM2Error,
        SessionClosedError,
        SessionError,
        SessionVideoError,
        SupersededError,
        VideoError,
    )
    from sam2_core.hookspecs import hookimpl
    from sam2_core.limits import Limits
    from sam2_core.opening import open_session, saved_source
    from sam2_core.plugins import Origin, exporter, fetch_model, load_model, model_names, open_video
    from sam2_core.prompts import Prompt
    from sam2_core.results import Candidate, FrameResult, Masklet, MaskletFrame, RunLengths
    from sam2_core.session import Session
    from sam2_core.types import Box, Mask, Point, Video
    from sam2_core.videos import ImageOptions, LiveVideo

__all__ = [
    "Box",
    "Candidate",
    "ExportError",
    "Found",
    "FrameResult",
    "ImageOptions",
    "Limits",
    "LiveVideo",
    "Mask",
    "Masklet",
    "MaskletFrame",
    "ModelError",
    "Origin",
    "Point",
    "Prompt",
    "PromptError",
    "RunLengths",
    "SAM2Error",
    "Seeding",
    "Session",
    "SessionClosedError",
    "SessionError",
    "SessionVideoError",
    "SupersededError",
    "Video",
    "VideoError",
    "automatic_prompts",
    "exporter",
    "fetch_model",
    "hookimpl",
    "load_model",
    "model_names",
    "open_session",
    "open_video",
    "saved_source",
]
__version__ = "0.1.0"

_HOMES = (
    "errors",
    "limits",
    "types",
    "results",
    "prompts",
    "hookspecs",
    "videos",
    "plugins",
    "session",
    "opening",
    "automatic",
)
"""Where the public names are, the lightest first."""

if not TYPE_CHECKING:

    def __getattr__(name: str) -> Any:
        """A public name, when it is first asked for: so that ``sam2`` runs before NumPy is loaded."""
        for home in _HOMES if name in __all__ else ():
            if hasattr(module := import_module(f"sam2_core.{home}"), name):
                return globals().setdefault(name, getattr(module, name))
        raise AttributeError(f"module 'sam2_core' has no attribute {name!r}")
