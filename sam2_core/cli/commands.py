"""All commands in one parser, and their exit status."""

from __future__ import annotations

import argparse
import io
import os
import signal
import sys
import traceback
import warnings
from collections.abc import Sequence
from types import FrameType
from typing import NoReturn

from sam2_core import __version__
from sam2_core.cli import demo, models, segment, track
from sam2_core.cli.failures import UsageError, one_line


def run(arguments: Sequence[str] | None) -> int:
    """Run ``sam2`` with these arguments; returns the exit status."""
    debug = False
    try:
        signal.signal(signal.SIGTERM, _interrupt)  # a polite kill keeps the finished frames, as Ctrl-C does
        options = _parser().parse_args(arguments)
        debug = options.debug
        warnings.showwarning = _say
        if isinstance(sys.stdout, io.TextIOWrapper):
            sys.stdout.reconfigure(errors="backslashreplace")  # names of files may hold anything
        status: int = options.run(options)
        print(end="", flush=True)  # here, where a failure can still be said
    except (KeyboardInterrupt, Exception) as error:
        if debug:
            traceback.print_exc()
        print(f"sam2: {one_line(error)}", file=sys.stderr)
        _give_up_output()
        return _status(error)
    return status


def _say(message: Warning | str, *where: object, **more: object) -> None:
    """A warning as one line, without the place in our source."""
    print(f"sam2: warning: {' '.join(str(message).split())}", file=sys.stderr)


def _status(error: BaseException) -> int:
    if isinstance(error, KeyboardInterrupt):
        return 130  # as a shell has it
    return 2 if isinstance(error, UsageError) else 1


def _give_up_output() -> None:
    """If nobody reads our output any more, or its disk is full, let Python not try again at its end."""
    try:
        print(end="", flush=True)
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _interrupt(signal_number: int, frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="sam2", description="SAM 2: click an object, get its masklet.")
    parser.add_argument("--version", action="version", version=f"sam2-core {__version__}")
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    for command in (demo, track, segment, models):
        subparser = command.add_parser(commands)
        subparser.add_argument(
            "--debug", action="store_true", default=argparse.SUPPRESS, help=argparse.SUPPRESS
        )
    return parser
