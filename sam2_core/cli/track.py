"""``sam2 track``: prompts on a video, masklets out."""

from __future__ import annotations

import argparse
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain
from typing import Any

from sam2_core.cli import common, hints, prompts, sources
from sam2_core.cli.failures import UsageError, one_line
from sam2_core.cli.results import Output
from sam2_core.errors import ExportError, SessionError
from sam2_core.results import FrameResult
from sam2_core.session import Session


def add_parser(commands: Any) -> argparse.ArgumentParser:
    """Add the command."""
    parser: argparse.ArgumentParser = commands.add_parser("track", help="track objects through a video")
    parser.add_argument(
        "source",
        metavar="SOURCE",
        help="a video, a folder of frames, a TIFF, an OME-Zarr, a .npy or a saved session",
    )
    prompts.add_arguments(parser)
    sources.add_arguments(parser)
    common.add_model_arguments(parser)
    parser.add_argument(
        "--frames",
        type=_frames,
        metavar="START:STOP",
        help="track only these frames (default: from the first prompt to the end)",
    )
    parser.add_argument("--both", action="store_true", help="track backward from the prompts too")
    common.add_output_arguments(parser, "labels")
    parser.set_defaults(run=run)
    return parser


def run(options: argparse.Namespace) -> int:
    """Run the command."""
    clock, output = common.Clock(), Output.of(options)
    with prompts.opened(options) as session:
        stopped = _track(session, options)
        masklets, model = session.masklets(), session.model.name
        with _remembering(stopped):
            output.keep(session, masklets)
        if isinstance(stopped, Exception):
            common.say(hints.stale(masklets))
        else:
            common.finish(masklets, output.written, model, clock, as_json=options.json)
    if stopped is None:
        return 0
    if options.debug:
        traceback.print_exception(stopped)
    print(f"sam2: {one_line(stopped)}; the finished frames are in {options.out}", file=sys.stderr)
    return 1


def _track(session: Session, options: argparse.Namespace) -> BaseException | None:
    """Do the passes; gives what stopped them, so that the frames before it are not lost."""
    results, total = _propagation(session, options.frames, options.both)
    try:
        for _ in common.watched(results, total):
            pass
    except (KeyboardInterrupt, Exception) as error:
        return error
    return None


@contextmanager
def _remembering(stopped: BaseException | None) -> Iterator[None]:
    """What fails in here is said together with what stopped the passes before."""
    try:
        yield
    except Exception as error:
        if stopped is None:
            raise
        said = f"{one_line(stopped)}; and not all of the finished frames are kept: {one_line(error)}"
        raise ExportError(said) from BaseExceptionGroup("failed", [stopped, error])


def _frames(text: str) -> range:
    start, colon, stop = text.partition(":")
    try:
        frames = range(int(start or 0), int(stop) if stop else sys.maxsize)
    except ValueError:
        colon, frames = "", range(0)
    if not colon:
        raise UsageError(f"cannot read --frames {text!r}; write START:STOP, for example 0:100 for 0 to 99")
    if frames.start < 0 or not frames:
        raise UsageError(
            f"--frames {text} holds no frame of a video; START is 0 or more and STOP above it, for example "
            "2:5 for frames 2, 3 and 4 (--both tracks them backward too)"
        )
    return frames


def _propagation(session: Session, frames: range | None, both: bool) -> tuple[Iterator[FrameResult], int]:
    """The passes that the options ask for, and how many frames they have together."""
    count = len(session.video)
    prompted = [(prompt.frame_index, prompt.object_id) for prompt in session.prompts]
    firsts = [min(frame for frame, of in prompted if of == object_id) for object_id in session.object_ids]
    last = max(prompted)[0]
    wanted = range(min(firsts), count) if frames is None else frames
    wanted = range(wanted.start, min(wanted.stop, count))
    if not len(wanted):
        raise SessionError(
            f"--frames from {wanted.start} on holds no frame; the video has frames 0..{count - 1}"
        )
    if both and (frames is None or len(wanted) == count):
        return session.propagate(), count - min(firsts) + max(firsts)
    passes = [wanted]
    if both:
        passes.append(range(min(last, wanted.stop - 1), wanted.start - 1, -1))
    return chain.from_iterable(map(session.propagate, passes)), sum(map(len, passes))
