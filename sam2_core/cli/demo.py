"""``sam2 demo``: the main job on a simulated time-lapse, with nothing but the package."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray
from scipy import ndimage

from sam2_core import masks
from sam2_core.cli import common
from sam2_core.session import open_session
from sam2_core.types import Mask, Masklet, Point, Prompt

SEED = 20_000_000_003
"""Far from the seeds of training."""

FRAMES, SIZE, CELLS = 24, 256, 6


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
    output = common.Output(options.out, ["labels", "overlay"])
    source = options.out / "timelapse.tif"
    frames, truth = simulate()
    tifffile.imwrite(source, frames, photometric="minisblack", metadata={"axes": "TYX"}, compression="zlib")
    print(f"A simulated time-lapse: {FRAMES} frames of {SIZE} x {SIZE}, {source}")
    print(f"One click on each of {len(truth)} cells of frame 0; the rest is tracking.\n")
    clock = common.Clock()
    with open_session(
        source, model=options.model, device=options.device, precision=options.precision
    ) as session:
        for object_id, cell in truth.items():
            x, y = middle(cell[0])
            session.add_prompt(Prompt(0, object_id, (Point(x, y),)))
        for _ in common.watched(session.propagate(), FRAMES):
            pass
        masklets, model, seconds = session.masklets(), session.model.name, clock.seconds
        output.write(masklets, session.video)
    _print(masklets, truth)
    print(f"\nmodel {model}, {FRAMES / seconds:.1f} frames/s with {len(truth)} objects, loading included")
    for path in output.written:
        print(f"wrote {path}")
    return 0


def simulate() -> tuple[NDArray[np.uint8], dict[int, NDArray[np.bool_]]]:
    """The time-lapse, ``(frames, height, width)``, and the masks of its largest cells, of the same shape."""
    from sam2_core.training.microscopy import make_microscopy

    clip = make_microscopy(SEED, FRAMES, SIZE)
    truth = clip.masks().permute(1, 0, 2, 3).numpy()
    largest = np.argsort(-truth[:, 0].sum(axis=(1, 2)), kind="stable")[:CELLS]
    frames = clip.frames.float().mean(dim=1).round().byte().numpy()
    return frames, {number: truth[cell] for number, cell in enumerate(largest, start=1)}


def middle(mask: Mask) -> tuple[float, float]:
    """The pixel of a mask that is farthest from its border, as x and y."""
    depth = ndimage.distance_transform_edt(np.pad(mask, 1))[1:-1, 1:-1]
    y, x = np.unravel_index(int(depth.argmax()), mask.shape)
    return float(x), float(y)


def _print(masklets: Mapping[int, Masklet], truth: Mapping[int, NDArray[np.bool_]]) -> None:
    rows = []
    for object_id, cell in truth.items():
        found = [masks.iou(masklets[object_id].mask(i), cell[i]) for i in range(FRAMES)]
        still = [masks.iou(masklets[object_id].mask(0), cell[i]) for i in range(FRAMES)]
        rows.append([found[0], float(np.mean(found)), float(np.mean(still))])
    header = ["cell", "IoU of the click", "IoU over all frames", "if the first mask stood still"]
    names = [*map(str, truth), "mean"]
    rows.append([float(n) for n in np.mean(rows, axis=0)])
    common.print_table(
        header, [[name, *(f"{n:.2f}" for n in row)] for name, row in zip(names, rows, strict=True)]
    )
