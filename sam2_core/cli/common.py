"""What several commands share: options, progress, the table at the end."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from tqdm import tqdm

from sam2_core import plugins
from sam2_core.cli import hints
from sam2_core.cli.failures import usage
from sam2_core.hookspecs import Item, VideoModel, Watch
from sam2_core.results import FrameResult, Masklet


def add_model_arguments(parser: argparse.ArgumentParser) -> None:
    """Which model, and where it runs."""
    parser.add_argument(
        "--model", type=_model, help="a name of 'sam2 models list' or a checkpoint file (default: nano)"
    )
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1, mps (default: auto)")
    parser.add_argument(
        "--precision", default="auto", choices=["auto", "exact"], help="exact is float32, as the references"
    )
    parser.add_argument(
        "--no-windows",
        dest="windows",
        action="store_const",
        const=False,
        help="follow all objects on whole frames, squeezed into the model's input",
    )


def model_of(options: argparse.Namespace) -> VideoModel:
    """The model that was asked for; nano by default."""
    return plugins.load_model(
        options.model or "nano", options.device, options.precision, windows=options.windows is not False
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
    with usage():
        plugins.check_model_name(name)
    return name


def _formats(text: str) -> list[str]:
    names = [name.strip() for name in text.split(",") if name.strip()]
    with usage():
        for name in names:
            plugins.exporter(name)
    return names


def watched(results: Iterable[FrameResult], total: int) -> Iterator[FrameResult]:
    """The results, with a progress bar on a terminal."""
    yield from tqdm(results, total=total, unit="frame", disable=not on_terminal(), leave=False)


def watch(what: str) -> Watch:
    """What gives the items of a sequence one by one, with a progress bar of this name on a terminal."""

    def items(sequence: Sequence[Item]) -> Iterator[Item]:
        yield from tqdm(sequence, desc=what, unit="step", disable=not on_terminal(), leave=False)

    return items


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


def summary(
    masklets: Mapping[int, Masklet], written: Sequence[str], model: str, seconds: float
) -> dict[str, Any]:
    """What ``--json`` prints: model, seconds, objects by id, and what was written."""
    objects = {}
    for object_id, masklet in masklets.items():
        visible = [frame for frame in masklet.values() if frame.visible]
        objects[str(object_id)] = {
            "frames": len(masklet),
            "visible": len(visible),
            "stale": sum(frame.stale for frame in masklet.values()),
            "mean_score": round(sum(f.score for f in visible) / len(visible), 4) if visible else 0.0,
            "mean_area": round(sum(f.encoded.area for f in visible) / len(visible), 1) if visible else 0.0,
        }
    return {"model": model, "seconds": round(seconds, 2), "objects": objects, "written": [*written]}


def finish(
    masklets: Mapping[int, Masklet], written: Sequence[str], model: str, clock: Clock, *, as_json: bool
) -> None:
    """Say what was found and written, and on stderr what is doubtful or stale."""
    report(summary(masklets, written, model, clock.seconds), as_json=as_json)
    if not as_json:
        say(hints.doubt(model, masklets), hints.stale(masklets))


def say(*found: str | None) -> None:
    """Print hints on stderr, if there are any."""
    for hint in filter(None, found if sys.stderr is not None else ()):
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
