"""``sam2 eval ANNOTATIONS.json --results FILE``: AP of objects in videos, as YouTube-VIS has it."""

from __future__ import annotations

import argparse
import math

from sam2_core.cli import common
from sam2_core.cli.evaluate_targets import check_targets
from sam2_core.cli.failures import UsageError
from sam2_core.evaluation.average_precision import average_precision, read_results, read_truth
from sam2_core.exporters.files import write_json

OTHERS = (
    *("protocol", "prompt", "first_frame", "count", "cells", "no_baselines", "plot"),
    *("model", "device", "precision", "windows"),
)
"""Options for running a model, which mean nothing here."""


def run(options: argparse.Namespace) -> int:
    """Run the command."""
    clock = common.Clock()
    _check(options)
    (annotations,) = options.dataset
    videos, truth = read_truth(annotations)
    predicted = read_results(options.results, videos)
    found = average_precision(predicted, truth, any_category=options.any_category)
    known = {name: value for name, value in found.items() if not math.isnan(value)}
    if options.json:
        write_json(
            options.json,
            {
                "annotations": str(annotations),
                "results": str(options.results),
                "videos": len(videos),
                "objects": len(truth),
                "predicted": len(predicted),
                **{name: round(value, 5) for name, value in known.items()},
                "seconds": round(clock.seconds, 4),
            },
        )
    cells = [f"{100 * known[name]:.1f}" if name in known else "-" for name in found]
    counts = [str(len(things)) for things in (videos, truth, predicted)]
    common.print_table(["videos", "objects", "predicted", *found], [[*counts, *cells]])
    if options.json:
        print(f"wrote {options.json}")
    return 0


def _check(options: argparse.Namespace) -> None:
    """UsageError for what makes no sense, before the files are read."""
    if options.results is None:
        raise UsageError("annotations in a .json are compared with a file of results; give it by --results")
    if len(options.dataset) != 1 or options.dataset[0].suffix.lower() != ".json":
        raise UsageError("--results is compared with one DATASET, the annotations of YouTube-VIS (a .json)")
    if given := [name for name in OTHERS if getattr(options, name) != options.defaults(name)]:
        name = {"windows": "no-windows"}.get(given[0], given[0].replace("_", "-"))
        raise UsageError(f"--results runs no model; --{name} means nothing with it")
    check_targets(options, [])
    if options.json and options.json.resolve() == options.results.resolve():
        raise UsageError("--json and --results are the same file; give two")
