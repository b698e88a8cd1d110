"""What ``sam2 eval`` does: all models on all sequences."""

from __future__ import annotations

import argparse
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TypeVar

from tqdm import tqdm

from sam2_core.cli import common
from sam2_core.cli.failures import one_line
from sam2_core.evaluation import cell_tracking
from sam2_core.evaluation.report import Found
from sam2_core.evaluation.runs import Numbers, Outcome, Protocol, Task
from sam2_core.evaluation.scores import Counted
from sam2_core.evaluation.truth import Cells, Sequence, Truth
from sam2_core.evaluation.watching import Watcher
from sam2_core.hookspecs import VideoModel
from sam2_core.results import Masklet
from sam2_core.session import Session

Item = TypeVar("Item")


@dataclass
class Share:
    """What a model has done so far."""

    model: VideoModel
    outcomes: dict[str, Outcome] = field(default_factory=dict)
    frames: int = 0
    seconds: float = 0.0

    def run(self, name: str, frames: int, run: Callable[[VideoModel], Outcome]) -> Mapping[int, Masklet]:
        """Do a sequence of so many frames; gives what was tracked, which is not kept."""
        clock = common.Clock()
        outcome = run(self.model)
        self.outcomes[name] = replace(outcome, masklets={})
        self.seconds += clock.seconds
        self.frames += frames
        return outcome.masklets

    def add(self, name: str, whole: Numbers) -> None:
        """Add what is said of all objects of a sequence together."""
        self.outcomes[name] = replace(self.outcomes[name], whole=whole)

    @property
    def found(self) -> Found:
        """What it reached."""
        return Found(self.model.name, self.outcomes, self.frames, self.seconds)


@dataclass
class Work:
    """All models on all sequences, one sequence after the other, so that an interrupt leaves whole rows.

    Attributes:
        shares: the model, then the trivial trackers.
        failed: why, by the name of each sequence that could not be done.
        complete: whether all was tried.
    """

    shares: list[Share]
    failed: dict[str, str] = field(default_factory=dict)
    complete: bool = False

    @property
    def ended(self) -> bool:
        """Whether there is something to show."""
        return (self.complete and not self.failed) or bool(self.shares[0].outcomes)

    def do(
        self, sequences: list[tuple[Sequence, Counted]], protocol: Protocol, options: argparse.Namespace
    ) -> None:
        """Do what can be done, and keep one line for each sequence that cannot."""
        name = self.shares[0].model.name
        bar = tqdm(sequences, desc=name, unit="video", disable=not common.on_terminal(), leave=False)
        for sequence, counted in bar:
            try:
                self._one(sequence, counted, protocol, options)
            except Exception as error:  # those that are done, and those to come, are kept
                if options.debug:
                    traceback.print_exc()
                self.failed[sequence.name] = one_line(error)

    def _one(
        self, sequence: Sequence, counted: Counted, protocol: Protocol, options: argparse.Namespace
    ) -> None:
        whole, frames = sequence.whole_truth()
        truth = whole.of_first_frame() if options.first_frame else whole

        def run(model: VideoModel) -> Outcome:
            opened: Callable[[], Session] = partial(sequence.open_session, model)
            task = Task(opened, truth, options.prompt, counted, _watcher(sequence, model))
            return protocol.run(task)

        problems = []
        for share in self.shares:
            masklets = share.run(sequence.name, frames, run)
            if sequence.cells is None:
                continue
            try:
                for cells in _watcher(sequence, share.model)([sequence.cells()], 1, "measuring"):
                    share.add(sequence.name, _of_cells(masklets, sequence, cells, whole))
            except Exception as error:  # J and F are kept, and the other models are still to come
                problems.append(error)
        if problems:
            raise problems[0]


def _of_cells(masklets: Mapping[int, Masklet], sequence: Sequence, cells: Cells, truth: Truth) -> Numbers:
    """SEG, DET, TRA and LNK; cells that nobody prompted count, too."""
    video = sequence.open()
    try:
        return cell_tracking.measure(masklets, truth, cells, video)
    finally:
        getattr(video, "close", lambda: None)()


def _watcher(sequence: Sequence, model: VideoModel) -> Watcher:
    """Shows the progress inside a sequence, on a terminal."""

    def watch(items: Iterable[Item], total: int, what: str) -> Iterator[Item]:
        named, silent = f"{sequence.name}, {model.name}: {what}", not common.on_terminal()
        yield from tqdm(items, desc=named, total=total, unit="step", disable=silent, leave=False)

    return watch
