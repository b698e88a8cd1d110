"""``sam2 track``: prompts on a video, masklets out."""

from __future__ import annotations

import argparse
import sys
import traceback
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Any

from sam2_core.cli import common, prompts
from sam2_core.cli.failures import one_line
from sam2_core.errors import SessionError
from sam2_core.session import Session
from sam2_core.types import FrameResult


def add_parser(commands: Any) -> argparse.ArgumentParser:
    """Add the command."""
    parser: argparse.ArgumentParser = commands.add_parser("track", help="track objects through a video")
    parser.add_argument(
        "source",
        metavar="SOURCE",
        help="a video, a folder of frames, a TIFF, an OME-Zarr, a .npy or a saved session",
    )
    prompts.add_arguments(parser)
    common.add_model_arguments(parser)
    parser.add_argument(
        "--frames",
        type=_frames,
        metavar="START:STOP",
        help="track only these frames (default: from the first prompt to the end)",
    )
    parser.add_argument("--both", action="store_true", help="track backward from the prompts too")
    parser.add_argument(
        "--save", type=Path, metavar="FILE", help="save the session; SOURCE of a later call, or open_session"
    )
    common.add_output_arguments(parser, "labels")
    parser.set_defaults(run=run)
    return parser


def run(options: argparse.Namespace) -> int:
    """Run the command."""
    clock, output, stopped = common.Clock(), common.Output.of(options), None
    _check_save(options.save)
    with prompts.opened(options) as session:
        results, total = _propagation(session, options.frames, options.both)
        try:
            for _ in common.watched(results, total):
                pass
        except (KeyboardInterrupt, Exception) as error:  # the frames before it are not lost
            stopped = error
        _keep(session, options.save, output)
        if not isinstance(stopped, Exception):
            found = common.summary(session.masklets(), output, session.model.name, clock.seconds)
            common.report(found, as_json=options.json)
    if stopped is None:
        return 0
    if options.debug:
        traceback.print_exception(stopped)
    print(f"sam2: {one_line(stopped)}; the finished frames are in {options.out}", file=sys.stderr)
    return 1


def _keep(session: Session, save: Path | None, output: common.Output) -> None:
    """Write all that is known; if one thing cannot be written, the others are."""
    try:
        if save:
            session.save(save)
            output.written.append(str(save))
    finally:
        output.write(session.masklets(), session.video)


def _check_save(path: Path | None) -> None:
    """Look before the work, so that none is lost."""
    if path is None:
        return
    if path.is_dir():
        raise SessionError(f"cannot save the session as {path}, which is a folder; give the name of a file")
    common.check_folder(path.parent)


def _frames(text: str) -> range:
    start, _, stop = text.partition(":")
    try:
        return range(int(start or 0), int(stop) if stop else sys.maxsize)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not START:STOP, for example 0:100") from None


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
    if frames is None and both:
        return session.propagate(), count - min(firsts) + max(firsts)
    passes = [wanted]
    if both:
        passes.append(range(min(last, wanted.stop - 1), wanted.start - 1, -1))
    return chain.from_iterable(map(session.propagate, passes)), sum(map(len, passes))
