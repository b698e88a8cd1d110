"""The log of a run as curves for TensorBoard."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from sam2_core.errors import ExportError


class Events:
    """Curves of the entries of a log: one for each number, those of validation in a section of their own.

    Args:
        folder: ``tensorboard --logdir`` takes it.
        step: of what a killed run wrote here, later steps are forgotten.

    Raises:
        ExportError: if the package tensorboard is not there.
    """

    def __init__(self, folder: Path, step: int = 0) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            raise ExportError(
                "TensorBoard's curves need its package; install it with: pip install 'sam2-core[train]'"
            ) from error
        # Torch leaves the writer without types; its file is made when there is an entry.
        self._open: Callable[[], Any] = partial(SummaryWriter, str(folder), purge_step=step + 1)
        self._writer: Any = None

    def write(self, entry: Mapping[str, Any]) -> None:
        """Add a log's entry; it has a ``step``."""
        self._writer = self._writer or self._open()
        for section, numbers in (("training", entry), ("held out", entry.get("validation", {}))):
            for name, value in numbers.items():
                if name != "step" and isinstance(value, (int, float)):
                    self._writer.add_scalar(f"{section}/{name}", value, entry["step"])
        self._writer.flush()
