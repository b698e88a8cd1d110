"""What an evaluation found, as a document and as a plot."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from sam2_core.errors import ExportError, reason
from sam2_core.evaluation.protocols import Interaction
from sam2_core.evaluation.runs import Outcome, Protocol, mean_curve, mean_of
from sam2_core.files import new_file


@dataclass(frozen=True)
class Found:
    """What one model reached.

    Attributes:
        model: its name.
        outcomes: by the name of the sequence.
        frames: of all videos together.
        seconds: that its runs took.
    """

    model: str
    outcomes: Mapping[str, Outcome]
    frames: int
    seconds: float

    @property
    def mean(self) -> dict[str, float]:
        """The mean over all objects of all sequences (not over sequences), as DAVIS has it.

        SEG, DET, TRA and LNK, which are about all cells of a sequence, are the means over sequences.
        """
        objects = mean_of(of for outcome in self.outcomes.values() for of in outcome.objects.values())
        return {**objects, **mean_of(outcome.whole for outcome in self.outcomes.values())}

    @property
    def speed(self) -> float | None:
        """Tracked frames per second, from the first prompt to the last mask; None if nothing was timed."""
        return speed(*self.outcomes.values())

    @property
    def curve(self) -> list[Interaction]:
        """The mean over all objects, for the interactive protocols."""
        return mean_curve(c for outcome in self.outcomes.values() for c in outcome.curves.values())

    def document(self) -> dict[str, Any]:
        """For JSON: numbers in 0..1, rounded to five digits."""
        sequences = {
            name: {
                "objects": {str(i): _rounded(numbers) for i, numbers in outcome.objects.items()},
                **_rounded(mean_of(outcome.objects.values())),
                **_rounded(outcome.whole),
                **_speed(speed(outcome)),
            }
            for name, outcome in self.outcomes.items()
        }
        curve = [
            {"frames": point.frames, "seconds": round(point.seconds, 1), **_rounded(point.scores)}
            for point in self.curve
        ]
        return {
            "model": self.model,
            "sequences": sequences,
            "mean": _rounded(self.mean),
            **_speed(self.speed),
            **({"curve": curve} if curve else {}),
            "seconds": round(self.seconds, 4),
            "frames": self.frames,
        }


def speed(*outcomes: Outcome) -> float | None:
    """Tracked frames per second; None if nothing was timed."""
    frames, seconds = sum(of.frames for of in outcomes), sum(of.seconds for of in outcomes)
    return frames / seconds if frames and seconds else None


def _speed(found: float | None) -> dict[str, float]:
    return {} if found is None else {"frames/s": round(found, 2)}


def document(
    protocol: Protocol,
    prompt: str,
    model: Found,
    baselines: list[Found],
    *,
    complete: bool = True,
    failed: Mapping[str, str] = MappingProxyType({}),
) -> dict[str, Any]:
    """All that ``--json`` holds: the numbers of the model, and those of the trivial trackers.

    Args:
        protocol: what was run.
        prompt: the first prompt of each object.
        model: what it reached.
        baselines: what the trivial trackers reached.
        complete: False if an interrupt kept sequences from being measured.
        failed: by the name of each sequence that could not be measured, why.
    """
    return {
        **model.document(),
        "complete": complete,
        **({"failed": dict(failed)} if failed else {}),
        "protocol": protocol.name,
        "prompt": prompt,
        "baselines": {found.model: found.document() for found in baselines},
    }


def plot_formats() -> list[str]:
    """The suffixes that a plot may have, without the dot.

    Raises:
        ExportError: if matplotlib is not there.
    """
    return sorted(_figure().canvas.get_supported_filetypes())


def _figure() -> Any:
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ExportError(
            "a plot needs matplotlib; install it with: pip install 'sam2-core[eval]'"
        ) from error
    return Figure(figsize=(9, 4), layout="constrained")


def plot(models: list[Found], path: Path) -> None:
    """J&F against prompted frames, and against the annotation time of the paper's cost model.

    Raises:
        ExportError: if matplotlib is not there, or the file cannot be written.
    """
    figure = _figure()
    by_frames, by_time = figure.subplots(1, 2, sharey=True)
    for found in models:
        values = [100 * point.scores["J&F"] for point in found.curve]
        by_frames.plot([point.frames for point in found.curve], values, marker="o", label=found.model)
        by_time.plot([point.seconds for point in found.curve], values, marker="o", label=found.model)
    by_frames.set(xlabel="prompted frames", ylabel="J&F", ylim=(0, 100))
    by_time.set(xlabel="annotation time (s)")
    for axes in (by_frames, by_time):
        axes.grid(alpha=0.3)
    by_frames.legend()
    try:
        with new_file(path) as part:
            figure.savefig(part, format=path.suffix[1:] or "png", dpi=120)
    except (OSError, ValueError) as error:
        raise ExportError(f"cannot write {str(path)!r}: {reason(error)}") from error


def _rounded(numbers: Mapping[str, float]) -> dict[str, float]:
    """JSON has no number for nan."""
    return {name: round(value, 5) for name, value in numbers.items() if math.isfinite(value)}
