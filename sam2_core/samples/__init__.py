"""A simulated time-lapse for the demo, for first steps and for tests.

Sixteen frames of 256 x 256: fluorescent nuclei that drift, rotate and bleach, on uneven ground, with noise.
Made once by ``training.microscopy.make_microscopy(seed=30_000_000_027)``, and kept as a file so that it stays
the same when the generator is improved. It was never trained on, but training clips look like it: how well a
model follows these cells says nothing about real ones.
"""

from pathlib import Path

TIMELAPSE = Path(__file__).parent / "timelapse.tif"
"""The frames, ``(time, y, x)`` uint8."""

CELLS = Path(__file__).parent / "timelapse_cells.tif"
"""The true cells as labels, ``(time, y, x)`` uint8: those that are seen in every frame."""
