"""The command line ``sam2``: one module per command.

Exit status: 0 done, 1 failed (one line on stderr; a traceback with ``--debug``) or stopped with the finished
frames written, 2 arguments that make no sense, 130 interrupted before that.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> int:
    """Run ``sam2`` with these arguments (those of the process if None); returns the exit status."""
    try:
        from sam2_core.cli import commands  # while it loads, an interrupt is already one line

        return commands.run(arguments)
    except KeyboardInterrupt:
        print("sam2: interrupted", file=sys.stderr)
        return 130
