"""Measuring: two sides do the same work in turn, in one process; CPU-seconds and wall time are counted."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from importlib import metadata
from statistics import median

import torch

from sam2_core.models import devices

Work = Callable[[], object]
"""Does the work once; what it returns may be compared."""


@dataclass(frozen=True)
class Seconds:
    """What some work took.

    Attributes:
        cpu: seconds of all processors that this process used.
        wall: seconds on the clock.
    """

    cpu: float
    wall: float


def timed(work: Work) -> Seconds:
    """What the work takes once; on a GPU until it is done there."""
    _finish()
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    _finish()
    return Seconds(time.process_time() - cpu, time.perf_counter() - wall)


def alternated(sides: Mapping[str, Work], rounds: int, *, warm_up: bool = True) -> dict[str, Seconds]:
    """The medians of some rounds in which each side works once, each round begun by the next side.

    Args:
        sides: the work of each side.
        rounds: how many count.
        warm_up: whether a round that does not count comes before them.
    """
    kept: dict[str, list[Seconds]] = {name: [] for name in sides}
    names = list(sides)
    for number in range(-warm_up, rounds):
        for name in names:
            seconds = timed(sides[name])
            if number >= 0:
                kept[name].append(seconds)
        names = names[1:] + names[:1]
    return {
        name: Seconds(median(s.cpu for s in each), median(s.wall for s in each))
        for name, each in kept.items()
    }


def _finish() -> None:
    """Wait for GPUs, which compute what they are asked for later."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    if torch.backends.mps.is_available():
        torch.mps.synchronize()


def hardware(device: torch.device) -> str:
    """What figures on this device depend on: its name, or processor and cores, and versions; one line."""
    if device.type == "cuda":
        chip = torch.cuda.get_device_name(device)
    else:
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
        chip = f"{_processor()}, {cores} cores, {torch.get_num_threads()} threads"
    versions = f"torch {torch.__version__}, Python {platform.python_version()}"
    with suppress(metadata.PackageNotFoundError):
        versions += f", transformers {metadata.version('transformers')}"
    return f"{chip}; {versions}; {platform.system()}"


def _processor() -> str:
    named = devices.processor().get("cpu_name")
    return str(named or platform.processor() or platform.machine()).strip()


def flop_per_cpu_second(dtype: torch.dtype) -> float:
    """Operations per CPU-second of a large matrix product: what the floor of a case is counted with."""
    with torch.inference_mode():
        left, right = torch.randn(2048, 1024).to(dtype), torch.randn(1024, 2048).to(dtype)
        best = min(timed(lambda: left @ right).cpu for _ in range(8))
    return 2 * 2048 * 1024 * 2048 / best
