"""What a training run writes: a checkpoint to go on from, and weights to use."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor


def save_atomically(state: Mapping[str, Any], path: Path, *, flush: bool = True) -> None:
    """Write a checkpoint so that a kill at any moment leaves the old one or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    with part.open("wb") as file:
        torch.save(dict(state), file)
        if flush:
            file.flush()
            os.fsync(file.fileno())
    part.replace(path)


def export(weights: Mapping[str, Tensor], path: Path, metadata: Mapping[str, str]) -> None:
    """Write weights as float16 safetensors, atomically.

    Args:
        weights: by name.
        path: the file.
        metadata: what the file says about itself, such as ``{"config": "nano"}``.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    halves = {name: value.detach().cpu().half().contiguous() for name, value in weights.items()}
    part = path.with_name(path.name + ".part")
    save_file(halves, part, dict(metadata))
    part.replace(path)


class Journal:
    """One line of JSON per entry; what a killed run wrote too much is cut off when it resumes."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def resume(self, step: int) -> None:
        """Forget entries of steps after this one."""
        if not self.path.exists():
            return
        lines = [line for line in self.path.read_text().splitlines() if _step(line) <= step]
        self.path.write_text("".join(line + "\n" for line in lines))

    def write(self, entry: Mapping[str, Any]) -> None:
        """Add an entry; it has a ``step``."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("a") as file:
            file.write(json.dumps(dict(entry)) + "\n")


def _step(line: str) -> float:
    try:
        return float(json.loads(line)["step"])
    except (ValueError, KeyError):  # a line that was cut off by a kill
        return float("inf")
