"""``sam2 eval``: a model, and the trivial trackers beside it, against ground truth."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from tqdm import tqdm

from sam2_core import plugins
from sam2_core.cli import common
from sam2_core.cli.failures import UsageError
from sam2_core.errors import ModelError
from sam2_core.evaluation.datasets import find_sequences
from sam2_core.evaluation.protocols import PROMPTERS
from sam2_core.evaluation.report import Found, document, plot
from sam2_core.evaluation.runs import PROTOCOLS, Outcome, Protocol, mean_of
from sam2_core.evaluation.scores import Counted
from sam2_core.evaluation.truth import Sequence
from sam2_core.exporters.files import write_json
from sam2_core.hookspecs import VideoModel
from sam2_core.opening import open_session

BASELINES = ("copy", "flow")


def add_parser(commands: Any) -> argparse.ArgumentParser:
    """Add the command."""
    parser: argparse.ArgumentParser = commands.add_parser("eval", help="measure a model on annotated videos")
    parser.add_argument(
        "dataset",
        type=Path,
        metavar="DATASET",
        nargs="+",
        help="folders in the layout of DAVIS (MOSE, YouTube-VOS, LVOS), SA-V or CTC, or images/ and masks/",
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
    sequences = _sequences(options)
    _check_folders(options.json, options.plot)
    models = [plugins.load_model(options.model or "nano", options.device, options.precision)]
    models += [] if options.no_baselines else list(_baselines())
    found = [_evaluate(model, sequences, protocol, options) for model in models]
    _print(protocol, found)
    if options.json:
        print(f"wrote {write_json(options.json, document(protocol, options.prompt, found[0], found[1:]))}")
    if options.plot:
        plot(found, options.plot)
        print(f"wrote {options.plot}")
    return 0


def _check_folders(*files: Path | None) -> None:
    """UsageError, before hours of work, for a file whose folder is not there."""
    for file in files:
        if file is not None and not file.absolute().parent.is_dir():
            raise UsageError(
                f"there is no folder {str(file.absolute().parent)!r} for {file.name!r}; make it first"
            )


def _baselines() -> Iterator[VideoModel]:
    """The trivial trackers that can run here; one line on stderr for one that cannot."""
    for name in BASELINES:
        try:
            yield plugins.load_model(name)
        except ModelError as error:
            print(f"sam2: left out: {error}", file=sys.stderr)


def _sequences(options: argparse.Namespace) -> list[tuple[Sequence, Counted]]:
    """The sequences of all data sets, under names that tell them apart."""
    found: dict[str, tuple[Sequence, Counted]] = {}
    for folder in options.dataset:
        sequences, counted = find_sequences(folder)
        for sequence in sequences:
            alone = len(options.dataset) == 1 or sequence.name == folder.name
            named = sequence if alone else replace(sequence, name=f"{folder.name}/{sequence.name}")
            if named.name in found:
                raise UsageError(f"two sequences are called {named.name!r}; measure them in separate calls")
            found[named.name] = named, Counted(options.count or counted)
    return list(found.values())


def _evaluate(
    model: VideoModel,
    sequences: list[tuple[Sequence, Counted]],
    protocol: Protocol,
    options: argparse.Namespace,
) -> Found:
    clock, outcomes, frames = common.Clock(), dict[str, Outcome](), 0
    watched = tqdm(sequences, desc=model.name, unit="video", disable=not common.on_terminal(), leave=False)
    for sequence, counted in watched:
        truth = sequence.read()
        if options.first_frame:
            truth = truth.of_first_frame()
        outcomes[sequence.name] = protocol.run(_opener(sequence, model), truth, options.prompt, counted)
        frames += len(plugins.open_video(sequence.source))
    return Found(model.name, outcomes, frames, clock.seconds)


def _opener(sequence: Sequence, model: VideoModel) -> Callable[[], Any]:
    return partial(open_session, sequence.source, model=model)


def _print(protocol: Protocol, found: list[Found]) -> None:
    """A row per sequence and one for the mean over objects; columns per model, times 100."""
    names = [Path(of.model).stem for of in found]
    header = ["", "objects", *(f"{name} {column}" for name in names for column in protocol.columns)]
    rows = []
    for name, outcome in found[0].outcomes.items():
        numbers = [mean_of(of.outcomes[name].objects.values()) for of in found]
        rows.append([name, str(len(outcome.objects)), *_cells(protocol, numbers)])
    count = sum(len(outcome.objects) for outcome in found[0].outcomes.values())
    rows.append(["mean", str(count), *_cells(protocol, [of.mean for of in found])])
    common.print_table(header, rows)
    times = ", ".join(f"{name} {of.seconds:.1f} s" for name, of in zip(names, found, strict=True))
    print(f"\nprotocol {protocol.name}, {found[0].frames} frames: {times}")


def _cells(protocol: Protocol, numbers: list[dict[str, float]]) -> list[str]:
    return [
        f"{100 * of[column]:.1f}" if column in of else "-" for of in numbers for column in protocol.columns
    ]
