"""Resident memory of the whole process while three objects are tracked through a long film on disk.

    python benchmarks/memory.py [--frames 3000] [--model nano]

What ``sam2 bench --case growth`` cannot see, since it counts tensors: the decoder, features and restart
points with their usual budgets, the run lengths of all masks, and what the heap does not give back. The film
is made on the spot (640 x 480, H.264). Prints the time to the first mask and one row per hundred frames; the
table of the README is made from it. Takes minutes, and reads ``/proc``, so it needs Linux.
"""

from __future__ import annotations

import argparse
import gc
import resource
import tempfile
import time
from pathlib import Path

from sam2_core import Prompt, open_session
from sam2_core.bench.films import Cells, frames_of, write_film

OBJECTS = 3


def resident() -> float:
    """Resident memory of this process in MiB."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 2**20


def main() -> None:
    """Make the film, track, print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--frames", type=int, default=3000)
    parser.add_argument("--model", default="nano")
    options = parser.parse_args()
    cells = Cells(options.frames, OBJECTS)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "film.mp4"
        write_film(path, frames_of(cells), cells.size)
        gc.collect()
        start = time.perf_counter()
        with open_session(path, model=options.model) as session:
            session.add_prompt(Prompt(0, 1, (cells.centre(0, 0),)))
            print(f"first mask after {time.perf_counter() - start:.2f} s: film and model opened, one click")
            for cell in range(1, OBJECTS):
                session.add_prompt(Prompt(0, cell + 1, (cells.centre(cell, 0),)))
            start = time.perf_counter()
            print("frame  resident MiB")
            for result in session.propagate():
                if result.frame_index in (0, 50) or result.frame_index % 100 == 0:
                    print(f"{result.frame_index:5}  {resident():.0f}", flush=True)
            rate = options.frames / (time.perf_counter() - start)
            print(f"{options.frames:5}  {resident():.0f}   ({rate:.1f} frames/s, {OBJECTS} objects)")


if __name__ == "__main__":
    main()
