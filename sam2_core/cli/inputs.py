"""The files that a command line reads; no result may replace one of them, nor one result another."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path

from sam2_core import saved
from sam2_core.cli import labels
from sam2_core.cli.failures import UsageError

SESSIONS = (".sam2", ".npz")
"""How files of sessions are usually called."""


def check(options: argparse.Namespace) -> None:
    """Look before the work.

    Raises:
        UsageError: if ``--out`` or ``--save`` would replace what is read, or the results what is saved.
    """
    if options.save and (name := _results_on(options.save, options.out, options.format)):
        raise UsageError(
            f"--save {options.save} lies where the results as {name} go; give another name or folder"
        )
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
    first = _first(path, out).partition(".")[0]
    return next((name for name in formats if name == first), None)


def _results_on(save: Path, out: Path, formats: Sequence[str]) -> str | None:
    """The format that would write a session's file: no format writes into files called as sessions are.

    But ``.labels.sam2`` is the list of what ``labels`` wrote.
    """
    first = _first(save, out).casefold()  # some disks take coco.json and COCO.json for the same
    if Path(first).suffix in SESSIONS and not first.startswith("."):
        return None
    return next((name for name in formats if name.casefold() == first.strip(".").partition(".")[0]), None)


def _first(path: Path, out: Path) -> str:
    """The name of the file or folder in ``out`` that is the path or holds it; "" if it lies elsewhere."""
    try:
        return path.resolve().relative_to(out.resolve()).parts[0]
    except (ValueError, IndexError):
        return ""
