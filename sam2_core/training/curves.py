"""The curves of a run as a picture: loss and learning rate, and what validation says."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from sam2_core.errors import ExportError, reason
from sam2_core.files import new_file

_SMOOTH = 20
"""Entries that the line of the loss is the mean of, at most."""


def plot_curves(log: Path, picture: Path) -> None:
    """Draw a run's log (``TrainingLog``) into a PNG.

    Raises:
        ExportError: if matplotlib is not there, the log cannot be read, or the picture cannot be written.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ExportError(
            "curves need matplotlib; install it with: pip install 'sam2-core[train]'"
        ) from error
    entries = _entries(log)
    figure = Figure(figsize=(9, 4), layout="constrained")
    losses, validations = figure.subplots(1, 2)
    steps, loss = _series(entries, "loss")
    losses.plot(steps, loss, alpha=0.25)
    losses.plot(steps, _smoothed(loss), color="C0")
    losses.set(xlabel="step", ylabel="loss")
    checked = [{"step": entry["step"], **entry["validation"]} for entry in entries if "validation" in entry]
    for name in checked[0] if checked else ():
        if name != "step":
            validations.plot(*_series(checked, name), marker="o", label=name)
    validations.set(xlabel="step", ylabel="IoU on what is held out", ylim=(0, 1))
    for axes in (losses, validations):
        axes.grid(alpha=0.3)
    if checked:
        validations.legend()
    try:
        with new_file(picture) as part:
            figure.savefig(part, format="png", dpi=120)
    except OSError as error:
        raise ExportError(f"cannot write {str(picture)!r}: {reason(error)}") from error


def _entries(log: Path) -> list[dict[str, Any]]:
    try:
        return [json.loads(line) for line in log.read_text().splitlines()]
    except (OSError, ValueError) as error:
        raise ExportError(f"cannot read the log {str(log)!r}: {reason(error)}") from error


def _series(entries: Sequence[Mapping[str, Any]], name: str) -> tuple[list[float], list[float]]:
    """Steps and values of the entries that have a number under this name."""
    found = [(entry["step"], entry[name]) for entry in entries if entry.get(name) is not None]
    return [step for step, _ in found], [value for _, value in found]


def _smoothed(values: Sequence[float]) -> list[float]:
    """Each value as the mean of itself and those before it."""
    return [float(np.mean(values[max(0, i + 1 - _SMOOTH) : i + 1])) for i in range(len(values))]
