"""``sam2 eval``: a model, and the trivial trackers beside it, against ground truth."""

from __future__ import annotations

import argparse
import os
import sys
import traceback
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from tqdm import tqdm

from sam2_core import plugins
from sam2_core.cli import common
from sam2_core.cli.datasets import DATASET, find_all
from sam2_core.cli.failures import UsageError, one_line
from sam2_core.errors import ModelError, reason
from sam2_core.evaluation.protocols import PROMPTERS
from sam2_core.evaluation.report import Found, document, plot, plot_formats
from sam2_core.evaluation.runs import PROTOCOLS, Outcome, Protocol, mean_of
from sam2_core.evaluation.scores import Counted
from sam2_core.evaluation.truth import Sequence, Truth
from sam2_core.exporters.files import write_json
from sam2_core.files import new_file
from sam2_core.hookspecs import VideoModel
from sam2_core.session import Session

BASELINES = ("copy", "flow")


def add_parser(commands: Any) -> argparse.ArgumentParser:
    """Add the command."""
    parser: argparse.ArgumentParser = commands.add_parser("eval", help="measure a model on annotated videos")
    parser.add_argument(
        "dataset",
        type=Path,
        metavar="DATASET",
        nargs="+",
        help=DATASET,
    )
    parser.add_argument("--protocol", choices=list(PROTOCOLS), default="vos", help="(default: vos)")
    parser.add_argument(
        "--prompt",
        choices=list(PROMPTERS),
        default="mask",
        help="the first prompt of each object, for --protocol vos (default: mask)",
    )
    parser.add_argument(
        "--first-frame", action="store_true", help="only the objects of the first annotated frame"
    )
    parser.add_argument(
        "--count",
        choices=[rule.value for rule in Counted],
        help="which frames count (default: the data set's)",
    )
    parser.add_argument("--no-baselines", action="store_true", help="leave out the trivial trackers")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all numbers")
    parser.add_argument(
        "--plot", type=Path, metavar="FILE", help="plot J&F of an interactive protocol (PNG, SVG)"
    )
    common.add_model_arguments(parser)
    parser.set_defaults(run=run)
    return parser


def run(options: argparse.Namespace) -> int:
    """Run the command."""
    protocol = PROTOCOLS[options.protocol]
    if options.plot and protocol.name not in ("offline", "online"):
        raise UsageError("--plot shows the curves of --protocol offline and online")
    sequences = [(s, Counted(options.count or counted)) for s, counted in find_all(options.dataset)]
    _check_targets(options, [sequence for sequence, _ in sequences])
    models = [plugins.load_model(options.model or "nano", options.device, options.precision)]
    models += [] if options.no_baselines else list(_baselines(models[0].name))
    work = _Work([_Share(model) for model in models])
    with suppress(KeyboardInterrupt):
        work.do(sequences, protocol, options)
        work.complete = True
    problems = [f"sequence {name!r}: {problem}" for name, problem in work.failed.items()]
    problems += _deliver(work, protocol, options) if work.ended else []
    empty = work.complete and not work.failed and not work.shares[0].found.mean
    common.say(
        *problems,
        "nothing was measured: no object has an annotated frame that counts" if empty else None,
        None if work.complete else "interrupted",
    )
    if not work.complete:
        return 130
    return 1 if problems else 0


@dataclass
class _Share:
    """What a model has done so far."""

    model: VideoModel
    outcomes: dict[str, Outcome] = field(default_factory=dict)
    frames: int = 0
    seconds: float = 0.0

    def run(self, sequence: Sequence, run: Callable[[Callable[[], Session]], Outcome], frames: int) -> None:
        """Do a sequence of so many frames."""
        clock = common.Clock()
        self.outcomes[sequence.name] = run(partial(sequence.open_session, self.model))
        self.seconds += clock.seconds
        self.frames += frames

    @property
    def found(self) -> Found:
        """What it reached."""
        return Found(self.model.name, self.outcomes, self.frames, self.seconds)


@dataclass
class _Work:
    """All models on all sequences, one sequence after the other, so that an interrupt leaves whole rows."""

    shares: list[_Share]
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
        truth, frames = _truth(sequence, options)

        def run(opened: Callable[[], Session]) -> Outcome:
            return protocol.run(opened, truth, options.prompt, counted)

        for share in self.shares:
            share.run(sequence, run, frames)


def _truth(sequence: Sequence, options: argparse.Namespace) -> tuple[Truth, int]:
    """What is to be seen on the video of a sequence, and how many frames that has."""
    truth, frames = sequence.whole_truth()
    return truth.of_first_frame() if options.first_frame else truth, frames


def _deliver(work: _Work, protocol: Protocol, options: argparse.Namespace) -> list[str]:
    """Write the files and print the table; what could not be written, one line each."""
    found, problems, written = [share.found for share in work.shares], [], []

    def write_document() -> None:
        whole = document(
            protocol, options.prompt, found[0], found[1:], complete=work.complete, failed=work.failed
        )
        write_json(options.json, whole)

    targets = ((options.json, write_document), (options.plot, lambda: plot(found, options.plot)))
    for path, write in targets:
        if path is None:
            continue
        try:
            write()
            written.append(f"wrote {path}")
        except Exception as error:  # the other file is still to come
            problems.append(one_line(error))
    _print(protocol, found)  # after the files: nobody may read it any more
    print(*written, sep="\n", end="\n" if written else "")
    return problems


def _check_targets(options: argparse.Namespace, sequences: list[Sequence]) -> None:
    """UsageError, before hours of work, for a file that cannot be written or belongs to what is read."""
    targets = {name: file for name in ("json", "plot") if (file := getattr(options, name)) is not None}
    links = [p for of in options.dataset for name in ("*", "*/*") for p in of.glob(name) if p.is_symlink()]
    places = [*options.dataset, *links, *(sequence.source for sequence in sequences)]
    for name, file in targets.items():
        if place := _that_holds(file, places):
            raise UsageError(f"--{name} {file} lies in the data set {str(place)!r}; give a file elsewhere")
        _try(file)
    if len({file.resolve() for file in targets.values()}) < len(targets):
        raise UsageError("--json and --plot are the same file; give two")
    if options.plot and (suffix := options.plot.suffix[1:].lower()) not in ("", *(known := plot_formats())):
        raise UsageError(f"no plot can be a .{suffix} file; give one of: {', '.join(known)}")


def _that_holds(file: Path, places: Iterable[Path]) -> Path | None:
    """The first of the folders or files in which a file lies, or which it is; links count on both sides."""
    names = {Path(os.path.abspath(file)), file.resolve()}  # noqa: PTH100  # a link itself, too
    for place in places:
        inside = {Path(os.path.abspath(place)), place.resolve()}  # noqa: PTH100
        if any(name.is_relative_to(folder) for name in names for folder in inside):
            return place
    return None


def _try(file: Path) -> None:
    """UsageError if no file can be written there; what is there stays as it is."""
    folder = file.absolute().parent
    if not folder.is_dir():
        raise UsageError(f"there is no folder {str(folder)!r} for {file.name!r}; make it first")
    try:
        with suppress(_TriedError), new_file(file) as part:
            part.touch()
            raise _TriedError
    except OSError as error:
        raise UsageError(f"cannot write {str(file)!r}: {reason(error)}") from error


class _TriedError(Exception):
    """Ends a try before it replaces anything."""


def _baselines(model: str) -> Iterator[VideoModel]:
    """The trivial trackers beside the model that can run here; one line on stderr for one that cannot."""
    for name in (name for name in BASELINES if name != model):
        try:
            yield plugins.load_model(name)
        except ModelError as error:
            print(f"sam2: left out: {error}", file=sys.stderr)


def _print(protocol: Protocol, found: list[Found]) -> None:
    """A row per sequence and one for the mean over objects; columns per model, times 100."""
    names = [Path(of.model).stem for of in found]
    header = ["", "objects", *(f"{name} {column}" for name in names for column in protocol.columns)]
    rows = []
    for name, outcome in found[0].outcomes.items():
        numbers = [mean_of(of.outcomes[name].objects.values() if name in of.outcomes else ()) for of in found]
        rows.append([name, str(len(outcome.objects)), *_cells(protocol, numbers)])
    count = sum(len(outcome.objects) for outcome in found[0].outcomes.values())
    whole = found[0].outcomes.keys()  # the mean of fewer sequences compares with nothing
    means = [of.mean if of.outcomes.keys() == whole else {} for of in found]
    rows.append(["mean", str(count), *_cells(protocol, means)])
    common.print_table(header, rows)
    times = ", ".join(f"{name} {of.seconds:.1f} s" for name, of in zip(names, found, strict=True))
    print(f"\nprotocol {protocol.name}, {found[0].frames} frames: {times}")


def _cells(protocol: Protocol, numbers: list[dict[str, float]]) -> list[str]:
    return [
        f"{100 * of[column]:.1f}" if column in of else "-" for of in numbers for column in protocol.columns
    ]
