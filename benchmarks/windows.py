"""What windows gain and cost: small objects on frames of two sizes, with windows and without.

    python benchmarks/windows.py FOLDER [--model nano] [--canvas 2048]

FOLDER holds ``images/`` and ``masks/`` of one sequence. It is tracked as it is, and in the middle of a dark
canvas; J and J&F are counted as ``sam2 eval --first-frame --count davis`` counts them, from the masks of the
first frame and from one click in each, beside frames per second.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import replace
from pathlib import Path

import numpy as np

from sam2_core import Session, load_model
from sam2_core.evaluation.datasets import find_sequences
from sam2_core.evaluation.runs import PROTOCOLS, Task, mean_of
from sam2_core.evaluation.scores import Counted
from sam2_core.evaluation.truth import Truth
from sam2_core.results import Masklet, RunLengths
from sam2_core.types import Image, Video


class Canvas:
    """A video in the middle of larger, noisy frames that are as dark as its ground."""

    def __init__(self, video: Video, side: int) -> None:
        self.size = (side, side)
        self.corner = tuple((side - length) // 2 for length in video.size)
        self._video = video
        ground = np.percentile(video[0], 20)
        noise = np.random.default_rng(0).normal(ground, 2, (side, side, 1)).clip(0, 255)
        self._ground = np.repeat(noise.astype(np.uint8), 3, 2)

    def __len__(self) -> int:
        return len(self._video)

    def __getitem__(self, frame_index: int) -> Image:
        image, (top, left) = self._ground.copy(), self.corner
        height, width = self._video.size
        image[top : top + height, left : left + width] = self._video[frame_index]
        return image

    def moved(self, truth: Truth) -> Truth:
        """The truth where the video lies on the canvas."""

        def shifted(mask: RunLengths) -> RunLengths:
            top, left = self.corner
            return replace(mask, size=self.size, top=mask.top + top, left=mask.left + left)

        objects = {
            i: Masklet(i, {t: replace(f, encoded=shifted(f.encoded)) for t, f in masklet.frames.items()})
            for i, masklet in truth.objects.items()
        }
        return replace(truth, objects=objects)


def main() -> None:
    """Print a row per frame size, prompt and way."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--model", default="nano")
    parser.add_argument("--canvas", type=int, default=2048)
    options = parser.parse_args()
    ((sequence, *_), _) = find_sequences(options.folder)
    truth, _ = sequence.whole_truth()
    video = sequence.open()
    canvas = Canvas(video, options.canvas)
    first = truth.of_first_frame()
    print("frames       prompt   windows      J    J&F  frames/s")
    for shown, known in ((video, first), (canvas, canvas.moved(first))):
        for prompt in ("mask", "1-click"):
            for windows in (True, False):
                model = load_model(options.model, windows=windows)
                start = time.perf_counter()
                task = Task(
                    lambda model=model, shown=shown: Session(shown, model), known, prompt, Counted.ALL
                )
                outcome = PROTOCOLS["vos"].run(task)
                rate = len(shown) / (time.perf_counter() - start)
                means = mean_of(outcome.objects.values())
                size = f"{shown.size[1]} x {shown.size[0]}"
                print(
                    f"{size:12} {prompt:8} {'yes' if windows else 'no':7} "
                    f"{means['J']:6.3f} {means['J&F']:6.3f} {rate:9.1f}",
                    flush=True,
                )


if __name__ == "__main__":
    main()
