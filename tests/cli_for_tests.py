"""The command line as tests call it."""

from __future__ import annotations

from pathlib import Path

from sam2_core.cli import main


def track(source: Path, *arguments: str, model: str = "copy") -> int:
    """The status of ``sam2 track``, which writes into the folder ``out`` beside the source."""
    out = str(source.parent / "out")
    return main(["track", str(source), "--model", model, "--out", out, *arguments])


def labels(source: Path) -> list[str]:
    """The label images that were written."""
    return sorted(path.name for path in (source.parent / "out" / "labels").iterdir())
