"""All cases, and running them: figures, ratios and the distance to the floor."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from sam2_core.bench import actions, growth, nano
from sam2_core.bench.cases import Case, Conditions, Counted, Pair
from sam2_core.bench.measure import Seconds, alternated, flop_per_cpu_second
from sam2_core.bench.steps import step
from sam2_core.bench.theirs import FLOAT32
from sam2_core.errors import ModelError

OURS = "ours"
"""How our side is called among the library's settings."""

TINY, BASE = "sam2.1-tiny", "sam2.1-base-plus"
"""The networks of the steps."""

SPEED = "frames/s"
"""The unit of which more is better."""

SAME = 0.999
"""Of so many pixels the library's masks in float32 are at least as ours."""

Shape = Sequence[int]
"""Of a tensor."""

_CASES = (
    Case("step-tiny-1", "full step, tiny 1024, 1 object", "", step(TINY, 1024, 1)),
    Case("step-tiny-5", "full step, tiny 1024, 5 objects", "", step(TINY, 1024, 5)),
    Case("step-tiny512-20", "full step, tiny 512, 20 objects", "", step(TINY, 512, 20)),
    Case("step-base-1", "full step, base-plus 1024, 1 object", "", step(BASE, 1024, 1)),
    Case("step-base-5", "full step, base-plus 1024, 5 objects", "", step(BASE, 1024, 5)),
    Case("step-tiny-20", "full step, tiny 1024, 20 objects", "", step(TINY, 1024, 20), True),
    Case("step-base-20", "full step, base-plus 1024, 20 objects", "", step(BASE, 1024, 20), True),
    Case("click", "click on an encoded frame, tiny 1024", "", actions.click),
    Case("correct", "correction of 1 of 3 objects, re-propagated, tiny 256", "", actions.correct),
    Case("open", "1,000-frame 960x540 film to the first mask, tiny 1024", "", actions.first_mask),
    Case("growth", "tensors kept per further frame and object, tiny 256", "bytes", growth.kept_tensors),
    Case("nano-click", "nano, click on an encoded frame", "ms", nano.click()),
    Case("nano-1", "nano, 1 object", SPEED, nano.speed(1)),
    Case("nano-10", "nano, 10 objects", SPEED, nano.speed(10)),
    Case("nano-20", "nano, 20 objects", SPEED, nano.speed(20)),
    Case("nano-100", "nano, 100 objects", SPEED, nano.speed(100)),
    Case(
        "nano-whole-click", "nano on whole frames, click on an encoded one", "ms", nano.click(windows=False)
    ),
    Case("nano-whole-1", "nano on whole frames, 1 object", SPEED, nano.speed(1, windows=False)),
    Case("nano-whole-10", "nano on whole frames, 10 objects", SPEED, nano.speed(10, windows=False)),
    Case("nano-whole-20", "nano on whole frames, 20 objects", SPEED, nano.speed(20, windows=False)),
)

CASES: Mapping[str, Case] = {case.name: case for case in _CASES}
"""All cases by name."""


@dataclass(frozen=True)
class Outcome:
    """What a case gave.

    Attributes:
        case: the case.
        unit: of the figures.
        ours: our figure.
        theirs: that of the library's best setting, if it took part.
        setting: what that setting was.
        wall: seconds on the clock, ours and theirs, for timed work.
        floor: CPU-seconds, if nothing but the matrix products of our work took time; for steps.
        agreement: of how many pixels the masks of each side are as our own in float32, 0..1, for steps.
    """

    case: Case
    unit: str
    ours: float
    theirs: float | None
    setting: str | None = None
    wall: tuple[float, float | None] | None = None
    floor: float | None = None
    agreement: Mapping[str, float] = field(default_factory=dict)

    @property
    def ratio(self) -> float | None:
        """How many times better we are; None without the other side, or where we need nothing at all."""
        if self.theirs is None or not self.ours:
            return None
        return self.ours / self.theirs if self.unit == SPEED else self.theirs / self.ours


def run(cases: Sequence[Case], conditions: Conditions, rounds: int) -> Iterator[Outcome]:
    """The outcomes of cases, one after another.

    Args:
        cases: what is measured.
        conditions: where, and how large.
        rounds: of timed work; their median counts.

    Raises:
        ModelError: if the library is not installed, or its masks are not ours: then it did other work.
    """
    for case in cases:
        prepared = case.prepare(conditions)
        if isinstance(prepared, Counted):
            yield Outcome(case, case.unit, prepared.ours, prepared.theirs)
        else:
            yield _timed(case, prepared, conditions.device.type == "cpu", rounds)


def _timed(case: Case, pair: Pair, on_cpu: bool, rounds: int) -> Outcome:
    agreement = _agreement(case, pair)
    sides = {OURS: pair.ours, **pair.theirs}
    seconds = alternated(sides, 1 if pair.once else rounds, warm_up=not pair.once)

    def figure(taken: Seconds) -> float:
        return taken.cpu if on_cpu else taken.wall

    ours = seconds.pop(OURS)
    best = min(seconds, key=lambda name: figure(seconds[name]), default=None)
    theirs = None if best is None else seconds[best]
    return Outcome(
        case,
        "CPU-s" if on_cpu else "s",
        figure(ours),
        None if theirs is None else figure(theirs),
        setting=best,
        wall=(ours.wall, None if theirs is None else theirs.wall),
        floor=_floor(pair) if on_cpu and agreement else None,
        agreement=agreement,
    )


def _floor(pair: Pair) -> float:
    """CPU-seconds that the matrix products of our work take at the speed of a large one."""
    fused = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
    with FlopCounterMode(display=False, custom_mapping={fused: _attention_flop}) as counter:
        pair.ours()
    return float(counter.get_total_flops()) / flop_per_cpu_second(pair.dtype)


def _attention_flop(query: Shape, key: Shape, value: Shape, *_: Any, **__: Any) -> int:
    """Of torch's fused attention on a CPU, which its counter does not know; shapes as ``attend``."""
    batch, heads, queries, width = query
    return 2 * batch * heads * queries * key[2] * (width + value[3])


def _agreement(case: Case, pair: Pair) -> dict[str, float]:
    """Of how many pixels the masks of each side are as our own in float32, for cases that have such."""
    if pair.logits is None or pair.exact is None:
        return {}
    truth = pair.logits(pair.exact()) > 0
    agreement = {
        name: float(((pair.logits(work()) > 0) == truth).float().mean())
        for name, work in {OURS: pair.ours, **pair.theirs}.items()
    }
    theirs, inside = agreement.get(FLOAT32, 1.0), float(truth.float().mean())
    if theirs < SAME or not 0.01 < inside < 0.99:
        raise ModelError(
            f"{case.name} says nothing: {theirs:.4f} of the pixels of the library in float32 are as ours, "
            f"{inside:.2f} are inside of a mask"
        )
    return agreement
