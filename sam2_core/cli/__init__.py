"""The command line ``sam2``: one module per command.

Exit status: 0 done, 1 failed (one line on stderr; a traceback with ``--debug``), 2 wrong usage.
"""

from __future__ import annotations

import argparse
import signal
import sys
import traceback
from collections.abc import Sequence
from types import FrameType
from typing import NoReturn

from sam2_core import __version__
from sam2_core.cli import demo, models, segment, track
from sam2_core.errors import SAM2Error

COMMANDS = (demo, track, segment, models)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run ``sam2`` with these arguments (those of the process if None); returns the exit status."""
    options = _parser().parse_args(arguments)
    signal.signal(signal.SIGTERM, _interrupt)  # a polite kill keeps the finished frames, as Ctrl-C does
    try:
        status: int = options.run(options)
    except KeyboardInterrupt:
        print("sam2: interrupted", file=sys.stderr)
        return 1
    except (SAM2Error, OSError) as error:
        if options.debug:
            traceback.print_exc()
        print(f"sam2: {' '.join(str(error).split())}", file=sys.stderr)
        return 1
    return status


def _interrupt(signal_number: int, frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="sam2", description="SAM 2: click an object, get its masklet.")
    parser.add_argument("--version", action="version", version=f"sam2-core {__version__}")
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    for command in COMMANDS:
        subparser = command.add_parser(commands)
        subparser.add_argument(
            "--debug", action="store_true", default=argparse.SUPPRESS, help=argparse.SUPPRESS
        )
    return parser
