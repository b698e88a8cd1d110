"""The files that ``sam2 eval`` writes, tried before the work."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from sam2_core.cli.failures import UsageError
from sam2_core.errors import reason
from sam2_core.evaluation.report import plot_formats
from sam2_core.evaluation.truth import Sequence
from sam2_core.files import new_file


def check_targets(options: argparse.Namespace, sequences: Iterable[Sequence]) -> None:
    """UsageError, before hours of work, for a file that cannot be written or belongs to what is read."""
    targets = {name: file for name in ("json", "plot") if (file := getattr(options, name)) is not None}
    links = [p for of in options.dataset for name in ("*", "*/*") for p in of.glob(name) if p.is_symlink()]
    places = [*options.dataset, *links, *(sequence.source for sequence in sequences)]
    for name, file in targets.items():
        if place := _that_holds(file, places):
            raise UsageError(f"--{name} {file} lies in the data set {str(place)!r}; give a file elsewhere")
        _try(file)
    if len({file.resolve() for file in targets.values()}) < len(targets):
        raise UsageError("--json and --plot are the same file; give two")
    if options.plot and (suffix := options.plot.suffix[1:].lower()) not in ("", *(known := plot_formats())):
        raise UsageError(f"no plot can be a .{suffix} file; give one of: {', '.join(known)}")


def _that_holds(file: Path, places: Iterable[Path]) -> Path | None:
    """The first of the folders or files in which a file lies, or which it is; links count on both sides."""
    names = {Path(os.path.abspath(file)), file.resolve()}  # noqa: PTH100  # a link itself, too
    for place in places:
        inside = {Path(os.path.abspath(place)), place.resolve()}  # noqa: PTH100
        if any(name.is_relative_to(folder) for name in names for folder in inside):
            return place
    return None


def _try(file: Path) -> None:
    """UsageError if no file can be written there; what is there stays as it is."""
    folder = file.absolute().parent
    if not folder.is_dir():
        raise UsageError(f"there is no folder {str(folder)!r} for {file.name!r}; make it first")
    try:
        with suppress(_TriedError), new_file(file) as part:
            part.touch()
            raise _TriedError
    except OSError as error:
        raise UsageError(f"cannot write {str(file)!r}: {reason(error)}") from error


class _TriedError(Exception):
    """Ends a try before it replaces anything."""
