"""A model on the development cases, through the session as a user would call it.

    python benchmarks/cases.py [--model nano] [--shared FOLDER]

Prints, per case, J of tracking from the first frame's masks beside the two trivial trackers (mean IoU over
objects and frames, first and last frame left out, as DAVIS does), and on the simulated microscopy case the
IoU of one click in the middle of each cell of frame 0. The cases are never trained on.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import tifffile
from numpy.typing import NDArray
from PIL import Image

from sam2_core import Point, Prompt, open_session
from sam2_core.cli.common import print_table
from sam2_core.masks import iou, middle

CELLS = "ctc_ilastik_Fluo-N2DH-SIM_01"
CASES = ("davis16_blackswan", "davis16_dog", "davis16_car-shadow", CELLS)


def labels_of(case: Path) -> NDArray[np.int64]:
    """The true objects, ``(frames, height, width)``."""
    files = sorted((case / "masks").iterdir())
    if files[0].suffix == ".tif":
        return np.stack([tifffile.imread(file).astype(np.int64) for file in files])
    return np.stack([(np.asarray(Image.open(file)) > 127).astype(np.int64) for file in files])


def tracked(case: Path, model: str, labels: NDArray[np.int64]) -> tuple[float, float]:
    """J from the masks of the first frame, and frames per second."""
    ids = [int(i) for i in np.unique(labels[0]) if i]
    start = time.perf_counter()
    with open_session(case / "images", model=model) as session:
        for i in ids:
            session.add_prompt(Prompt(0, i, mask=labels[0] == i))
        for _ in session.propagate():
            pass
        seconds = time.perf_counter() - start
        found = session.masklets()
        scores = [[iou(found[i].mask(t), labels[t] == i) for t in range(1, len(labels) - 1)] for i in ids]
    return float(np.mean(scores)), len(labels) / seconds


def clicked(case: Path, model: str, labels: NDArray[np.int64]) -> Iterator[float]:
    """IoU of one click in the middle of each object of the first frame."""
    with open_session(case / "images", model=model) as session:
        for i in (int(i) for i in np.unique(labels[0]) if i):
            result = session.add_prompt(Prompt(0, i, (Point(*middle(labels[0] == i)),)))
            yield iou(result.mask(i), labels[0] == i)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", default="nano")
    shared = os.environ.get("SAM2_SHARED", Path(__file__).parents[2] / "shared")
    parser.add_argument("--shared", type=Path, default=Path(shared), help="the folder that holds data/")
    options = parser.parse_args()
    rows = []
    for name in CASES:
        case = options.shared / "data" / name
        labels = labels_of(case)
        results = {m: tracked(case, m, labels) for m in (options.model, "copy", "flow")}
        rows.append([name, *(f"{j:.3f}" for j, _ in results.values()), f"{results[options.model][1]:.1f}"])
    print_table(["J from first masks", Path(options.model).stem, "copy", "flow", "frames/s"], rows)
    case = options.shared / "data" / CELLS
    clicks = list(clicked(case, options.model, labels_of(case)))
    print(f"\none click per cell of {CELLS}: mean IoU {np.mean(clicks):.3f} over {len(clicks)} cells")


if __name__ == "__main__":
    main()
