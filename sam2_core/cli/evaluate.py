"""``sam2 eval``: a model, and the trivial trackers beside it, against ground truth."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from sam2_core import plugins
from sam2_core.cli import common, evaluate_results
from sam2_core.cli.datasets import DATASET, find_each
from sam2_core.cli.evaluate_table import print_table
from sam2_core.cli.evaluate_targets import check_targets
from sam2_core.cli.evaluate_work import Share, Work
from sam2_core.cli.failures import UsageError, one_line
from sam2_core.errors import ExportError, ModelError
from sam2_core.evaluation import cell_tracking
from sam2_core.evaluation.protocols import PROMPTERS
from sam2_core.evaluation.report import document, plot
from sam2_core.evaluation.runs import PROTOCOLS, Protocol
from sam2_core.evaluation.scores import Counted
from sam2_core.evaluation.truth import Cells, Sequence
from sam2_core.exporters.files import write_json
from sam2_core.hookspecs import VideoModel

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
        help="whose rules hold: which frames count, and what J and F are (default: the data set's)",
    )
    parser.add_argument(
        "--cells",
        action="store_true",
        help="measure SEG, DET and TRA of all sequences, not only of those of the Cell Tracking Challenge",
    )
    parser.add_argument("--no-baselines", action="store_true", help="leave out the trivial trackers")
    parser.add_argument(
        "--results",
        type=Path,
        metavar="FILE",
        help="objects with scores in a JSON of YouTube-VIS: their AP against DATASET, its annotations",
    )
    parser.add_argument(
        "--any-category", action="store_true", help="with --results: take all objects for one category"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all numbers")
    parser.add_argument(
        "--plot", type=Path, metavar="FILE", help="plot J&F of an interactive protocol (PNG, SVG)"
    )
    common.add_model_arguments(parser)
    parser.set_defaults(run=run, defaults=parser.get_default)
    return parser


def run(options: argparse.Namespace) -> int:
    """Run the command."""
    if options.results is not None or any(place.suffix.lower() == ".json" for place in options.dataset):
        return evaluate_results.run(options)
    protocol = PROTOCOLS[options.protocol]
    _check(options, protocol)
    found, unknown = find_each(options.dataset)
    rules = [Counted(options.count or counted) for _, counted in found]
    check_targets(options, [sequence for sequence, _ in found])
    unfound = {place: one_line(error) for place, error in unknown.items()}
    if not found:
        common.say(*unfound.values())
        return 1
    sequences = _cells([sequence for sequence, _ in found], protocol, options)
    models = [common.model_of(options)]
    models += [] if options.no_baselines else list(_baselines(models[0].name))
    work = Work([Share(model) for model in models])
    with suppress(KeyboardInterrupt):
        work.do(list(zip(sequences, rules, strict=True)), protocol, options)
        work.complete = True
    problems = [*unfound.values(), *(f"sequence {name!r}: {line}" for name, line in work.failed.items())]
    problems += _deliver(work, protocol, options, rules, {**unfound, **work.failed}) if work.ended else []
    empty = work.complete and not work.failed and not work.shares[0].found.mean
    common.say(
        *problems,
        "nothing was measured: no object has an annotated frame that counts" if empty else None,
        None if work.complete else "interrupted",
    )
    if not work.complete:
        return 130
    return 1 if problems else 0


def _check(options: argparse.Namespace, protocol: Protocol) -> None:
    """UsageError for options that do not go together."""
    if options.plot and protocol.name not in ("offline", "online"):
        raise UsageError("--plot shows the curves of --protocol offline and online")
    if options.cells and protocol.name != "vos":
        raise UsageError("--cells measures what --protocol vos tracks")
    if options.any_category:
        raise UsageError("--any-category goes with --results")


def _cells(sequences: list[Sequence], protocol: Protocol, options: argparse.Namespace) -> list[Sequence]:
    """The sequences as they are to be measured: with cells only if that can be done; if not, why is said."""
    found = [replace(s, cells=s.cells or (Cells if options.cells else None)) for s in sequences]
    if protocol.name == "vos" and any(sequence.cells for sequence in found):
        try:
            cell_tracking.check_installed()
            return found
        except ExportError as error:
            common.say(f"left out: {one_line(error)}")
    return [replace(sequence, cells=None) for sequence in found]


def _deliver(
    work: Work,
    protocol: Protocol,
    options: argparse.Namespace,
    rules: list[Counted],
    failed: Mapping[str, str],
) -> list[str]:
    """Write the files and print the table; what could not be written, one line each."""
    found, problems, written = [share.found for share in work.shares], [], []

    def write_document() -> None:
        whole = document(protocol, options.prompt, found[0], found[1:], complete=work.complete, failed=failed)
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
    print_table(protocol, found, rules)  # after the files: nobody may read it any more
    print(*written, sep="\n", end="\n" if written else "")
    return problems


def _baselines(model: str) -> Iterator[VideoModel]:
    """The trivial trackers beside the model that can run here; one line on stderr for one that cannot."""
    for name in (name for name in BASELINES if name != model):
        try:
            yield plugins.load_model(name)
        except ModelError as error:
            print(f"sam2: left out: {error}", file=sys.stderr)
