"""How fast a model answers a click and tracks, on two cores, through the session as a user would call it.

    python benchmarks/speed.py [--model nano] [--no-windows]

Prints the milliseconds of a click on a frame that is encoded already, and the frames per second of
``propagate`` with 1, 10 and 20 objects, over 60 frames of 640 x 480 that lie in memory.
"""

from __future__ import annotations

import argparse
import time

from sam2_core import Box, Point, Prompt, open_session
from sam2_core.bench.random_networks import cells

CLICKS, FRAMES = 20, 60


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", default="nano")
    parser.add_argument("--no-windows", dest="windows", action="store_false")
    options, video = parser.parse_args(), cells(FRAMES)
    for objects in (1, 10, 20):
        with open_session(video, model=options.model, windows=options.windows) as session:
            for index in range(objects):
                box = Box(30 + 25 * index, 100, 90 + 25 * index, 180)
                session.add_prompt(Prompt(0, index + 1, box=box))
            if objects == 1:
                start = time.perf_counter()
                for shift in range(CLICKS):
                    session.add_prompt(Prompt(0, 1, (Point(60 + shift, 140),)))
                print(f"click: {(time.perf_counter() - start) / CLICKS * 1e3:.1f} ms")
            start = time.perf_counter()
            count = sum(1 for _ in session.propagate())
            print(f"{objects} objects: {count / (time.perf_counter() - start):.1f} frames/s", flush=True)


if __name__ == "__main__":
    main()
