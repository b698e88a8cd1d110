"""The files that a command line reads; no result may replace one of them."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path

from sam2_core import saved
from sam2_core.cli import labels
from sam2_core.cli.failures import UsageError


def check(options: argparse.Namespace) -> None:
    """Look before the work.

    Raises:
        UsageError: if ``--out`` or ``--save`` would replace what is read.
    """
    for path in _of(options):
        if options.save and _same(path, options.save) and not saved.is_session(path):
            raise UsageError(f"--save would replace {path}, which is read; give another file")
        if name := _results_over(path, options.out, options.format):
            raise UsageError(f"the results as {name} would replace {path}, which is read; give another --out")


def _of(options: argparse.Namespace) -> Iterator[Path]:
    """SOURCE and the files of the other options that are there."""
    named = [Path(options.source), options.video, options.prompts]
    named += [Path(text.partition(":")[2]) for text in options.mask]
    named += [labels.split(text)[1] for text in options.labels]
    yield from (path for path in named if path is not None and path.exists())


def _same(path: Path, other: Path) -> bool:
    return path.resolve() == other.resolve()


def _results_over(path: Path, out: Path, formats: Sequence[str]) -> str | None:
    """The format whose folder or file in ``out`` is the path or holds it."""
    try:
        inner = path.resolve().relative_to(out.resolve())
    except ValueError:
        return None
    first = inner.parts[0].partition(".")[0] if inner.parts else None
    return next((name for name in formats if name == first), None)
