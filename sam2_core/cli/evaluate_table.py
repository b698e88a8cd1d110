"""The table of ``sam2 eval``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from sam2_core.cli import common
from sam2_core.evaluation import cell_tracking
from sam2_core.evaluation.report import Found, speed
from sam2_core.evaluation.runs import Outcome, Protocol, mean_of
from sam2_core.evaluation.scores import Counted

SPEED = "frames/s"


def print_table(protocol: Protocol, found: list[Found], rules: Iterable[Counted]) -> None:
    """For each sequence a row per model, and the mean over objects; shares times 100.

    Args:
        protocol: what was run.
        found: what the model and the trivial trackers reached.
        rules: those by which sequences were counted.
    """
    names = {of.model: Path(of.model).stem for of in found}
    columns = _columns(protocol, found, rules)
    rows = []
    for name, outcome in found[0].outcomes.items():
        for of in found:
            numbers = _numbers(of.outcomes[name]) if name in of.outcomes else {}
            rows.append([name, str(len(outcome.objects)), names[of.model], *_cells(columns, numbers)])
    count = sum(len(outcome.objects) for outcome in found[0].outcomes.values())
    for of in found:
        # The mean of fewer sequences compares with nothing.
        whole = of.outcomes.keys() == found[0].outcomes.keys()
        numbers = {**of.mean, **_speed(of.speed)} if whole else {}
        rows.append(["mean", str(count), names[of.model], *_cells(columns, numbers)])
    common.print_table(["sequence", "objects", "model", *columns], rows)
    times = ", ".join(f"{names[of.model]} {of.seconds:.1f} s" for of in found)
    print(f"\nprotocol {protocol.name}, {found[0].frames} frames: {times}")


def _columns(protocol: Protocol, found: list[Found], rules: Iterable[Counted]) -> list[str]:
    """Those of the protocol, and what else there is to show."""
    there = {name for of in found for outcome in of.outcomes.values() for name in _numbers(outcome)}
    more = [name for rule in sorted(set(rules), key=lambda rule: rule.value) for name in rule.columns]
    return [*protocol.columns, *(name for name in (*more, *cell_tracking.NAMES, SPEED) if name in there)]


def _numbers(outcome: Outcome) -> dict[str, float]:
    return {**mean_of(outcome.objects.values()), **outcome.whole, **_speed(speed(outcome))}


def _speed(found: float | None) -> dict[str, float]:
    return {} if found is None else {SPEED: found}


def _cells(columns: list[str], numbers: Mapping[str, float]) -> list[str]:
    shown = {name: value if name == SPEED else 100 * value for name, value in numbers.items()}
    return [f"{shown[name]:.1f}" if name in shown else "-" for name in columns]
