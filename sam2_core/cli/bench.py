"""``sam2 bench``: how fast this is, beside the ``transformers`` library with the same frames and weights."""

from __future__ import annotations

import argparse
import json
import sys
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from sam2_core.cli.common import print_table
from sam2_core.cli.failures import UsageError

if TYPE_CHECKING:
    from sam2_core.bench.runs import Outcome

_TRANSFORMERS = "transformers"

_MEANING = {
    "case": "",
    "ours": "",
    "theirs": "the library's best setting",
    "setting": "which that is",
    "ratio": "how many times better we are",
    "floor": "CPU-seconds of the matrix products of our work at the speed of a large one",
    "agrees": "share of pixels as in our float32, of our masks / of theirs in that setting",
    "wall s": "seconds on the clock, ours / theirs",
}
"""The columns of the table, and what is not plain of them."""


def add_parser(commands: Any) -> argparse.ArgumentParser:
    """Add the command."""
    parser: argparse.ArgumentParser = commands.add_parser("bench", help="measure speed, and compare it")
    parser.add_argument(
        "--against",
        choices=[_TRANSFORMERS],
        help="a library to do the same work in turn, with the same frames and weights, in its best setting",
    )
    parser.add_argument(
        "--case", action="append", metavar="NAME", help="only this case; may be repeated (see --list)"
    )
    parser.add_argument("--list", action="store_true", help="say which cases there are")
    parser.add_argument(
        "--rounds", type=int, default=3, metavar="N", help="medians of so many rounds count (default: 3)"
    )
    parser.add_argument(
        "--small", action="store_true", help="sizes that say nothing about speed, to see that it works"
    )
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1, mps (default: auto)")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    parser.set_defaults(run=run, defaults=parser.get_default)
    return parser


def run(options: argparse.Namespace) -> int:
    """Run the command."""
    from sam2_core.bench import runs
    from sam2_core.bench.cases import Conditions
    from sam2_core.bench.measure import hardware
    from sam2_core.models import devices

    if options.list:
        print_table(["case", "what is done"], [[c.name, c.title] for c in runs.CASES.values()], left=True)
        return 0
    unknown = [name for name in options.case or () if name not in runs.CASES]
    if unknown:
        raise UsageError(f"there is no case {unknown[0]!r}; there are: {', '.join(runs.CASES)}")
    if options.rounds < 1:
        raise UsageError("--rounds must be at least 1")
    device = devices.choose(options.device)
    usual = [case.name for case in runs.CASES.values() if device.type != "cpu" or not case.on_gpu]
    chosen = [runs.CASES[name] for name in options.case or usual]
    outcomes: list[Outcome] = []
    try:
        with TemporaryDirectory() as folder:
            conditions = Conditions(device, Path(folder), options.small, options.against is not None)
            for outcome in runs.run(chosen, conditions, options.rounds):
                outcomes.append(outcome)
                _tell(_line(outcome))
    finally:  # an interrupt leaves what was measured
        if outcomes:
            _print(hardware(device), outcomes, small=options.small, as_json=options.json)
    return 0


def _tell(line: str) -> None:
    """Say it on the way; that nobody can hear it ends no measurement."""
    with suppress(OSError):
        if sys.stderr is not None:
            print(line, file=sys.stderr, flush=True)


def _line(outcome: Outcome) -> str:
    """What is known as soon as a case is done: a later one may take hours, or more memory than there is."""
    beside = "" if outcome.theirs is None else f", {outcome.setting or 'theirs'} {_figure(outcome.theirs)}"
    return f"{outcome.case.name}: {_figure(outcome.ours)} {outcome.unit}{beside}"


def _entry(outcome: Outcome) -> dict[str, Any]:
    """What ``--json`` says of a case; what was not measured is null or missing."""
    entry: dict[str, Any] = {
        "name": outcome.case.name,
        "ours": outcome.ours,
        "theirs": outcome.theirs,
        "ratio": outcome.ratio,
        "unit": outcome.unit,
    }
    if outcome.wall is not None:
        entry |= {"ours_wall_s": outcome.wall[0], "theirs_wall_s": outcome.wall[1]}
    if outcome.setting is not None:
        entry["theirs_setting"] = outcome.setting
    if outcome.floor is not None:
        entry["floor"] = outcome.floor
    if outcome.agreement:
        entry["agrees"] = dict(outcome.agreement)
    return entry


def _print(machine: str, outcomes: list[Outcome], *, small: bool, as_json: bool) -> None:
    if as_json:
        found = {"hardware": machine, "small": small, "cases": [_entry(o) for o in outcomes]}
        print(json.dumps(found, indent=2))
        return
    rows = [
        [
            outcome.case.title,
            f"{_figure(outcome.ours)} {outcome.unit}",
            _figure(outcome.theirs),
            outcome.setting or "",
            "" if outcome.ratio is None else f"{outcome.ratio:.2f}x",
            _figure(outcome.floor),
            _agreement(outcome),
            "" if outcome.wall is None else " / ".join(filter(None, map(_figure, outcome.wall))),
        ]
        for outcome in outcomes
    ]
    columns = [
        (title, cells) for title, cells in zip(_MEANING, zip(*rows, strict=True), strict=True) if any(cells)
    ]
    print_table(
        [title for title, _ in columns],
        [list(row) for row in zip(*(cells for _, cells in columns), strict=True)],
        left=True,
    )
    print()
    for title, _ in columns:
        if _MEANING[title]:
            print(f"{title}: {_MEANING[title]}")
    if small:
        print("Sizes are not the named ones (--small): no figure says anything about speed or memory.")
    print(machine)


def _figure(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:.3g}" if value < 1000 else f"{value:.0f}"


def _agreement(outcome: Outcome) -> str:
    """Of how many pixels our masks are as in float32, and those of the library's best setting."""
    shares = [outcome.agreement.get(name or "") for name in ("ours", outcome.setting)]
    return " / ".join(f"{share:.4f}" for share in shares if share is not None)
