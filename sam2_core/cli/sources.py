"""SOURCE on the command line: how its frames become RGB, and where those of a saved session are."""

from __future__ import annotations

import argparse
import math
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from sam2_core import saved
from sam2_core.cli.failures import UsageError
from sam2_core.errors import SessionError, SessionVideoError, VideoError
from sam2_core.opening import open_session
from sam2_core.plugins import open_video
from sam2_core.session import Session
from sam2_core.types import Video
from sam2_core.videos import ImageOptions


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options that say how a source is read."""
    group = parser.add_argument_group("image (what is not 8-bit RGB; without these by percentiles)")
    group.add_argument(
        "--contrast",
        type=_contrast,
        metavar="LOW:HIGH",
        help="the values shown as black and white; 'A:B,C:D' for one pair per channel "
        "(--contrast=-5:5 where LOW is negative)",
    )
    group.add_argument(
        "--channels",
        type=_channels,
        metavar="A[,B[,C]]",
        help="one to three channels, from 0: shown as gray, as red and green, or as red, green and blue",
    )
    group.add_argument(
        "--z",
        type=_plane,
        metavar="PLANE",
        help="the plane of a volume through time, from 0 (default: the middle one)",
    )
    group.add_argument("--axes", type=_axes, help="what the axes of an array are, for example TCZYX")
    parser.add_argument(
        "--video",
        type=Path,
        metavar="PATH",
        help="where the frames of a saved session are now, if they moved",
    )
    parser.add_argument(
        "--any-video",
        action="store_true",
        help="go on with a saved session whatever its frames look like now; their size and number must fit",
    )


@contextmanager
def opened(options: argparse.Namespace) -> Iterator[Session]:
    """The session on the SOURCE of a command line, read as its options say; closes what it opens.

    Raises:
        UsageError: for ``--video`` or ``--any-video`` beside a SOURCE that is no saved session, or image
            options beside one whose frames are where they were: it remembers how they were read.
        VideoError: if the frames cannot be opened so.
        SessionError: for a saved session that is broken, or whose frames are not known.
    """
    source, video, shown = options.source, options.video, image_options(options)
    is_session = saved.is_session(source)
    if video and not is_session:
        raise UsageError(f"--video says where the frames of a saved session are, and {source} is not one")
    if options.any_video and not is_session:
        raise UsageError(f"--any-video is about the frames of a saved session, and {source} is not one")
    if is_session and shown is not None and not video:
        raise UsageError(
            f"{source} is a saved session, which remembers how its frames are read; leave out --contrast, "
            "--channels, --z and --axes, or give its frames with --video PATH"
        )
    with ExitStack() as stack:
        if shown is not None:
            read = open_video(video or source, shown)
            if hasattr(read, "close"):
                stack.callback(read.close)
            source, video = (source, read) if is_session else (read, None)
        yield stack.enter_context(_session(source, video, options))


def _session(source: str | Video, video: Path | Video | None, options: argparse.Namespace) -> Session:
    try:
        return open_session(
            source,
            model=options.model,
            device=options.device,
            precision=options.precision,
            windows=options.windows,
            video=video,
            check_video=not options.any_video,
        )
    except SessionVideoError as error:  # its advice is for Python
        raise SessionError(
            f"{error.problem}; give its frames with --video PATH, and --any-video if they look otherwise now"
        ) from error


def image_options(options: argparse.Namespace) -> ImageOptions | None:
    """What the command line says about the image; None if it says nothing.

    Raises:
        UsageError: for what cannot be shown.
    """
    if options.contrast is options.channels is options.z is options.axes is None:
        return None
    try:
        return ImageOptions(options.contrast, options.channels, options.z, options.axes)
    except VideoError as error:
        raise UsageError(str(error)) from error


def _contrast(text: str) -> list[tuple[float, float]]:
    try:
        pairs = [tuple(map(float, pair.split(":"))) for pair in text.split(",")]
    except ValueError:
        pairs = []
    found = [(pair[0], pair[1]) for pair in pairs if len(pair) == 2]
    if not found or len(found) < len(pairs) or not all(low < high < math.inf for low, high in found):
        raise UsageError(
            f"cannot read --contrast {text!r}; write LOW:HIGH with LOW below HIGH, for example 74:495"
        )
    return found


def _channels(text: str) -> tuple[int, ...]:
    parts = [part.strip() for part in text.split(",")]
    if len(parts) > 3 or not all(part.isdecimal() for part in parts):
        raise UsageError(f"cannot read --channels {text!r}; give one to three numbers from 0, such as 2,0,1")
    return tuple(map(int, parts))


def _plane(text: str) -> int:
    if not text.isdecimal():
        raise UsageError(f"cannot read --z {text!r}; give the number of a plane, from 0")
    return int(text)


def _axes(text: str) -> str:
    axes = text.upper()
    if not axes.isalpha() or len(set(axes)) < len(axes) or not {"Y", "X"} <= set(axes):
        raise UsageError(
            f"cannot read --axes {text!r}; name each axis once by its letter, Y and X included, such as TCZYX"
        )
    return axes
