"""All commands in one parser, and their exit status."""

from __future__ import annotations

import argparse
import io
import os
import signal
import sys
import threading
import traceback
import warnings
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from types import FrameType
from typing import NoReturn

from sam2_core import __version__
from sam2_core.cli import bench, demo, evaluate, finetune, models, segment, track, train
from sam2_core.cli.failures import UsageError, one_line


def run(arguments: Sequence[str] | None) -> int:
    """Run ``sam2`` with these arguments; returns the exit status."""
    debug = False
    try:
        with _own_process():
            options = _parser().parse_args(arguments)
            debug = options.debug
            status: int = options.run(options)
            print(end="", flush=True)  # here, where a failure can still be said
    except (KeyboardInterrupt, Exception) as error:
        if debug:
            traceback.print_exc()
        print(f"sam2: {one_line(error)}", file=sys.stderr)
        _give_up_output()
        return _status(error)
    return status


@contextmanager
def _own_process() -> Iterator[None]:
    """Signals, warnings and output as a command has them; afterwards all is as it was.

    A polite kill is an interrupt, so that it keeps the finished frames; a warning is one line; names of files
    that cannot be printed are escaped. In a thread signals stay as they are: Python handles none there.
    """
    with ExitStack() as undo:
        if threading.current_thread() is threading.main_thread():
            handler = signal.signal(signal.SIGTERM, _interrupt)
            undo.callback(signal.signal, signal.SIGTERM, handler or signal.SIG_DFL)  # None: not Python's
        undo.callback(setattr, warnings, "showwarning", warnings.showwarning)
        warnings.showwarning = _say
        if isinstance(output := sys.stdout, io.TextIOWrapper):
            undo.callback(_set_errors, output, output.errors)
            _set_errors(output, "backslashreplace")
        yield


def _set_errors(output: io.TextIOWrapper, errors: str | None) -> None:
    with suppress(OSError):  # nobody reads it any more: the command says so
        output.reconfigure(errors=errors)


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
    for command in (demo, track, segment, evaluate, train, finetune, models, bench):
        subparser = command.add_parser(commands)
        subparser.add_argument(
            "--debug", action="store_true", default=argparse.SUPPRESS, help=argparse.SUPPRESS
        )
    return parser
