"""Resident memory while three objects are tracked through a long film, and the time to the first mask.

    python benchmarks/memory.py [--frames 3000] [--model nano]

The film is made on the spot (640 x 480, H.264): three disks that wander over a textured ground. Prints one
row per hundred frames; the table of the README is made from it.
"""

from __future__ import annotations

import argparse
import gc
import math
import tempfile
import time
from pathlib import Path

import av
import numpy as np

from sam2_core import Point, Prompt, open_session

HEIGHT, WIDTH = 480, 640


def centre(disk: int, frame_index: int) -> tuple[float, float]:
    """Where a disk is: a slow Lissajous curve of its own."""
    t = frame_index / 150 + disk * 2.1
    return WIDTH * (0.5 + 0.35 * math.cos(t)), HEIGHT * (0.5 + 0.3 * math.sin(1.3 * t))


def make_film(path: Path, frames: int) -> None:
    """Write the film."""
    ground = np.random.default_rng(0).integers(30, 90, (HEIGHT // 8, WIDTH // 8, 3), np.uint8)
    ground = ground.repeat(8, axis=0).repeat(8, axis=1)
    rows, columns = np.ogrid[:HEIGHT, :WIDTH]
    with av.open(str(path), "w") as film:
        stream = film.add_stream("libx264", rate=30, options={"preset": "ultrafast"})
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        for i in range(frames):
            image = ground.copy()
            for disk in range(3):
                x, y = centre(disk, i)
                image[(rows - y) ** 2 + (columns - x) ** 2 < 35**2] = np.roll((220, 120, 60), disk)
            film.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        film.mux(stream.encode())


def resident() -> float:
    """Resident memory of this process in MiB."""
    fields = Path("/proc/self/statm").read_text().split()
    return int(fields[1]) * 4096 / 2**20


def main() -> None:
    """Make the film, track, print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--frames", type=int, default=3000)
    parser.add_argument("--model", default="nano")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "film.mp4"
        make_film(path, options.frames)
        gc.collect()
        start = time.perf_counter()
        with open_session(path, model=options.model) as session:
            session.add_prompt(Prompt(0, 1, (Point(*centre(0, 0)),)))
            print(f"first mask after {time.perf_counter() - start:.2f} s: film and model opened, one click")
            for disk in (1, 2):
                session.add_prompt(Prompt(0, disk + 1, (Point(*centre(disk, 0)),)))
            start = time.perf_counter()
            print("frame  resident MiB")
            for result in session.propagate():
                if result.frame_index in (0, 50) or result.frame_index % 100 == 0:
                    print(f"{result.frame_index:5}  {resident():.0f}", flush=True)
            rate = options.frames / (time.perf_counter() - start)
            print(f"{options.frames:5}  {resident():.0f}   ({rate:.1f} frames/s, 3 objects)")


if __name__ == "__main__":
    main()
