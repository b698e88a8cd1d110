"""The log of a training run: a line of JSON per entry."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sam2_core.files import new_file
from sam2_core.training.events import Events


class TrainingLog:
    """One line of JSON per entry; ``resume`` cuts off what a killed run wrote after its last checkpoint.

    Attributes:
        path: the file.
        events: where entries go as well, if anywhere.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.events: Events | None = None

    def resume(self, step: int) -> None:
        """Forget entries of later steps than this one."""
        if not self.path.exists():
            return
        lines = [line for line in self.path.read_text().splitlines() if _step(line) <= step]
        with new_file(self.path) as part:  # a kill leaves the old log or the new one
            part.write_text("".join(line + "\n" for line in lines))

    def write(self, entry: Mapping[str, Any]) -> None:
        """Add an entry; it has a ``step``. Numbers that are not finite become null: JSON has none."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("a") as file:
            file.write(json.dumps(_finite(dict(entry)), allow_nan=False) + "\n")
        if self.events is not None:
            self.events.write(entry)


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _finite(part) for name, part in value.items()}
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _step(line: str) -> float:
    try:
        return float(json.loads(line)["step"])
    except (ValueError, KeyError):  # a line that was cut off by a kill
        return float("inf")
