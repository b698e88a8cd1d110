"""What ``sam2 train`` and ``sam2 finetune`` show of a run: curves as a picture, and in TensorBoard."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from sam2_core.cli import common
from sam2_core.errors import ExportError

if TYPE_CHECKING:
    from sam2_core.training.trainer import Trainer

EVENTS = "events"
"""Folder of a run that TensorBoard reads."""


def add_arguments(parser: argparse.ArgumentParser | argparse._ArgumentGroup) -> None:
    """Add ``--tensorboard``."""
    parser.add_argument(
        "--tensorboard",
        action="store_true",
        help=f"write the curves to DIR/{EVENTS} as well, while it trains: tensorboard --logdir DIR",
    )


def begin(trainer: Trainer, options: argparse.Namespace) -> None:
    """Say where progress can be read, and send it to TensorBoard too, if that was asked for.

    Raises:
        ExportError: if its package is not there.
    """
    from sam2_core.training.events import Events

    if options.tensorboard:
        trainer.log.events = Events(trainer.folder / EVENTS, trainer.step)
    common.say(f"progress is in {trainer.log.path}")


def draw(log: Path) -> list[Path]:
    """The picture of the curves, if it can be drawn; else why not is said."""
    from sam2_core.training.curves import plot_curves

    picture = log.with_name("curves.png")
    if not log.exists():
        return []  # it was stopped before there was anything to draw
    try:
        plot_curves(log, picture)
    except ExportError as error:
        common.say(str(error))
        return []
    return [picture]
