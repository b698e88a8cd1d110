"""``sam2 demo``: the main job on a simulated time-lapse, with nothing but the package."""

from __future__ import annotations

import argparse
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray

from sam2_core import masks, samples
from sam2_core.cli import common
from sam2_core.cli.results import Output
from sam2_core.files import make_folder
from sam2_core.opening import open_session
from sam2_core.prompts import Prompt
from sam2_core.results import Masklet
from sam2_core.types import Point

CLICKED = 8
"""How many of the cells are clicked, the largest first."""


def add_parser(commands: Any) -> argparse.ArgumentParser:
    """Add the command."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "demo", help="track cells of a simulated time-lapse"
    )
    common.add_model_arguments(parser)
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("out/demo"),
        metavar="DIR",
        help="folder for the results (default: out/demo)",
    )
    parser.set_defaults(run=run)
    return parser


def run(options: argparse.Namespace) -> int:
    """Run the command."""
    output = Output(options.out, ["labels", "overlay"])
    make_folder(options.out)
    source = options.out / samples.TIMELAPSE.name
    shutil.copyfile(samples.TIMELAPSE, source)
    truth = true_cells()
    frames = len(next(iter(truth.values())))
    print(f"A simulated time-lapse of {frames} frames: {source}")
    print(f"One click on each of {len(truth)} cells of frame 0; the rest is tracking.\n")
    clock = common.Clock()
    with open_session(
        source,
        model=options.model,
        device=options.device,
        precision=options.precision,
        windows=options.windows,
    ) as session:
        for object_id, cell in truth.items():
            x, y = masks.middle(cell[0])
            session.add_prompt(Prompt(0, object_id, (Point(x, y),)))
        for _ in common.watched(session.propagate(), frames):
            pass
        masklets, model, seconds = session.masklets(), session.model.name, clock.seconds
        output.write(masklets, session.video)
    _print(masklets, truth)
    print(f"\nmodel {model}, {frames / seconds:.1f} frames/s with {len(truth)} objects, loading included")
    for path in output.written:
        print(f"wrote {path}")
    return 0


def true_cells() -> dict[int, NDArray[np.bool_]]:
    """The masks of the largest cells of the time-lapse, ``(frames, height, width)``."""
    labels = tifffile.imread(samples.CELLS)
    areas = np.bincount(labels[0].ravel())[1:]
    largest = np.argsort(-areas, kind="stable")[:CLICKED] + 1
    return {number: labels == cell for number, cell in enumerate(largest, start=1)}


def _print(masklets: Mapping[int, Masklet], truth: Mapping[int, NDArray[np.bool_]]) -> None:
    rows = []
    for object_id, cell in truth.items():
        found = [masks.iou(masklets[object_id].mask(i), cell[i]) for i in range(len(cell))]
        still = [masks.iou(masklets[object_id].mask(0), cell[i]) for i in range(len(cell))]
        rows.append([found[0], float(np.mean(found)), float(np.mean(still))])
    header = ["cell", "IoU of the click", "IoU over all frames", "if the first mask stood still"]
    names = [*map(str, truth), "mean"]
    rows.append([float(n) for n in np.mean(rows, axis=0)])
    common.print_table(
        header, [[name, *(f"{n:.2f}" for n in row)] for name, row in zip(names, rows, strict=True)]
    )
