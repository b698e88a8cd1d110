"""What several commands share: options, output folders, progress, the table at the end."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tqdm import tqdm

from sam2_core import plugins, saved
from sam2_core.cli import hints, inputs
from sam2_core.cli.failures import usage
from sam2_core.errors import ExportError, SAM2Error, reason
from sam2_core.files import make_folder
from sam2_core.models import registry
from sam2_core.session import Session
from sam2_core.types import FrameResult, Masklet, Video


def add_model_arguments(parser: argparse.ArgumentParser) -> None:
    """Which model, and where it runs."""
    parser.add_argument(
        "--model", type=_model, help="a name of 'sam2 models list' or a checkpoint file (default: nano)"
    )
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1, mps (default: auto)")
    parser.add_argument(
        "--precision", default="auto", choices=["auto", "exact"], help="exact is float32, as the references"
    )


def add_output_arguments(parser: argparse.ArgumentParser, formats: str) -> None:
    """Where results go, and in which formats."""
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder for the results")
    parser.add_argument(
        "--format",
        type=_formats,
        default=formats,
        metavar="A,B",
        help=f"{', '.join(plugins.exporters_by_name())} (default: {formats})",
    )
    parser.add_argument(
        "--save", type=Path, metavar="FILE", help="save the session; SOURCE of a later call, or open_session"
    )
    parser.add_argument("--json", action="store_true", help="print the summary as JSON")


def _model(name: str) -> str:
    """The name; UsageError if nobody knows it, before anything is opened."""
    if name not in plugins.models() and Path(name).suffix not in registry.SUFFIXES:
        with usage():
            plugins.load_model(name)  # loads nothing, and says what there is
    return name


def _formats(text: str) -> list[str]:
    names = [name.strip() for name in text.split(",") if name.strip()]
    with usage():
        for name in names:
            plugins.exporter(name)
    return names


@dataclass
class Output:
    """The folder and the formats of a command, checked before any work is done.

    Attributes:
        folder: where the files go.
        formats: names of exporters.
        save: the file of the session, if it is to be saved.
        written: what has been written so far.

    Raises:
        ExportError: if a format is not known or the folder cannot be written.
        SessionError: if the session cannot be saved there.
    """

    folder: Path
    formats: Sequence[str]
    save: Path | None = None
    written: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Look before the work, so that none is lost."""
        self._exporters = {name: plugins.exporter(name) for name in self.formats}
        check_folder(self.folder)
        _check_save(self.save)

    @classmethod
    def of(cls, options: argparse.Namespace) -> Output:
        """What the command line asks for; UsageError if that would replace what it reads."""
        inputs.check(options)
        return cls(options.out, options.format, options.save)

    def keep(self, session: Session) -> None:
        """Save the session if asked to, and write its masklets; if one cannot be written, the others are."""
        try:
            if self.save:
                session.save(self.save)
                self.written.append(str(self.save))
        finally:
            self.write(session.masklets(), session.video)

    def write(self, masklets: Mapping[int, Masklet], video: Video) -> None:
        """Write every format; one that fails does not keep the others from being written.

        Raises:
            ExportError: at the end, if some could not be written.
        """
        failures = []
        for export in self._exporters.values():
            try:
                self.written.append(str(export(masklets, video, self.folder)))
            except SAM2Error as error:
                failures.append(str(error))
        if failures:
            raise ExportError("; ".join(failures))


def _check_save(path: Path | None) -> None:
    if path is None:
        return
    saved.check_target(path)
    check_folder(path.parent)


def check_folder(folder: Path) -> None:
    """Make a folder if it is not there; ExportError if nothing can be written into it."""
    try:
        make_folder(folder)
        probe = folder / ".sam2-can-write"
        probe.touch()
        probe.unlink()
    except (OSError, ValueError) as error:  # ValueError: a name that no file can have
        raise ExportError(f"cannot write to {folder}: {reason(error)}") from error


def watched(results: Iterable[FrameResult], total: int) -> Iterator[FrameResult]:
    """The results, with a progress bar on a terminal."""
    yield from tqdm(results, total=total, unit="frame", disable=not on_terminal(), leave=False)


def on_terminal() -> bool:
    """Whether somebody watches the progress; there may be no stderr at all."""
    return sys.stderr is not None and sys.stderr.isatty()


class Clock:
    """Seconds since it was made."""

    def __init__(self) -> None:
        self._start = time.perf_counter()

    @property
    def seconds(self) -> float:
        """Seconds since it was made."""
        return time.perf_counter() - self._start


def summary(masklets: Mapping[int, Masklet], output: Output, model: str, seconds: float) -> dict[str, Any]:
    """What ``--json`` prints: model, seconds, objects by id, and what was written."""
    objects = {}
    for object_id, masklet in masklets.items():
        visible = [frame for frame in masklet.values() if frame.visible]
        objects[str(object_id)] = {
            "frames": len(masklet),
            "visible": len(visible),
            "mean_score": round(sum(f.score for f in visible) / len(visible), 4) if visible else 0.0,
            "mean_area": round(sum(f.encoded.area for f in visible) / len(visible), 1) if visible else 0.0,
        }
    return {"model": model, "seconds": round(seconds, 2), "objects": objects, "written": output.written}


def finish(session: Session, output: Output, clock: Clock, *, as_json: bool) -> None:
    """Say what was found and written, and on stderr what is doubtful."""
    masklets, model = session.masklets(), session.model.name
    report(summary(masklets, output, model, clock.seconds), as_json=as_json)
    if not as_json and (hint := hints.doubt(model, masklets)) and sys.stderr is not None:
        print(end="", flush=True)  # the table comes first
        print(f"sam2: {hint}", file=sys.stderr)


def report(found: Mapping[str, Any], *, as_json: bool) -> None:
    """Print a summary as a table or as JSON."""
    if as_json:
        print(json.dumps(found, indent=2))
        return
    rows = [
        [i, str(o["frames"]), str(o["visible"]), f"{o['mean_score']:.2f}", f"{o['mean_area']:.0f}"]
        for i, o in found["objects"].items()
    ]
    print_table(["object", "frames", "visible", "score", "area"], rows)
    print(f"\nmodel {found['model']}, {found['seconds']:.1f} s")
    for path in found["written"]:
        print(f"wrote {path}")


def print_table(header: Sequence[str], rows: Sequence[Sequence[str]], *, left: bool = False) -> None:
    """Print columns, aligned to the right or to the left."""
    widths = [max(len(row[i]) for row in [header, *rows]) for i in range(len(header))]
    for row in [header, *rows]:
        cells = [c.ljust(w) if left else c.rjust(w) for c, w in zip(row, widths, strict=True)]
        print("  ".join(cells).rstrip())
